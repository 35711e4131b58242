// The family's bookings: the list by state, and one of them with what may still be done.

import { api, h, money, sheet, time, toast } from "./core.js";
import { when } from "./day.js";
import { growing } from "./list.js";
import { spoken } from "./minutes.js";
import { facts, scheduleFacts } from "./schedule.js";

const SOURCES = { wallet: "钱包", wechat_pay: "微信支付", makeup_credit: "待补课", staff: "前台预约" };
const KINDS = { regular: "正式课", trial: "体验课", makeup: "补课" };
const VIEWS = [["booked", "已预约"], ["on_leave", "已请假"], ["cancelled", "已取消"], ["all", "全部"]];
const ENDS = { trial: "取消后，退款由馆方处理。", makeup: "取消后，待补课退回，有效期不变；用掉的课时补偿退回，得到的收回。" };
const redraw = () => dispatchEvent(new Event("redraw"));

const row = (booking) => h("li", {},
  h("a", { class: "cell", href: `#booking/${booking.id}` },
    h("span", { class: "main" },
      h("b", {}, booking.schedule.course_name),
      h("span", { class: "sub" }, when(booking.schedule)),
      h("span", { class: "sub" }, `${booking.profile_name} · ${booking.schedule.coach.name} · ${booking.schedule.venue.name}`)),
    h("span", { class: "side" }, h("span", { class: `badge ${booking.status}` }, booking.status_text), h("span", { class: "money" }, money(booking.price))),
    h("span", { class: "more", "aria-hidden": "true" }, "›")));

export const bookings = {
  id: "bookings",
  title: "我的预约",
  tab: { label: "预约", icon: "booking" },
  async show(screen, rest) {
    const view = VIEWS.some(([name]) => name === rest) ? rest : "booked";
    const list = h("div");
    screen.replaceChildren(
      h("div", { class: "segments" }, VIEWS.map(([name, label]) =>
        h("button", { type: "button", "aria-pressed": String(name === view), onclick: () => { location.hash = `bookings/${name}`; } }, label))),
      list);
    await growing(list, `/bookings/my?limit=20${view === "all" ? "" : `&status=${view}`}`, row, "这里还没有预约。");
  },
};

const REASON = [{ name: "reason", label: "原因（选填）", maxLength: 200 }];
const said = ({ reason }) => (reason.trim() ? { reason: reason.trim() } : {});

async function cancel(booking) {
  const key = crypto.randomUUID();
  const done = await sheet({
    title: "取消预约",
    text: ENDS[booking.kind] ?? `取消后，${money(booking.price)} 退回钱包。`,
    fields: booking.kind === "makeup" ? [] : REASON, action: "取消预约", close: "再想想",
    save: (values) => (booking.kind === "makeup"
      ? api("DELETE", `/makeup/${booking.id}/cancel`, undefined, key)
      : api("POST", `/bookings/${booking.id}/cancel`, said(values), key)),
  });
  if (!done) return;
  if (done.credit) toast(`已取消，待补课已退回${done.remaining_compensation ? `，现有课时补偿${spoken(done.remaining_compensation)}` : ""}`);
  else toast(done.refund_amount === "0.00" ? "已取消" : `已取消，${money(done.refund_amount)} 已退回钱包`);
  redraw();
}

async function leave(booking) {
  const key = crypto.randomUUID();
  const done = await sheet({
    title: "请假",
    text: "请假不退费，保留一次补课机会；座位会让给其他学员。",
    fields: REASON, action: "确认请假", close: "再想想",
    save: (values) => api("POST", `/bookings/${booking.id}/leave`, said(values), key),
  });
  if (!done) return;
  toast(`已请假，${time(done.makeup_credit.valid_until)}前可以补课`);
  redraw();
}

function choices(booking) {
  const buttons = [
    booking.can_leave && h("button", { class: "grey-button", type: "button", onclick: () => leave(booking) }, "请假"),
    booking.status === "on_leave" && h("button", { class: "grey-button", type: "button", onclick: () => { location.hash = "makeups"; } }, "去补课"),
    booking.can_cancel && h("button", { class: "grey-button danger", type: "button", onclick: () => cancel(booking) }, "取消预约"),
  ].filter(Boolean);
  return buttons.length ? h("ul", { class: "cells" }, buttons.map((button) => h("li", {}, button))) : null;
}

function cutoff(booking) {
  if (booking.can_cancel) return `${time(booking.cancel_until)}前可以取消${booking.kind === "makeup" ? "，待补课退回" : "并退费"}`;
  return booking.can_leave ? "已过取消时限，可以请假，保留一次补课机会" : "";
}

export const booking = {
  id: "booking",
  title: "预约详情",
  async show(screen, rest) {
    const found = await api("GET", `/bookings/${rest}`);
    const parts = [
      h("section", { class: "paper" },
        h("p", { class: "headline" }, h("b", {}, found.profile_name), h("span", { class: `badge ${found.status}` }, found.status_text)),
        facts([...scheduleFacts(found.schedule), ["种类", KINDS[found.kind]], ["价格", money(found.price)],
          ["来源", SOURCES[found.source]], ["预约于", time(found.created_at)], ["取消", cutoff(found)]])),
      choices(found),
    ];
    screen.replaceChildren(...parts.filter(Boolean));
  },
};
