// Times by the server's clock and the studio's zone, whatever the computer's own clock says:
// the clock in the bar, countdowns, 「今天 19:00」 past midnight, 「5 分钟前」.
const ZONE = 'Asia/Shanghai';
const meta = document.querySelector('meta[name="desk-now"]');
let offset = meta ? Date.parse(meta.content) - Date.now() : 0;
// The page may come from the back-forward cache with an old time; the answers of later requests mend the offset.
const now = () => Date.now() + offset;

document.addEventListener('htmx:afterRequest', ({ detail }) => {
  const told = Date.parse(detail.xhr?.getResponseHeader('Date') ?? '');
  // The header has whole seconds, so smaller differences mean nothing.
  if (told && Math.abs(told - now()) > 3000) offset = told - Date.now();
});

const parts = new Intl.DateTimeFormat('zh-CN', {
  timeZone: ZONE, year: 'numeric', month: 'numeric', day: 'numeric', hour: '2-digit', minute: '2-digit', hourCycle: 'h23',
});
function studio(moment) {
  const found = Object.fromEntries(parts.formatToParts(moment).map(({ type, value }) => [type, value]));
  return { ...found, day0: Date.UTC(found.year, found.month - 1, found.day) };
}
const clock = ({ hour, minute }) => `${hour}:${minute}`;

function when(moment, today) {
  const at = studio(moment);
  const days = Math.round((at.day0 - today.day0) / 86400000);
  const near = { '-1': '昨天', 0: '今天', 1: '明天' }[days];
  if (near) return `${near} ${clock(at)}`;
  const weekday = '日一二三四五六'[new Date(at.day0).getUTCDay()];
  const year = at.year === today.year ? '' : `${at.year}年`;
  return `${year}${at.month}月${at.day}日 周${weekday} ${clock(at)}`;
}

function ago(moment) {
  const minutes = Math.floor((now() - moment) / 60000);
  if (minutes < 1) return '刚刚';
  if (minutes < 60) return `${minutes} 分钟前`;
  if (minutes < 2880) return `${Math.floor(minutes / 60)} 小时前`;
  return `${Math.floor(minutes / 1440)} 天前`;
}

function left(ms) {
  const total = Math.ceil(ms / 1000);
  const two = (n) => String(n).padStart(2, '0');
  const [h, m, s] = [Math.floor(total / 3600), Math.floor(total / 60) % 60, total % 60];
  if (h >= 48) return `${Math.floor(h / 24)} 天 ${h % 24} 小时`;
  return h ? `${h}:${two(m)}:${two(s)}` : `${two(m)}:${two(s)}`;
}

function put(node, text) { if (node.textContent !== text) node.textContent = text; }

function countdowns() {
  for (const node of document.querySelectorAll('[data-countdown]')) {
    const rest = Date.parse(node.dateTime) - now();
    if (rest > 0) {
      put(node, left(rest));
    } else if (!node.classList.contains('is-over')) {
      node.classList.add('is-over');
      put(node, node.dataset.countdown);
      node.dispatchEvent(new CustomEvent('desk:deadline', { bubbles: true }));
    }
  }
}

let shownMinute = null;
function minutely(force = false) {
  const today = studio(now());
  const minute = clock(today);
  if (minute === shownMinute && !force) return;
  shownMinute = minute;
  document.querySelectorAll('[data-clock]').forEach((node) => put(node, minute));
  document.querySelectorAll('[data-when]').forEach((node) => put(node, when(Date.parse(node.dateTime), today)));
  document.querySelectorAll('[data-ago]').forEach((node) => put(node, ago(Date.parse(node.dateTime))));
}

setInterval(() => { if (!document.hidden) { countdowns(); minutely(); } }, 1000);
document.addEventListener('visibilitychange', () => { if (!document.hidden) { countdowns(); minutely(true); } });
document.addEventListener('htmx:load', countdowns);
countdowns();
minutely();
