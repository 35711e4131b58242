// The server asked for password or code before it does what was submitted. The dialog opens by itself (dialogs.js);
// here the submission is remembered, and goes on once the proof was given. Nothing has to be typed or pressed again.
let waiting = null;
let resuming = null;

document.addEventListener('htmx:beforeOnLoad', ({ detail }) => {
  const { xhr, elt, requestConfig } = detail;
  if (xhr.status !== 403 || !(xhr.getResponseHeader('HX-Trigger') ?? '').includes('desk:step-up')) return;
  const submitter = requestConfig.triggeringEvent?.submitter;
  waiting = {
    elt,
    verb: requestConfig.verb,
    path: requestConfig.path,
    values: submitter?.name ? { [submitter.name]: submitter.value } : {},
  };
});

// The answer has emptied the dialog by then; without a submission to go on with, the person presses again.
document.addEventListener('desk:proved', () => {
  const again = waiting;
  waiting = null;
  if (!again?.elt.isConnected) return;
  resuming = again.elt;
  setTimeout(() => window.htmx.ajax(again.verb, again.path, { source: again.elt, values: again.values }));
});

// What was confirmed before the proof is not asked a second time.
document.addEventListener('htmx:confirm', (event) => {
  if (event.detail.elt !== resuming) return;
  resuming = null;
  if (!event.detail.question) return;
  event.preventDefault();
  event.stopImmediatePropagation();
  event.detail.issueRequest(true);
}, true);

document.addEventListener('click', (event) => {
  if (event.target.closest('#step-up [data-dialog-close]')) waiting = null;
});
