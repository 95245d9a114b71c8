// A channel touched in one stream is lit in all four, and each stream shows it enlarged with
// its numbers. Everything needed is already in the page, so the server is not asked.
import { clearPlace, showPlace } from '../../drawing/place_sum.js';
import { channel, mark, placeUnder, say } from '../../page/shared.js';

let element;
let server;

function percent(index, count) {
  return count > 1 ? (100 * index) / (count - 1) : 0;
}

// The words below an enlarged map.
function describe(tile, silence) {
  const [low, high, mean, norm, zero, end] = tile.dataset.facts.split('|');
  const number = Number(tile.dataset.channel);
  if (tile.classList.contains('silent')) {
    return say('<b>channel {channel}</b>: {silence}', { silence, channel: number });
  }
  const zeros = Math.round(100 * Number(zero));
  const words = say(
    '<b>channel {channel}</b>: {low} to {high}<br>mean {mean} · norm {norm} · {zeros} % zeros',
    {
      low,
      high,
      mean,
      norm,
      zeros,
      channel: number,
    },
  );
  return `${words}<br>${say('colours end at {end}', { end })}`;
}

function enlarge(stream, tile, at, columns, rows, silence) {
  const large = stream.querySelector('.large');
  large.classList.toggle('silent', tile.classList.contains('silent'));
  const picture = large.querySelector('i');
  const [x, y] = [percent(at % columns, columns), percent(Math.floor(at / columns), rows)];
  picture.style.backgroundSize = `${100 * columns}% ${100 * rows}%`;
  picture.style.backgroundPosition = `${x}% ${y}%`;
  large.querySelector('p').innerHTML = describe(tile, silence);
}

function show(number, focusIn) {
  const inside = element.querySelector('.inside[data-block]');
  if (!inside) return;
  const style = getComputedStyle(inside);
  const [columns, rows] = ['--columns', '--rows'].map((name) => Number(style.getPropertyValue(name)));
  inside.querySelectorAll('.stream').forEach((stream) => {
    const tiles = [...stream.querySelectorAll('.tile')];
    const at = tiles.findIndex((tile) => tile.dataset.channel === String(number));
    if (at < 0) return;
    tiles.forEach((tile, i) => {
      tile.classList.toggle('lit', i === at);
      tile.setAttribute('aria-pressed', String(i === at));
      tile.tabIndex = i === at ? 0 : -1;
    });
    enlarge(stream, tiles[at], at, columns, rows, inside.dataset.silence);
    if (focusIn === stream) tiles[at].focus();
  });
  channel.chosen = number;
}

// The part of the photo that one place of a map can see is outlined, exactly: it follows from the layers.
function outline(stream, column, row) {
  const inside = element.querySelector('.inside[data-photo]');
  const frame = inside && inside.querySelector('.seen u');
  if (!frame || !stream.dataset.sees) return;
  const letters = inside.querySelector('.seen .letters');
  const [jump, low, high] = stream.dataset.sees.split(' ').map(Number);
  const [width, height] = inside.dataset.photo.split(' ').map(Number);
  const span = (place, side) => [
    Math.min(Math.max(place * jump + low, 0), side - 1),
    Math.max(Math.min(place * jump + high, side - 1), 0),
  ];
  const [left, right] = span(column, width);
  const [top, bottom] = span(row, height);
  const name = stream.getAttribute('aria-label').split(':')[0];
  const caption = inside.querySelector('.seen + figcaption');
  if (letters) {
    const marked = mark(letters, left, right);
    caption.textContent = say('place {column} of {stream} reads letters {first} to {last}: “{letters}”', {
      column: column + 1,
      stream: name,
      first: left + 1,
      last: right + 1,
      letters: marked.length > 60 ? `${marked.slice(0, 57)}…` : marked,
    });
    return;
  }
  frame.style.cssText = `display:block;left:${(100 * left) / width}%;top:${(100 * top) / height}%;width:${
    (100 * (right - left + 1)) / width
  }%;height:${(100 * (bottom - top + 1)) / height}%`;
  tellPlace({
    left: (100 * left) / width,
    top: (100 * top) / height,
    width: (100 * (right - left + 1)) / width,
    height: (100 * (bottom - top + 1)) / height,
  });
  const place = { row: row + 1, column: column + 1, stream: name };
  caption.textContent = inside.dataset.axes
    ? heard(place, inside.dataset.axes, height, [left, right, top, bottom])
    : say('row {row}, column {column} of {stream} sees {size} pixels', {
        ...place,
        size: `${right - left + 1}×${bottom - top + 1}`,
      });
}

// The rows of a sound's picture are mel bands, the lowest at the bottom; see mel_spectrogram.py.
function heard(place, axes, height, [left, right, top, bottom]) {
  const [step, low, high] = axes.split(' ').map(Number);
  const mel = (hertz) => 2595 * Math.log10(1 + hertz / 700);
  const hertz = (row) => {
    const share = (height - row) / (height + 1);
    return Math.round(700 * (10 ** ((mel(low) + share * (mel(high) - mel(low))) / 2595) - 1));
  };
  // a band reaches from the middle of the one below to the middle of the one above
  return say('column {column}, row {row} of {stream} hears {begin} to {end} ms, {low} to {high} Hz', {
    ...place,
    begin: Math.round(left * step),
    end: Math.round((right + 1) * step),
    low: hertz(bottom + 1),
    high: hertz(top - 1),
  });
}

function point(event) {
  const map = event.target.closest('.tile i, .large i');
  if (!map) return;
  const stream = map.closest('.stream');
  const [columns, rows] = stream.dataset.places.split(' ').map(Number);
  outline(stream, ...placeUnder(event, map, columns, rows));
}

// A place that is clicked is added up; by keyboard the one in the middle.
function aim(event) {
  const map = event.target.closest('.tile, .large i');
  const inside = element.querySelector('.inside[data-block]');
  if (!map || !inside) return;
  const stream = map.closest('.stream');
  const [columns, rows] = stream.dataset.places.split(' ').map(Number);
  const picture = map.querySelector('i') ?? map;
  const [column, row] = event.detail
    ? placeUnder(event, picture, columns, rows)
    : [Math.floor(columns / 2), Math.floor(rows / 2)];
  showPlace(inside, server, channel.chosen, column, row);
}

// By keyboard: the place in the middle.
function pointMiddle(event) {
  const tile = event.target.closest('.tile');
  if (!tile || !tile.matches(':focus-visible')) return;
  const stream = tile.closest('.stream');
  const [columns, rows] = stream.dataset.places.split(' ').map(Number);
  outline(stream, Math.floor(columns / 2), Math.floor(rows / 2));
}

// The strip outlines it, too.
const tellPlace = (detail) => window.dispatchEvent(new CustomEvent('place', { detail }));

function rest() {
  tellPlace(null);
  const frame = element.querySelector('.seen u');
  if (!frame) return;
  frame.style.display = 'none';
  const letters = element.querySelector('.seen .letters');
  if (letters) mark(letters, 0, -1);
  const caption = element.querySelector('.seen + figcaption');
  caption.textContent = caption.dataset.rest;
}

// Arrow keys walk the grid; only one tile a grid is in the tab order.
function walk(event) {
  const tile = event.target.closest('.tile');
  const columns = Number(getComputedStyle(element.querySelector('.inside')).getPropertyValue('--columns'));
  const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns }[event.key];
  if (!tile || !step) return;
  const stream = tile.closest('.stream');
  const tiles = [...stream.querySelectorAll('.tile')];
  const next = tiles[tiles.indexOf(tile) + step];
  if (!next) return;
  event.preventDefault();
  show(next.dataset.channel, stream);
}

function restore() {
  clearPlace(element.querySelector('.inside'));
  const tiles = [...element.querySelectorAll('.tile')];
  if (!tiles.length) return;
  const wanted = channel.chosen;
  const kept = tiles.find((tile) => tile.dataset.channel === wanted);
  show((kept || tiles[0]).dataset.channel);
  // though another block, order or gate may not show it: it is lit again when one does
  channel.chosen = wanted;
}

export default function start(parts) {
  ({ element, server } = parts);
  element.addEventListener('pointermove', point);
  element.addEventListener('pointerdown', point);
  element.addEventListener('focusin', pointMiddle);
  element.addEventListener('pointerleave', rest);
  element.addEventListener('keydown', walk);
  element.addEventListener('click', (event) => {
    const tile = event.target.closest('.tile');
    if (tile) show(tile.dataset.channel);
    aim(event);
  });
  parts.watch('value', restore);
  restore();
}
