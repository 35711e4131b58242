// What is open to this family now. It is asked each time: the studio's switches hold at once.

import { api, h, sheet } from "./core.js";

const CLOSED = {
  booking: "小程序约课暂未对您开放，请联系前台预约。",
  trial_order: "小程序预约体验课暂未对您开放，请联系前台。",
  payment: "微信支付暂停使用，请稍后再试或联系前台。",
  waitlist: "小程序候补暂未对您开放，请联系前台登记候补。",
  makeup: "小程序预约补课暂未对您开放，请联系前台安排。",
  withdrawal: "小程序申请提现暂未对您开放，请联系前台。",
};

export const features = () => api("GET", "/me/features");

/** Whether all of these are open; says so where one is not. */
export async function isOpen(...names) {
  const now = await features();
  const closed = names.find((name) => !now[name]);
  if (closed) await sheet({ title: "暂未开放", text: CLOSED[closed], action: null, close: "知道了" });
  return !closed;
}

/** A line in place of what cannot be begun. */
export const closed = (name) => h("p", { class: "notice" }, CLOSED[name]);
