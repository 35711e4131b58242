// Money back out of the wallet: asking for it, the family's withdrawals, taking one back before it is approved.

import { api, busy, h, keys, money, sheet, time, toast } from "./core.js";
import { closed, features } from "./features.js";
import { growing } from "./list.js";

const redraw = () => dispatchEvent(new Event("redraw"));
const ENDS = { rejected: "金额已退回钱包", failed: "金额已退回钱包", cancelled: "金额已退回钱包" };

async function request(balance) {
  const key = keys();
  const made = await sheet({
    title: "申请提现",
    text: `当前余额 ${money(balance)}。提交后金额立即从钱包扣除，审核通过后由馆方打款。`,
    fields: [
      { name: "amount", label: "提现金额（元）", inputMode: "decimal", maxLength: 11, required: true, placeholder: "0.00" },
      { name: "reason", label: "提现原因", maxLength: 200, required: true },
    ],
    action: "提交申请",
    save: ({ amount, reason }) => {
      const body = { amount: amount.trim(), reason: reason.trim() };
      return api("POST", "/withdrawals", body, key(body.amount, body.reason));
    },
  });
  if (!made) return;
  toast(`已申请提现 ${money(made.amount)}`);
  redraw();
}

async function cancel(withdrawal) {
  const key = crypto.randomUUID();
  const done = await sheet({
    title: "取消提现",
    text: `取消后，${money(withdrawal.amount)} 退回钱包。`,
    action: "取消提现", close: "再想想",
    save: () => api("POST", `/withdrawals/${withdrawal.id}/cancel`, undefined, key),
  });
  if (!done) return;
  toast(`已取消，${money(done.amount)} 已退回钱包`);
  redraw();
}

function row(item) {
  const button = h("button", { class: "small-button", type: "button", "aria-label": `取消提现 ${money(item.amount)}`, onclick: () => busy(button, () => cancel(item)) }, "取消");
  return h("li", {},
    h("div", { class: "cell" },
      h("span", { class: "main" },
        h("b", {}, money(item.amount)),
        h("span", { class: "sub" }, item.reason),
        item.note ? h("span", { class: "sub" }, `馆方说明：${item.note}`) : null,
        ENDS[item.status] ? h("span", { class: "sub" }, ENDS[item.status]) : null,
        h("span", { class: "sub" }, `申请于 ${time(item.created_at)}`)),
      h("span", { class: "side" }, h("span", { class: `badge ${item.status}` }, item.status_text),
        item.can_cancel ? h("div", { class: "under" }, button) : item.decided_at ? h("span", { class: "sub" }, time(item.decided_at)) : null)));
}

export default {
  id: "withdrawals",
  title: "我的提现",
  async show(screen) {
    const [{ balance }, { withdrawal }] = await Promise.all([api("GET", "/wallet/balance"), features()]);
    const list = h("div");
    const button = h("button", { class: "green-button", type: "button", onclick: () => busy(button, () => request(balance)) }, "申请提现");
    screen.replaceChildren(h("p", { class: "group-title" }, `钱包余额 ${money(balance)}`), list, withdrawal ? button : closed("withdrawal"));
    await growing(list, "/withdrawals/my?limit=20", row, "还没有提现。余额可以申请退回，由馆方审核后打款。");
  },
};
