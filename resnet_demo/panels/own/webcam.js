// The camera, live. A frame is sent when the answer to the last one is on the screen: the newest
// frame wins and none waits. What changes is changed in place, so that nothing flickers.
import { chosenNetwork, classRows, say } from '../../page/shared.js';

let element;
let server;
const root = () => element.querySelector('.live');
const find = (name) => element.querySelector(name);
const canvas = document.createElement('canvas');
let stream = null;
let turn = 0; // a stopped loop must not go on beside a new one
let block = 2;
let channels = null; // those of the first frame stay, or the maps would change places all the time
let shown = '';
let last = null; // the frame that is on the screen
let smooth = new Map();
let pace = 0;

function morph(from, to) {
  if (from.nodeType !== to.nodeType || from.nodeName !== to.nodeName) {
    return from.replaceWith(to.cloneNode(true));
  }
  if (from.nodeType === Node.TEXT_NODE) {
    if (from.data !== to.data) from.data = to.data;
    return;
  }
  for (const { name, value } of to.attributes) {
    if (from.getAttribute(name) !== value) from.setAttribute(name, value);
  }
  for (const { name } of [...from.attributes]) if (!to.hasAttribute(name)) from.removeAttribute(name);
  while (from.childNodes.length > to.childNodes.length) from.lastChild.remove();
  to.childNodes.forEach((child, i) => {
    if (i < from.childNodes.length) morph(from.childNodes[i], child);
    else from.append(child.cloneNode(true));
  });
}

function put(name, html) {
  const place = find(name);
  const next = document.createElement('template');
  next.innerHTML = html;
  const [from, to] = [place.firstElementChild, next.content.firstElementChild];
  if (from && to) morph(from, to);
  else place.replaceChildren(next.content);
}

const percent = (chance) => `${(100 * chance).toFixed(0)} %`;

// The road ends in the same answer as the bars show; a logit of this one frame would contradict it.
function endRoad(html, [label, chance]) {
  const road = document.createElement('template');
  road.innerHTML = html;
  const end = road.content.querySelector('.stop.end');
  end.querySelector('b').textContent = label;
  const [share, ...rest] = end.querySelectorAll('span');
  share.textContent = percent(chance);
  for (const other of rest) other.remove();
  return road.innerHTML;
}

function answer(classes) {
  // confidences are averaged over about half a second, or the numbers could not be read
  const keep = Math.exp(-pace / 300);
  const seen = new Map(classes);
  for (const label of new Set([...smooth.keys(), ...seen.keys()])) {
    const before = smooth.has(label) ? smooth.get(label) : seen.get(label);
    const now = before * keep + (seen.get(label) || 0) * (1 - keep);
    if (now < 0.0005 && !seen.has(label)) smooth.delete(label);
    else smooth.set(label, now);
  }
  const first = [...smooth].sort((a, b) => b[1] - a[1]).slice(0, 5);
  find('.live-results .classes').replaceChildren(...classRows(first, 0));
  return first[0];
}

function grab(video) {
  const scale = Math.min(1, 320 / Math.max(video.videoWidth, video.videoHeight));
  canvas.width = Math.round(video.videoWidth * scale);
  canvas.height = Math.round(video.videoHeight * scale);
  canvas.getContext('2d').drawImage(video, 0, 0, canvas.width, canvas.height);
  return canvas.toDataURL('image/jpeg', 0.85);
}

const pause = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));
const painted = () => new Promise((done) => requestAnimationFrame(() => done()));

async function loop(mine, video) {
  pace = 0;
  while (mine === turn && stream) {
    const started = performance.now();
    if (!video.videoWidth || document.hidden || !element.offsetParent) {
      await pause(100); // nobody is looking
      continue;
    }
    const jpeg = grab(video);
    const network = chosenNetwork();
    if (shown !== `${network} ${block}`) channels = null;
    shown = `${network} ${block}`;
    let told;
    try {
      told = await server.frame({ jpeg, network, block, channels, language: window.spoken?.language });
    } catch {
      told = { error: say('The server cannot be reached; trying again.') };
    }
    if (mine !== turn) return;
    if (told.busy || told.error) {
      find('.live-speed').textContent = told.error || say('Many people are live just now; trying again.');
      await pause(told.error ? 1000 : 200);
      continue;
    }
    last = jpeg;
    put('.live-road', endRoad(told.roadmap, answer(told.classes)));
    put('.live-inside', told.inside);
    if (!channels) {
      const tiles = [...element.querySelectorAll('.live-inside .stream[data-stream=output] .tile')];
      channels = tiles.map((tile) => Number(tile.dataset.channel));
    }
    await painted();
    const spent = performance.now() - started;
    pace = pace ? 0.9 * pace + 0.1 * spent : spent;
    find('.live-speed').textContent = say(
      '{rate} frames a second · {pace} ms from frame to picture ({server} ms on the server)',
      {
        rate: (1000 / pace).toFixed(0),
        pace: pace.toFixed(0),
        server: told.milliseconds.toFixed(0),
      },
    );
    find('.live-inspect').disabled = false;
    root().dataset.frames = Number(root().dataset.frames || 0) + 1;
  }
}

function stop(words) {
  turn += 1;
  stream?.getTracks().forEach((track) => track.stop());
  stream = null;
  root().dataset.state = 'off';
  find('.live-start').textContent = say('Start the camera');
  find('.live-video p').textContent = words;
  find('video').srcObject = null;
}

async function begin() {
  turn += 1;
  const mine = turn;
  find('.live-start').textContent = say('Stop the camera');
  find('.live-video p').textContent = say('Waiting for the camera …');
  try {
    if (!navigator.mediaDevices) throw new DOMException('', 'SecurityError');
    stream = await navigator.mediaDevices.getUserMedia({
      video: { facingMode: 'environment', width: { ideal: 640 }, height: { ideal: 480 } },
    });
  } catch (error) {
    const reasons = {
      NotAllowedError: say('The browser was not allowed to use the camera. Allow it beside the address bar.'),
      NotFoundError: say('No camera was found.'),
      NotReadableError: say('The camera is in use by another program.'),
      SecurityError: say('Browsers give the camera only to pages on this machine or over https.'),
    };
    stop(reasons[error.name] || say('The camera cannot be used.'));
    return;
  }
  if (mine !== turn) return stop(say('The camera is off.'));
  const video = find('video');
  video.srcObject = stream;
  await video.play();
  root().dataset.state = 'on';
  smooth = new Map();
  loop(mine, video);
}

export default function start(parts) {
  ({ element, server } = parts);
  element.addEventListener('click', (event) => {
    if (event.target.closest('.live-start')) {
      if (stream) stop(say('The camera is off.'));
      else begin();
    } else if (event.target.closest('.live-inspect') && last) {
      stop(say('Paused: the frame is the photo above now, and every panel is about it.'));
      parts.trigger('select', { jpeg: last });
    }
    const cell = event.target.closest('.live-road button.cell');
    if (cell) block = Number(cell.dataset.block);
  });
}
