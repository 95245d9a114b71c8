// A block that is pointed at, or has the keyboard, is lit wherever else it is on the page: on the road and
// in the strip, its slider, its read-out, its point on a curve, its layers. Elements say which block they
// are of in `data-block`. A rule of style marks them, so that what is drawn anew meanwhile is marked, too;
// it is important, since Gradio puts its own name before every rule of the page.
const rule = document.createElement('style');
document.head.append(rule);

function light(block) {
  rule.textContent = /^\d+$/.test(block ?? '')
    ? `[data-block="${block}"]:not(.inside, .take) {
  outline: var(--lit) !important; outline-offset: 1px !important; opacity: 1 !important;
}
text[data-block="${block}"] { fill: var(--ink) !important; font-weight: 700 !important; }`
    : '';
}

const point = ({ target }) => light(target.closest?.('[data-block]')?.dataset.block);
document.addEventListener('pointerover', point);
document.addEventListener('focusin', point);
document.documentElement.addEventListener('pointerleave', () => light());
document.addEventListener('focusout', () => light());
