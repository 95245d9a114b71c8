// A canvas to draw a digit on: strokes, drawn again at the size and thickness of the data, counted in
// squares of 4x4.
const SIDE = 32; // of the bitmap whose 4x4 squares are the pixels of the data

function trace(context, points) {
  context.beginPath();
  points.forEach(([x, y], i) => (i ? context.lineTo(x, y) : context.moveTo(x, y)));
  if (points.length === 1) context.lineTo(points[0][0] + 0.1, points[0][1]);
  context.stroke();
}

// 64 numbers of 0 to 1, the ink in each square of the 8x8 picture that the strokes make.
function inkOf(strokes) {
  const all = strokes.flat();
  const [xs, ys] = [all.map((p) => p[0]), all.map((p) => p[1])];
  const [left, top] = [Math.min(...xs), Math.min(...ys)];
  const [width, height] = [Math.max(...xs) - left, Math.max(...ys) - top];
  const scale = (SIDE - 4) / Math.max(width, height, 1);
  const canvas = Object.assign(document.createElement('canvas'), { width: SIDE, height: SIDE });
  const context = canvas.getContext('2d');
  context.lineWidth = 4;
  context.lineCap = context.lineJoin = 'round';
  const place = ([x, y]) => [
    SIDE / 2 + (x - left - width / 2) * scale,
    SIDE / 2 + (y - top - height / 2) * scale,
  ];
  for (const stroke of strokes) trace(context, stroke.map(place));
  const ink = context.getImageData(0, 0, SIDE, SIDE).data;
  return Array.from({ length: 64 }, (_, i) => {
    let sum = 0;
    for (let k = 0; k < 16; k += 1)
      sum += ink[4 * ((4 * Math.floor(i / 8) + (k >> 2)) * SIDE + 4 * (i % 8) + (k & 3)) + 3];
    return sum / 16 / 255;
  });
}

// Let people draw on `canvas`; `drawn` is called after every stroke. grey() is null while nothing is drawn.
export function digitPad(canvas, drawn) {
  const pen = canvas.getContext('2d');
  let strokes = [];
  function sketch() {
    pen.clearRect(0, 0, canvas.width, canvas.height);
    pen.lineWidth = 14;
    pen.lineCap = pen.lineJoin = 'round';
    pen.strokeStyle = getComputedStyle(canvas).color;
    for (const stroke of strokes) trace(pen, stroke);
  }
  const position = (event) => {
    const box = canvas.getBoundingClientRect();
    return [
      ((event.clientX - box.left) * canvas.width) / box.width,
      ((event.clientY - box.top) * canvas.height) / box.height,
    ];
  };
  canvas.addEventListener('pointerdown', (event) => {
    canvas.setPointerCapture(event.pointerId);
    strokes.push([position(event)]);
    sketch();
  });
  canvas.addEventListener('pointermove', (event) => {
    if (!event.buttons || !strokes.length) return;
    strokes.at(-1).push(position(event));
    sketch();
  });
  canvas.addEventListener('pointerup', drawn);
  return {
    grey: () => (strokes.length ? inkOf(strokes) : null),
    wipe: () => {
      strokes = [];
      sketch();
    },
  };
}
