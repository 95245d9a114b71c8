// A camera that is refused or missing would fail in silence; say what happened and what to do.
window.addEventListener('unhandledrejection', (event) => {
  const reasons = {
    NotAllowedError: 'The browser was not allowed to use the camera. Allow it beside the address bar, or upload a photo.',
    NotFoundError: 'No camera was found. Upload or paste a photo instead.',
    NotReadableError: 'The camera is in use by another program. Close that program, or upload a photo.',
    OverconstrainedError: 'This camera cannot give a usable picture. Choose another one, or upload a photo.',
  };
  const sentence = reasons[event.reason && event.reason.name];
  if (!sentence) return;
  event.preventDefault();
  let note = document.getElementById('camera-note');
  if (!note) {
    note = document.createElement('p');
    note.id = 'camera-note';
    note.setAttribute('role', 'alert');
    document.getElementById('photo')?.after(note);
  }
  note.textContent = sentence;
});
