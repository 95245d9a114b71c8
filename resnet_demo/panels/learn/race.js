// The race: what the training process tells, as curves; a digit of one's own, answered by what was trained.
import { digitPad } from '../../drawing/digit_pad.js';
import { chart, paint } from '../../drawing/training_chart.js';
import { Training, staysReady } from '../../drawing/training_session.js';
import { grownLines } from '../../drawing/what_grew.js';
import { panelTab } from '../../page/chapters.js';
import { listed, oncePerFrame, say } from '../../page/shared.js';

const KEYS = { residual: 'with', plain: 'without', rezero: 'without', stochastic_depth: 'without' };

export default function start({ element, trigger, server }) {
  const root = element.querySelector('.race');
  const find = (name) => root.querySelector(name);
  let stored = null;
  const names = {
    residual: say('with shortcuts'),
    plain: say('without shortcuts'),
    rezero: say('ReZero'),
    stochastic_depth: say('stochastic depth'),
  };
  let race = null; // what is on the screen
  let guess = null;
  let asked = 0;

  const value = (name) => Number(find(name).value);
  const settings = () => ({
    blocks: value('.race-depth input'),
    steps: value('.race-steps'),
    seed: value('.race-seed'),
    data: find('.race-data').value,
    networks: ['residual', find('.race-rival').value],
    norms: find('.race-norms').checked,
    rate: value('.race-rate'),
  });

  const percent = (share) => `${Math.round(100 * share)} %`;
  const tell = (words) => {
    find('.race-said').textContent = words;
  };

  // What the stored ten seeds have to do with the race on the screen.
  function bands() {
    const { blocks, data, networks, norms, rate, steps } = race.settings;
    const alike = data === 'digits' && norms && rate === 0.02 && steps === 80 && networks.includes('plain');
    const found = alike && stored?.bands[blocks];
    return found
      ? Object.entries(found).map(([kind, points]) => ({
          kind: KEYS[kind],
          points: points.map(([x, low, , high]) => [x, low, high]),
        }))
      : [];
  }

  function curves() {
    const x = [1, Math.max(2, race.settings.steps)];
    const series = (column) =>
      race.networks.map(([kind, network]) => ({
        kind: KEYS[kind],
        points: network.points.filter((p) => p[column] !== null).map((p) => [p[0], p[column]]),
      }));
    const firsts = race.networks.flatMap(([, network]) => network.points.slice(0, 4).map((p) => p[1] ?? 0));
    const words = listed(race.networks.map(([kind]) => names[kind]));
    chart(find('.race-loss'), {
      series: series(1),
      x,
      y: [0, Math.min(6, Math.max(2.5, ...firsts))],
      across: say('step'),
      label: say('Training loss: {names}', { names: words }),
    });
    const behind = bands();
    chart(find('.race-error'), {
      series: series(3),
      bands: behind,
      x,
      y: [0, 1],
      percent: true,
      across: behind.length ? say('step (shaded: ten seeds)') : say('step'),
      label: say('Share of held-out pictures answered wrong: {names}', { names: words }),
    });
  }

  function blocks() {
    const x = [1, Math.max(2, race.settings.blocks)];
    const series = (key) =>
      race.networks.map(([kind, network]) => ({
        kind: KEYS[kind],
        points: (network[key] || []).map((v, i) => [i + 1, v]),
      }));
    const across = say('block');
    const small = { x, across, height: 150 };
    chart(find('.race-gradient'), {
      ...small,
      series: series('gradient'),
      logarithmic: true,
      label: say('Norm of the gradient at each block'),
    });
    chart(find('.race-ratio'), {
      ...small,
      series: series('ratio'),
      label: say('Norm of F(x) over norm of x at each block'),
    });
    const cut = race.results && race.networks.every(([kind]) => race.results[kind].without_block.length);
    find('.race-third-title').textContent = cut
      ? say('Held-out pictures right with one block taken out')
      : say('Gate on F(x)');
    if (cut) {
      const taken = race.networks.map(([kind]) => ({
        kind: KEYS[kind],
        points: race.results[kind].without_block.map((v, i) => [i + 1, v]),
      }));
      chart(find('.race-third'), {
        ...small,
        series: taken,
        y: [0, 1],
        percent: true,
        label: say('Held-out pictures right with one block taken out'),
      });
    } else {
      chart(find('.race-third'), {
        ...small,
        series: series('gate'),
        label: say('Gate on F(x) at each block'),
      });
    }
  }

  function row() {
    const place = find('.race-row');
    if (place.dataset.of !== race.row) {
      place.dataset.of = race.row;
      const bytes = Uint8Array.from(atob(race.row), (c) => c.charCodeAt(0));
      const size = race.side * race.side;
      place.replaceChildren(
        ...race.classes.map((name, i) => {
          const cell = document.createElement('div');
          const picture = document.createElement('canvas');
          paint(picture, bytes.subarray(i * size, (i + 1) * size), race.side);
          cell.append(
            picture,
            ...race.networks.map(([kind]) =>
              Object.assign(document.createElement('span'), { className: `key-${KEYS[kind]}` }),
            ),
          );
          return cell;
        }),
      );
    }
    race.networks.forEach(([, network], n) => {
      [...place.children].forEach((cell, i) => {
        const mark = cell.children[n + 1];
        const answer = network.answers?.[i];
        if (!answer) return;
        mark.textContent = `${race.classes[answer[0]]} ${answer[0] === i ? '✓' : '✗'}`;
        mark.classList.toggle('wrong', answer[0] !== i);
      });
    });
  }

  function draw() {
    if (!race || !root.offsetParent) return;
    curves();
    blocks();
    row();
    find('.race-said').dataset.step = race.step;
  }

  function begin(event) {
    race = { ...event, step: 0, networks: event.settings.networks.map((kind) => [kind, { points: [] }]) };
    find('.race-row').dataset.of = '';
    find('.race-grew').hidden = true;
    const key = ([kind]) =>
      Object.assign(document.createElement('span'), {
        className: `key-${KEYS[kind]}`,
        textContent: names[kind],
      });
    find('.race-key').replaceChildren(...race.networks.map(key));
    find('.race-answers').replaceChildren();
  }

  function take(event) {
    if (event.event === 'start') begin(event);
    else if (event.event === 'waiting')
      tell(
        say('You are number {place} in the line; what is shown is a stored race.', { place: event.place }),
      );
    else if (event.event === 'state') {
      for (const [kind, network] of race.networks) {
        const { points, answers, ...rest } = event.networks[kind];
        network.points.push(...points);
        Object.assign(network, rest, answers.length ? { answers } : {});
      }
      race.step = event.step;
      tell(
        say('Step {step} of {steps}: {words}', {
          step: event.step,
          steps: race.settings.steps,
          words: seconds(),
        }),
      );
    } else if (event.event === 'end') {
      race.results = event.results;
      race.record = event.record;
      tell(verdict());
      done('over');
      answer();
      offer();
    } else if (event.event === 'failed') {
      tell(event.message);
      done('failed');
    }
  }

  // What was trained can be looked into with the page's other panels, one digit at a time.
  function offer() {
    const trained = race.settings.task === 'classes' && race.record.steps > 0;
    find('.race-grew').hidden = !trained;
    if (!trained) return;
    const shown = race.networks.map(([kind]) => [kind, names[kind], KEYS[kind]]);
    find('.race-grown').replaceChildren(...grownLines(shown, look));
  }

  // The digit that was drawn, or the first that the one answers right and the other wrong.
  function shownDigit() {
    const drawn = race.settings.data === 'digits' && pad.grey();
    if (drawn) return drawn;
    const size = race.side * race.side;
    const bytes = Uint8Array.from(atob(race.row), (c) => c.charCodeAt(0));
    const isRight = (i) => race.networks.map(([, network]) => network.answers?.[i]?.[0] === i);
    const i = Math.max(
      0,
      race.classes.findIndex((_, n) => new Set(isRight(n)).size > 1),
    );
    return [...bytes.subarray(i * size, (i + 1) * size)].map((v) => v / 255);
  }

  function look(kind, panel) {
    trigger('select', { ticket: training.ticket, kind, grey: shownDigit() });
    panelTab(panel)?.click();
  }

  const seconds = () =>
    listed(
      race.networks.map(([kind, network]) =>
        say('{name} {seconds} s', { name: names[kind], seconds: (network.seconds || 0).toFixed(1) }),
      ),
    );

  function verdict() {
    const right = race.networks.map(([kind]) => race.results[kind].test_accuracy);
    const words = race.networks
      .map(([kind], i) =>
        say('{name} {percent} of the held-out pictures right', {
          name: names[kind],
          percent: percent(right[i]),
        }),
      )
      .reduce((first, second) => say('{first}; {second}', { first, second }));
    const better = right[0] === right[1] ? 'same' : right[0] > right[1] ? 'residual' : 'plain';
    const close = Math.abs(right[0] - right[1]) < 0.03;
    const said =
      guess &&
      (guess === better || (guess === 'same' && close) ? say('As you said.') : say('You said otherwise.'));
    return [
      say('After {steps} steps and {blocks} blocks: {words}.', {
        steps: race.record.steps,
        blocks: race.record.blocks,
        words,
      }),
      said,
    ]
      .filter(Boolean)
      .reduce((first, second) => say('{first} {second}', { first, second }));
  }

  function done(state) {
    root.dataset.state = state;
    find('.race-stop').disabled = true;
    find('.race-train').textContent = say('Train again');
  }

  const redraw = oncePerFrame(draw);

  const training = new Training(
    server,
    (event) => {
      take(event);
      redraw();
    },
    say('The server cannot be reached; try again.'),
  );

  function train() {
    guess = find('.race-guess input:checked')?.value ?? null;
    root.dataset.state = 'running';
    find('.race-stop').disabled = false;
    tell(say('Getting ready …'));
    training.press(settings());
  }

  const pad = digitPad(find('.race-draw canvas'), () => answer());

  async function answer() {
    const place = find('.race-answers');
    const seen = pad.grey();
    if (!seen) return place.replaceChildren();
    paint(
      find('.race-seen'),
      seen.map((v) => 255 * v),
      8,
    );
    if (!race?.record)
      return place.replaceChildren(
        Object.assign(document.createElement('p'), {
          textContent: say('Press Train: the networks that you train will read it.'),
        }),
      );
    if (race.settings.data !== 'digits')
      return place.replaceChildren(
        Object.assign(document.createElement('p'), {
          textContent: say('These networks were not trained on digits.'),
        }),
      );
    asked += 1;
    const mine = asked;
    let found;
    try {
      found = await server.answer({ ticket: training.ticket, grey: seen, language: window.spoken?.language });
    } catch {
      found = { error: say('The server cannot be reached; try again.') };
    }
    if (mine !== asked) return;
    if (!found.answers)
      return place.replaceChildren(Object.assign(document.createElement('p'), { textContent: found.error }));
    place.replaceChildren(
      ...race.networks.map(([kind]) => {
        const chances = found.answers[kind];
        const best = chances.indexOf(Math.max(...chances));
        const line = document.createElement('p');
        line.className = `key-${KEYS[kind]}`;
        line.textContent = say('{name}: {answer}, {percent} sure', {
          name: names[kind],
          answer: race.classes[best],
          percent: percent(chances[best]),
        });
        return line;
      }),
    );
  }

  root.addEventListener('click', (event) => {
    if (event.target.closest('.race-train')) train();
    else if (event.target.closest('.race-stop')) training.stop();
    else if (event.target.closest('.race-again')) {
      find('.race-seed').value = 1 + ((value('.race-seed') * 48271 + Date.now()) % 100000);
      train();
    } else if (event.target.closest('.race-wipe')) {
      pad.wipe();
      find('.race-answers').replaceChildren();
      find('.race-seen').getContext('2d').clearRect(0, 0, 8, 8);
    }
  });
  root.addEventListener('input', (event) => {
    if (event.target.closest('.race-depth')) find('.race-depth output').textContent = event.target.value;
  });

  async function show() {
    if (stored || !root.offsetParent) return redraw();
    stored = { events: [], bands: {} };
    try {
      stored = await server.stored({});
    } catch {
      return tell(say('The server cannot be reached; try again.'));
    }
    if (race || training.ticket || root.dataset.state === 'running') return redraw(); // a press was faster
    for (const event of stored.events) take(event);
    race.record = null; // nobody's networks are kept of it
    find('.race-grew').hidden = true;
    root.dataset.state = 'stored';
    find('.race-train').textContent = say('Train');
    tell(say('A stored race of 20 blocks, seed 0. Press Train for your own.'));
    redraw();
  }
  new ResizeObserver(show).observe(root);
  staysReady(server, root);
}
