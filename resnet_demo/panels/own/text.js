// Examples, what the box says of itself while one types, and the letters that a place of a strip reads.
import { mark, placeUnder, say } from '../../page/shared.js';

const LONGEST = 510; // letters that the network reads; it adds a space at either end

function note(box) {
  const place = document.getElementById('text-note');
  if (!place) return;
  const text = box.value.trim();
  let words = '';
  if (text && !/\p{L}/u.test(text)) {
    words = say('There is no letter in this text: write or paste a word or a sentence.');
  } else if (text.length > LONGEST) {
    words = say('The network reads the first {count} letters.', { count: LONGEST });
  }
  place.textContent = words;
}

function point(element, event) {
  const letter = event.target.closest('.letters b');
  const strip = event.target.closest('.letters b i');
  const letters = letter && letter.closest('.letters');
  const words = element.querySelector('.pointed');
  if (!letters || !strip || !words || !letters.dataset.fields) return;
  const fields = letters.dataset.fields.split('|');
  const names = letters.dataset.names.split('|');
  const [, row] = placeUnder(event, strip, 1, fields.length);
  if (!fields[row]) return;
  const [jump, low, high] = fields[row].split(' ').map(Number);
  const count = Number(letters.style.getPropertyValue('--count'));
  const index = Number(letter.style.getPropertyValue('--i'));
  const place = Math.max(0, Math.round((index - (low + high) / 2) / jump));
  const first = Math.min(Math.max(place * jump + low, 0), count - 1);
  const last = Math.max(Math.min(place * jump + high, count - 1), 0);
  element.querySelectorAll('.letters').forEach((other) => other !== letters && mark(other, 0, -1));
  const marked = mark(letters, first, last);
  words.textContent = say('{name}, place {place}: reads letters {first} to {last}, “{letters}”', {
    name: names[row],
    place: place + 1,
    first: first + 1,
    last: last + 1,
    letters: marked,
  });
}

export default function start({ element, trigger }) {
  element.addEventListener('pointermove', (event) => point(element, event));
  element.addEventListener('pointerdown', (event) => point(element, event));
  element.addEventListener('pointerleave', () => {
    element.querySelectorAll('.letters').forEach((letters) => mark(letters, 0, -1));
  });
  if (element.id !== 'text-examples' && !element.querySelector('.text-examples')) return;
  element.addEventListener('click', (event) => {
    const button = event.target.closest('button[data-text]');
    if (button) trigger('select', { index: Number(button.dataset.text) });
  });
  document.addEventListener('input', (event) => {
    if (event.target.matches?.('#text textarea')) note(event.target);
  });
}
