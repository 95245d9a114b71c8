// The tree of paths: a click or the arrow keys choose one; its road is lit, its map lies on the photo.
let element;

const leaves = () => [...element.querySelectorAll('.leaf')];

function choose(leaf, focus) {
  const index = Number(leaf.dataset.index);
  leaves().forEach((other) => {
    other.setAttribute('aria-selected', String(other === leaf));
    other.setAttribute('tabindex', other === leaf ? '0' : '-1');
  });
  element.querySelectorAll('path[data-under]').forEach((road) => {
    const [first, last] = road.dataset.under.split(' ').map(Number);
    road.classList.toggle('lit', first <= index && index <= last);
  });
  element.querySelector('.ledger-map').src = leaf.dataset.map;
  element.querySelector('.ledger-words').textContent = leaf.getAttribute('aria-label');
  element.querySelector('.ledger-removed').textContent = leaf.dataset.removed;
  if (focus) leaf.focus();
}

// Up and down go from leaf to leaf.
function walk(event) {
  const leaf = event.target.closest('.leaf');
  if (!leaf) return;
  const all = leaves();
  const at = all.indexOf(leaf);
  const place = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: all.length - 1 }[event.key];
  if (place === undefined || !all[place]) return;
  event.preventDefault();
  choose(all[place], true);
}

function restore() {
  const chosen = element.querySelector('.leaf[aria-selected="true"]');
  if (chosen) choose(chosen);
}

export default function start(parts) {
  ({ element } = parts);
  element.addEventListener('click', (event) => {
    const leaf = event.target.closest('.leaf');
    if (leaf) choose(leaf, true);
  });
  element.addEventListener('keydown', walk);
  parts.watch('value', restore);
  restore();
}
