// One training at a time: press, ask for news while it runs, and hand every event to whoever draws.

const language = () => window.spoken?.language;
const pause = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));

export class Training {
  // `take(event)` hears of "waiting", "start", "state", "end" and "failed".
  constructor(server, take, lost) {
    Object.assign(this, { server, take, lost, ticket: null, turn: 0 });
  }

  // Train with these settings; a training that is under way is given up.
  async press(settings) {
    this.stop();
    this.turn += 1;
    const mine = this.turn;
    let found;
    try {
      found = await this.server.press({ ...settings, language: language() });
    } catch {
      found = { error: this.lost };
    }
    if (mine !== this.turn) {
      if (found.ticket) this.server.stop({ ticket: found.ticket });
      return;
    }
    if (!found.ticket) return this.take({ event: 'failed', message: found.error });
    this.ticket = found.ticket;
    this.running = true;
    await this.follow(mine);
  }

  async follow(mine) {
    let silent = 0;
    let waiting = false;
    while (mine === this.turn && this.running) {
      let news;
      try {
        news = (await this.server.news({ ticket: this.ticket, language: language() })).events;
        silent = 0;
      } catch {
        silent += 1;
        news = silent > 5 ? [{ event: 'failed', message: this.lost }] : [];
      }
      if (mine !== this.turn) return;
      for (const event of news) {
        waiting = event.event === 'waiting';
        if (event.event === 'end' || event.event === 'failed') this.running = false;
        this.take(event);
      }
      await pause(waiting ? 600 : 120);
    }
  }

  // Hear nothing more of it, and let it end.
  leave() {
    this.stop();
    this.turn += 1;
    this.running = false;
  }

  // End it after the step that is under way; "end" still comes.
  stop() {
    if (this.running) this.server.stop({ ticket: this.ticket });
  }
}

// While a panel is looked at a training process stays ready: the first points come as soon as one presses.
export function staysReady(server, root) {
  let last = -Infinity;
  const ask = () => {
    if (!root.offsetParent || document.hidden || performance.now() - last < 30_000) return;
    last = performance.now();
    server.warm({}).catch(() => {
      last = -Infinity;
    });
  };
  new ResizeObserver(ask).observe(root);
  root.addEventListener('pointerenter', ask);
  root.addEventListener('focusin', ask);
  setInterval(ask, 45_000);
}
