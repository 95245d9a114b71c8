// A channel touched in one stream is lit in all four, and each stream shows it enlarged with
// its numbers. Everything needed is already in the page, so the server is not asked.
let chosen = null;

function percent(index, count) {
  return count > 1 ? (100 * index) / (count - 1) : 0;
}

function show(channel, focusIn) {
  const inside = element.querySelector('.inside[data-block]');
  if (!inside) return;
  const columns = Number(getComputedStyle(inside).getPropertyValue('--columns'));
  const rows = Number(getComputedStyle(inside).getPropertyValue('--rows'));
  inside.querySelectorAll('.stream').forEach((stream) => {
    const tiles = [...stream.querySelectorAll('.tile')];
    const at = tiles.findIndex((tile) => tile.dataset.channel === String(channel));
    if (at < 0) return;
    tiles.forEach((tile, i) => {
      tile.classList.toggle('lit', i === at);
      tile.setAttribute('aria-pressed', String(i === at));
      tile.tabIndex = i === at ? 0 : -1;
    });
    const facts = JSON.parse(tiles[at].dataset.facts);
    const large = stream.querySelector('.large');
    large.classList.toggle('silent', tiles[at].classList.contains('silent'));
    const picture = large.querySelector('i');
    picture.style.backgroundSize = `${100 * columns}% ${100 * rows}%`;
    picture.style.backgroundPosition = `${percent(at % columns, columns)}% ${percent(Math.floor(at / columns), rows)}%`;
    const zeros = Math.round(100 * Number(facts.zeros));
    const words = tiles[at].classList.contains('silent')
      ? `<b>channel ${Number(channel)}</b>: silent for this photo`
      : `<b>channel ${Number(channel)}</b>: ${facts.low} to ${facts.high}<br>mean ${facts.mean} · norm ${facts.norm} · ${zeros} % zeros<br>colours end at ${facts.end}`;
    large.querySelector('p').innerHTML = words;
    if (focusIn === stream) tiles[at].focus();
  });
  chosen = channel;
}

element.addEventListener('click', (event) => {
  const tile = event.target.closest('.tile');
  if (tile) show(tile.dataset.channel);
});

// Arrow keys walk the grid; only one tile a grid is in the tab order.
element.addEventListener('keydown', (event) => {
  const tile = event.target.closest('.tile');
  const columns = Number(getComputedStyle(element.querySelector('.inside')).getPropertyValue('--columns'));
  const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns }[event.key];
  if (!tile || !step) return;
  const stream = tile.closest('.stream');
  const tiles = [...stream.querySelectorAll('.tile')];
  const next = tiles[tiles.indexOf(tile) + step];
  if (!next) return;
  event.preventDefault();
  show(next.dataset.channel, stream);
});

function restore() {
  const tiles = [...element.querySelectorAll('.tile')];
  if (!tiles.length) return;
  const kept = tiles.find((tile) => tile.dataset.channel === chosen);
  show((kept || tiles[0]).dataset.channel);
}

watch('value', restore);
restore();
