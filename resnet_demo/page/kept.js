// What a tab keeps, in this browser alone: its own photo, so that neither a reload nor another language
// loses it, and the theme. An example comes back by its address and is not kept.
import { asked, leaveExample } from './shared.js';
import { give } from './photo_ways.js';

const MOST = 3_000_000; // characters of a photo as it is; a larger one is scaled down
const SIDE = 1024; // pixels
const photo = () => document.querySelector('#photo img[src]');
let given = null; // the address of the picture that is kept, or was just given back
let example = null; // the address of the example's picture, which may stay when a sound is chosen
let restoring = false;
// The page opens with an example, whose picture may come after a sound was chosen.
let expected = asked.get('example') !== 'none' && !window.hasKeptPhoto();
for (const event of ['change', 'drop', 'click']) {
  document.addEventListener(event, ({ target }) => (expected &&= !target.closest?.('#photo')), true);
}

const named = () => (asked.get('example') === 'none' ? null : asked.get('example'));
const chosen = () => document.querySelector('#examples [data-chosen]') ?? named();

function store(key, value, where = sessionStorage) {
  try {
    if (value === null) where.removeItem(key);
    else where.setItem(key, value);
  } catch {
    // storage is full, or switched off: the photo is then gone after a reload, as everywhere
  }
}

const asText = (blob) =>
  new Promise((done) => {
    const reader = new FileReader();
    reader.onload = () => done(reader.result);
    reader.readAsDataURL(blob);
  });

function scaled(image) {
  const share = Math.min(1, SIDE / Math.max(image.naturalWidth, image.naturalHeight));
  const canvas = document.createElement('canvas');
  canvas.width = Math.round(image.naturalWidth * share);
  canvas.height = Math.round(image.naturalHeight * share);
  canvas.getContext('2d').drawImage(image, 0, 0, canvas.width, canvas.height);
  return canvas.toDataURL('image/jpeg', 0.92);
}

async function keep() {
  const image = photo();
  if (!image || chosen()) {
    if (image || given) store('photo', null); // an example is on show, or the photo was taken out
    if (image) restoring = false; // the example came before what was to be given back
    given = null;
    example = image?.src ?? example;
    return;
  }
  if (image.src === given || image.src === example) return;
  given = image.src;
  if (restoring) {
    restoring = false; // what came back is kept already
    return;
  }
  const text = await asText(await (await fetch(image.src, { cache: 'force-cache' })).blob());
  if (text.length <= MOST && text.startsWith('data:image/')) store('photo', text);
  else {
    await image.decode();
    store('photo', scaled(image));
  }
}

// Called when the page has been brought to what its address asks for.
window.giveKeptPhoto = async () => {
  const text = window.hasKeptPhoto() && !named() ? sessionStorage.getItem('photo') : null;
  if (!text) return;
  leaveExample();
  restoring = true;
  const blob = await (await fetch(text)).blob();
  const file = new File([blob], 'photo', { type: blob.type });
  for (let tries = 0; tries < 100 && !give(file); tries += 1) {
    await new Promise((done) => setTimeout(done, 100));
  }
};
if (window.pageLoaded) window.giveKeptPhoto(); // the page was faster than this script

let planned = null;
function plan() {
  const image = photo();
  if (image && expected) [example, expected] = [image.src, false];
  clearTimeout(planned);
  planned = setTimeout(() => keep().catch(() => {}), 400); // by then it is known whether it is an example
}
const watched = { childList: true, subtree: true, attributeFilter: ['src'] };
new MutationObserver(plan).observe(document.documentElement, watched);
window.addEventListener('exampleleft', plan);

// Gradio sets the theme from the system; what the visitor chose is set again whenever it does.
const theme = () => {
  try {
    return localStorage.getItem('theme');
  } catch {
    return null;
  }
};

window.toggleTheme = () => {
  const dark = !document.body.classList.contains('dark');
  store('theme', dark ? 'dark' : 'light', localStorage);
  document.body.classList.toggle('dark', dark);
};

if (!asked.get('__theme')) {
  const dress = () => {
    const wanted = theme();
    if (wanted && document.body.classList.contains('dark') !== (wanted === 'dark')) {
      document.body.classList.toggle('dark', wanted === 'dark');
    }
  };
  const begin = () => {
    if (!document.body) return void setTimeout(begin, 0);
    new MutationObserver(dress).observe(document.body, { attributeFilter: ['class'] });
    dress();
  };
  begin();
}
