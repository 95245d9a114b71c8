// Sliders of the branches. While one is moved the newest position wins; the server is asked
// at most every 120 ms.
let element;
let trigger;
let waiting = null;

function values() {
  return [...element.querySelectorAll('fieldset')].map((set) => [
    Number(set.querySelector('.branch').value),
    Number(set.querySelector('.short').value),
  ]);
}

function send() {
  clearTimeout(waiting);
  waiting = setTimeout(() => trigger('input', { gates: values() }), 120);
}

// Gradio changes what differs in the HTML alone, and a slider that was moved does not follow its attribute.
function follow() {
  element.querySelectorAll('input[type=range]').forEach((slider) => {
    slider.value = slider.defaultValue;
    slider.parentElement.querySelector('output').value = slider.value;
  });
}

export default function start(parts) {
  ({ element, trigger } = parts);
  parts.watch('value', follow);
  element.addEventListener('input', (event) => {
    const slider = event.target.closest('input[type=range]');
    if (!slider) return;
    slider.parentElement.querySelector('output').value = slider.value;
    send();
  });

  element.addEventListener('click', (event) => {
    if (!event.target.closest('#reset-gates')) return;
    element.querySelectorAll('input[type=range]').forEach((slider) => {
      slider.value = 1;
      slider.parentElement.querySelector('output').value = '1';
    });
    send();
  });
}
