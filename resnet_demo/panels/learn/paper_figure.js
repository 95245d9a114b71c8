// The paper's figure: four networks' errors over the steps, and a line that is moved through them.
import { chart } from '../../drawing/training_chart.js';
import { panelTab } from '../../page/chapters.js';
import { listed, say } from '../../page/shared.js';

export default function start({ element, trigger }) {
  const root = element.querySelector('.figure6');
  if (!root) return; // the curves are missing
  const curves = JSON.parse(root.dataset.curves);
  const scrub = root.querySelector('.figure6-scrub input');
  const place = root.querySelector('.figure6-chart');
  const longest = Object.values(curves).reduce((a, b) => (b.step.length > a.step.length ? b : a));
  const steps = longest.step;
  const errors = Object.values(curves).flatMap((curve) => [...curve.train_error, ...curve.test_error]);
  const y = [0, Math.min(1, Math.ceil(10 * Math.max(...errors)) / 10)];
  const percent = (share) => (share === undefined ? '' : `${(100 * share).toFixed(1)} %`);
  const names = listed(Object.keys(curves));
  const looks = (name) =>
    [name.startsWith('plain') ? 'without' : 'with', name.endsWith('56') ? 'deep' : 'shallow'].join(' ');

  function draw() {
    const at = Number(scrub.value);
    const { lang } = document.documentElement;
    root.querySelector('.figure6-scrub output').textContent = steps[at].toLocaleString(lang);
    for (const row of root.querySelectorAll('tr[data-network]')) {
      const curve = curves[row.dataset.network];
      const i = curve.step.indexOf(steps[at]);
      row.querySelector('.train').textContent = percent(curve.train_error[i]);
      row.querySelector('.test').textContent = percent(curve.test_error[i]);
    }
    if (!root.offsetParent) return;
    const series = Object.entries(curves).flatMap(([name, curve]) =>
      [
        { column: curve.train_error, dashed: true },
        { column: curve.test_error, dashed: false },
      ].map(({ column, dashed }) => ({
        kind: looks(name),
        dashed,
        points: curve.step.map((step, i) => [step, column[i]]),
      })),
    );
    chart(place, {
      series,
      x: [0, steps.at(-1)],
      y,
      percent: true,
      mark: steps[at],
      height: 340,
      across: say('step'),
      label: say('Training and test error of {names} over the steps', { names }),
    });
  }

  // The line follows the pointer.
  function follow(event) {
    const svg = place.querySelector('svg');
    if (!svg) return;
    const box = svg.getBoundingClientRect();
    const [left, right] = [52, 10]; // as in the chart
    const share =
      (((event.clientX - box.left) / box.width) * svg.viewBox.baseVal.width - left) /
      (svg.viewBox.baseVal.width - left - right);
    const wanted = share * steps.at(-1);
    const off = (i) => Math.abs(steps[i] - wanted);
    const near = steps.reduce((best, _, i) => (off(i) < off(best) ? i : best), 0);
    if (near === Number(scrub.value)) return;
    scrub.value = near;
    draw();
  }

  place.addEventListener('pointermove', follow);
  place.addEventListener('pointerdown', follow);
  root.addEventListener('input', draw);
  root.addEventListener('click', (event) => {
    const row = event.target.closest('button')?.closest('tr');
    if (!row) return;
    trigger('select', { network: row.dataset.network });
    panelTab('inside')?.click();
  });
  new ResizeObserver(draw).observe(root);
}
