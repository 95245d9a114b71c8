// Charts of training, drawn for the width they have: curves, bands behind them, a logarithmic axis if asked.

const escaped = (text) => String(text).replace(/[&<>"]/g, (c) => `&#${c.charCodeAt(0)};`);
const superscript = (n) => String(n).replace(/[-0-9]/g, (c) => '⁻⁰¹²³⁴⁵⁶⁷⁸⁹'['-0123456789'.indexOf(c)]);
const finite = (v) => typeof v === 'number' && Number.isFinite(v);

// About `count` round numbers from `low` to `high`.
function ticks(low, high, count) {
  const rough = (high - low) / count || 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= rough * 0.999);
  const found = [];
  for (let v = Math.ceil(low / step - 1e-9) * step; v <= high + step * 1e-6; v += step)
    found.push(Math.abs(v) < step * 1e-6 ? 0 : v);
  return found;
}

// About `count` whole powers of ten, never more.
function powers(low, high, count) {
  const step = Math.max(1, Math.ceil((high - low) / count));
  const found = [];
  for (let v = Math.ceil(low); v <= high; v += step) found.push(v);
  return found;
}

function text(value, percent, logarithmic) {
  if (logarithmic) return value >= 0 && value <= 2 ? String(10 ** value) : `10${superscript(value)}`;
  if (percent) return `${Number((100 * value).toPrecision(3))} %`;
  return String(Number(value.toPrecision(6)));
}

// series: [{ kind, points: [[x, y]], dashed }]; bands: [{ kind, points: [[x, low, high]] }];
// kind is a class of CSS.
export function chart(
  place,
  {
    series,
    bands = [],
    x,
    y = null,
    across,
    label,
    percent = false,
    logarithmic = false,
    mark = null,
    height = 190,
  },
) {
  const width = Math.max(220, Math.round(place.clientWidth) || 400);
  const scale = (v) => (logarithmic ? Math.log10(v) : v);
  const kept = (v) => finite(v) && (!logarithmic || v > 0);
  let [low, high] = y || [Infinity, -Infinity];
  if (!y) {
    for (const { points } of series)
      for (const [, v] of points)
        if (kept(v)) [low, high] = [Math.min(low, scale(v)), Math.max(high, scale(v))];
    if (!finite(low)) [low, high] = [0, 1];
    if (!logarithmic) [low, high] = [Math.min(0, low), high * 1.05];
    else [low, high] = [Math.floor(low), Math.ceil(high)];
    if (high - low < 1e-9) high = low + 1;
  }
  const [left, right, top, bottom] = [percent ? 52 : 44, 10, 8, 34];
  const px = (v) => left + ((v - x[0]) / (x[1] - x[0] || 1)) * (width - left - right);
  const py = (v) =>
    height - bottom - ((Math.min(Math.max(v, low), high) - low) / (high - low)) * (height - top - bottom);
  const at = (a, b) => `${px(a).toFixed(1)},${py(b).toFixed(1)}`;
  const parts = [];
  const lines = height > 250 ? 6 : 4;
  for (const v of logarithmic ? powers(low, high, lines) : ticks(low, high, lines)) {
    parts.push(
      `<line x1="${left}" x2="${width - right}" y1="${py(v).toFixed(1)}" y2="${py(v).toFixed(1)}"/>`,
      `<text x="${left - 6}" y="${(py(v) + 4).toFixed(1)}" text-anchor="end">`,
      `${text(v, percent, logarithmic)}</text>`,
    );
  }
  for (const v of ticks(x[0], x[1], Math.min(8, width / 70)))
    if (Number.isInteger(v))
      parts.push(
        `<text x="${px(v).toFixed(1)}" y="${height - bottom + 15}" text-anchor="middle">${v}</text>`,
      );
  for (const { kind, points } of bands) {
    const upper = points.map(([a, , c]) => at(a, c));
    const lower = points.map(([a, b]) => at(a, b)).reverse();
    parts.push(`<polygon class="${kind}" points="${[...upper, ...lower].join(' ')}"/>`);
  }
  for (const { kind, points, dashed } of series) {
    const line = points.filter(([, v]) => kept(v)).map(([a, v]) => at(a, scale(v)));
    if (line.length > 1)
      parts.push(`<polyline class="${kind}${dashed ? ' dashed' : ''}" points="${line.join(' ')}"/>`);
    else if (line.length)
      parts.push(
        `<circle class="${kind}" cx="${line[0].split(',')[0]}" cy="${line[0].split(',')[1]}" r="3"/>`,
      );
  }
  if (mark !== null)
    parts.push(`<line class="mark" x1="${px(mark)}" x2="${px(mark)}" y1="${top}" y2="${height - bottom}"/>`);
  const size = `viewBox="0 0 ${width} ${height}" width="${width}" height="${height}"`;
  const middle = (left + width - right) / 2;
  parts.push(`<text x="${middle}" y="${height - 3}" text-anchor="middle">${escaped(across)}</text>`);
  place.innerHTML =
    `<svg class="training-chart" ${size} role="img" aria-label="${escaped(label)}">` +
    `${parts.join('')}</svg>`;
}

// Grey pictures of `side` by `side` values 0..255 on a canvas of that size.
export function paint(canvas, grey, side) {
  canvas.width = canvas.height = side;
  const pixels = new Uint8ClampedArray(4 * side * side);
  for (let i = 0; i < side * side; i += 1) pixels.set([grey[i], grey[i], grey[i], 255], 4 * i);
  canvas.getContext('2d').putImageData(new ImageData(pixels, side, side), 0, 0);
}
