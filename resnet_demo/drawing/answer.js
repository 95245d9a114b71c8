// The answer is read out when it changes; a network that could not be loaded can be tried again, and
// branches that are turned down can be opened.
export default function start({ element, trigger }) {
  element.setAttribute('aria-live', 'polite');
  element.addEventListener('click', (event) => {
    const button = event.target.closest('button[data-again], button[data-open]');
    if (button) trigger('select', { network: button.dataset.again ?? null });
  });
}
