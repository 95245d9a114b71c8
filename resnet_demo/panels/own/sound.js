// A click on an example tells the server which; the microphone, live: the newest moment is sent when the
// answer to the last one is on the screen.
import { say } from '../../page/shared.js';
import { microphone, refusal } from '../../inputs/recording.js';

const RATE = 16000; // samples a second
const LENGTH = 30720; // samples that are sent, as synthetic_sounds.py says
const PACE = 120; // milliseconds between two moments at least

let stream = null;
let context = null;
let turn = 0;

const recent = new Float32Array(LENGTH); // the last moment, the newest sample last

function hear(samples) {
  if (samples.length >= LENGTH) return recent.set(samples.subarray(samples.length - LENGTH));
  recent.copyWithin(0, samples.length);
  recent.set(samples, LENGTH - samples.length);
}

function encoded() {
  const bytes = new Uint8Array(2 * LENGTH);
  const view = new DataView(bytes.buffer);
  recent.forEach((value, i) => view.setInt16(2 * i, Math.max(-1, Math.min(1, value)) * 32767, true));
  let text = '';
  for (let i = 0; i < bytes.length; i += 8192) text += String.fromCharCode(...bytes.subarray(i, i + 8192));
  return btoa(text);
}

const pause = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));

const WORKLET = `registerProcessor('tap', class extends AudioWorkletProcessor {
  process([input]) { if (input[0]) this.port.postMessage(input[0].slice()); return true; }
});`;

async function tap() {
  context = new AudioContext({ sampleRate: RATE });
  const address = URL.createObjectURL(new Blob([WORKLET], { type: 'text/javascript' }));
  await context.audioWorklet.addModule(address);
  URL.revokeObjectURL(address);
  const node = new AudioWorkletNode(context, 'tap');
  node.port.onmessage = ({ data }) => hear(data);
  context.createMediaStreamSource(stream).connect(node);
}

async function loop(mine, element, server) {
  const note = element.querySelector('.live-sound-note');
  while (mine === turn && stream) {
    if (document.hidden || !element.offsetParent) {
      await pause(200); // nobody is looking
      continue;
    }
    const started = performance.now();
    const network = document.querySelector('#network input')?.value;
    let told;
    try {
      told = await server.frame({ samples: encoded(), network, language: window.spoken?.language });
    } catch {
      told = { error: say('The server cannot be reached; trying again.') };
    }
    if (mine !== turn) return;
    if (told.busy || told.error) {
      note.textContent = told.error || say('Many people are live just now; trying again.');
      await pause(told.error ? 1000 : 200);
      continue;
    }
    element.querySelector('.live-sound-heard').innerHTML = told.html;
    const spent = performance.now() - started;
    note.textContent = told.quiet
      ? say('It is quiet: speak louder or nearer.')
      : say('{pace} ms from microphone to picture ({server} ms on the server)', {
          pace: spent.toFixed(0),
          server: told.milliseconds.toFixed(0),
        });
    const root = element.querySelector('.live-sound');
    root.classList.toggle('quiet', told.quiet);
    root.dataset.moments = Number(root.dataset.moments || 0) + 1;
    await pause(Math.max(0, PACE - spent));
  }
}

function stop(element, words) {
  turn += 1;
  stream?.getTracks().forEach((track) => track.stop());
  context?.close();
  stream = null;
  context = null;
  const root = element.querySelector('.live-sound');
  root.dataset.state = 'off';
  element.querySelector('.live-sound-start').textContent = say('Listen live');
  element.querySelector('.live-sound-note').textContent = words;
}

async function begin(element, server) {
  turn += 1;
  const mine = turn;
  element.querySelector('.live-sound-start').textContent = say('Stop listening');
  element.querySelector('.live-sound-note').textContent = say('Waiting for the microphone …');
  try {
    stream = await microphone();
    if (mine !== turn) return stream.getTracks().forEach((track) => track.stop());
    recent.fill(0);
    await tap();
  } catch (error) {
    return stop(element, refusal(error));
  }
  element.querySelector('.live-sound').dataset.state = 'on';
  loop(mine, element, server);
}

export default function start({ element, trigger, server }) {
  element.addEventListener('click', (event) => {
    const button = event.target.closest('button[data-sound]');
    if (button) trigger('select', { index: Number(button.dataset.sound) });
    if (!event.target.closest('.live-sound-start')) return;
    if (stream) stop(element, say('The microphone is off.'));
    else begin(element, server);
  });
}
