// `wx.requestSubscribeMessage`: WeChat asks, and both sides count the answer: WeChat what it will deliver, the app
// what it may try.

import { api, sheet, toast, wechat } from "./core.js";

export async function accept(template, accepted) {
  await wechat("POST", "/consent", { template_id: template.template_id, accept: accepted });
  await api("POST", "/me/subscriptions", { template: template.template_id, accepted });
}

/** Asks for one message of this template. */
export async function grant(template) {
  const answer = await sheet({
    title: "百适体操馆 申请发送一次以下消息",
    text: template.title,
    action: "允许",
    close: "拒绝",
    save: async () => true,
  });
  await accept(template, answer === true);
  toast(answer ? "已允许一次" : "已拒绝");
}

/** Asks for one message of this type where WeChat would deliver none. */
export async function reachable(type) {
  const { items } = await wechat("GET", "/templates");
  const template = items.find((one) => one.type === type);
  if (template?.remaining === 0) await grant(template);
}
