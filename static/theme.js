// Runs before the first paint: the saved theme, and the mark that scripts are on.
// The choice is light, dark or auto; auto follows the system and its changes.
(function () {
  const root = document.documentElement;
  const system = window.matchMedia('(prefers-color-scheme: dark)');
  root.classList.add('js');

  function saved() {
    // Storage throws in some private modes; the page must not care.
    try { return localStorage.getItem('desk-theme'); } catch { return null; }
  }
  // A choice made on the account page (the server's default changed since) wins over this browser's older one.
  try {
    const told = root.dataset.themeDefault || 'light';
    const before = localStorage.getItem('desk-theme-default');
    if (before !== null && before !== told) localStorage.removeItem('desk-theme');
    localStorage.setItem('desk-theme-default', told);
  } catch { /* nothing is saved, nothing can be older */ }

  function choice() { return saved() || root.dataset.themeDefault || 'light'; }
  function apply() {
    const chosen = choice();
    const dark = chosen === 'dark' || (chosen === 'auto' && system.matches);
    root.setAttribute('data-bs-theme', dark ? 'dark' : 'light');
    for (const button of document.querySelectorAll('[data-theme-set]')) {
      button.setAttribute('aria-pressed', String(button.dataset.themeSet === chosen));
    }
    document.dispatchEvent(new CustomEvent('desk:theme', { detail: { dark } }));
  }

  apply();
  system.addEventListener('change', apply);
  document.addEventListener('DOMContentLoaded', apply);
  window.addEventListener('storage', (event) => { if (event.key === 'desk-theme') apply(); });
  document.addEventListener('click', (event) => {
    const button = event.target.closest('[data-theme-set]');
    if (!button) return;
    try { localStorage.setItem('desk-theme', button.dataset.themeSet); } catch { /* kept for this page only */ }
    apply();
  });
})();
