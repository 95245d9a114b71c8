// A click on a channel puts its number into the box below.
import { channel } from '../../page/shared.js';

export default function start({ element, trigger }) {
  element.addEventListener('click', (event) => {
    const button = event.target.closest('.feature');
    if (!button) return;
    element.querySelectorAll('.feature').forEach((other) => other.classList.toggle('lit', other === button));
    channel.chosen = button.dataset.channel;
    trigger('select', { index: Number(button.dataset.channel) });
  });
}
