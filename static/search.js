// The top search as a combobox: htmx fetches the answers (250 ms after the last key, older ones dropped),
// arrow keys choose, Enter opens, Esc closes. Without a choice Enter opens the only answer, or the full results page.
const input = document.getElementById('search');
const list = document.getElementById('search-results');

function options() { return [...list.querySelectorAll('[role=option]')]; }
function active() { return list.querySelector('[aria-selected=true]'); }

function choose(option) {
  active()?.setAttribute('aria-selected', 'false');
  option?.setAttribute('aria-selected', 'true');
  option?.scrollIntoView({ block: 'nearest' });
  if (option?.id) input.setAttribute('aria-activedescendant', option.id);
  else input.removeAttribute('aria-activedescendant');
}

function open(yes) {
  list.hidden = !yes;
  input.setAttribute('aria-expanded', String(yes));
  if (!yes) choose(null);
}

if (input && list) {
  document.addEventListener('htmx:beforeRequest', (event) => {
    if (event.detail.elt !== input || input.value.trim()) return;
    // Nothing typed is nothing asked.
    event.preventDefault();
    list.replaceChildren();
    open(false);
  });
  document.addEventListener('htmx:afterSwap', ({ detail }) => {
    if (detail.target !== list) return;
    list.dataset.answers = input.value.trim();
    const useful = document.activeElement === input && input.value.trim() && list.textContent.trim();
    open(Boolean(useful));
  });
  input.addEventListener('focus', () => { if (input.value.trim() && list.textContent.trim()) open(true); });
  input.addEventListener('keydown', (event) => {
    // Enter that ends an input method's composition is not an answer.
    if (event.isComposing) return;
    const all = options();
    if (event.key === 'ArrowDown' || event.key === 'ArrowUp') {
      if (!all.length) return;
      event.preventDefault();
      open(true);
      const at = all.indexOf(active());
      const next = event.key === 'ArrowDown' ? (at + 1) % all.length : (at - 1 + all.length) % all.length;
      choose(all[next]);
    } else if (event.key === 'Enter') {
      // The only answer is meant, unless more was typed since it came.
      const only = all.length === 1 && !list.hidden && list.dataset.answers === input.value.trim() ? all[0] : null;
      const target = active() ?? only;
      if (!target) return;
      event.preventDefault();
      target.click();
    }
  });
  document.addEventListener('desk:escape', (event) => {
    if (document.activeElement !== input && list.hidden) return;
    event.preventDefault();
    if (list.hidden) input.blur();
    open(false);
  }, true);
  document.addEventListener('click', (event) => {
    if (!event.target.closest('.desk-search')) open(false);
  });
  document.addEventListener('focusin', (event) => {
    if (!event.target.closest('.desk-search')) open(false);
  });
}
