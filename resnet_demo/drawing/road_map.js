// A click on a block tells the server which; Enter and Space click a button by themselves.
export default function start({ element, trigger }) {
  element.addEventListener('click', (event) => {
    const cell = event.target.closest('button.cell');
    if (!cell) return;
    element.querySelectorAll('button.cell').forEach((other) => {
      other.classList.toggle('selected', other === cell);
      other.setAttribute('aria-pressed', String(other === cell));
    });
    trigger('select', { index: Number(cell.dataset.block) });
  });
}
