// Booking a class: what it costs and what is left, the answer, and other classes where this one is full.

import { api, h, money, sheet, toast } from "./core.js";
import { facts, scheduleFacts, scheduleRow } from "./schedule.js";

/** "-12.30" → -1230n: amounts are added as whole fen, never as floats. */
const fen = (amount) => BigInt(amount.replace(".", ""));

function yuan(value) {
  const digits = String(value < 0n ? -value : value).padStart(3, "0");
  return `${value < 0n ? "-" : ""}${digits.slice(0, -2)}.${digits.slice(-2)}`;
}

/** One key for one order, so that pressing again after a lost answer books once; another student is another order. */
function keys() {
  const kept = new Map();
  return (...order) => {
    const name = order.join(":");
    if (!kept.has(name)) kept.set(name, crypto.randomUUID());
    return kept.get(name);
  };
}

function bill(price, balance) {
  const after = yuan(fen(balance) - fen(price));
  return facts([
    ["价格", h("span", { class: "money" }, money(price))],
    ["钱包余额", money(balance)],
    ["预约后余额", h("span", { class: after.startsWith("-") ? "money negative" : "money" }, money(after))],
  ]);
}

/** Asks, books and tells. `student` is the one who is chosen first. Resolves once it is done or given up. */
export async function book(schedule, student) {
  if (schedule.course_type === "trial") return toast("体验课须用微信支付预约");
  const [wallet, { items }] = await Promise.all([api("GET", "/wallet"), api("GET", "/profiles")]);
  const students = items.filter((one) => one.status === "active").map((one) => [String(one.id), one.name]);
  if (!students.length) {
    toast("请先添加学员");
    location.hash = "students";
    return;
  }
  const key = keys();
  let price = schedule.price;
  const cost = h("div", {}, bill(price, wallet.balance));
  const done = await sheet({
    title: "确认预约",
    body: [
      facts(scheduleFacts(schedule)),
      schedule.available > 0 ? null : h("p", { class: "notice" }, "这节课现在已满；若刚好有人取消，仍能约上。"),
      cost,
    ],
    fields: [{ name: "profile_id", label: "学员", options: students, value: String(student ?? students[0][0]) }],
    action: "确认预约",
    save: async ({ profile_id }) => {
      const body = { course_schedule_id: schedule.id, profile_id: Number(profile_id), price };
      try {
        return await api("POST", "/bookings", body, key(profile_id, price));
      } catch (error) {
        if (error.code === "SEAT_FULL") return { full: error.data.alternatives, profile_id };
        if (error.code === "PRICE_CHANGED") {
          price = error.data.price;
          cost.replaceChildren(bill(price, wallet.balance));
        }
        throw error;
      }
    },
  });
  if (!done) return;
  if (done.full) return others(done.full, done.profile_id);
  toast(`预约成功，余额 ${money(done.balance)}`);
  dispatchEvent(new Event("redraw"));
}

/** The class is full: up to three others, each one tap away. */
async function others(alternatives, student) {
  dispatchEvent(new Event("redraw"));
  const chosen = await sheet({
    title: "这节课已满",
    text: alternatives.length ? "同类课程还有空位：" : "近期没有同类课程的空位，请换个时间再看看。",
    body: (done) => h("ul", { class: "cells" }, alternatives.map((one) => scheduleRow(one, { day: true, onclick: () => done(one) }))),
    action: null,
    close: "知道了",
  });
  if (chosen) await book(chosen, student);
}
