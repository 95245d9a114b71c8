// The state of the page lives in its address, so that a lesson can link to it. Photos never do.
(() => {
  const asked = new URLSearchParams(location.search);
  const all = (selector) => [...document.querySelectorAll(selector)];
  let example = asked.get('example');
  let sound = asked.get('sound');
  let linkedGates = asked.get('gates'); // until there are sliders to read: a panel is made when it is first opened
  let touched = false; // until the visitor does something, the address is what it was opened with
  let planned = null;

  window.leaveExample = () => {
    example = null;
    sound = null;
    linkedGates = null;
  };

  const tabs = () => window.gradio_config.components.filter((c) => c.type === 'tabitem').map((c) => c.props);

  function state() {
    const checked = (id) => document.querySelector(`#${id} input[aria-checked="true"]`)?.value;
    const selected = document.querySelector('#roadmap .cell.selected')?.dataset.block ?? checked('block');
    const gates = all('#gates fieldset').map((set) => [...set.querySelectorAll('input')].map((slider) => slider.value));
    const moved = gates.some((pair) => pair.some((value) => value !== '1'));
    const panel = all('#panels [role=tabpanel]').find((found) => found.offsetParent !== null);
    return {
      network: document.querySelector('#network input')?.value.split(' · ')[0],
      block: selected === undefined ? null : String(Number(selected) + 1),
      panel: panel && tabs().find((tab) => tab.elem_id === panel.id)?.id,
      channels: checked('channels'),
      order: checked('order'),
      channel: document.querySelector('#inside .tile.lit')?.dataset.channel,
      gates: moved ? gates.map((pair) => pair.join('-')).join('_') : gates.length ? null : linkedGates,
      example,
      sound,
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
        const button = event.target.closest?.('[data-example], [data-sound]');
        if (kind === 'click' && button) {
          window.leaveExample();
          if (button.dataset.sound) sound = button.dataset.name;
          else example = button.dataset.name;
        }
        plan();
      },
      true,
    );
  }

  // Another language is another address: what the page shows comes along, but for a photo.
  document.addEventListener('click', (event) => {
    const link = event.target.closest?.('.languages a');
    if (!link) return;
    event.preventDefault();
    if (touched) write();
    const params = new URLSearchParams(location.search);
    params.set('lang', link.hreflang);
    location.search = params;
  });

  // The server restores the rest; a panel is opened as a visitor would open it, once there is something in it.
  // On narrow screens most tabs are in a menu, where only their words tell which is which.
  function open() {
    const tab = window.gradio_config && tabs().find(({ id }) => id === asked.get('panel'));
    const button =
      tab &&
      all('#panels [role=tab], #panels .overflow-dropdown button').find((found) => found.textContent.trim() === tab.label);
    const ready = document.querySelector(asked.get('example') || asked.get('sound') ? '#roadmap button.cell' : '#roadmap');
    if (button && ready) button.click();
    else if (tab || !window.gradio_config) setTimeout(open, 100); // an unknown panel is passed over
  }

  function start() {
    if (asked.get('panel')) open();
    new MutationObserver(plan).observe(document.body, { childList: true, subtree: true });
  }
  if (document.body) start();
  else document.addEventListener('DOMContentLoaded', start);
})();
