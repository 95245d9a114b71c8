element.addEventListener('click', (event) => {
  const button = event.target.closest('button[data-sound]');
  if (button) trigger('select', { index: Number(button.dataset.sound) });
});
