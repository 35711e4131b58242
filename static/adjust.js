// The adjust page: the family search chooses with Enter, and reasons follow the type. Everything works without it.
document.addEventListener('keydown', (event) => {
  if (event.isComposing || !event.target.matches?.('[data-find-family]')) return;
  const first = document.querySelector('#families-found [data-found]');
  if (event.key === 'Enter' && first) {
    event.preventDefault();
    first.click();
  } else if (event.key === 'ArrowDown' && first) {
    event.preventDefault();
    first.focus();
  }
});
document.addEventListener('keydown', (event) => {
  if (!event.target.matches?.('[data-found]')) return;
  const to = { ArrowDown: 'nextElementSibling', ArrowUp: 'previousElementSibling' }[event.key];
  if (!to) return;
  event.preventDefault();
  (event.target[to] ?? document.querySelector('[data-find-family]')).focus();
});

// Reasons are grouped by type; those of other types only stand in the way.
function fit(form) {
  const chosen = form.querySelector('[name=type]:checked');
  const select = form.elements.reason_code;
  if (!chosen || !select) return;
  const word = chosen.closest('label').textContent.trim();
  for (const group of select.querySelectorAll('optgroup')) {
    group.hidden = group.label !== '' && group.label !== '通用' && group.label !== word;
    group.disabled = group.hidden;
  }
  if (select.selectedOptions[0]?.parentElement.hidden || !select.value) {
    const group = [...select.querySelectorAll('optgroup')].find((each) => each.label === word);
    select.value = group?.querySelector('option')?.value ?? '';
  }
}
const fitAll = (root) => root.querySelectorAll?.('[data-adjust]').forEach(fit);
document.addEventListener('change', (event) => { if (event.target.name === 'type') fitAll(document); });
document.addEventListener('htmx:load', (event) => fitAll(event.detail.elt.parentElement ?? document));
fitAll(document);
