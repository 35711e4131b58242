// Around every htmx request: the bar at the top, buttons that work and can't be pressed twice, errors that leave
// the page as it was, and the highlight of what a write has changed.
const bar = document.getElementById('progress');
const errors = document.getElementById('errors');
let running = 0;

const isPoll = (elt) => elt?.matches?.('[data-live]');

function moveBar(step) {
  running = Math.max(0, running + step);
  bar?.classList.toggle('is-running', running > 0);
}

// --- one press, one request -----------------------------------------------------------------------------------

function buttonsOf(detail) {
  const { elt, requestConfig } = detail;
  if (elt.matches('button')) return [elt];
  // A preview while typing must not grey out the button that the person is about to press.
  if (!elt.matches('form') || (requestConfig?.verb ?? 'get') === 'get') return [];
  const outside = elt.id ? document.querySelectorAll(`button[form="${CSS.escape(elt.id)}"]`) : [];
  return [...elt.querySelectorAll('button[type=submit], button:not([type])'), ...outside];
}

function work(button, pressed) {
  button.disabled = true;
  if (!pressed) return;
  button.classList.add('is-working');
  button.setAttribute('aria-busy', 'true');
}

function rest(button) {
  button.disabled = false;
  button.classList.remove('is-working');
  button.removeAttribute('aria-busy');
}

const held = new WeakMap();
const DOWNLOAD_BEGINS = 3000; // milliseconds

document.addEventListener('htmx:beforeSend', (event) => {
  const { detail } = event;
  if (isPoll(detail.elt)) return;
  moveBar(1);
  const submitter = detail.requestConfig?.triggeringEvent?.submitter;
  const buttons = buttonsOf(detail).filter((button) => !button.disabled);
  // A dialog that has been answered is gone; the button that had opened it shows the work.
  const shown = submitter?.closest('dialog') ? detail.elt.querySelector('[data-confirm]') : submitter;
  for (const button of buttons) work(button, !shown || button === shown);
  held.set(detail.xhr, buttons);
});

// afterRequest can miss elements that the answer removed, loadend of the request itself can't.
document.addEventListener('htmx:beforeSend', ({ detail }) => {
  if (isPoll(detail.elt)) return;
  detail.xhr.addEventListener('loadend', () => {
    moveBar(-1);
    (held.get(detail.xhr) ?? []).forEach(rest);
  });
});

// A plain form post leaves the page: its button stays busy until then. htmx prevents the default, hence the wait.
document.addEventListener('submit', (event) => {
  const form = event.target;
  if (form.method !== 'post') return;
  setTimeout(() => {
    if (event.defaultPrevented) return;
    for (const button of form.querySelectorAll('button[type=submit], button:not([type])')) {
      work(button, button === event.submitter);
      // A file that is taken away leaves the page where it is.
      if (form.matches('[data-download]')) setTimeout(rest, DOWNLOAD_BEGINS, button);
    }
  });
});
window.addEventListener('pageshow', (event) => {
  if (event.persisted) document.querySelectorAll('.is-working, button[disabled][aria-busy]').forEach(rest);
});

// --- errors ---------------------------------------------------------------------------------------------------

function say(templateId, status) {
  const copy = document.getElementById(templateId)?.content.cloneNode(true);
  if (!copy || !errors) return;
  const slot = copy.querySelector('[data-error-status]');
  if (slot) slot.textContent = String(status);
  errors.replaceChildren(copy);
}

document.addEventListener('htmx:beforeSwap', ({ detail }) => {
  const { xhr } = detail;
  if (xhr.status < 400) {
    // The next good answer to something that a person did makes the old error stale.
    // A question that stands there (who are you?) waits for its own answer.
    if (!isPoll(detail.requestConfig?.elt) && !errors?.querySelector('dialog')) errors?.replaceChildren();
    return;
  }
  if (isPoll(detail.requestConfig?.elt)) {
    detail.shouldSwap = false;
    return;
  }
  // Our own error pages say where they belong; a proxy's error page must never land inside a row.
  if (xhr.getResponseHeader('HX-Retarget')) {
    detail.shouldSwap = true;
    detail.isError = false;
  } else if (!detail.shouldSwap) {
    say('tpl-error', xhr.status);
  }
});

for (const name of ['htmx:sendError', 'htmx:timeout']) {
  document.addEventListener(name, ({ detail }) => {
    if (!isPoll(detail.elt)) say('tpl-offline');
  });
}

document.addEventListener('click', (event) => {
  if (event.target.closest('[data-error-close]')) errors?.replaceChildren();
});

// --- filters and highlights -----------------------------------------------------------------------------------

// Empty filters would only make the shared address longer.
document.addEventListener('htmx:configRequest', ({ detail }) => {
  if (!detail.elt.matches('[data-filters]')) return;
  for (const [name, value] of Object.entries(detail.parameters)) {
    if (value === '') delete detail.parameters[name];
  }
});

// A list that answers while someone types may bring its own filter row with it: what was typed meanwhile stays,
// with the focus, and is asked for in its turn.
let typed = null;
document.addEventListener('htmx:beforeSwap', ({ detail }) => {
  const field = document.activeElement;
  typed = detail.target.contains(field) && field.closest('[data-filters]') && field.name
    ? { name: field.name, value: field.value, type: field.type, start: field.selectionStart } : null;
});
document.addEventListener('htmx:afterSwap', () => {
  if (!typed) return;
  const { name, value, type, start } = typed;
  typed = null;
  const field = document.querySelector(`[data-filters] [name="${CSS.escape(name)}"]`);
  if (!field) return;
  field.focus({ preventScroll: true });
  if (type !== 'search' && type !== 'text') return;
  field.value = value;
  field.setSelectionRange(start, start);
  // htmx wires the new row when it settles; what the server has not heard of yet is asked then.
  document.addEventListener('htmx:afterSettle', () => {
    if (field.value !== field.defaultValue) field.dispatchEvent(new Event('input', { bubbles: true }));
  }, { once: true });
});

document.addEventListener('htmx:afterSettle', ({ detail }) => {
  if ((detail.requestConfig?.verb ?? 'get') === 'get') return;
  const { elt } = detail;
  if (!elt?.matches?.('tr, [data-fresh]')) return;
  elt.classList.add('is-fresh');
  setTimeout(() => elt.classList.remove('is-fresh'), 1800);
});

// An answer that is a refused form: the first thing wrong gets the focus.
document.addEventListener('htmx:afterSettle', ({ detail }) => {
  if (detail.xhr?.status !== 422) return;
  // Of an outer swap the target is the element that was replaced.
  const form = detail.target?.isConnected ? detail.target : detail.elt;
  const wrong = form?.querySelector?.('.is-invalid:not(.money-input, .dropzone), .money-input.is-invalid input, .dropzone.is-invalid input, [data-refusal]');
  wrong?.focus();
});
