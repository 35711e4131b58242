// The trial orders of this phone: the list, and one of them with its seat, its time left and what may still be done.

import { api, busy, h, money, nothing, sheet, time, toast } from "./core.js";
import { others } from "./book.js";
import { when } from "./day.js";
import { kept } from "./kept-orders.js";
import { clock, following, ticking } from "./live.js";
import { cancelled, pay, reserve } from "./pay.js";
import { facts, scheduleFacts } from "./schedule.js";

const REFUNDS = { succeeded: "已退款", closed: "退款已关闭" };
const UNDER_WAY = ["requested", "approved", "processing"];
const TO = { original: "原路退回", wallet: "退到钱包" };

/** Whether asking again may tell more. */
const open = (order) => order.status === "pending" || order.next_action === "wait" || order.refunds.some((one) => UNDER_WAY.includes(one.status));

const row = (order) => h("li", {},
  h("a", { class: "cell", href: `#order/${order.order_id}` },
    h("span", { class: "main" },
      h("b", {}, order.schedule.course_name),
      h("span", { class: "sub" }, when(order.schedule)),
      h("span", { class: "sub" }, `下单于 ${time(order.created_at)}`)),
    h("span", { class: "side" }, h("span", { class: `badge ${order.status}` }, order.status_text), h("span", { class: "money" }, money(order.amount))),
    h("span", { class: "more", "aria-hidden": "true" }, "›")));

/** One order, or null where it is none of this family's (any more). */
async function found(id) {
  try {
    return await api("GET", `/payment/orders/${id}`);
  } catch (error) {
    if (error.status !== 404) throw error;
    kept.forget(id);
    return null;
  }
}

export const orders = {
  id: "orders",
  title: "我的订单",
  async show(screen) {
    let shown = [];
    const draw = async () => {
      shown = (await Promise.all(kept.all().map(found))).filter(Boolean);
      screen.replaceChildren(shown.length ? h("ul", { class: "cells" }, shown.map(row)) : nothing("还没有订单。预约体验课后，订单会列在这里。"));
    };
    await following(screen, draw, () => shown.some(open));
  },
};

function state(order) {
  if (order.status === "pending") {
    return order.seat_status === "held" ? countdown(order.hold.seconds_left) : notice(`占座已结束。${time(order.expires_at)}前可以重新占座并支付。`);
  }
  if (order.closing) return notice("正在向微信关单；若您其实已付款，到账后会自动处理。");
  if (order.seat_status === "unseated") return notice("已收到付款，馆方正在为您安排座位，请留意消息。");
  return null;
}

const notice = (text) => h("p", { class: "notice" }, text);

/** Minutes and seconds until the seat is given away. */
const countdown = (seconds) =>
  h("p", { class: "notice countdown" }, "请在 ", ticking(seconds, clock), " 内支付，座位为您保留");

async function giveUp(order) {
  const sure = await sheet({ title: "取消订单", text: "取消后座位让给其他家庭。", action: "取消订单", close: "再想想", save: async () => true });
  if (sure) await cancelled(order);
}

function choices(order) {
  const button = (words, work, look = "grey-button") => {
    const one = h("button", {
      class: look,
      type: "button",
      onclick: () => busy(one, async () => {
        const full = await work(order);
        if (full) await others(full);
      }),
    }, words);
    return one;
  };
  if (order.next_action === "pay") return [button("继续支付", pay, "green-button"), button("取消订单", giveUp, "grey-button danger")];
  if (order.next_action === "reserve") return [button("重新占座并支付", reserve, "green-button"), button("取消订单", giveUp, "grey-button danger")];
  return [];
}

function refunds(order) {
  if (!order.refunds.length) return null;
  return [
    h("h2", { class: "group-title" }, "退款"),
    h("ul", { class: "cells" }, order.refunds.map((one) => h("li", {}, h("div", { class: "cell" },
      h("span", { class: "main" }, h("b", {}, REFUNDS[one.status] ?? "退款处理中"), h("span", { class: "sub" }, `${TO[one.refund_to]} · ${time(one.succeeded_at ?? one.created_at)}`)),
      h("span", { class: "side money" }, money(one.amount)))))),
  ];
}

function sheetOf(order, student) {
  const booking = order.booking_id && h("ul", { class: "cells" }, h("li", {}, h("a", { class: "cell", href: `#booking/${order.booking_id}` },
    h("span", { class: "main" }, "查看预约"), h("span", { class: "more", "aria-hidden": "true" }, "›"))));
  return [
    h("section", { class: "paper" },
      h("p", { class: "headline" }, h("b", {}, money(order.amount)), h("span", { class: `badge ${order.status}` }, order.status_text)),
      state(order),
      facts([...scheduleFacts(order.schedule), ["学员", student], ["下单时间", time(order.created_at)], ["支付时间", time(order.paid_at)],
        ["订单编号", h("span", { class: "number" }, order.order_id)]])),
    booking, refunds(order), choices(order),
  ].flat().filter(Boolean);
}

export const order = {
  id: "order",
  title: "订单详情",
  async show(screen, id) {
    const { items } = await api("GET", "/profiles");
    let shown = null;
    let drawn = "";
    const draw = async () => {
      shown = await found(id);
      if (!shown) return screen.replaceChildren(nothing("没有这个订单。"));
      if (drawn && !screen.isConnected) return;
      // What has not changed stays as it is, so that a button does not vanish under the finger.
      const { hold, ...rest } = shown;
      const now = JSON.stringify([rest, hold?.status]);
      if (now === drawn) return;
      if (drawn && shown.status === "paid" && shown.booking_id) toast("支付成功，已预约");
      drawn = now;
      screen.replaceChildren(...sheetOf(shown, items.find((one) => one.id === shown.profile_id)?.name));
    };
    await following(screen, draw, () => shown && open(shown));
  },
};
