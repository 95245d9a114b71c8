// A panel as a picture: its HTML with every style written into it, in an SVG that needs nothing else; as PNG,
// painted by the browser from that SVG; as PDF, printed by the browser on a sheet of the picture's size.
// Under it stands what it is: title, network, and the address.
// Properties that say again what others say, or what attributes do.
const REPEATED =
  /^--|-(inline|block)|^(inline|block)-size|^inset|-origin$|^(d|zoom|cursor)$|^(transition|animation)/;
// A line that is not drawn has no width, which says nothing of one that is.
const LINES = /^(border|outline|column-rule).*-width$/;

// The style of an element that nobody has styled, by its tag: what differs from it has to be written.
const usual = new Map();
let blank = null;
function unstyled(element) {
  const { namespaceURI, localName, type } = element;
  const tag = `${localName} ${localName === 'input' ? type : ''}`;
  if (!usual.has(tag)) {
    if (!blank) {
      blank = Object.assign(document.createElement('iframe'), { className: 'sheet', tabIndex: -1 });
      blank.setAttribute('aria-hidden', 'true');
      document.body.append(blank);
    }
    const { body } = blank.contentDocument;
    const made = blank.contentDocument.createElementNS(namespaceURI, localName);
    if (localName === 'input') made.type = type;
    body.append(made);
    const style = blank.contentWindow.getComputedStyle(made);
    usual.set(tag, new Map([...style].map((name) => [name, style.getPropertyValue(name)])));
    made.remove();
  }
  return usual.get(tag);
}

const fetched = new Map();
async function asData(address) {
  if (address.startsWith('data:')) return address;
  if (!fetched.has(address)) {
    const blob = await (await fetch(address)).blob();
    const reader = new FileReader();
    const read = new Promise((done) => (reader.onload = () => done(reader.result)));
    reader.readAsDataURL(blob);
    fetched.set(address, await read);
  }
  return fetched.get(address);
}

// Writes the style of ``from`` into ``to``, its copy; ``sheets`` gathers addresses of background pictures,
// each written once, since sixty-four maps share one.
async function dress(from, to, sheets, around = null) {
  const style = getComputedStyle(from);
  const plain = unstyled(from);
  const written = [];
  for (const name of style) {
    const value = style.getPropertyValue(name);
    // what is as usual is written too where it would otherwise be inherited
    const differs = value !== plain.get(name) || (around && value !== around.getPropertyValue(name));
    const sheet = name === 'background-image' && /url\("(.*?)"\)/.exec(value)?.[1];
    if (sheet) to.classList.add(`sheet-${[...sheets.add(sheet)].indexOf(sheet)}`);
    else if ((differs || LINES.test(name)) && !REPEATED.test(name)) written.push(`${name}:${value}`);
  }
  to.setAttribute('style', written.join(';'));
  if (from.checked) to.setAttribute('checked', ''); // what was chosen since is in no attribute
  if (from.tagName === 'IMG') to.src = await asData(from.currentSrc || from.src);
  for (const [i, child] of [...from.children].entries()) await dress(child, to.children[i], sheets, style);
}

async function drawn(panel) {
  const box = panel.getBoundingClientRect();
  const copy = panel.cloneNode(true);
  const sheets = new Set();
  await dress(panel, copy, sheets);
  const pictures = document.createElement('style');
  const all = await Promise.all([...sheets].map(asData));
  pictures.textContent = all.map((data, i) => `.sheet-${i}{background-image:url("${data}")}`).join('\n');
  const name = panel.querySelector('h3.unseen')?.textContent ?? '';
  const network = document.querySelector('#network input')?.value ?? '';
  const paper = getComputedStyle(document.body).backgroundColor;
  const foot = document.createElement('p');
  foot.textContent = `${name} · ${network} · ${location.href}`;
  foot.style.cssText = `margin:12px 0 0;font:13px sans-serif;color:${getComputedStyle(panel).color};`;
  const page = document.createElement('div');
  page.setAttribute('xmlns', 'http://www.w3.org/1999/xhtml');
  const { lang, dir } = document.documentElement; // which letters a font has depends on the language
  Object.assign(page, { lang, dir });
  page.style.cssText = `padding:16px;background:${paper};`;
  page.append(pictures, copy, foot);
  const [width, height] = [Math.ceil(box.width) + 32, Math.ceil(box.height) + 76];
  const inside = new XMLSerializer().serializeToString(page);
  const text =
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}"><title>${network}</title>` +
    `<foreignObject width="100%" height="100%">${inside}</foreignObject></svg>`;
  return { text, page, width, height };
}

// The same as a page of its own, which the browser's print dialogue saves as PDF: letters stay letters.
function sheet({ page, width, height }) {
  const style = `@page{size:${width}px ${height}px;margin:0}*{print-color-adjust:exact}body{margin:0}`;
  return (
    `<!doctype html><html><head><meta charset="utf-8"><style>${style}</style></head>` +
    `<body>${page.outerHTML}</body></html>`
  );
}

async function print(found) {
  document.getElementById('sheet')?.remove();
  const frame = document.createElement('iframe');
  frame.id = 'sheet';
  frame.className = 'sheet';
  frame.setAttribute('aria-hidden', 'true');
  frame.tabIndex = -1;
  const loaded = new Promise((done) => frame.addEventListener('load', done, { once: true }));
  frame.srcdoc = sheet(found);
  document.body.append(frame);
  await loaded;
  frame.contentDocument.title = document.title; // what the file is called
  await Promise.all([...frame.contentDocument.images].map((image) => image.decode().catch(() => {})));
  frame.contentWindow.print();
}

function save(address, name) {
  const link = document.createElement('a');
  link.href = address;
  link.download = name;
  link.click();
}

export async function savePicture(panel, kind) {
  const found = await drawn(panel);
  if (kind === 'PDF') return print(found);
  const { text, width, height } = found;
  const svg = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(text)}`;
  const name = `resnet-demo-${panel.id.replace('tab-', '')}.${kind.toLowerCase()}`;
  if (kind === 'SVG') return save(svg, name);
  const image = new Image();
  image.src = svg;
  await image.decode();
  const canvas = document.createElement('canvas');
  const twice = Math.min(2, 8000 / Math.max(width, height));
  canvas.width = width * twice;
  canvas.height = height * twice;
  const paint = canvas.getContext('2d');
  paint.scale(twice, twice);
  paint.drawImage(image, 0, 0);
  return save(canvas.toDataURL('image/png'), name);
}
