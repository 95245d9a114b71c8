// More ways to give a photo: pasted with nothing focused; dropped from another page; once more when its
// run was lost.
import { say } from './shared.js';

const photo = () => document.getElementById('photo');

export function give(file) {
  const input = photo()?.querySelector('input[type=file]');
  if (!input) return false;
  const files = new DataTransfer();
  files.items.add(file);
  input.files = files.files;
  input.dispatchEvent(new Event('change', { bubbles: true }));
  return true;
}

function tell(sentence) {
  let note = document.getElementById('photo-note');
  if (!note) {
    note = document.createElement('p');
    note.id = 'photo-note';
    note.setAttribute('role', 'alert');
    photo()?.after(note);
  }
  note.textContent = sentence;
  note.hidden = !sentence;
}

document.addEventListener('paste', (event) => {
  const at = document.activeElement;
  if (at?.isContentEditable || at?.matches('input:not([type=file], [type=radio], [type=range]), textarea'))
    return;
  const file = [...(event.clipboardData?.files ?? [])].find(({ type }) => type.startsWith('image/'));
  if (file && give(file)) {
    event.preventDefault();
    tell('');
  }
});

const overPhoto = (event) => event.target instanceof Element && event.target.closest('#photo, #photo-note');
const onlyAddress = ({ dataTransfer }) => {
  const types = [...(dataTransfer?.types ?? [])];
  return (
    !types.includes('Files') &&
    types.some((type) => ['text/uri-list', 'text/html', 'text/plain'].includes(type))
  );
};

for (const kind of ['dragenter', 'dragover', 'drop']) {
  window.addEventListener(
    kind,
    (event) => {
      if (!overPhoto(event)) return;
      if (!onlyAddress(event)) {
        if (kind === 'drop') tell('');
        return;
      }
      event.preventDefault();
      event.stopPropagation();
      if (kind !== 'drop') return;
      tell(
        say(
          'The other page gave only an address, and nothing is fetched from addresses. Save the ' +
            'picture and drop the file, or copy the picture itself and paste it here.',
        ),
      );
    },
    true,
  );
}

// What the server says when it has no room for a visitor's run any more; the browser still has the photo.
const LOST = [
  say('The maps of this photo were put away to make room; give the page the photo again.'),
  say('The demo was started again since you gave it a photo; give it the photo once more.'),
];
let resent = 0; // when, so that a photo that is lost again and again is not sent for ever
const AGAIN_MS = 30_000;

async function resend(toast) {
  const image = photo()?.querySelector('img[src]');
  if (!image || Date.now() - resent < AGAIN_MS) return;
  resent = Date.now();
  let blob;
  try {
    blob = await (await fetch(image.src, { cache: 'force-cache' })).blob();
  } catch {
    return; // the server cannot give it back either; its sentence says what to do
  }
  if (!blob.type.startsWith('image/') || !give(new File([blob], 'photo', { type: blob.type }))) return;
  toast.textContent = say('The server had put this photo away; it was sent again.');
}

new MutationObserver((changes) => {
  for (const { addedNodes } of changes) {
    for (const node of addedNodes) {
      if (!(node instanceof Element)) continue;
      for (const toast of node.querySelectorAll('[data-testid=toast-text], [data-testid=toast-body]')) {
        if (LOST.some((sentence) => toast.textContent.includes(sentence))) {
          resend(toast.querySelector('[data-testid=toast-text]') ?? toast);
        }
      }
    }
  }
}).observe(document.documentElement, { childList: true, subtree: true });
