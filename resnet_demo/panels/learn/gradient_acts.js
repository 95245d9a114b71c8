// The gradient in three acts: norms at each block, derivatives along a line of inputs, and their correlation.
import { chart } from '../../drawing/training_chart.js';
import { say } from '../../page/shared.js';

const LINES = {
  without_norms: [['without_norms', 'without', false]],
  with_norms: [['with_norms', 'without', false]],
  residual: [
    ['residual', 'with', false],
    ['rezero', 'with', true],
  ], // branches from zero: dashed
};
const KINDS = { shallow: 'shallow', plain: 'without', residual: 'with' };
const HEIGHT = 160;

export default function start({ element }) {
  const root = element.querySelector('.acts');
  const found = JSON.parse(root.dataset.found);

  function acts(depth) {
    const norms = found[depth].norms;
    const sizes = Object.values(norms)
      .flat()
      .filter((v) => v > 0)
      .map((v) => Math.log10(v));
    const low = Math.max(-14, Math.floor(Math.min(...sizes)));
    const y = [low, Math.ceil(Math.max(...sizes))]; // one for all acts
    for (const [act, lines] of Object.entries(LINES)) {
      chart(root.querySelector(`[data-act=${act}]`), {
        series: lines.map(([name, kind, dashed]) => ({
          kind,
          dashed,
          points: norms[name].map((v, i) => [i, v]).filter(([, v]) => v >= 10 ** low),
        })),
        x: [0, Number(depth)],
        y,
        logarithmic: true,
        height: HEIGHT,
        across: say('block'),
        label: say('Norm of the gradient at each block'),
      });
    }
  }

  function shattering(depth) {
    const { traces, correlations } = found[depth];
    for (const [name, kind] of Object.entries(KINDS)) {
      chart(root.querySelector(`[data-trace=${name}]`), {
        series: [{ kind, points: traces[name].map((v, i) => [i, v]) }],
        x: [0, traces[name].length - 1],
        y: [-1, 1],
        height: HEIGHT,
        across: say('input on the line'),
        label: say('Derivative along a line of inputs, over the largest'),
      });
    }
    const all = Object.entries(KINDS).map(([name, kind]) => ({
      kind,
      dashed: name === 'shallow',
      points: [[0, 1], ...correlations[name].map((v, i) => [i + 1, v])],
    }));
    chart(root.querySelector('[data-correlation]'), {
      series: all,
      x: [0, correlations.plain.length],
      y: [-0.2, 1],
      height: HEIGHT + 40,
      across: say('inputs further on'),
      label: say('Autocorrelation of the derivatives'),
    });
  }

  function draw() {
    const depth = root.querySelector('.acts-depth input:checked').value;
    for (const part of root.querySelectorAll('[data-depth]')) part.hidden = part.dataset.depth !== depth;
    if (!root.offsetParent) return;
    acts(depth);
    shattering(depth);
  }

  root.addEventListener('change', draw);
  new ResizeObserver(draw).observe(root);
}
