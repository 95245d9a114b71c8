// A camera or microphone that is refused or missing would fail in silence; say what happened and what to do.
window.addEventListener('unhandledrejection', (event) => {
  const reasons = {
    NotAllowedError: 'The browser was not allowed to use the camera. Allow it beside the address bar, or upload a photo.',
    NotFoundError: 'No camera was found. Upload or paste a photo instead.',
    NotReadableError: 'The camera is in use by another program. Close that program, or upload a photo.',
    OverconstrainedError: 'This camera cannot give a usable picture. Choose another one, or upload a photo.',
  };
  const reason = event.reason || {};
  const recording = /microphone/i.test(reason.message) || document.getElementById('sound')?.offsetParent;
  const sentence =
    recording && (reasons[reason.name] || /microphone/i.test(reason.message))
      ? 'The microphone could not be used. Allow it beside the address bar, or upload a sound.'
      : reasons[reason.name];
  if (!sentence) return;
  event.preventDefault();
  const id = recording ? 'microphone-note' : 'camera-note';
  let note = document.getElementById(id);
  if (!note) {
    note = document.createElement('p');
    note.id = id;
    note.setAttribute('role', 'alert');
    document.getElementById(recording ? 'sound' : 'photo')?.after(note);
  }
  note.textContent = sentence;
});

// When the server has been started again, Gradio loads an old tab anew, and a photo that was in it is gone: say so.
(() => {
  const config = () => window.gradio_config;
  const filled = () => document.querySelector('#roadmap button.cell');

  window.addEventListener('pagehide', () => {
    if (config()) sessionStorage.setItem('left', JSON.stringify({ app: config().app_id, filled: Boolean(filled()) }));
  });

  const left = JSON.parse(sessionStorage.getItem('left') || '{}');
  const lost = left.filled && !new URLSearchParams(location.search).get('example'); // an example comes back by itself
  if (!lost || performance.getEntriesByType('navigation')[0]?.type !== 'reload') return;
  const note = document.createElement('p');
  note.id = 'restart-note';
  note.setAttribute('role', 'alert');

  const waiting = setInterval(() => {
    const photo = document.getElementById('photo');
    if (filled() || (config() && config().app_id === left.app)) {
      note.remove();
      clearInterval(waiting);
    } else if (config() && photo && !note.isConnected) {
      note.textContent = 'The demo was started again since you gave it a photo; give it the photo once more.';
      photo.after(note);
    }
  }, 300);
})();
