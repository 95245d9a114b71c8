// The arithmetic of a place that was clicked: F + shortcut = sum → ReLU, with a hairline through it in
// every map, and
// one level deeper the kernels and patches. The server is asked for the numbers; pictures have only 256
// steps.
import { say } from '../page/shared.js';

const unreached = () => ({ error: say('The server cannot be reached.') });
let asking = 0; // the newest click wins

// A hairline through a place of every enlarged map.
function hair(inside, column, row) {
  for (const stream of inside.querySelectorAll('.stream')) {
    const [columns, rows] = stream.dataset.places.split(' ').map(Number);
    const picture = stream.querySelector('.large i');
    picture.classList.add('aimed');
    picture.style.setProperty('--x', `${(100 * (column + 0.5)) / columns}%`);
    picture.style.setProperty('--y', `${(100 * (row + 0.5)) / rows}%`);
  }
}

export function clearPlace(inside) {
  inside?.querySelectorAll('.large i.aimed').forEach((picture) => picture.classList.remove('aimed'));
}

export async function showPlace(inside, server, channel, column, row) {
  const line = inside.querySelector('.arithmetic');
  if (!line) return;
  asking += 1;
  const mine = asking;
  hair(inside, column, row);
  const request = {
    key: line.dataset.key,
    block: Number(inside.dataset.block),
    channel: Number(channel),
    row,
    column,
    language: window.spoken?.language,
  };
  const found = await server.place(request).catch(unreached);
  if (mine !== asking) return;
  const words = line.querySelector('p');
  inside.querySelector('.arithmetic-products').replaceChildren();
  if (found.error) {
    words.textContent = found.error;
    return;
  }
  words.innerHTML = say(
    'channel {channel}, row {row}, column {column}: <b class="of-f">F(x) {f}</b> + ' +
      '<b class="of-s">shortcut {s}</b> = <b>{sum}</b> → ReLU <b>{output}</b>',
    {
      channel,
      row: row + 1,
      column: column + 1,
      f: found.residual,
      s: found.shortcut,
      sum: found.pre_activation,
      output: found.output,
    },
  );
  const deeper = document.createElement('button');
  deeper.type = 'button';
  deeper.textContent = say('Show kernel × patch');
  deeper.addEventListener('click', async () => {
    deeper.disabled = true;
    const more = await server.products(request).catch(unreached);
    if (mine !== asking) return;
    const place = inside.querySelector('.arithmetic-products');
    if (more.error) place.textContent = more.error;
    else place.innerHTML = more.html;
    deeper.remove();
  });
  words.append(' ', deeper);
}
