// The state of the page lives in its address, so that a lesson can link to it. Photos never do. What an
// address names is listed in Python (url_state.py): `addressed` has the name of each property, and the
// element that shows it.
import { asked, chooseExample, leaveExample } from './shared.js';

const all = (selector) => [...document.querySelectorAll(selector)];
let touched = false; // until the visitor does something, the address is what it was opened with
let planned = null;

window.leaveExample = leaveExample; // for events of Gradio's components

const tabs = () => window.gradio_config.components.filter((c) => c.type === 'tabitem').map((c) => c.props);

function shown({ name, shown, attribute, fromOne }) {
  const element = document.querySelector(shown);
  if (!element) return asked.get(name); // a panel is made when it is first opened
  const value = (element.getAttribute(attribute) ?? element.value ?? '').split(' · ')[0];
  return fromOne && value !== '' ? String(Number(value) + 1) : value;
}

function state() {
  const panel = all('#panels [role=tabpanel]').find((found) => found.offsetParent !== null);
  return [
    ...window.addressed.map((property) => [property.name, shown(property)]),
    ['panel', panel && tabs().find((tab) => tab.elem_id === panel.id)?.id],
  ];
}

function write() {
  planned = null;
  const params = new URLSearchParams(location.search);
  for (const [key, value] of state()) {
    if (value) params.set(key, value);
    else params.delete(key);
  }
  const query = params.toString();
  if (query === location.search.slice(1)) return;
  history.replaceState(history.state, '', `?${query}`);
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
// On narrow screens most tabs are in a menu, where only their words tell which is which.
function open() {
  const tab = window.gradio_config && tabs().find(({ id }) => id === asked.get('panel'));
  const button =
    tab &&
    all('#panels [role=tab], #panels .overflow-dropdown button').find(
      (found) => found.textContent.trim() === tab.label,
    );
  const filled = asked.get('example') || asked.get('sound');
  const ready = document.querySelector(filled ? '#roadmap button.cell' : '#roadmap');
  if (button && ready) button.click();
  else if (tab || !window.gradio_config) setTimeout(open, 100); // an unknown panel is passed over
}

function start() {
  if (asked.get('panel')) open();
  new MutationObserver(plan).observe(document.body, { childList: true, subtree: true });
}
start();
