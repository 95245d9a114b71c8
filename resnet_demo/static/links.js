// The state of the page lives in its address, so that a lesson can link to it. Photos never do.
(() => {
  const asked = new URLSearchParams(location.search);
  const all = (selector) => [...document.querySelectorAll(selector)];
  let example = asked.get('example');
  let touched = false; // until the visitor does something, the address is what it was opened with
  let planned = null;

  window.leaveExample = () => {
    example = null;
  };

  function state() {
    const checked = (id) => document.querySelector(`#${id} input[aria-checked="true"]`)?.value;
    const selected = document.querySelector('#roadmap .cell.selected')?.dataset.block ?? checked('block');
    const gates = all('#gates fieldset').map((set) => [...set.querySelectorAll('input')].map((slider) => slider.value));
    return {
      network: document.querySelector('#network input')?.value.split(' · ')[0],
      block: selected === undefined ? null : String(Number(selected) + 1),
      panel: document.querySelector('#panels [role=tab][aria-selected=true]')?.dataset.tabId,
      channels: checked('channels'),
      order: checked('order'),
      channel: document.querySelector('#inside .tile.lit')?.dataset.channel,
      gates: gates.some((pair) => pair.some((value) => value !== '1')) ? gates.map((pair) => pair.join('-')).join('_') : null,
      example,
    };
  }

  function write() {
    planned = null;
    const params = new URLSearchParams(location.search);
    for (const [key, value] of Object.entries(state())) {
      if (value) params.set(key, value);
      else params.delete(key);
    }
    const query = params.toString();
    if (query === location.search.slice(1)) return;
    history.replaceState(history.state, '', `?${query}`);
    // on Spaces the page is inside another one, which shows the address
    if (window.parent !== window) window.parent.postMessage({ queryString: query }, 'https://huggingface.co');
  }

  function plan() {
    if (touched && planned === null) planned = setTimeout(write, 250);
  }

  for (const kind of ['click', 'input', 'change', 'keydown']) {
    document.addEventListener(
      kind,
      (event) => {
        if (!event.isTrusted) return;
        touched = true;
        const button = event.target.closest?.('[data-example]');
        if (kind === 'click' && button) example = button.title;
        plan();
      },
      true,
    );
  }

  // The server restores the rest; a panel is opened as a visitor would open it, once there is something in it.
  function open() {
    const tab = document.querySelector(`#panels [role=tab][data-tab-id="${CSS.escape(asked.get('panel') ?? '')}"]`);
    const ready = document.querySelector(asked.get('example') ? '#roadmap button.cell' : '#roadmap');
    if (!tab || !ready) return setTimeout(open, 100);
    tab.click();
  }

  function start() {
    if (asked.get('panel')) open();
    new MutationObserver(plan).observe(document.body, { childList: true, subtree: true });
  }
  if (document.body) start();
  else document.addEventListener('DOMContentLoaded', start);
})();
