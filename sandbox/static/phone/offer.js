// Answering an offered seat: begin, what is left of the time by the server's clock, confirm, or let it go.

import { api, h, sheet, toast } from "./core.js";
import { bill } from "./bill.js";
import { when } from "./day.js";
import { kept } from "./kept-orders.js";
import { ticking } from "./live.js";
import { openOrder, pay } from "./pay.js";
import { facts, scheduleFacts } from "./schedule.js";

/** After these there is nothing left to answer: what is said besides the server's sentence. */
const OVER = { SEAT_TAKEN: "您仍在候补中，再有名额会通知您。", OFFER_EXPIRED: "", NO_OFFER: "", WAITLIST_CLOSED: "" };
const redraw = () => dispatchEvent(new Event("redraw"));

/** One answer, with a key for it, so that a tap after a lost answer acts once. */
const respond = (entry, action, key) => api("PUT", `/waitlist/${entry.id}/respond`, { action }, key);

/** Seconds until the offer ends, both moments by the server's clock. */
export const secondsLeft = (offer) => Math.max(0, (new Date(offer.deadline) - new Date(offer.server_time)) / 1000);

const question = (seconds) => (seconds >= 60
  ? `确认预约？还剩${Math.floor(seconds / 60)}分钟决策时间`
  : seconds > 0 ? `确认预约？还剩${seconds}秒决策时间` : "确认预约？决策时间已到");

async function over(error) {
  redraw();
  await sheet({ title: error.message, text: OVER[error.code], action: null, close: "知道了" });
}

/** Marks the start, shows the question with the time left, and books. */
export async function take(entry) {
  let begun;
  try {
    ({ entry: begun } = await respond(entry, "begin", crypto.randomUUID()));
  } catch (error) {
    if (error.code in OVER) return over(error);
    throw error;
  }
  const trial = entry.schedule.course_type === "trial";
  const wallet = trial || entry.credit_id ? null : await api("GET", "/wallet");
  const key = crypto.randomUUID();
  const done = await sheet({
    title: begun.offer ? ticking(secondsLeft(begun.offer), question) : "确认预约？",
    text: trial ? "确认后为您占座，请在占座时间内用微信支付。" : entry.credit_id ? "用待补课预约，不扣费。" : null,
    body: [facts([["学员", entry.profile_name], ...scheduleFacts(entry.schedule)]), wallet && bill(entry.schedule.price, wallet.balance)],
    action: "确认预约",
    close: "再想想",
    save: async () => {
      try {
        return await respond(entry, "confirm", key);
      } catch (error) {
        if (error.code in OVER) return { error };
        throw error;
      }
    },
  });
  if (!done) return redraw();
  if (done.error) return over(done.error);
  if (done.clashes.length) await others(done.clashes);
  redraw();
  if (done.order) {
    kept.add(done.order);
    return pay(done.order).catch((error) => openOrder(done.order, error.message));
  }
  const open = await sheet({
    title: "预约成功",
    body: facts([["学员", done.booking.profile_name], ...scheduleFacts(done.booking.schedule)]),
    action: "查看预约",
    close: "完成",
    save: async () => true,
  });
  if (open) location.hash = `booking/${done.booking.id}`;
}

/** Other waits of the student at the same time: each may be left, by a tick. */
async function others(clashes) {
  const chosen = await sheet({
    title: "还在候补时间冲突的课",
    text: "这些课与刚约好的课时间冲突，轮到时也不能预约。要退出吗？",
    body: clashes.map((one) => h("label", { class: "consent" },
      h("input", { type: "checkbox", class: "switch", role: "switch", name: String(one.id), checked: true }),
      h("span", { class: "words" }, h("b", {}, one.schedule.course_name), h("span", { class: "sub" }, when(one.schedule))))),
    action: "退出选中的",
    close: "都保留",
    save: async (ticked) => {
      for (const id of Object.keys(ticked)) await api("DELETE", `/waitlist/${id}`);
      return Object.keys(ticked).length;
    },
  });
  if (chosen) toast(`已退出 ${chosen} 个候补`);
}

/** Lets the seat go: one tap. */
export async function decline(entry) {
  try {
    await respond(entry, "decline", crypto.randomUUID());
  } catch (error) {
    if (error.code in OVER) return over(error);
    throw error;
  }
  toast("已放弃，名额让给其他家长");
  redraw();
}

/** Leaves the queue: one tap. */
export async function leave(entry) {
  await api("DELETE", `/waitlist/${entry.id}`);
  toast("已退出候补");
  redraw();
}
