// Networks that were just trained, a line each, with a button for every panel that looks into them.
import { say } from '../page/shared.js';

// networks: [[kind, name, class of its key]]; `look(kind, panel)` hears which is to be looked into and where.
export function grownLines(networks, look) {
  return networks.map(([kind, name, key]) => {
    const line = document.createElement('div');
    const ways = [
      ['inside', say('Look inside')],
      ['off', say('Cut a block')],
    ];
    const title = document.createElement('span');
    Object.assign(title, { className: `key-${key}`, textContent: name });
    line.append(
      title,
      ...ways.map(([panel, words]) => {
        const button = document.createElement('button');
        Object.assign(button, { type: 'button', textContent: words });
        button.setAttribute('aria-label', `${words}: ${name}`);
        button.dataset.look = `${kind} ${panel}`;
        button.addEventListener('click', () => look(kind, panel));
        return button;
      }),
    );
    return line;
  });
}
