// A panel as a picture: its HTML with every style written into it, in an SVG that needs nothing else;
// as PNG, painted
// by the browser from that SVG. Under it stands what it is: title, network, and the address.
const PROPERTIES = [
  'display',
  'position',
  'box-sizing',
  'width',
  'height',
  'min-width',
  'min-height',
  'max-width',
  'margin',
  'padding',
  'border',
  'border-radius',
  'background-color',
  'background-image',
  'background-size',
  'background-position',
  'color',
  'font',
  'text-align',
  'direction',
  'unicode-bidi',
  'white-space',
  'line-height',
  'opacity',
  'flex',
  'flex-wrap',
  'grid-template-columns',
  'gap',
  'grid-column',
  'grid-row',
  'align-items',
  'justify-content',
  'inset',
  'transform',
  'overflow',
  'image-rendering',
  'fill',
  'stroke',
  'stroke-width',
  'stroke-dasharray',
  'box-shadow',
  'aspect-ratio',
  'object-fit',
  'text-anchor',
  'visibility',
  'outline',
];

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

async function dress(from, to) {
  const style = getComputedStyle(from);
  for (const name of PROPERTIES) to.style.setProperty(name, style.getPropertyValue(name));
  const found = /url\("(.*?)"\)/.exec(style.backgroundImage);
  if (found) to.style.backgroundImage = `url("${await asData(found[1])}")`;
  if (from.tagName === 'IMG') to.src = await asData(from.currentSrc || from.src);
  for (let i = 0; i < from.children.length; i += 1) await dress(from.children[i], to.children[i]);
}

async function drawn(panel) {
  const box = panel.getBoundingClientRect();
  const copy = panel.cloneNode(true);
  await dress(panel, copy);
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
  page.append(copy, foot);
  const [width, height] = [Math.ceil(box.width) + 32, Math.ceil(box.height) + 76];
  const inside = new XMLSerializer().serializeToString(page);
  const text =
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}"><title>${network}</title>` +
    `<foreignObject width="100%" height="100%">${inside}</foreignObject></svg>`;
  return { text, width, height };
}

function save(address, name) {
  const link = document.createElement('a');
  link.href = address;
  link.download = name;
  link.click();
}

export async function savePicture(panel, kind) {
  const { text, width, height } = await drawn(panel);
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
