// A click on a block, or on a measure of the roads, tells the server which; Enter and Space click by
// themselves.
// A new photo runs down the road: a pulse splits at every block and joins at its plus, and the maps
// light up as it
// passes; a closed gate dams it. It starts when the answer is there, so it delays nothing.
function flow(element) {
  const seen = element.querySelector('#seen-photo')?.src;
  const roadmap = element.querySelector('.roadmap');
  if (!seen || seen === flow.last || matchMedia('(prefers-reduced-motion: reduce)').matches) {
    flow.last = seen;
    return;
  }
  flow.last = seen;
  roadmap.classList.add('flowing');
  roadmap.addEventListener('animationend', (event) => {
    if (event.target.closest('.cell:last-of-type')) roadmap.classList.remove('flowing');
  });
}

export default function start({ element, trigger, watch }) {
  watch('value', () => flow(element));
  element.addEventListener('click', (event) => {
    const measure = event.target.closest('.measures button');
    if (measure) trigger('select', { measure: measure.dataset.measure });
    const cell = event.target.closest('button.cell');
    if (!cell) return;
    element.querySelectorAll('button.cell').forEach((other) => {
      other.classList.toggle('selected', other === cell);
      other.setAttribute('aria-pressed', String(other === cell));
    });
    trigger('select', { index: Number(cell.dataset.block) });
  });
}
