// The state of the page lives in its address, so that a lesson can link to it. Photos never do. What an
// address names is listed in Python (url_state.py): `addressed` has the name of each property, and the
// element that shows it.
// A panel that is opened is an entry of the browser's history: Back goes to the one before.
import { openChapter, openPanel, panelTab } from './chapters.js';
import { asked, chooseExample, leaveExample, markExample } from './shared.js';

const all = (selector) => [...document.querySelectorAll(selector)];
let touched = false; // until the visitor does something, the address is what it was opened with
let planned = null;

window.leaveExample = leaveExample; // for events of Gradio's components

function shown({ name, shown, attribute, fromOne }) {
  const element = document.querySelector(shown);
  if (!element) return asked.get(name); // a panel is made when it is first opened
  const value = (element.getAttribute(attribute) ?? element.value ?? '').split(' · ')[0];
  return fromOne && value !== '' ? String(Number(value) + 1) : value;
}

function state() {
  return [...window.addressed.map((property) => [property.name, shown(property)]), ['panel', openPanel()]];
}

const firstPanel = () => Object.keys(window.chapters)[0];

function write() {
  planned = null;
  const params = new URLSearchParams(location.search);
  for (const [key, value] of state()) {
    if (value) params.set(key, value);
    else params.delete(key);
  }
  const query = params.toString();
  if (query === location.search.slice(1)) return;
  const before = new URLSearchParams(location.search).get('panel') ?? firstPanel();
  const move = params.get('panel') === before ? 'replaceState' : 'pushState';
  history[move](history.state, '', `?${query}`);
  // on Spaces the page is inside another one, which shows the address
  if (window.parent !== window) window.parent.postMessage({ queryString: query }, 'https://huggingface.co');
}

function plan() {
  if (touched && planned === null) planned = setTimeout(write, 250);
}

for (const kind of ['click', 'input', 'change', 'keydown']) {
  document.addEventListener(
    kind,
    (event) => {
      if (!event.isTrusted) return;
      touched = true;
      const button = event.target.closest?.('[data-example], [data-sound]');
      if (kind === 'click' && button) chooseExample(button);
      plan();
    },
    true,
  );
}

// Another language is another address: what the page shows comes along, but for a photo.
document.addEventListener('click', (event) => {
  const link = event.target.closest?.('.languages a');
  if (!link) return;
  event.preventDefault();
  if (touched) write();
  const params = new URLSearchParams(location.search);
  params.set('lang', link.hreflang);
  location.search = params;
});

// The server restores the rest; a panel is opened as a visitor would open it, once there is something in it.
function open(waited = 0) {
  const tab = panelTab(asked.get('panel'));
  const filled = asked.get('example') !== 'none' && waited < 80; // some networks have no example
  const ready = openPanel() && document.querySelector(filled ? '#roadmap button.cell' : '#roadmap');
  if (ready && tab) tab.click();
  else if (ready && !asked.get('panel')) openChapter(asked.get('chapter'));
  else if (!ready) setTimeout(() => open(waited + 1), 100); // an unknown panel is passed over
}

window.addEventListener('popstate', () => {
  panelTab(new URLSearchParams(location.search).get('panel') ?? firstPanel())?.click();
});

// A page that opens without an example shows none.
if (asked.get('example') || asked.get('sound')) {
  const clear = () => {
    const shelf = document.querySelector('#examples .shelf');
    if (!shelf) setTimeout(clear, 30);
    else if (asked.get('example') === 'none') markExample(shelf, null);
    else if (shelf.querySelector(`[data-name="${CSS.escape(asked.get('example') ?? '')}"]`)) {
      markExample(shelf, asked.get('example'));
    }
  };
  clear();
}

function start() {
  if (asked.get('panel') || asked.get('chapter')) open();
  new MutationObserver(plan).observe(document.body, { childList: true, subtree: true });
}
start();
