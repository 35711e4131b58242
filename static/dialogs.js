// Confirmation. Three ways in: a submit button with data-confirm="#id" (a dialog inside its form), any element with
// hx-confirm (sentence) + data-act (name of the act), and `desk:ask` {text, act, stay, kind, then} from scripts.
const ask = document.getElementById('ask');

function show(dialog) {
  if (!dialog || (dialog.open && dialog.matches(':modal'))) return;
  if (dialog.open) dialog.close();
  dialog.showModal();
  document.dispatchEvent(new CustomEvent('desk:dialog-open'));
  const first = dialog.querySelector('input:not([type=hidden])') ?? dialog.querySelector('[data-dialog-close], .btn');
  first?.focus();
  checkTyped(dialog);
}

// --- the general question ---------------------------------------------------------------------------------------

function question({ text, act = '继续', stay = '返回', kind = 'primary', then }) {
  ask.querySelector('[data-ask-text]').textContent = text;
  const yes = ask.querySelector('[data-ask-yes]');
  yes.textContent = act;
  yes.className = `btn btn-${kind}`;
  ask.querySelector('[data-ask-no]').textContent = stay;
  ask.returnValue = '';
  ask.onclose = () => { if (ask.returnValue === 'yes') then?.(); };
  show(ask);
}

if (ask) {
  document.addEventListener('desk:ask', (event) => question(event.detail));
  document.addEventListener('htmx:confirm', (event) => {
    const { detail } = event;
    if (!detail.question) return;
    event.preventDefault();
    const { act, actKind } = detail.elt.dataset;
    question({ text: detail.question, act, kind: actKind, then: () => detail.issueRequest(true) });
  });
}

// --- a dialog inside its form -----------------------------------------------------------------------------------

document.addEventListener('click', (event) => {
  const opener = event.target.closest('[data-confirm]');
  if (opener) {
    const dialog = document.querySelector(opener.dataset.confirm);
    if (!dialog) return;
    event.preventDefault();
    if (opener.form && !fieldsValid(opener.form, dialog)) return;
    show(dialog);
    return;
  }
  const toOpen = event.target.closest('[data-dialog-open]');
  if (toOpen) show(document.querySelector(toOpen.dataset.dialogOpen));
  const toClose = event.target.closest('[data-dialog-close]');
  if (toClose) toClose.closest('dialog')?.close();
  // A press beside the dialog closes one that only tells; one that asks waits for an answer.
  if (event.target.matches?.('dialog#keys')) event.target.close();
  const print = event.target.closest('[data-print]');
  if (print) window.print();
});

/** The form's own fields, not those inside the dialog that is still to be filled in. */
function fieldsValid(form, dialog) {
  for (const field of form.elements) {
    if (dialog.contains(field) || !field.willValidate || field.checkValidity()) continue;
    field.reportValidity();
    return false;
  }
  return true;
}

// Enter in a field of the form submits by its first submit button, which must be the asking one, not the dialog's.
document.addEventListener('submit', (event) => {
  const dialog = event.target.querySelector?.('dialog[data-modal]');
  if (!dialog || dialog.open || !dialog.contains(event.submitter)) return;
  event.preventDefault();
  event.stopImmediatePropagation();
  if (fieldsValid(event.target, dialog)) show(dialog);
}, true);

// An answered dialog goes at once; the working button and the bar show the rest.
document.addEventListener('htmx:beforeSend', ({ detail }) => {
  if (detail.elt.matches('form')) detail.elt.querySelector('dialog[data-modal][open]')?.close();
});

// One that the server opened is only a box until a script makes it modal.
function adopt(root) {
  root.querySelectorAll?.('dialog[data-modal][open]').forEach(show);
}
document.addEventListener('htmx:load', (event) => adopt(event.detail.elt));
adopt(document);

// --- the figure typed again -------------------------------------------------------------------------------------

const digits = (text) => text.replace(/[^0-9.]/g, '').replace(/(\.\d\d)\d*$/, '$1').replace(/\.0?0?$/, '').replace(/(\.\d)0$/, '$1');

function checkTyped(dialog) {
  const input = dialog?.querySelector('[data-must-equal]');
  if (!input) return;
  const act = dialog.querySelector('button[type=submit]');
  act.disabled = digits(input.value) !== digits(input.dataset.mustEqual);
}
document.addEventListener('input', (event) => {
  if (event.target.matches('[data-must-equal]')) checkTyped(event.target.closest('dialog'));
});
// Enter in that field must not go round the disabled button.
document.addEventListener('keydown', (event) => {
  if (event.key !== 'Enter' || !event.target.matches?.('[data-must-equal]')) return;
  const act = event.target.closest('dialog').querySelector('button[type=submit]');
  event.preventDefault();
  if (!act.disabled) act.click();
});
