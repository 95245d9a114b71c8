// Five chapters, each with a row of panels. The open panel, Gradio's selected tab, is the only state: the
// chapter follows from it. Both rows are tabs as people know them: one stop of the Tab key, arrows, Home and
// End between them.
const bar = () => document.querySelector('#chapters .chapters');
const row = () => document.querySelector('#panels [role=tablist]');
const tabs = () => [...document.querySelectorAll('#panels [role=tab][data-tab-id]')];
const last = new Map(); // chapter -> the panel that was open in it

export const panelTab = (id) => tabs().find((tab) => tab.dataset.tabId === id);
export const openPanel = () =>
  tabs().find((tab) => tab.getAttribute('aria-selected') === 'true')?.dataset.tabId;

export function openChapter(chapter) {
  const inside = tabs().filter((tab) => window.chapters[tab.dataset.tabId] === chapter);
  const wanted = inside.find((tab) => tab.dataset.tabId === last.get(chapter)) ?? inside[0];
  wanted?.click();
}

function follow() {
  const open = openPanel();
  if (!open) return;
  const chapter = window.chapters[open];
  last.set(chapter, open);
  document.getElementById('panels').dataset.chapter = chapter;
  for (const tab of tabs()) tab.tabIndex = tab.dataset.tabId === open ? 0 : -1;
  for (const button of bar()?.children ?? []) {
    const chosen = button.dataset.chapter === chapter;
    button.setAttribute('aria-selected', String(chosen));
    button.tabIndex = chosen ? 0 : -1;
  }
}

// Arrows go to the neighbour, round the end; in a language from right to left the other way round.
function walk(event) {
  const list = event.target.closest?.('#chapters .chapters, #panels [role=tablist]');
  const all = list && [...list.querySelectorAll('[role=tab]')].filter((tab) => tab.offsetParent);
  const at = all ? all.indexOf(event.target.closest('[role=tab]')) : -1;
  if (at < 0) return;
  const onward = getComputedStyle(list).direction === 'rtl' ? -1 : 1;
  const next = {
    ArrowRight: at + onward,
    ArrowLeft: at - onward,
    Home: 0,
    End: all.length - 1,
  }[event.key];
  if (next === undefined) return;
  event.preventDefault();
  const tab = all[(next + all.length) % all.length];
  tab.focus();
  tab.click();
}

document.addEventListener('keydown', walk);
document.addEventListener('click', (event) => {
  const button = event.target.closest?.('#chapters [data-chapter]');
  if (button) openChapter(button.dataset.chapter);
  if (event.target.closest?.('.skip')) {
    event.preventDefault(); // the address is the view's, and its fragment would not move the keyboard
    bar()?.querySelector('[aria-selected=true]')?.focus();
  }
});

const SETTLED = 300; // milliseconds after which a page that was opened is there to be used

// A page that was opened may soon be used, and a chapter that somebody points at, or comes to by the
// keyboard, opened: the server is told once a minute, so that what takes long to get ready is ready. What is
// open keeps itself ready.
export default function tellsSoon({ element, server }) {
  setTimeout(() => server.soon({}).catch(() => {}), SETTLED);
  const told = new Map(); // chapter -> when
  const tell = ({ target }) => {
    const chapter = target.closest?.('[data-chapter]')?.dataset.chapter;
    if (!chapter || performance.now() - (told.get(chapter) ?? -Infinity) < 60_000) return;
    told.set(chapter, performance.now());
    server.soon({ chapter }).catch(() => told.delete(chapter));
  };
  for (const event of ['pointerover', 'pointerdown', 'focusin']) element.addEventListener(event, tell);
}

function start() {
  if (!row() || !bar()) {
    setTimeout(start, 50);
    return;
  }
  new MutationObserver(follow).observe(document.getElementById('panels'), {
    subtree: true,
    childList: true,
    attributeFilter: ['aria-selected'],
  });
  follow();
}
start();
