// A click on an example tells the server which.
export default function start({ element, trigger }) {
  element.addEventListener('click', (event) => {
    const button = event.target.closest('button[data-sound]');
    if (button) trigger('select', { index: Number(button.dataset.sound) });
  });
}
