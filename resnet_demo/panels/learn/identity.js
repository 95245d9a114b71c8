// The identity is easy: two networks give back what came in, or get a block in the middle of training.
import { chart, paint } from '../../drawing/training_chart.js';
import { Training, staysReady } from '../../drawing/training_session.js';
import { oncePerFrame, say } from '../../page/shared.js';

const KEYS = { residual: 'with', rezero: 'with', plain: 'without', net2net: 'without' };

export default function start({ element, server }) {
  const root = element.querySelector('.identity');
  const find = (name) => root.querySelector(name);
  const names = {
    residual: say('with shortcuts'),
    rezero: say('with shortcuts'),
    plain: say('without shortcuts'),
    net2net: say('without shortcuts, Net2Net'),
  };
  let race = null; // what is on the screen
  let stored = null;

  const chosen = () => find('.identity-task input:checked');
  const percent = (share) => `${Number((100 * share).toPrecision(share < 0.1 ? 1 : 2))} %`;
  const tell = (words) => {
    find('.race-said').textContent = words;
  };
  const grows = () => race.settings.task === 'growth';

  function settings() {
    const { value: task, dataset } = chosen();
    return {
      task,
      blocks: Number(find('.race-depth input').value),
      steps: Number(dataset.steps),
      rate: Number(dataset.rate),
      seed: Number(find('.race-seed').value),
      norms: find('.race-norms').checked,
      networks: task === 'growth' ? ['residual', find('.identity-rival').value] : ['rezero', 'plain'],
    };
  }

  // What was wrong when the block came, and at once afterwards, before anything more was learned.
  function atTheBlock(points) {
    const step = Math.floor(race.settings.steps / 2);
    const found = points.filter((p) => p[0] === step && p[3] !== null);
    return found.length > 1 ? [found[0][3], found.at(-1)[3]] : null;
  }

  function curves() {
    const middle = Math.floor(race.settings.steps / 2);
    const series = race.networks.map(([kind, network]) => {
      const points = network.points.filter((p) => p[3] !== null).map((p) => [p[0], p[3]]);
      // before the first step a network that gives back is judged by its first batch
      const first = network.points[0];
      return { kind: KEYS[kind], points: grows() || !first ? points : [[0, first[1]], ...points] };
    });
    const most = Math.min(2, Math.max(...series.flatMap(({ points }) => points.map((p) => p[1]))));
    const title = grows() ? say('Held-out pictures answered wrong') : say('Error of what comes out');
    find('.identity-title').textContent = title;
    chart(find('.race-error'), {
      series,
      x: [grows() ? 1 : 0, race.settings.steps],
      y: [0, Math.max(1, most)],
      percent: true,
      mark: grows() ? middle : null,
      label: title,
      across: grows() ? say('step (dotted: one block more)') : say('step'),
    });
    const counts = race.networks.map(([, network]) => (network.ratio || []).length);
    const blocks = Math.max(race.settings.blocks, ...counts);
    chart(find('.race-ratio'), {
      series: race.networks.map(([kind, network]) => ({
        kind: KEYS[kind],
        points: (network.ratio || []).map((v, i) => [i + 1, v]),
      })),
      x: [1, Math.max(2, blocks)],
      across: say('block'),
      label: say('Norm of F(x) over norm of x at each block'),
    });
  }

  const line = (title, key, cells) => {
    const found = document.createElement('div');
    found.className = 'identity-line';
    const name = Object.assign(document.createElement('span'), { textContent: title, className: key });
    found.append(name, ...cells);
    return found;
  };
  const picture = (grey) => {
    const canvas = document.createElement('canvas');
    paint(canvas, grey, race.side);
    return canvas;
  };
  const mark = (answer, i) =>
    Object.assign(document.createElement('b'), {
      className: answer[0] === i ? '' : 'wrong',
      textContent: `${race.classes[answer[0]]} ${answer[0] === i ? '✓' : '✗'}`,
    });

  function rows() {
    const size = race.side * race.side;
    const bytes = Uint8Array.from(atob(race.row), (c) => c.charCodeAt(0));
    const given = race.classes.map((_, i) => picture(bytes.subarray(i * size, (i + 1) * size)));
    const lines = race.networks.map(([kind, network]) =>
      line(
        names[kind],
        `key-${KEYS[kind]}`,
        grows() ? (network.answers || []).map(mark) : (network.returned || []).map(picture),
      ),
    );
    const place = find('.identity-rows');
    place.setAttribute(
      'aria-label',
      grows()
        ? say('Held-out pictures and the answers of both networks')
        : say('Ten digits, and what both networks give back'),
    );
    place.replaceChildren(line(grows() ? say('held out') : say('came in'), '', given), ...lines);
  }

  function draw() {
    if (!race || !root.offsetParent) return;
    curves();
    rows();
    find('.race-said').dataset.step = race.step;
  }

  function take(event) {
    if (event.event === 'start') {
      race = { ...event, step: 0, networks: event.settings.networks.map((kind) => [kind, { points: [] }]) };
      find('.race-key').replaceChildren(
        ...race.networks.map(([kind]) =>
          Object.assign(document.createElement('span'), {
            className: `key-${KEYS[kind]}`,
            textContent: names[kind],
          }),
        ),
      );
    } else if (event.event === 'waiting') {
      const { place } = event;
      tell(say('You are number {place} in the line; what is shown is a stored race.', { place }));
    } else if (event.event === 'state') {
      for (const [kind, network] of race.networks) {
        const { points, answers, returned, ...rest } = event.networks[kind];
        network.points.push(...points);
        Object.assign(network, rest, answers.length ? { answers } : {}, returned.length ? { returned } : {});
      }
      race.step = event.step;
      tell(say('Step {step} of {steps}', { step: event.step, steps: race.settings.steps }));
    } else if (event.event === 'end') {
      race.results = event.results;
      tell(verdict(event));
      done('over');
    } else if (event.event === 'failed') {
      tell(event.message);
      done('failed');
    }
  }

  function verdict({ record }) {
    const told = race.networks.map(([kind, network]) => {
      const result = race.results[kind];
      if (!grows()) {
        return say('{name}: error {before} before the first step, {after} after the last', {
          name: names[kind],
          before: percent(network.points[0]?.[1] ?? 1),
          after: percent(result.test_error),
        });
      }
      const came = atTheBlock(network.points);
      if (!came) return say('{name}: stopped before its block came', { name: names[kind] });
      return say('{name}: {before} wrong before the block came, {after} at once after it, {end} in the end', {
        name: names[kind],
        before: percent(came[0]),
        after: percent(came[1]),
        end: percent(1 - result.test_accuracy),
      });
    });
    return say('{blocks} blocks, {steps} steps. {words}.', {
      blocks: race.settings.blocks,
      steps: record.steps,
      words: told.reduce((first, second) => say('{first}; {second}', { first, second })),
    });
  }

  function done(state) {
    root.dataset.state = state;
    find('.race-stop').disabled = true;
    find('.race-train').textContent = say('Train again');
  }

  const redraw = oncePerFrame(draw);

  const lost = say('The server cannot be reached; try again.');
  const training = new Training(
    server,
    (event) => {
      take(event);
      redraw();
    },
    lost,
  );

  function train() {
    root.dataset.state = 'running';
    find('.race-stop').disabled = false;
    tell(say('Getting ready …'));
    training.press(settings());
  }

  // The stored run of the chosen task.
  function show() {
    training.leave();
    for (const event of stored?.[chosen().value] || []) take(event);
    root.dataset.state = 'stored';
    find('.race-train').textContent = say('Train');
    const first = say('A stored run; press Train for your own.');
    if (race) tell(say('{first} {second}', { first, second: find('.race-said').textContent }));
    redraw();
  }

  async function opened() {
    if (stored || !root.offsetParent) return redraw();
    stored = {};
    try {
      stored = await server.stored({});
    } catch {
      stored = null;
      return tell(lost);
    }
    if (!race && !training.ticket && root.dataset.state !== 'running') show(); // no press was faster
  }

  root.addEventListener('click', (event) => {
    if (event.target.closest('.race-train')) train();
    else if (event.target.closest('.race-stop')) training.stop();
  });
  root.addEventListener('change', (event) => {
    if (!event.target.closest('.identity-task')) return;
    const { value, dataset } = chosen();
    root.dataset.task = value;
    find('.race-depth input').value = dataset.blocks;
    find('.race-depth output').textContent = dataset.blocks;
    show();
  });
  root.addEventListener('input', (event) => {
    if (event.target.closest('.race-depth')) find('.race-depth output').textContent = event.target.value;
  });
  new ResizeObserver(opened).observe(root);
  staysReady(server, root);
}
