// Files are made by the server and saved by the browser; nothing is left on either side.
import { save, say } from '../../page/shared.js';

async function make(element, server, button) {
  const panel = element.querySelector('.take');
  const note = panel.querySelector('[role=status]');
  if (button.dataset.what === 'copy') return copy(panel.querySelector('code'), note);
  button.disabled = true;
  note.textContent = say('Making the file …');
  try {
    const { key, block } = panel.dataset;
    const language = window.spoken?.language;
    const made = await server.take({ key, block: Number(block), what: button.dataset.what, language });
    if (made.error) note.textContent = made.error;
    else {
      save(made);
      note.textContent = say('{name} was handed to the browser.', { name: made.name });
    }
  } catch {
    note.textContent = say('The server cannot be reached; try again.');
  }
  button.disabled = false;
}

async function copy(code, note) {
  try {
    await navigator.clipboard.writeText(code.textContent);
    note.textContent = say('The code is on the clipboard.');
  } catch {
    getSelection().selectAllChildren(code);
    note.textContent = say('The code is selected; copy it with Ctrl-C or ⌘-C.');
  }
}

export default function start({ element, server }) {
  element.addEventListener('click', (event) => {
    const button = event.target.closest('button[data-what]');
    if (button) make(element, server, button);
  });
}
