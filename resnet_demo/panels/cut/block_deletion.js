// Every block in turn: the test error without each block, and that of the whole network.
import { chart } from '../../drawing/training_chart.js';
import { panelTab } from '../../page/chapters.js';
import { listed, say } from '../../page/shared.js';

export default function start({ element, trigger }) {
  const root = element.querySelector('.deletion');
  const pairs = JSON.parse(root.dataset.pairs);
  const place = root.querySelector('.deletion-chart');

  function draw() {
    const layers = root.querySelector('.deletion-layers input:checked')?.value ?? Object.keys(pairs)[0];
    for (const part of root.querySelectorAll('[data-layers]')) {
      part.hidden = part.dataset.layers !== layers;
    }
    if (!layers || !root.offsetParent) return;
    const names = listed(Object.keys(pairs[layers]));
    const count = Math.max(...Object.values(pairs[layers]).map((errors) => errors.length - 1));
    const series = Object.entries(pairs[layers]).flatMap(([name, [whole, ...errors]]) => {
      const kind = name.startsWith('plain') ? 'without' : 'with';
      return [
        { kind, points: errors.map((error, i) => [i + 1, error]) },
        {
          kind,
          dashed: true,
          points: [
            [1, whole],
            [count, whole],
          ],
        },
      ];
    });
    chart(place, {
      series,
      x: [1, count],
      y: [0, 1],
      percent: true,
      height: 300,
      across: say('block that is taken out'),
      label: say('Test error of {names} without each block', { names }),
    });
  }

  root.addEventListener('change', draw);
  root.addEventListener('click', (event) => {
    const button = event.target.closest('button[data-network]');
    if (!button) return;
    trigger('select', { network: button.dataset.network });
    panelTab('off')?.click();
  });
  new ResizeObserver(draw).observe(root);
}
