// A block that is pointed at, or has the keyboard, is lit wherever else it is on the page: on the road and
// in the strip, its slider, its read-out, its point on a curve, its layers. Elements say which block they
// are of in `data-block`. A rule of style marks them, so that what is drawn anew meanwhile is marked, too.
const rule = document.createElement('style');
document.head.append(rule);

function light(block) {
  rule.textContent = /^\d+$/.test(block ?? '')
    ? `[data-block="${block}"]:not(.inside, .take) { outline: var(--lit); outline-offset: 1px; opacity: 1; }
text[data-block="${block}"] { fill: var(--ink); font-weight: 700; }`
    : '';
}

const point = ({ target }) => light(target.closest?.('[data-block]')?.dataset.block);
document.addEventListener('pointerover', point);
document.addEventListener('focusin', point);
document.documentElement.addEventListener('pointerleave', () => light());
document.addEventListener('focusout', () => light());
