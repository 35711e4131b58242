// `desk:toast` {text, kind, link?: {href, text}, undo?: {href, text}}, from HX-Trigger or from a script.
// A toast goes by itself after some seconds, not while the pointer or the focus is on it; one with 撤销 stays longer.
const box = document.getElementById('toasts');
const template = document.getElementById('tpl-toast');

function raise() {
  // A modal dialog covers everything outside the top layer; a popover joins it, and showing it again puts it on top.
  if (!box?.showPopover) return;
  box.popover = 'manual';
  if (box.matches(':popover-open')) box.hidePopover();
  if (box.childElementCount) box.showPopover();
}

function dismiss(toast) {
  toast.remove();
  if (box.showPopover && !box.childElementCount && box.matches(':popover-open')) box.hidePopover();
}

function arm(toast) {
  const stay = toast.querySelector('.desk-toast-undo:not([hidden])') ? 12000 : 6000;
  // What went wrong stays until it was read.
  if (toast.classList.contains('is-danger')) return;
  let timer = setTimeout(() => dismiss(toast), stay);
  const hold = () => clearTimeout(timer);
  const resume = () => { hold(); timer = setTimeout(() => dismiss(toast), 3000); };
  toast.addEventListener('pointerenter', hold);
  toast.addEventListener('focusin', hold);
  toast.addEventListener('pointerleave', resume);
  toast.addEventListener('focusout', resume);
}

function show({ text, kind = 'info', link, undo }) {
  if (!box || !template || !text) return;
  const toast = template.content.firstElementChild.cloneNode(true);
  toast.classList.add(`is-${kind}`);
  toast.querySelector('.desk-toast-text').textContent = text;
  const anchor = toast.querySelector('.desk-toast-link');
  if (link?.href) {
    anchor.href = link.href;
    anchor.textContent = link.text || '查看';
    anchor.hidden = false;
  }
  const button = toast.querySelector('.desk-toast-undo');
  if (undo?.href) {
    button.textContent = undo.text || '撤销';
    button.hidden = false;
    button.addEventListener('click', () => {
      button.disabled = true;
      window.htmx.ajax('POST', undo.href, { source: document.body, swap: 'none' }).then(() => dismiss(toast));
    });
  }
  box.append(toast);
  while (box.childElementCount > 4) dismiss(box.firstElementChild);
  raise();
  arm(toast);
}

document.addEventListener('desk:toast', (event) => show(event.detail));
document.addEventListener('click', (event) => {
  const close = event.target.closest('[data-toast-close]');
  if (close) dismiss(close.closest('.desk-toast'));
});
document.addEventListener('desk:dialog-open', () => { if (box?.childElementCount) raise(); });

// Those that the server wrote into the page.
box?.querySelectorAll('[data-toast]').forEach(arm);
if (box?.childElementCount) raise();

// Copy buttons answer beside the pointer rather than by a toast.
document.addEventListener('click', async (event) => {
  const button = event.target.closest('[data-copy]');
  if (!button) return;
  try {
    await navigator.clipboard.writeText(button.dataset.copy);
  } catch {
    // Without a secure context there is no clipboard; select the text so that Ctrl+C works.
    const code = button.parentElement.querySelector('code');
    if (code) getSelection().selectAllChildren(code);
    return;
  }
  button.classList.add('is-copied');
  const word = button.querySelector('span');
  const before = word?.textContent;
  if (word) word.textContent = '已复制';
  setTimeout(() => { button.classList.remove('is-copied'); if (word) word.textContent = before; }, 1500);
});
