// The strip: while a panel is worked in, the first screen is folded into a bar that stays in view. It
// is made from
// what the first screen shows, so that the two cannot differ: the photo with the crop that the network
// takes, the
// answer, the whole road grouped by stages of one shape, and the read-outs under it.
import { say } from './shared.js';

const HIGH = 200; // a strip is shown when less of the first screen than this is in view, pixels
const first = () => document.getElementById('first-screen');
const map = () => document.querySelector('#roadmap .roadmap[data-modality]');
const make = (name, className, words = '') => {
  const made = document.createElement(name);
  made.className = className;
  made.textContent = words;
  return made;
};
let strip;

// The rectangle of the photo that the network takes, in shares of the photo: left, top, width, height.
export function crop(width, height, [resize, kept]) {
  if (resize !== 'crop') return [0, 0, 1, 1];
  const side = Math.min(width, height) * Number(kept);
  return [(1 - side / width) / 2, (1 - side / height) / 2, side / width, side / height];
}

function picture() {
  const figure = make('span', 'strip-photo');
  const ofPhoto = map().dataset.modality === 'photo';
  const own = ofPhoto && document.querySelector('#photo img[src]');
  const image = make('img', '');
  image.src = (own || document.getElementById('seen-photo')).src;
  image.alt = '';
  const frame = make('u', 'strip-crop');
  frame.append(make('i', 'strip-place'));
  const place = () => {
    const [left, top, width, height] = own
      ? crop(own.naturalWidth || 1, own.naturalHeight || 1, map().dataset.fit.split(' '))
      : [0, 0, 1, 1];
    const [x, y, w, h] = [left, top, width, height].map((share) => `${100 * share}%`);
    frame.style.cssText = `left:${x};top:${y};width:${w};height:${h}`;
    frame.hidden = width === 1 && height === 1 && !frame.classList.contains('pointed');
  };
  image.addEventListener('load', place);
  place();
  figure.append(image, frame);
  return figure;
}

function answer() {
  const found = make('span', 'strip-answer');
  const row = document.querySelector('#answer .class-row');
  if (!row) return found;
  const bar = make('span', 'strip-bar');
  const filled = make('i', '');
  filled.style.width = row.querySelector('.bar i').style.width;
  filled.className = row.querySelector('.bar i').className;
  bar.append(filled);
  const share = row.querySelector('.percent').textContent;
  found.append(make('b', '', row.querySelector('.label').textContent), make('span', '', share), bar);
  if (document.querySelector('#answer .notice button[data-open]')) {
    found.append(make('small', '', say('some branches are turned down')));
  }
  return found;
}

// One block: its side road above, its shortcut below, as wide as on the map, at a third of the size.
function block(cell, small) {
  const button = make('button', 'strip-block');
  button.type = 'button';
  button.dataset.block = cell.dataset.block;
  button.setAttribute('aria-pressed', cell.getAttribute('aria-pressed'));
  button.setAttribute('aria-label', cell.getAttribute('aria-label'));
  button.title = cell.getAttribute('aria-label');
  const svg = cell.querySelector('svg.wide').cloneNode(true);
  for (const path of svg.children) {
    path.setAttribute('stroke-width', Math.max(1, Number(path.getAttribute('stroke-width')) / 2));
  }
  const read = cell.dataset.read;
  button.append(svg, make('span', 'strip-number', String(Number(cell.dataset.block) + 1)));
  if (read && !small) button.append(make('span', 'strip-read', read));
  return button;
}

function road() {
  const cells = [...map().querySelectorAll('button.cell')];
  const stages = [];
  for (const cell of cells) {
    const last = stages.at(-1);
    if (last && last[0].dataset.shape === cell.dataset.shape) last.push(cell);
    else stages.push([cell]);
  }
  const chosen = cells.find((cell) => cell.classList.contains('selected'));
  const line = make('span', 'strip-road');
  for (const stage of stages) {
    const group = make('span', 'strip-stage');
    const open = cells.length <= 8 || stage.includes(chosen); // of a deep network one stage is zoomed
    group.classList.toggle('open', open);
    group.style.setProperty('--count', stage.length);
    group.title = stage[0].dataset.shape;
    group.append(...stage.map((cell) => block(cell, !open)));
    line.append(group);
  }
  return line;
}

function draw() {
  if (!strip) return;
  if (!map()) {
    strip.hidden = true;
    return;
  }
  const unfold = make('button', 'strip-unfold', '▾');
  unfold.type = 'button';
  unfold.title = say('Show the whole first screen');
  unfold.setAttribute('aria-label', unfold.title);
  const right = make('span', 'strip-right');
  right.append(road());
  const label = document.querySelector('#answer .class-row .label')?.textContent;
  if (map().querySelector('[data-read]') && label) {
    right.append(make('small', 'strip-says', say('says {label} after each block, %', { label })));
  }
  strip.replaceChildren(picture(), answer(), right, unfold);
  fold();
}

function fold() {
  if (!strip || !map()) return;
  const folded = first().getBoundingClientRect().bottom < HIGH;
  strip.hidden = !folded;
  document.documentElement.classList.toggle('folded', folded);
}

const still = () => matchMedia('(prefers-reduced-motion: reduce)').matches;
const go = (top) => window.scrollTo({ top, behavior: still() ? 'instant' : 'smooth' });

// A chapter that is chosen comes right under the strip.
export function workIn() {
  if (!map()) return;
  const chapters = document.getElementById('chapters');
  const top = chapters.getBoundingClientRect().top + window.scrollY - strip.dataset.height;
  if (window.scrollY < top) go(top);
}

// What a place of a map sees, or null: a rectangle in shares of the picture that the network saw.
window.addEventListener('place', ({ detail }) => {
  const frame = strip?.querySelector('.strip-crop');
  const place = strip?.querySelector('.strip-place');
  if (!frame) return;
  frame.classList.toggle('pointed', Boolean(detail));
  if (detail) frame.hidden = false;
  place.style.cssText = detail
    ? `display:block;left:${detail.left}%;top:${detail.top}%;width:${detail.width}%;height:${detail.height}%`
    : '';
});

function click(event) {
  const chosen = event.target.closest('[data-block]');
  if (event.target.closest('.strip-unfold, .strip-photo, .strip-answer')) go(0);
  else if (chosen) document.getElementById(`block-${Number(chosen.dataset.block) + 1}`).click();
}

function start() {
  const needed = ['first-screen', 'roadmap', 'answer', 'photo', 'chapters'];
  if (!needed.every((id) => document.getElementById(id))) {
    setTimeout(start, 50);
    return;
  }
  strip = make('div', 'strip');
  strip.hidden = true;
  strip.setAttribute('role', 'region');
  strip.setAttribute('aria-label', say('The answer and the road, in short'));
  strip.dataset.height = 112;
  (document.querySelector('.gradio-container .contain') ?? document.body).append(strip);
  strip.addEventListener('click', click);
  let planned = null;
  const plan = () => {
    clearTimeout(planned);
    planned = setTimeout(draw, 30);
  };
  const watched = { childList: true, subtree: true, attributeFilter: ['class', 'src', 'aria-pressed'] };
  for (const id of ['roadmap', 'answer', 'photo']) {
    new MutationObserver(plan).observe(document.getElementById(id), watched);
  }
  addEventListener('scroll', fold, { passive: true });
  addEventListener('resize', fold);
  const chosen = (event) => {
    if (event.isTrusted && event.target.closest?.('#chapters [role=tab], #panels [role=tab]')) workIn();
  };
  document.addEventListener('click', chosen);
  document.addEventListener('keyup', (event) => {
    if (['ArrowLeft', 'ArrowRight', 'Home', 'End'].includes(event.key)) chosen(event);
  });
  draw();
}
start();
