// Live blocks ask for themselves by revision every few seconds: paused in a hidden tab and while someone types in
// them, at once when the tab comes back, more slowly while the server is away, and saying so.
const SLOWEST = 30;
const due = new WeakMap(); // block → {at, wait}

function plan(block, seconds) {
  due.set(block, { at: performance.now() + seconds * 1000, wait: seconds });
}

const every = (block) => Number(block.dataset.live) || 5;
const busy = (block) => block.contains(document.activeElement) && document.activeElement.matches('input, textarea, select')
  || block.querySelector('dialog[open], details[open]') !== null;

function ask(block) {
  plan(block, every(block));
  window.htmx.trigger(block, 'desk:poll');
}

setInterval(() => {
  if (document.hidden) return;
  const now = performance.now();
  for (const block of document.querySelectorAll('[data-live]')) {
    const next = due.get(block);
    if (!next) plan(block, every(block));
    else if (now >= next.at && !busy(block)) ask(block);
  }
}, 1000);

document.addEventListener('visibilitychange', () => {
  if (!document.hidden) document.querySelectorAll('[data-live]').forEach((block) => { if (!busy(block)) ask(block); });
});

// A countdown that ran out knows that the block around it is out of date; a second of grace for the server's sweep.
document.addEventListener('desk:deadline', (event) => {
  const block = event.target.closest?.('[data-live]');
  if (block) plan(block, 1);
});

// What a page asks by itself is no sign of a person: the server must not prolong an idle session for it.
document.addEventListener('htmx:configRequest', ({ detail }) => {
  if (detail.elt.matches('[data-live]')) detail.headers['X-Desk-Poll'] = '1';
});

function lost(block, yes) {
  block.classList.toggle('is-lost', yes);
  const line = block.querySelector('.live-lost');
  if (line) line.hidden = !yes;
}

document.addEventListener('htmx:afterRequest', ({ detail }) => {
  const block = detail.elt;
  if (!block?.matches?.('[data-live]')) return;
  const answered = detail.xhr && detail.xhr.status >= 200 && detail.xhr.status < 400;
  lost(block, !answered);
  if (!answered) plan(block, Math.min(SLOWEST, (due.get(block)?.wait ?? every(block)) * 2));
});
window.addEventListener('online', () => document.querySelectorAll('[data-live].is-lost').forEach(ask));
