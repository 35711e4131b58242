// Small help in forms. The server decides everything; this only spares people a refusal.

// Input methods leave full-width digits, spreadsheets leave separators; the server takes neither.
function tidy(text) {
  return text.normalize('NFKC').replace(/[¥￥,，\s]/g, '').replace(/。/g, '.');
}

document.addEventListener('change', (event) => {
  if (!event.target.matches('[data-money]')) return;
  const clean = tidy(event.target.value);
  if (clean === event.target.value) return;
  event.target.value = clean;
  event.target.dispatchEvent(new Event('input', { bubbles: true }));
});
// Enter submits without a change event in some browsers, so tidy once more on the way out.
document.addEventListener('submit', (event) => {
  event.target.querySelectorAll('[data-money]').forEach((field) => { field.value = tidy(field.value); });
}, true);
document.addEventListener('htmx:configRequest', ({ detail }) => {
  const form = detail.elt.closest?.('form');
  form?.querySelectorAll('[data-money][name]').forEach((field) => {
    if (field.name in detail.parameters) detail.parameters[field.name] = tidy(field.value);
  });
});

// What the browser itself finds missing is said where the server would say it, and in Chinese whatever its language.
function complaint(field) {
  const label = field.labels?.[0]?.firstChild?.textContent.trim() || field.closest('fieldset')?.querySelector('legend')?.textContent.trim() || '这一项';
  const { validity } = field;
  const chosen = field.matches('select, [type=radio], [type=checkbox], [type=file]');
  if (validity.valueMissing) return `${chosen ? '请选择' : '请填写'}${label}`;
  if (validity.tooShort) return `${label}至少 ${field.minLength} 个字`;
  if (validity.rangeUnderflow) return `${label}不能小于 ${field.min}`;
  if (validity.rangeOverflow) return `${label}不能大于 ${field.max}`;
  return `${label}格式不对`;
}

let firstWrong = null;
document.addEventListener('invalid', (event) => {
  const field = event.target;
  const place = field.closest('.field');
  // Outside our fields (a filter, a small form) the browser's own bubble is all there is.
  if (!place) return;
  event.preventDefault();
  (field.closest('.money-input') ?? field).classList.add('is-invalid');
  field.setAttribute('aria-invalid', 'true');
  place.querySelectorAll('.field-error').forEach((line) => line.remove());
  const line = document.createElement('div');
  line.className = 'field-error';
  line.textContent = complaint(field);
  place.append(line);
  // One invalid event comes per field, in order; the focus goes to the first of the batch.
  if (firstWrong) return;
  firstWrong = field;
  setTimeout(() => { firstWrong.focus(); firstWrong = null; });
}, true);

// A field that is being mended loses its red at the first key; the message stays until the next answer.
document.addEventListener('input', (event) => {
  event.target.classList?.remove('is-invalid');
  event.target.removeAttribute?.('aria-invalid');
  event.target.closest?.('.money-input')?.classList.remove('is-invalid');
});

// [data-shows="name=value"] is shown while that field of its form has that value, and not sent otherwise.
function reveal(form) {
  form.querySelectorAll('[data-shows]').forEach((part) => {
    const [name, wanted] = part.dataset.shows.split('=');
    const field = form.elements[name];
    const shown = wanted.split('|').includes(field?.value ?? '');
    part.hidden = !shown;
    part.querySelectorAll('input, select, textarea').forEach((input) => { input.disabled = !shown; });
  });
}
const revealAll = (root) => root.querySelectorAll?.('form:has([data-shows])').forEach(reveal);
document.addEventListener('change', (event) => { if (event.target.form?.querySelector('[data-shows]')) reveal(event.target.form); });
document.addEventListener('htmx:load', (event) => revealAll(event.detail.elt));
revealAll(document);

// Choosing all rows of a list: the box in the head, with the in-between state.
document.addEventListener('change', (event) => {
  const box = event.target;
  const table = box.closest?.('table');
  if (!table || !box.matches('[data-check-all], [data-check]')) return;
  const all = table.querySelector('[data-check-all]');
  const boxes = [...table.querySelectorAll('[data-check]')];
  if (box === all) boxes.forEach((each) => { each.checked = all.checked; });
  const chosen = boxes.filter((each) => each.checked).length;
  if (all) {
    all.checked = chosen > 0 && chosen === boxes.length;
    all.indeterminate = chosen > 0 && chosen < boxes.length;
  }
  table.dispatchEvent(new CustomEvent('desk:chosen', { bubbles: true, detail: { count: chosen } }));
});

// 「办理勾选的」 waits for the first tick and says how many there are. A page that the browser brings back has its ticks.
function countTicked(root) {
  root.querySelectorAll?.('[data-choose-ticked]').forEach((button) => {
    // Not `form.id`: the boxes are called so.
    const form = button.form.getAttribute('id');
    const ticked = document.querySelectorAll(`[data-check][form="${form}"]:checked`).length;
    const [before, after] = button.dataset.chooseTicked.split('#');
    button.disabled = !ticked;
    button.textContent = ticked ? before + ticked + after : before.trim();
  });
}
document.addEventListener('desk:chosen', () => countTicked(document));
document.addEventListener('htmx:load', () => countTicked(document));
addEventListener('pageshow', () => countTicked(document));
