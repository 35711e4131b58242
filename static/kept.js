// A lost session must not cost a filled form. On 401 (htmx) and on every plain post the form's contents are put
// aside in sessionStorage; after signing in again on the same page they are put back.
// Never kept: passwords, files, hidden fields (tokens and request keys come fresh from the server).
const PENDING = 'desk-form-pending';
const KEPT = 'desk-form-kept';
const MAX_AGE = 30 * 60 * 1000;

function read(key) {
  try { return JSON.parse(sessionStorage.getItem(key)); } catch { return null; }
}
function write(key, value) {
  try {
    if (value === null) sessionStorage.removeItem(key);
    else sessionStorage.setItem(key, JSON.stringify(value));
  } catch { /* no storage: then the form is lost, as without this script */ }
}

const keepable = (field) => field.name && !field.disabled && !['password', 'file', 'hidden', 'submit', 'button'].includes(field.type)
  && !field.matches('[data-no-keep], [data-must-equal], [autocomplete="one-time-code"]');

function snapshot(form) {
  const fields = [];
  for (const field of form.elements) {
    if (!keepable(field)) continue;
    if (field.type === 'checkbox' || field.type === 'radio') {
      if (field.checked) fields.push([field.name, field.value]);
    } else {
      fields.push([field.name, field.value]);
    }
  }
  if (!fields.some(([, value]) => value)) return null;
  return {
    at: Date.now(),
    page: location.pathname + location.search,
    action: new URL(form.getAttribute('hx-post') || form.action, location.href).pathname,
    panel: form.closest('#panel')?.dataset.source || null,
    fields,
  };
}

function restore(form, fields) {
  const values = new Map();
  for (const [name, value] of fields) values.set(name, [...(values.get(name) ?? []), value]);
  for (const field of form.elements) {
    if (!keepable(field) || !values.has(field.name)) continue;
    const given = values.get(field.name);
    if (field.type === 'checkbox' || field.type === 'radio') field.checked = given.includes(field.value);
    else field.value = given[0];
  }
  // Previews and dependent parts listen to these.
  form.dispatchEvent(new Event('change', { bubbles: true }));
  form.querySelector('[data-money]')?.dispatchEvent(new Event('input', { bubbles: true }));
  document.dispatchEvent(new CustomEvent('desk:toast', {
    detail: { text: '已恢复您登录前填写的内容，请核对后提交。附件需要重新选择。', kind: 'info' },
  }));
}

const isPost = (form) => form.method === 'post' || form.hasAttribute('hx-post');
const signIn = document.body.dataset.page === 'auth';

if (signIn) {
  // The session was lost on the way: what was pending is worth keeping.
  const pending = read(PENDING);
  if (pending) write(KEPT, pending);
  write(PENDING, null);
} else {
  write(PENDING, null);
  document.addEventListener('submit', (event) => {
    if (event.target.matches('form') && isPost(event.target)) write(PENDING, snapshot(event.target));
  });
  document.addEventListener('htmx:beforeOnLoad', ({ detail }) => {
    if (detail.xhr.status !== 401) {
      if (detail.elt.matches('form')) write(PENDING, null);
      return;
    }
    // A poll or a preview may be the first to learn of it, while a form stands half filled.
    const own = detail.elt.closest('form');
    const form = own && isPost(own) ? own : document.querySelector('#panel form[data-dirty], main form[data-dirty]');
    const kept = form && snapshot(form);
    if (kept) write(KEPT, kept);
  });
  document.addEventListener('input', (event) => {
    const form = event.target.closest('main form');
    if (form && isPost(form)) form.dataset.dirty = '';
  });

  const kept = read(KEPT);
  const fits = kept && Date.now() - kept.at < MAX_AGE && kept.page === location.pathname + location.search;
  const find = (root) => [...root.querySelectorAll('form')].find((form) => isPost(form)
    && new URL(form.getAttribute('hx-post') || form.action, location.href).pathname === kept.action);
  const tryRestore = (root) => {
    const form = find(root);
    if (!form) return false;
    write(KEPT, null);
    restore(form, kept.fields);
    return true;
  };
  if (kept && !fits && Date.now() - kept.at >= MAX_AGE) write(KEPT, null);
  if (fits) {
    // htmx finishes reading the page on DOMContentLoaded; previews must be wired before we type into them.
    window.addEventListener('load', () => {
      if (tryRestore(document) || !kept.panel) return;
      document.addEventListener('htmx:afterSettle', function once({ detail }) {
        if (detail.target?.id !== 'panel') return;
        document.removeEventListener('htmx:afterSettle', once);
        tryRestore(detail.target);
      });
      window.htmx.ajax('GET', kept.panel, { target: '#panel', swap: 'innerHTML' });
    });
  }
}
