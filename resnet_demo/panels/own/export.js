// Files are made by the server and saved by the browser; nothing is left on either side.
function save({ name, type, data }) {
  const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
  const link = document.createElement('a');
  link.href = URL.createObjectURL(new Blob([bytes], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

element.addEventListener('click', async (event) => {
  const button = event.target.closest('button[data-what]');
  if (!button) return;
  const panel = element.querySelector('.take');
  const note = panel.querySelector('[role=status]');
  if (button.dataset.what === 'copy') {
    const code = panel.querySelector('code').textContent;
    try {
      await navigator.clipboard.writeText(code);
      note.textContent = say('The code is on the clipboard.');
    } catch {
      getSelection().selectAllChildren(panel.querySelector('code'));
      note.textContent = say('The code is selected; copy it with Ctrl-C or ⌘-C.');
    }
    return;
  }
  button.disabled = true;
  note.textContent = say('Making the file …');
  try {
    const made = await server.take({ key: panel.dataset.key, block: Number(panel.dataset.block), what: button.dataset.what, language: window.spoken?.language });
    if (made.error) note.textContent = made.error;
    else {
      save(made);
      note.textContent = say('{name} was handed to the browser.', { name: made.name });
    }
  } catch {
    note.textContent = say('The server cannot be reached; try again.');
  }
  button.disabled = false;
});
