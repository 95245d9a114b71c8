// Around Gradio: its own words, a camera that is refused, a server that was started again.
import { asked, say } from './shared.js';

// Gradio sets the language of the document from the browser, whatever the page speaks.
(() => {
  const { tag = 'en', direction = 'ltr' } = window.spoken ?? {};
  const html = document.documentElement;
  const tell = () => {
    if (html.lang !== tag) html.lang = tag;
    if ((html.dir || 'ltr') !== direction) html.dir = direction;
  };
  new MutationObserver(tell).observe(html, { attributeFilter: ['lang', 'dir'] });
  tell();
})();

// Gradio translates most of its own words; of these it knows only the English.
if (window.spoken) {
  const names = {
    'Upload file': say('Upload file'),
    'Capture from camera': say('Capture from camera'),
    'Paste from clipboard': say('Paste from clipboard'),
    'Reset to default value': say('Reset to default value'),
    'More tabs': say('More tabs'),
    'number input for': say('number input for'),
    'range slider for': say('range slider for'),
    'Record audio': say('Record audio'),
    'Stop recording': say('Stop recording'),
    'Adjust volume': say('Adjust volume'),
    'Adjust playback speed to': say('Adjust playback speed to'),
  };
  // how far is left out
  const steps = { 'Skip backwards by': say('Skip backwards'), 'Skip forward by': say('Skip forward') };
  const named = (english, name) =>
    document.querySelectorAll(`[aria-label^="${english}"]`).forEach((found) => {
      const label = name(found.getAttribute('aria-label'));
      if (label !== found.getAttribute('aria-label')) found.setAttribute('aria-label', label);
    });
  const mend = () => {
    for (const [english, said] of Object.entries(names)) {
      named(english, (label) => said + label.slice(english.length));
    }
    for (const [english, said] of Object.entries(steps)) named(english, () => said);
    for (const button of document.querySelectorAll('button.record, button.stop-button')) {
      const words = [...button.childNodes].find((node) => /^Stop( Recording)?$/.test(node.data?.trim()));
      if (words) words.data = say('Stop recording');
      const icon = button.querySelector('img[alt="Stop Recording"]');
      if (icon) icon.alt = say('Stop recording');
    }
  };
  const watched = { childList: true, characterData: true, subtree: true, attributeFilter: ['aria-label'] };
  new MutationObserver(mend).observe(document.documentElement, watched);
}

// Gradio's menu of networks stays open when the keyboard leaves it.
document.addEventListener('focusout', ({ target }) => {
  if (!target.closest?.('#network')) return;
  setTimeout(() => {
    if (document.activeElement?.closest('#network')) return;
    target.dispatchEvent(new KeyboardEvent('keydown', { key: 'Escape', bubbles: true }));
  }, 150);
});

// A camera or microphone that is refused or missing would fail in silence; say what happened and what to do.
window.addEventListener('unhandledrejection', (event) => {
  const reasons = {
    NotAllowedError: say(
      'The browser was not allowed to use the camera. Allow it beside the address bar, or upload a photo.',
    ),
    NotFoundError: say('No camera was found. Upload or paste a photo instead.'),
    NotReadableError: say('The camera is in use by another program. Close that program, or upload a photo.'),
    OverconstrainedError: say(
      'This camera cannot give a usable picture. Choose another one, or upload a photo.',
    ),
  };
  const reason = event.reason || {};
  const recording = /microphone/i.test(reason.message) || document.getElementById('sound')?.offsetParent;
  const sentence =
    recording && (reasons[reason.name] || /microphone/i.test(reason.message))
      ? say('The microphone could not be used. Allow it beside the address bar, or upload a sound.')
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

// When the server has been started again, Gradio loads an old tab anew, and a photo that was in it is gone.
(() => {
  const config = () => window.gradio_config;
  const filled = () => document.querySelector('#roadmap button.cell');

  window.addEventListener('pagehide', () => {
    const now = { app: config()?.app_id, filled: Boolean(filled()) };
    if (config()) sessionStorage.setItem('left', JSON.stringify(now));
  });

  const left = JSON.parse(sessionStorage.getItem('left') || '{}');
  const back = asked.get('example') || window.hasKeptPhoto(); // comes back by itself
  const lost = left.filled && !back;
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
      note.textContent = say(
        'The demo was started again since you gave it a photo; give it the photo once more.',
      );
      photo.after(note);
    }
  }, 300);
})();
