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
