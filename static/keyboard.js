// `/` search · `j` `k` rows · Enter opens (the row's link has the focus) · `x` ticks the row · `?` help · Esc closes ·
// any element with data-key="a" is pressed by that key.
// Single keys can be switched off (WCAG 2.1.4): who speaks to the computer would press them by accident.
const OFF = 'desk-keys-off';
// Storage throws in some private modes; then they are on.
function off() { try { return localStorage.getItem(OFF) !== null; } catch { return false; } }

const choice = document.querySelector('[data-keys-switch]');
if (choice) {
  choice.checked = !off();
  choice.addEventListener('change', () => {
    try {
      if (choice.checked) localStorage.removeItem(OFF);
      else localStorage.setItem(OFF, '1');
    } catch { choice.checked = true; }
  });
}

const typing = (target) => target.closest?.('input:not([type=checkbox]):not([type=radio]), textarea, select, [contenteditable]');

function rows() {
  return [...document.querySelectorAll('[data-rows] [data-row-open]')].filter((link) => link.offsetParent);
}

function step(by) {
  const links = rows();
  if (!links.length) return;
  const open = document.querySelector('tr.is-open [data-row-open]');
  const here = links.indexOf(document.activeElement.closest('tr')?.querySelector('[data-row-open]') ?? open);
  const next = links[Math.min(links.length - 1, Math.max(0, here < 0 ? 0 : here + by))];
  next.focus();
  next.closest('tr')?.scrollIntoView({ block: 'nearest' });
}

document.addEventListener('keydown', (event) => {
  if (event.key === 'Escape') {
    const menu = document.querySelector('details.desk-menu[open]');
    if (menu) {
      menu.open = false;
      menu.querySelector('summary').focus();
      return;
    }
    // Dialogs close themselves; the search and the panel listen for this.
    if (document.querySelector('dialog:modal')) return;
    const unhandled = document.dispatchEvent(new CustomEvent('desk:escape', { cancelable: true }));
    // Otherwise the same key press would close the question that it has just opened.
    if (!unhandled) event.preventDefault();
    return;
  }
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  if (typing(event.target) || off() || document.querySelector('dialog:modal')) return;
  if (event.key === '/') {
    const search = document.getElementById('search');
    if (!search) return;
    event.preventDefault();
    search.focus();
    search.select();
  } else if (event.key === 'j' || event.key === 'k') {
    event.preventDefault();
    step(event.key === 'j' ? 1 : -1);
  } else if (event.key === 'x') {
    event.target.closest?.('tr')?.querySelector('[data-check]')?.click();
  } else if (event.key === '?') {
    document.querySelector('[data-dialog-open="#keys"]')?.click();
  } else if (/^[a-z]$/.test(event.key)) {
    const target = document.querySelector(`[data-key="${event.key}"]`);
    if (!target) return;
    event.preventDefault();
    target.click();
  }
});

// A press anywhere on a row is a press on its link, but not on a control inside it or at the end of a selection.
document.addEventListener('click', (event) => {
  const row = event.target.closest('[data-rows] tbody tr');
  if (!row || event.target.closest('a, button, input, label, select, summary, form, dialog')) return;
  if (String(getSelection())) return;
  row.querySelector('[data-row-open]')?.click();
});

// Menus are <details>: a press elsewhere closes them.
document.addEventListener('click', (event) => {
  for (const menu of document.querySelectorAll('details.desk-menu[open]')) {
    if (!menu.contains(event.target)) menu.open = false;
  }
});
