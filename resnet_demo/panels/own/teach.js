// Teach it: pictures of the visitor's classes go to the server a few at a time; what they look like stays
// here as thumbnails. The camera gives bursts, and is answered live once something was taught.
// A network that hears is taught from the microphone, one recording after the other.
import { chosenNetwork, classRows, save, say } from '../../page/shared.js';
import { droppedFiles } from '../../inputs/dropped_files.js';
import { record, refusal } from '../../inputs/recording.js';

const SIDE = 512; // pixels: more than any network here takes
const TOGETHER = 8; // pictures of one request share a pass
const BURST = 20; // frames
const EVERY = 150; // milliseconds between them, so that they differ
const SPOKEN = 2000; // milliseconds of a recording, of which the network takes the loudest part
const LEAST = 5;
const MOST = 200; // pictures of a class, as the server takes
const LARGEST = 1_100_000; // bytes of a file that the browser cannot make smaller
const canvas = document.createElement('canvas');
const pause = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));

function jpegOf(source, width, height) {
  const scale = Math.min(1, SIDE / Math.max(width, height));
  canvas.width = Math.max(1, Math.round(width * scale));
  canvas.height = Math.max(1, Math.round(height * scale));
  canvas.getContext('2d').drawImage(source, 0, 0, canvas.width, canvas.height);
  return canvas.toDataURL('image/jpeg', 0.9);
}

function asItIs(file) {
  return new Promise((done, failed) => {
    const reader = new FileReader();
    reader.onload = () => done(String(reader.result));
    reader.onerror = () => failed(reader.error);
    reader.readAsDataURL(file);
  });
}

// A file as a data URL: a picture made smaller where the browser can open it, anything else as it is.
async function opened(file) {
  let bitmap = null;
  try {
    bitmap = await createImageBitmap(file);
  } catch {
    if (file.size > LARGEST) throw new Error(say('{name} is too large.', { name: file.name }));
    return asItIs(file);
  }
  const url = jpegOf(bitmap, bitmap.width, bitmap.height);
  bitmap.close();
  return url;
}

export default function start({ element, trigger, watch, server }) {
  let stream = null;
  let busy = 0; // uploads and bursts under way
  let taught = false;
  let live = 0; // a stopped loop must not go on beside a new one
  let loaded = '';
  let network = ''; // whose blocks look, once there is a picture

  const root = () => element.querySelector('.teach');
  const find = (name) => element.querySelector(name);
  const cards = () => [...element.querySelectorAll('.teach-card')];
  const count = (card) => card.querySelectorAll('.teach-shown button').length;
  const hears = () => JSON.parse(root().dataset.hears).includes(network || chosenNetwork());
  const tell = (words) => {
    find('.teach-said').textContent = words;
  };

  // What the server makes of a request; one that finds it busy is sent again.
  async function ask(name, request) {
    for (;;) {
      let told;
      try {
        const { ticket } = root().dataset;
        told = await server[name]({ ...request, ticket, language: window.spoken?.language });
      } catch {
        return { error: say('The server cannot be reached; try again.') };
      }
      if (!told.busy) return told;
      await pause(200 + 300 * Math.random());
    }
  }

  function refresh() {
    for (const card of cards()) {
      const words = { count: count(card), least: LEAST };
      const enough = words.count >= LEAST;
      const sentence = enough
        ? say('{count} pictures', words)
        : say('{count} pictures of at least {least}', words);
      card.querySelector('.teach-count').textContent = sentence;
      const burst = card.querySelector('.teach-burst');
      burst.textContent = hears() ? say('Record one') : say('{count} frames', { count: BURST });
      burst.disabled = hears() ? busy > 0 : !stream;
    }
    const ready = cards().length > 1 && cards().every((card) => count(card) >= LEAST);
    find('.teach-go').disabled = busy > 0 || !ready;
    find('.teach-class').disabled = cards().length >= 10;
    find('.teach-take').hidden = !cards().some(count);
    find('[data-what=network]').hidden = !taught;
    root().dataset.state = taught ? 'taught' : 'empty';
    root().classList.toggle('hearing', hears());
    find('.teach-ask').disabled = busy > 0 || !taught;
  }

  function show(card, [id, shown]) {
    const button = document.createElement('button');
    button.type = 'button';
    button.dataset.id = id;
    button.title = say('Take this one away');
    button.setAttribute('aria-label', button.title);
    if (shown.startsWith('data:')) {
      const image = new Image();
      image.alt = '';
      image.src = shown;
      button.append(image);
    } else button.textContent = shown;
    card.querySelector('.teach-shown').append(button);
  }

  function addCard({ id, name, shown }) {
    const card = document.createElement('section');
    card.className = 'teach-card';
    card.dataset.id = id;
    card.innerHTML = `<div class="teach-head"><input class="teach-name" type="text" maxlength="40">
<button type="button" class="teach-drop">×</button></div>
<div class="teach-ways"><label class="teach-files"><span></span><input type="file" multiple
accept="image/*,audio/*,.txt,.heic,.avif"></label><button type="button" class="teach-burst"></button></div>
<p class="teach-count"></p><div class="teach-shown"></div>`;
    const named = card.querySelector('.teach-name');
    named.value = name;
    named.placeholder = say('Name of this class');
    named.setAttribute('aria-label', named.placeholder);
    card.querySelector('.teach-drop').setAttribute('aria-label', say('Take this class away'));
    card.querySelector('.teach-files span').textContent = say('Choose files, or drop them or a folder here');
    find('.teach-classes').append(card);
    for (const one of shown) show(card, one);
  }

  async function send(card, files) {
    const told = await ask('add', { class: Number(card.dataset.id), files, network: chosenNetwork() });
    for (const one of told.added ?? []) show(card, one);
    network = told.network ?? network;
    refresh();
    return told.error ? [told.error] : told.refused;
  }

  // Pictures of one class, a few at a time; what was wrong with some is said once at the end.
  async function give(card, list) {
    busy += 1;
    refresh();
    const wrong = [];
    let batch = [];
    for (const [i, one] of list.entries()) {
      tell(say('Looking at picture {number} of {count} …', { number: i + 1, count: list.length }));
      try {
        batch.push(typeof one === 'string' ? one : await opened(one));
      } catch (error) {
        wrong.push(error.message);
      }
      const characters = batch.reduce((sum, url) => sum + url.length, 0);
      if (batch.length === TOGETHER || characters > LARGEST || (i === list.length - 1 && batch.length)) {
        wrong.push(...(await halves(card, batch)));
        batch = [];
      }
      if (wrong.length > 3) break;
    }
    busy -= 1;
    tell(wrong.length ? [...new Set(wrong)].join(' ') : '');
    refresh();
  }

  // No request may be larger than the server takes.
  async function halves(card, batch) {
    if (batch.length > 1 && batch.reduce((sum, url) => sum + url.length, 0) > 1_900_000) {
      const middle = batch.length >> 1;
      return [
        ...(await halves(card, batch.slice(0, middle))),
        ...(await halves(card, batch.slice(middle))),
      ];
    }
    return send(card, batch);
  }

  async function burst(card) {
    const video = find('video');
    const frames = [];
    for (let i = 0; i < BURST && stream; i += 1) {
      tell(say('Frame {number} of {count} …', { number: i + 1, count: BURST }));
      frames.push(jpegOf(video, video.videoWidth, video.videoHeight));
      await pause(EVERY);
    }
    await give(card, frames);
  }

  // One recording, or null with the reason said.
  async function heard() {
    busy += 1;
    refresh();
    try {
      const found = await record(SPOKEN, () => tell(say('Speak now …')));
      tell('');
      return found;
    } catch (error) {
      tell(refusal(error));
      return null;
    } finally {
      busy -= 1;
      refresh();
    }
  }

  async function recording(card) {
    const found = await heard();
    if (found) await give(card, [found]);
  }

  // What was taught, asked about one recording.
  async function listen() {
    const found = await heard();
    if (!found) return;
    const told = await ask('look', { file: await asItIs(found) });
    if (told.error) tell(told.error);
    else find('.teach-live').replaceChildren(...classRows(told.classes.slice(0, 5), 0));
  }

  function dark(words) {
    live += 1;
    stream?.getTracks().forEach((track) => track.stop());
    stream = null;
    find('video').srcObject = null;
    root().dataset.camera = 'off';
    find('.teach-video p').textContent = words;
    find('.teach-camera').textContent = say('Start the camera');
    refresh();
  }

  async function camera() {
    if (stream) return dark(say('The camera is off.'));
    try {
      if (!navigator.mediaDevices) throw new DOMException('', 'SecurityError');
      const wanted = { facingMode: 'environment', width: { ideal: 640 }, height: { ideal: 480 } };
      stream = await navigator.mediaDevices.getUserMedia({ video: wanted });
    } catch (error) {
      const reasons = {
        NotAllowedError: say(
          'The browser was not allowed to use the camera. Allow it beside the address bar.',
        ),
        NotFoundError: say('No camera was found.'),
        NotReadableError: say('The camera is in use by another program.'),
        SecurityError: say('Browsers give the camera only to pages on this machine or over https.'),
      };
      return dark(reasons[error.name] || say('The camera cannot be used.'));
    }
    const video = find('video');
    video.srcObject = stream;
    await video.play();
    root().dataset.camera = 'on';
    find('.teach-camera').textContent = say('Stop the camera');
    refresh();
    return look();
  }

  // What was taught, asked about the newest frame, over and over.
  async function look() {
    live += 1;
    const mine = live;
    while (mine === live && stream && taught) {
      const video = find('video');
      if (busy || !video?.videoWidth || document.hidden || !element.offsetParent) {
        await pause(150);
        continue;
      }
      const told = await ask('look', { file: jpegOf(video, video.videoWidth, video.videoHeight) });
      if (mine !== live) return;
      if (told.classes) find('.teach-live').replaceChildren(...classRows(told.classes.slice(0, 5), 0));
      else await pause(1000);
      root().dataset.frames = Number(root().dataset.frames || 0) + 1;
      await pause(40);
    }
  }

  async function teach() {
    busy += 1;
    refresh();
    tell(say('Fitting a read-out after every block …'));
    const told = await ask('teach', {});
    busy -= 1;
    taught = taught || !told.error;
    if (told.error) tell(told.error);
    else {
      find('.teach-report').innerHTML = told.report;
      tell(say('Taught. It is on the menu of networks and answers now, in every panel.'));
      trigger('select', { ticket: root().dataset.ticket });
      look();
    }
    refresh();
  }

  async function take(what) {
    tell(say('Making the file …'));
    const told = await ask('take', { what });
    if (told.error) return tell(told.error);
    save(told);
    return tell(say('{name} was handed to the browser.', { name: told.name }));
  }

  async function load() {
    const { ticket, version } = root().dataset;
    if (!ticket || loaded === `${ticket} ${version}`) return;
    loaded = `${ticket} ${version}`;
    let state = await ask('state', {});
    if (state.error) return tell(state.error);
    if (!state.classes.length) {
      await ask('change', { what: 'class' });
      await ask('change', { what: 'class' });
      state = await ask('state', {});
    }
    find('.teach-classes').replaceChildren();
    (state.classes ?? []).forEach(addCard);
    find('.teach-report').innerHTML = state.report;
    taught = Boolean(state.report);
    network = state.network;
    refresh();
  }

  async function another() {
    const told = await ask('change', { what: 'class' });
    if (told.error) return tell(told.error);
    addCard({ id: told.id, name: '', shown: [] });
    return refresh();
  }

  async function clear() {
    await ask('change', { what: 'clear' });
    find('.teach-report').replaceChildren();
    loaded = '';
    network = '';
    tell('');
    await load();
  }

  element.addEventListener('click', async (event) => {
    const button = event.target.closest('button');
    if (!button) return;
    const card = button.closest('.teach-card');
    if (button.matches('.teach-camera')) camera();
    else if (button.matches('.teach-go')) teach();
    else if (button.matches('.teach-class')) another();
    else if (button.matches('.teach-clear')) clear();
    else if (button.dataset.what) take(button.dataset.what);
    else if (button.matches('.teach-burst')) await (hears() ? recording(card) : burst(card));
    else if (button.matches('.teach-ask')) listen();
    else if (button.matches('.teach-drop')) {
      await ask('change', { what: 'remove class', id: Number(card.dataset.id) });
      card.remove();
      refresh();
    } else if (button.closest('.teach-shown')) {
      await ask('change', { what: 'remove', id: Number(button.dataset.id) });
      button.remove();
      refresh();
    }
  });
  element.addEventListener('change', (event) => {
    const card = event.target.closest('.teach-card');
    if (event.target.matches('.teach-name'))
      ask('change', { what: 'name', id: Number(card.dataset.id), name: event.target.value });
    else if (event.target.matches('.teach-files input')) {
      give(card, [...event.target.files]);
      event.target.value = '';
    }
  });
  element.addEventListener('dragover', (event) => {
    if (event.target.closest('.teach-card')) event.preventDefault();
  });
  element.addEventListener('drop', async (event) => {
    const card = event.target.closest('.teach-card');
    if (!card) return;
    event.preventDefault();
    event.stopPropagation();
    await give(card, await droppedFiles(event.dataTransfer, MOST));
  });
  element.addEventListener('pointerenter', refresh); // another network may have been chosen
  element.addEventListener('focusin', refresh);
  watch('value', load);
  load();
}
