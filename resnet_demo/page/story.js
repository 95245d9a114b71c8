// The story: a lesson played on the page itself, a step at a time. A step may ask first; then it does
// what a visitor
// would do, puts a light on the part that is meant, and says one sentence. Each step is an address: ?story=3.
import { asked, say } from './shared.js';

const WAIT_MS = 15_000; // for what a step waits for; then it goes on
const lesson = () =>
  document.querySelector(`#story [data-lesson="${CSS.escape(asked.get('lesson') ?? '')}"]`) ??
  document.querySelector('#story [data-lesson]');
const steps = () => [...(lesson()?.children ?? [])];
const pause = (ms) => new Promise((done) => setTimeout(done, ms));

let at = 0; // the step on show, counted from 1; 0 while no story is told
let done = 0; // the last step whose deeds are done
let busy = false;
let card;
let light;

// A selector of the lesson: CSS, and " >> nth=5" for the sixth of what it finds.
function find(selector) {
  const [css, nth] = selector.split(' >> nth=');
  return document.querySelectorAll(css)[Number(nth ?? 0)] ?? null;
}

async function waitFor(wanted) {
  const [selector, text] = typeof wanted === 'string' ? [wanted, ''] : [wanted.for, wanted.text];
  for (let waited = 0; waited < WAIT_MS; waited += 100) {
    if (find(selector)?.textContent.includes(text)) return true;
    await pause(100);
  }
  return false;
}

function press({ at: selector, key }) {
  const element = find(selector);
  const ends = { Home: element.min, End: element.max };
  if (element.type === 'range' && key in ends) {
    element.value = ends[key];
    element.dispatchEvent(new Event('input', { bubbles: true }));
  } else element.dispatchEvent(new KeyboardEvent('keydown', { key, bubbles: true }));
}

async function perform(step) {
  for (const [action, wanted] of JSON.parse(step.dataset.do)) {
    if (action === 'wait') await waitFor(wanted);
    else if (action === 'click' && (await waitFor(wanted))) find(wanted).click();
    else if (action === 'press' && (await waitFor(wanted.at))) press(wanted);
  }
}

function shine() {
  const target = at ? find(steps()[at - 1].dataset.spot || '#first-screen') : null;
  const box = target?.getBoundingClientRect();
  light.hidden = !box?.width;
  if (light.hidden) return;
  light.style.cssText = `left:${box.left - 6}px;top:${box.top - 6}px;width:${box.width + 12}px;height:${
    box.height + 12
  }px`;
}

// The part that is meant comes into view: the first screen as a whole, a panel under the strip.
function bringIntoView(step) {
  const target = find(step.dataset.spot || '#first-screen');
  if (!target) return;
  const inside = target.closest('#first-screen');
  const top = inside ? 0 : target.getBoundingClientRect().top + window.scrollY - 250;
  const still = matchMedia('(prefers-reduced-motion: reduce)').matches;
  window.scrollTo({ top, behavior: still ? 'instant' : 'smooth' });
}

function remember() {
  const url = new URL(location.href);
  if (at) url.searchParams.set('story', at);
  else url.searchParams.delete('story');
  if (url.href !== location.href) history.replaceState(history.state, '', url);
}

function tell(words, questions) {
  const step = steps()[at - 1];
  card.querySelector('b').textContent = step.dataset.title;
  card.querySelector('.story-count').textContent = `${at} / ${steps().length}`;
  card.querySelector('p').textContent = words;
  card.querySelector('.story-answer').hidden = !questions;
  card.querySelector('.story-back').disabled = at === 1;
  card.querySelector('.story-on').textContent = at === steps().length ? '✓' : '▸';
  card.dataset.phase = questions ? 'asked' : 'told';
}

async function reveal() {
  if (busy) return;
  busy = true;
  const step = steps()[at - 1];
  card.dataset.phase = 'doing';
  if (done < at) await perform(step);
  done = at;
  busy = false;
  tell(step.textContent, false);
  bringIntoView(step);
  shine();
}

async function show(number) {
  at = number;
  const step = steps()[at - 1];
  remember();
  if (step.dataset.ask && done < at) {
    tell(step.dataset.ask, true);
    bringIntoView(step);
    shine();
  } else await reveal();
}

// A link to a step in the middle: whatever comes before it is done first.
async function begin(number) {
  card.hidden = false;
  document.documentElement.classList.add('telling');
  const wanted = Math.min(Math.max(number, 1), steps().length);
  for (at = 1; at < wanted; at += 1) {
    tell(steps()[at - 1].textContent, false);
    await perform(steps()[at - 1]);
    done = at;
  }
  await show(wanted);
  card.querySelector('.story-on').focus({ preventScroll: true });
}

function end() {
  at = 0;
  done = 0;
  card.hidden = true;
  light.hidden = true;
  document.documentElement.classList.remove('telling');
  remember();
  document.querySelector('.story-open').focus({ preventScroll: true });
}

export function go(step) {
  if (busy || !at) return;
  if (step > 0 && card.dataset.phase === 'asked') reveal();
  else if (step > 0 && at === steps().length) end();
  else if (at + step >= 1) show(at + step);
}

export function toggleStory() {
  if (at) end();
  else begin(1);
}

const typing = (target) => target.closest?.('input, textarea, select, [role=tab], [role=option], .tile');

function keys(event) {
  if (!at || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === 'Escape') end();
  else if (typing(event.target)) return;
  else if (event.key === 'ArrowRight') go(1);
  else if (event.key === 'ArrowLeft') go(-1);
  else return;
  event.preventDefault();
}

function build() {
  card = document.createElement('section');
  card.className = 'story';
  card.hidden = true;
  card.setAttribute('aria-label', say('Story'));
  const buttons = ['answer', 'back', 'on', 'end'].map(
    (name) => `<button type="button" class="story-${name}"></button>`,
  );
  card.innerHTML = `<header><b></b><span class="story-count"></span></header><p aria-live="polite"></p>
<div class="story-buttons">${buttons.join('')}</div>`;
  const named = { answer: say('Show me'), back: say('Back'), on: say('On'), end: say('End the story') };
  for (const [name, words] of Object.entries(named)) {
    card.querySelector(`.story-${name}`).setAttribute('aria-label', words);
  }
  card.querySelector('.story-answer').textContent = named.answer;
  card.querySelector('.story-back').textContent = '◂';
  card.querySelector('.story-end').textContent = '✕';
  light = document.createElement('div');
  light.className = 'story-light';
  light.hidden = true;
  (document.querySelector('.gradio-container .contain') ?? document.body).append(light, card);
  card.addEventListener('click', (event) => {
    const button = event.target.closest('button');
    if (!button) return;
    if (button.classList.contains('story-end')) end();
    else go(button.classList.contains('story-back') ? -1 : 1);
  });
  document.addEventListener('keydown', keys);
  document.addEventListener('click', (event) => {
    if (event.target.closest?.('.story-open')) toggleStory();
  });
  for (const kind of ['scroll', 'resize']) addEventListener(kind, shine, { passive: true });
  setInterval(() => at && shine(), 400); // what is drawn anew moves
}

async function start() {
  while (!lesson()) await pause(100);
  build();
  const wanted = Number(asked.get('story'));
  if (!wanted) return;
  await waitFor('#roadmap button.cell');
  begin(wanted);
}
start();
