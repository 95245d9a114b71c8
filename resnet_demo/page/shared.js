// What the scripts of several panels share: sentences, the place under the pointer, the chosen channel,
// the address.

// A sentence in the language of the page; `spoken` is missing from an English one.
export const say = (sentence, values = {}) =>
  (window.spoken?.words[sentence] ?? sentence).replace(/\{(\w+)\}/g, (_, name) => values[name]);

// Names one after the other, as the language of the page does it.
export const listed = (names) => names.reduce((first, second) => say('{first}, {second}', { first, second }));

// What the page's address asked for when it was opened.
export const asked = new URLSearchParams(location.search);

// The channel that the visitor looks at, in every panel that shows it.
export const channel = { chosen: asked.get('channel') };

// The chosen network as the menu shows it; one that was made on this page by its own name.
export function chosenNetwork() {
  const shown = document.querySelector('#network input')?.value;
  const lent = [...document.querySelectorAll('#lent [data-name]')].find((e) => e.dataset.title === shown);
  return lent?.dataset.name ?? shown;
}

// Column and row of a map of `columns` by `rows` places that a pointer is over.
export function placeUnder({ clientX, clientY }, map, columns, rows) {
  const box = map.getBoundingClientRect();
  const clamp = (share, count) => Math.min(Math.max(Math.floor(share * count), 0), count - 1);
  return [clamp((clientX - box.left) / box.width, columns), clamp((clientY - box.top) / box.height, rows)];
}

// Mark the letters of a text from `first` to `last`; what they are.
export function mark(letters, first, last) {
  let marked = '';
  letters.querySelectorAll('b').forEach((letter) => {
    const index = Number(letter.style.getPropertyValue('--i'));
    const inside = index >= first && index <= last;
    letter.classList.toggle('marked', inside);
    if (inside) marked += letter.textContent;
  });
  return marked.replaceAll('\u00a0', ' ').replaceAll('\u25cc', '').trim();
}

// `draw`, however often it is asked for, once before the screen is painted next.
export function oncePerFrame(draw) {
  let waits = false;
  return () => {
    if (waits) return;
    waits = true;
    requestAnimationFrame(() => {
      waits = false;
      draw();
    });
  };
}

// Which of the two colours of classes a class has, as the last answer says it: `side_of` in Python.
function sideOf(label, rank) {
  const { up, down } = document.querySelector('#answer .answer')?.dataset ?? {};
  if (down) return { [up]: 'up', [down]: 'down' }[label] ?? '';
  return up && rank === 0 ? 'up' : '';
}

// The bars of an answer, [[class, probability]], the most probable first, as `drawing/bars.html` has them.
export const classRows = (classes, digits) =>
  classes.map(([label, chance], rank) => {
    const row = document.createElement('div');
    row.className = 'class-row';
    row.innerHTML = `<span class="label"></span><span class="bar" aria-hidden="true"><i></i></span>
<span class="percent"></span>`;
    row.firstChild.textContent = label;
    row.querySelector('i').style.width = `${100 * chance}%`;
    row.querySelector('i').className = sideOf(label, rank);
    row.lastChild.textContent = `${(100 * chance).toFixed(digits)} %`;
    return row;
  });

// The example of a group that is shown; none where the name is null.
export function markExample(group, name) {
  if (name === null) delete group.dataset.chosen;
  else group.dataset.chosen = name;
  for (const button of group.querySelectorAll('[data-name]')) {
    button.setAttribute('aria-pressed', button.dataset.name === name);
  }
}

// An address names examples only: after a photo of the visitor's own it names none.
export function leaveExample() {
  document.querySelectorAll('[data-chosen]').forEach((group) => markExample(group, null));
  for (const name of ['gates', 'example', 'sound', 'text']) asked.delete(name);
  window.dispatchEvent(new Event('exampleleft'));
}

export function chooseExample(button) {
  leaveExample();
  markExample(button.closest('.shelf') ?? button.parentElement, button.dataset.name);
}

// A file that the server made, { name, type, data } in base64: the browser saves it.
export function save({ name, type, data }) {
  const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
  const link = document.createElement('a');
  link.href = URL.createObjectURL(new Blob([bytes], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}
