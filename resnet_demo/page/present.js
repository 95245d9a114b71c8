// ?present=1 is for lectures: large type, nothing to upload, keys for everything. ?embed=PANEL shows
// one panel alone,
// for slides. And of every panel: the link to this view, copied, and the view itself, saved.
import { openChapter, openPanel, panelTab } from './chapters.js';
import { asked, say } from './shared.js';
import { savePicture } from './save_view.js';
import { toggleStory } from './story.js';

const root = document.documentElement;
const typing = (target) => target.closest?.('input:not([type=range], [type=radio]), textarea, select');

function stepBlock(step) {
  const cells = [...document.querySelectorAll('#roadmap button.cell')];
  const at = cells.findIndex((cell) => cell.classList.contains('selected'));
  cells[Math.min(Math.max(at + step, 0), cells.length - 1)]?.click();
}

function black() {
  const screen = document.querySelector('.black-screen');
  if (screen) screen.remove();
  else {
    const made = document.createElement('div');
    made.className = 'black-screen';
    document.body.append(made);
  }
}

function keys(event) {
  if (typing(event.target) || event.ctrlKey || event.metaKey || event.altKey) return;
  const told = root.classList.contains('telling'); // then the story has the arrows
  const free = !told && !event.target.closest?.('[role=tab], .tile, input');
  const chapter = document.querySelectorAll('#chapters [data-chapter]')[Number(event.key) - 1];
  if (event.key.toLowerCase() === 'b') black();
  else if (event.key.toLowerCase() === 's') toggleStory();
  else if (chapter) openChapter(chapter.dataset.chapter);
  else if (event.key === 'ArrowRight' && free) stepBlock(1);
  else if (event.key === 'ArrowLeft' && free) stepBlock(-1);
  else return;
  event.preventDefault();
}

function tools() {
  const row = document.querySelector('#panels [role=tablist]')?.parentElement;
  if (!row) return void setTimeout(tools, 100);
  const bar = document.createElement('div');
  bar.className = 'view-tools';
  const add = (words, press) => {
    const button = document.createElement('button');
    button.type = 'button';
    button.textContent = words;
    button.addEventListener('click', () => press(button, words));
    bar.append(button);
  };
  const briefly = (button, words, said) => {
    button.textContent = said;
    setTimeout(() => (button.textContent = words), 1500);
  };
  add(say('Copy the link to this view'), async (button, words) => {
    await new Promise((done) => setTimeout(done, 300)); // until the address says it
    await navigator.clipboard.writeText(location.href).then(
      () => briefly(button, words, say('Copied')),
      () => window.prompt(words, location.href),
    );
  });
  for (const kind of ['PNG', 'SVG', 'PDF']) {
    add(say('Save this view as {kind}', { kind }), async (button, words) => {
      button.disabled = true;
      await savePicture(document.getElementById(`tab-${openPanel()}`), kind).catch(() =>
        briefly(button, words, say('This browser cannot save it')),
      );
      button.disabled = false;
    });
  }
  row.append(bar);
}

if (asked.get('present')) {
  root.classList.add('presenting');
  document.addEventListener('keydown', keys);
}
const embedded = asked.get('embed');
if (embedded) {
  root.classList.add('embedding');
  const open = () => {
    if (document.querySelector('#roadmap button.cell') && panelTab(embedded)) panelTab(embedded).click();
    else setTimeout(open, 100);
  };
  open();
} else tools();
