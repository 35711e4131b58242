// Paying an order: WeChat's own sheet, what the mini program reports of it, and waiting until the seat is booked.

import { $, api, busy, h, money, sheet, toast, wechat } from "./core.js";
import { facts, scheduleFacts } from "./schedule.js";

/** How often the app is asked whether the money is there; after that the order's page goes on asking. */
const ASKED = 10;
const MERCHANT = "百适体操馆";
const post = (path, body) => api("POST", path, body, crypto.randomUUID());
const pause = (seconds) => new Promise((resolve) => { setTimeout(resolve, seconds * 1000); });
const redraw = () => dispatchEvent(new Event("redraw"));

/** To the order's page, with a word why. */
export function openOrder(order, words) {
  if (words) toast(words);
  const hash = `order/${order.order_id}`;
  if (location.hash.slice(1) === hash) redraw();
  else location.hash = hash;
}

/**
 * What `wx.requestPayment` shows. Resolves to `{ result, reason }`: `ok`, `cancel`, `fail`, or one of two that a mini
 * program never hears of: `left` (closed by the system) and `late` (the bank takes its time).
 */
function payment(order, params) {
  const box = $("[data-sheet]");
  return new Promise((resolve) => {
    const before = document.activeElement;
    const done = (result, reason) => { box.hidden = true; box.replaceChildren(); before?.focus?.(); resolve({ result, reason }); };
    const wrong = h("p", { class: "wrong", role: "alert" });
    const act = (button, action) => busy(button, async () => {
      try {
        const answer = await wechat("POST", "/pay", { ...params, action });
        if (action === "pay_late") done("late");
        else if (answer.errMsg === "requestPayment:ok") done("ok");
        else done("fail", answer.reason);
      } catch (error) {
        wrong.textContent = error.message;
      }
    });
    const link = (words, onclick) => {
      const button = h("button", { type: "button", class: "link", onclick: () => onclick(button) }, words);
      return button;
    };
    const pay = h("button", { type: "submit", class: "wxpay-button" }, "立即支付");
    box.replaceChildren(h("form", {
      class: "wxpay",
      ariaLabel: "微信支付",
      onsubmit: (event) => { event.preventDefault(); act(pay, "pay"); },
      onkeydown: (event) => { if (event.key === "Escape") done("cancel"); },
    },
      h("p", { class: "wxpay-brand" }, "微信支付"),
      h("h2", {}, MERCHANT),
      h("p", { class: "wxpay-amount" }, money(order.amount)),
      h("dl", { class: "facts" }, h("dt", {}, "商品"), h("dd", {}, order.schedule.course_name), h("dt", {}, "支付方式"), h("dd", {}, "零钱")),
      wrong, pay,
      h("div", { class: "wxpay-links" },
        link("取消", () => done("cancel")),
        link("离开（不告诉小程序）", () => done("left")),
        link("过一会儿才到账", (button) => act(button, "pay_late")))));
    box.hidden = false;
    pay.focus();
  });
}

/** Pays an order whose seat is held, to the end. Resolves to `{ alternatives, order }` where the seat is lost to others. */
export async function pay(order) {
  const { pay_params: params } = await post("/payment/wxpay/create", { order_id: order.order_id });
  const { result, reason } = await payment(order, params);
  if (result === "ok") return confirmed(order);
  if (result === "late") return openOrder(order, "支付处理中，到账后自动确认");
  if (result === "left") return openOrder(order);
  if (result === "fail") return failed(order, reason);
  await cancelled(order);
}

/** Takes a seat once more for an order whose hold is over, and pays. */
export async function reserve(order) {
  try {
    await post("/bookings/seat-reserve", { order_id: order.order_id });
  } catch (error) {
    if (error.code !== "SEAT_FULL") throw error;
    return { alternatives: error.data.alternatives, order };
  }
  return pay(order);
}

/** Ends an order; true when it is ended. WeChat may know better: then it is paid and shown as such. */
export async function cancelled(order) {
  const now = await post(`/payment/orders/${order.order_id}/cancel`, { result: "cancelled" });
  if (now.status === "paid") return confirmed(order);
  toast("订单已取消，座位已释放");
  redraw();
  return true;
}

async function failed(order, reason) {
  const now = await post(`/payment/orders/${order.order_id}/cancel`, { result: "failed", reason });
  if (now.status === "paid") return confirmed(order);
  const again = now.next_action === "reserve";
  const chosen = await sheet({
    title: "支付没有成功",
    text: again ? `${reason}。座位已让出，订单仍保留。` : `${reason}。`,
    action: again ? "重新占座并支付" : null,
    close: "知道了",
    save: async () => true,
  });
  return chosen ? reserve(order) : openOrder(order);
}

/** Asks until the booking is there, then shows it. */
async function confirmed(order) {
  const box = $("[data-sheet]");
  box.replaceChildren(h("p", { class: "wxpay-wait", role: "status" }, "正在确认支付结果…"));
  box.hidden = false;
  let booking = null;
  try {
    for (let turn = 0; turn < ASKED && !booking; turn += 1) {
      const answer = await post("/bookings/confirm", { order_id: order.order_id });
      if (answer.status === "pending") await pause(answer.retry_after);
      else booking = answer;
    }
  } catch (error) {
    return openOrder(order, error.message);
  } finally {
    box.hidden = true;
    box.replaceChildren();
  }
  if (!booking) return openOrder(order, "支付结果确认中");
  const open = await sheet({
    title: "预约成功",
    body: facts([["学员", booking.profile_name], ...scheduleFacts(booking.schedule), ["已支付", money(order.amount)]]),
    action: "查看预约",
    close: "完成",
    save: async () => true,
  });
  if (open) location.hash = `booking/${booking.id}`;
  else redraw();
}
