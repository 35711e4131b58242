// The messages on this phone: WeChat's service messages (asked for every two seconds, 204 while nothing is
// new) and the number of unread notices inside the mini program.

import { api, parent, session, wechat } from "./core.js";

const SEEN = `seen:${parent.openid}`;
const listeners = { arrived: () => {}, changed: () => {} };
let revision = "";
let items = [];
let started = false;
let notices = 0;

const seen = () => new Set(JSON.parse(localStorage.getItem(SEEN) || "[]"));

async function poll() {
  if (document.hidden) return;
  let answer;
  try {
    answer = await wechat("GET", `/messages?rev=${revision}`);
  } catch {
    return; // the sandbox is away; the next round asks again
  }
  if (!answer) return;
  const known = new Set(items.map((m) => m.id));
  const fresh = answer.items.filter((m) => !known.has(m.id));
  ({ rev: revision, items } = answer);
  if (started && fresh.length) {
    listeners.arrived(fresh.at(-1));
    await inbox.recount();
  }
  started = true;
  listeners.changed();
}

export const inbox = {
  all: () => items,
  unread: () => notices + items.filter((m) => !seen().has(m.id)).length,
  markSeen() {
    localStorage.setItem(SEEN, JSON.stringify(items.map((m) => m.id)));
    listeners.changed();
  },
  setNotices(count) {
    notices = count;
    listeners.changed();
  },
  /** Asks the app how many notices are unread; without an answer the old number stays. */
  async recount() {
    if (!session.read()) return;
    try {
      inbox.setNotices((await api("GET", "/notifications?limit=1")).unread_count ?? 0);
    } catch {
      listeners.changed();
    }
  },
  watch(callbacks) {
    Object.assign(listeners, callbacks);
    poll();
    inbox.recount();
    setInterval(poll, 2000);
    setInterval(() => document.hidden || inbox.recount(), 15000);
  },
};
