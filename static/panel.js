// The side panel: whatever htmx puts into #panel opens it. It is not modal, so that the list beside it stays in
// reach: another row or `j` `k` change what it shows. Esc closes it and gives the focus back to the row.
const frame = document.getElementById('panel-frame');
const panel = document.getElementById('panel');
let opener = null;
let source = null; // address of what is shown, for keeping a form over a lost session

const isDirty = () => Boolean(panel?.querySelector('form[data-dirty]'));

function markRow() {
  document.querySelectorAll('tr.is-open').forEach((row) => row.classList.remove('is-open'));
  opener?.closest('tr')?.classList.add('is-open');
}

function open() {
  if (!panel.childElementCount) return close(true);
  frame.hidden = false;
  document.documentElement.classList.add('has-panel');
  markRow();
}

function reallyClose() {
  panel.replaceChildren();
  frame.hidden = true;
  delete panel.dataset.source;
  document.documentElement.classList.remove('has-panel');
  document.querySelectorAll('tr.is-open').forEach((row) => row.classList.remove('is-open'));
  // The row may have been replaced by its own fresh version meanwhile; then its link is found by address.
  const back = opener?.isConnected ? opener
    : source && document.querySelector(`[data-row-open][href="${CSS.escape(source)}"]`);
  back?.focus({ preventScroll: true });
  opener = null;
}

function close(force = false) {
  if (!frame || frame.hidden) return;
  if (force || !isDirty()) return reallyClose();
  const detail = {
    text: '侧栏里填写的内容还没有提交，关闭后会丢失。', act: '放弃填写', stay: '继续填写', kind: 'danger', then: reallyClose,
  };
  document.dispatchEvent(new CustomEvent('desk:ask', { detail }));
}

if (frame && panel) {
  document.addEventListener('htmx:beforeRequest', (event) => {
    const { detail } = event;
    if (detail.target !== panel || detail.requestConfig.verb !== 'get') return;
    if (panel.contains(detail.elt)) return;
    if (isDirty() && !event.detail.requestConfig.unloadForm) {
      event.preventDefault();
      const { elt } = detail;
      const then = () => { panel.querySelectorAll('form[data-dirty]').forEach((form) => delete form.dataset.dirty); elt.click(); };
      const ask = { text: '侧栏里填写的内容还没有提交，换一条会丢失。', act: '放弃填写', stay: '继续填写', kind: 'danger', then };
      document.dispatchEvent(new CustomEvent('desk:ask', { detail: ask }));
      return;
    }
    opener = detail.elt;
    frame.setAttribute('aria-busy', 'true');
  });
  document.addEventListener('htmx:afterSwap', ({ detail }) => {
    if (detail.target !== panel) return;
    frame.removeAttribute('aria-busy');
    if (detail.requestConfig.verb === 'get' && detail.xhr.status < 300) {
      source = detail.pathInfo?.requestPath ?? null;
      panel.dataset.source = source ?? '';
    }
    const wasHidden = frame.hidden;
    open();
    panel.scrollTop = 0;
    if (wasHidden || detail.requestConfig.verb === 'get') {
      const first = panel.querySelector('[autofocus]') ?? panel.querySelector('.panel-head h2');
      first?.focus({ preventScroll: true });
    }
  });
  document.addEventListener('htmx:afterRequest', ({ detail }) => {
    if (detail.target === panel) frame.removeAttribute('aria-busy');
  });
  document.addEventListener('input', (event) => {
    const form = event.target.closest('#panel form');
    if (form && !form.matches('[data-filters]')) form.dataset.dirty = '';
  });
  document.addEventListener('click', (event) => {
    const closer = event.target.closest('[data-panel-close]');
    // The same fragment on a page of its own: giving up leads back to where the person came from.
    if (closer && !panel.contains(closer)) history.back();
    else if (closer) close();
  });
  document.addEventListener('desk:panel-close', () => close(true));
  document.addEventListener('desk:escape', (event) => {
    if (frame.hidden || event.defaultPrevented) return;
    event.preventDefault();
    close();
  });
}
