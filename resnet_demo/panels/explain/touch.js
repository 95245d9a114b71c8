// The photo on a canvas at the network's own resolution. While one edit is being answered the newest
// picture waits, and none before it: every picture that is sent costs the server one forward pass.
import { classRows, say } from '../../page/shared.js';

let element;
let server;
let pen; // of the canvas
let start = null; // the photo before anything was touched
let history = [];
let stroke = null; // { before, part, from } while the pointer is down
let cursor = null; // of the keyboard, in pixels of the canvas
let sending = false;
let waiting = false;
let support = [];

const MOST_UNDO = 20;
const find = (name) => element.querySelector(name);
const canvas = () => find('canvas');
const tool = () => find('input[name=touch-tool]:checked').value;
const radius = () => Math.max(1, (Number(find('.touch-size').value) / 200) * canvas().width);

function disc(x, y) {
  pen.beginPath();
  pen.arc(x, y, radius(), 0, 2 * Math.PI);
}

// The mean colour of the photo: what erasing leaves.
function mean() {
  const { data } = start;
  const sums = [0, 0, 0];
  for (let i = 0; i < data.length; i += 4) for (let c = 0; c < 3; c += 1) sums[c] += data[i + c];
  return `rgb(${sums.map((sum) => Math.round((4 * sum) / data.length)).join(',')})`;
}

// A part of `picture`, an ImageData, as a canvas of its own.
function copyOf(picture) {
  const copy = document.createElement('canvas');
  [copy.width, copy.height] = [picture.width, picture.height];
  copy.getContext('2d').putImageData(picture, 0, 0);
  return copy;
}

// Shrunk and enlarged: a blur that every browser has.
function blurred(picture) {
  const small = document.createElement('canvas');
  const factor = Math.max(3, radius());
  small.width = Math.max(1, Math.round(picture.width / factor));
  small.height = Math.max(1, Math.round(picture.height / factor));
  small.getContext('2d').drawImage(copyOf(picture), 0, 0, small.width, small.height);
  return small;
}

function clipped(x, y, draw) {
  pen.save();
  disc(x, y);
  pen.clip();
  draw();
  pen.restore();
}

function use(x, y) {
  const { width, height } = canvas();
  if (tool() === 'blur') {
    clipped(x, y, () => pen.drawImage(stroke.soft, 0, 0, width, height));
  } else if (tool() === 'move') {
    pen.putImageData(stroke.before, 0, 0);
    pen.fillStyle = mean();
    disc(...stroke.from);
    pen.fill();
    clipped(x, y, () => pen.drawImage(stroke.part, x - stroke.from[0], y - stroke.from[1]));
  } else {
    pen.fillStyle = tool() === 'brush' ? find('.touch-colour').value : mean();
    disc(x, y);
    pen.fill();
  }
  send();
}

function begin(x, y) {
  const before = pen.getImageData(0, 0, canvas().width, canvas().height);
  stroke = { before, part: copyOf(before), soft: blurred(before), from: [x, y] };
  remember(before);
}

function remember(picture) {
  history.push(picture);
  if (history.length > MOST_UNDO) history.shift();
  buttons();
}

function buttons() {
  find('.touch-undo').disabled = history.length === 0;
  find('.touch-reset').disabled = history.length === 0;
}

function put(picture) {
  pen.putImageData(picture, 0, 0);
  buttons();
  send();
}

// Where the pointer is, in pixels of the canvas.
function placeOf({ clientX, clientY }) {
  const box = canvas().getBoundingClientRect();
  const { width, height } = canvas();
  return [((clientX - box.left) / box.width) * width, ((clientY - box.top) / box.height) * height];
}

function ring(x, y) {
  const mark = find('.touch-cursor');
  const { width, height } = canvas();
  const across = `${(200 * radius()) / width}%`;
  mark.style.cssText =
    `display:block;left:${(100 * x) / width}%;top:${(100 * y) / height}%;width:${across};` + 'aspect-ratio:1';
}

function answer(told) {
  find('.touch-results .classes').replaceChildren(...classRows(told.classes, 1));
  find('.touch-road').innerHTML = told.roadmap;
  if (told.map) find('.touch-map').src = told.map;
  support = told.support;
  find('.touch-said').textContent = say('Now: {milliseconds} ms on the server.', {
    milliseconds: Math.round(told.milliseconds),
  });
}

async function send() {
  waiting = true;
  if (sending) return;
  sending = true;
  const { network } = find('.touch').dataset;
  while (waiting) {
    waiting = false;
    const here = canvas();
    const picture = here.width > 400 ? here.toDataURL('image/jpeg', 0.95) : here.toDataURL('image/png');
    let told;
    try {
      told = await server.edited({ picture, network, language: window.spoken?.language });
    } catch {
      told = { error: say('The server cannot be reached; trying again.') };
    }
    if (!element.isConnected || here !== canvas()) break; // another photo came meanwhile
    if (told.busy) {
      waiting = true;
      await new Promise((done) => setTimeout(done, 150));
    } else if (told.error) find('.touch-said').textContent = told.error;
    else answer(told);
  }
  sending = false;
}

// A fifth of the places, those that speak most for the answer.
function eraseMarked() {
  const ordered = support.flat().sort((a, b) => b - a);
  if (!ordered.length) return;
  const least = ordered[Math.max(0, Math.round(ordered.length / 5) - 1)];
  const { width, height } = canvas();
  remember(pen.getImageData(0, 0, width, height));
  pen.fillStyle = mean();
  const [down, across] = [height / support.length, width / support[0].length];
  support.forEach((places, y) =>
    places.forEach((share, x) => {
      if (share >= least && share > 0) pen.fillRect(x * across, y * down, across, down);
    }),
  );
  send();
}

function walk(event) {
  const step = Math.max(2, radius() / 2);
  const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
  const { width, height } = canvas();
  cursor ??= [width / 2, height / 2];
  if (way) {
    const clamp = (value, most) => Math.min(Math.max(value, 0), most);
    cursor = [clamp(cursor[0] + way[0] * step, width), clamp(cursor[1] + way[1] * step, height)];
    if (stroke && tool() === 'move') use(...cursor);
  } else if (event.key === ' ' || event.key === 'Enter') {
    const dropping = stroke && tool() === 'move';
    if (!dropping) begin(...cursor);
    use(...cursor);
    if (dropping || tool() !== 'move') stroke = null;
  } else return;
  event.preventDefault();
  ring(...cursor);
}

function load() {
  const root = find('.touch');
  if (!root) return;
  const image = new Image();
  image.onload = () => {
    if (!canvas() || root !== find('.touch')) return;
    pen = canvas().getContext('2d', { willReadFrequently: true });
    pen.drawImage(image, 0, 0);
    start = pen.getImageData(0, 0, canvas().width, canvas().height);
    [history, stroke, cursor, support] = [[], null, null, []];
    root.dataset.ready = 'true';
  };
  image.src = root.dataset.photo;
}

function press(event) {
  if (event.target.closest('.touch-undo')) put(history.pop());
  else if (event.target.closest('.touch-reset')) {
    history = [];
    put(start);
  } else if (event.target.closest('.touch-marked')) {
    if (support.length) eraseMarked();
    else send().then(eraseMarked);
  }
}

export default function begins(parts) {
  ({ element, server } = parts);
  element.addEventListener('pointerdown', (event) => {
    if (event.target !== canvas() || !pen) return;
    event.target.setPointerCapture(event.pointerId);
    begin(...placeOf(event));
    if (tool() !== 'move') use(...placeOf(event));
  });
  element.addEventListener('pointermove', (event) => {
    if (event.target !== canvas() || !pen) return;
    ring(...placeOf(event));
    if (stroke && event.buttons) use(...placeOf(event));
  });
  element.addEventListener('pointerup', () => {
    stroke = null;
  });
  element.addEventListener('pointercancel', () => {
    stroke = null;
  });
  element.addEventListener('pointerleave', () => {
    const mark = find('.touch-cursor');
    if (mark) mark.style.display = 'none';
  });
  element.addEventListener('keydown', (event) => {
    if (event.target === canvas() && pen) walk(event);
  });
  element.addEventListener('click', press);
  element.addEventListener('change', (event) => {
    if (event.target.closest('.touch-show')) {
      find('.touch-canvas').classList.toggle('mapped', event.target.checked);
    }
  });
  parts.watch('value', load);
  load();
}
