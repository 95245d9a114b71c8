// The strength of the overlay is a matter of style alone. A bar of a channel that is pointed at, or has the
// keyboard, shows the channel's map.
let element;
let strength = '0.6';

function apply() {
  element.style.setProperty('--strength', strength);
  const slider = element.querySelector('.opacity input');
  if (slider) slider.value = strength;
}

function showChannel({ target }) {
  const bar = target.closest?.('.share[data-map]');
  const figure = element.querySelector('.channel-map');
  if (!bar || !figure) return;
  element.querySelectorAll('.share[data-map]').forEach((other) => {
    other.setAttribute('aria-pressed', String(other === bar));
  });
  figure.querySelector('img').src = bar.dataset.map;
  figure.querySelector('b').textContent = bar.firstElementChild.textContent.trim();
}

export default function start(parts) {
  ({ element } = parts);
  element.addEventListener('input', (event) => {
    if (!event.target.closest('.opacity input')) return;
    strength = event.target.value;
    element.style.setProperty('--strength', strength);
  });

  for (const kind of ['pointerover', 'focusin', 'click']) element.addEventListener(kind, showChannel);
  parts.watch('value', apply);
  apply();
}
