// The strength of the overlay is a matter of style alone.
let element;
let strength = '0.6';

function apply() {
  element.style.setProperty('--strength', strength);
  const slider = element.querySelector('.opacity input');
  if (slider) slider.value = strength;
}

export default function start(parts) {
  ({ element } = parts);
  element.addEventListener('input', (event) => {
    if (!event.target.closest('.opacity input')) return;
    strength = event.target.value;
    element.style.setProperty('--strength', strength);
  });

  parts.watch('value', apply);
  apply();
}
