// A click on a block, or on a measure of the roads, tells the server which; Enter and Space click by
// themselves.
export default function start({ element, trigger }) {
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
