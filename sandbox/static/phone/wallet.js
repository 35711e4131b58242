// The family's wallet: balance, what may still be spent, who shares it, its transactions, and the way to withdrawals.

import { api, busy, h, keys, money, sheet, time, toast } from "./core.js";
import { features } from "./features.js";
import { growing } from "./list.js";

function purse(wallet) {
  return h("section", { class: `purse ${wallet.state}` },
    h("span", { class: "sub" }, "钱包余额"),
    h("div", { class: "figure" }, money(wallet.balance)),
    h("span", { class: "state" }, wallet.state_text),
    h("dl", {},
      h("div", {}, h("dt", {}, "可用额度"), h("dd", {}, money(wallet.available))),
      h("div", {}, h("dt", {}, "可欠费"), h("dd", {}, money(wallet.overdraft_limit))),
      h("div", {}, h("dt", {}, "预约"), h("dd", {}, wallet.booking_allowed ? "可预约" : "暂不可预约"))));
}

const nameOf = (member) => (typeof member === "string" ? member : member.nickname || member.real_name || member.name || "家长");

const row = (mayAsk) => (item) => {
  const positive = !item.amount.startsWith("-");
  return h("li", {},
    h("div", { class: item.status === "cancelled" ? "cell struck" : "cell" },
      h("div", { class: "main" },
        h("b", {}, item.type_text, item.status === "cancelled" ? "（已取消）" : ""),
        h("span", { class: "sub" }, [item.profile_name, item.description].filter(Boolean).join(" · ")),
        h("span", { class: "sub" }, time(item.created_at)),
        asked(item.question)),
      h("div", { class: "side" },
        h("span", { class: positive ? "money in" : "money" }, money(item.amount, true)),
        h("span", { class: "sub" }, `余额 ${money(item.balance_after)}`),
        item.question?.status === "open" ? h("span", { class: "badge" }, "待前台答复") : mayAsk ? askButton(item) : null)));
};

// What was asked last about a transaction, and what the desk said.
function asked(question) {
  if (!question) return null;
  return h("span", { class: "sub asked" }, `疑问：${question.text}`, question.answer ? h("span", { class: "answer" }, `前台答复：${question.answer}`) : null);
}

function askButton(item) {
  const button = h("button", { class: "small-button", type: "button", "aria-label": `对 ${money(item.amount, true)} 提出疑问`, onclick: () => busy(button, () => ask(item)) }, "有疑问");
  return button;
}

async function ask(item) {
  const key = keys();
  const made = await sheet({
    title: "对这笔流水有疑问",
    text: `${item.type_text} ${money(item.amount, true)}，${time(item.created_at)}`,
    fields: [{ name: "text", label: "您的疑问", maxLength: 500, required: true }],
    action: "提交", save: ({ text }) => api("POST", `/wallet/transactions/${item.id}/question`, { text: text.trim() }, key(text.trim())),
  });
  if (!made) return;
  toast("已提交，前台会在消息里答复");
  dispatchEvent(new Event("redraw"));
}

export default {
  id: "wallet",
  title: "钱包",
  tab: { label: "钱包", icon: "wallet" },
  async show(screen) {
    const [wallet, { question }] = await Promise.all([api("GET", "/wallet"), features()]);
    const transactions = h("div");
    screen.replaceChildren(
      purse(wallet),
      h("h2", { class: "group-title" }, "家庭成员"),
      h("ul", { class: "cells" }, h("li", {}, h("div", { class: "cell" }, wallet.members.map(nameOf).join("、") || "只有您自己"))),
      h("ul", { class: "cells" }, h("li", {}, h("a", { class: "cell", href: "#withdrawals" },
        h("span", { class: "main" }, "提现"), h("span", { class: "side sub" }, "申请与进度"), h("span", { class: "more", "aria-hidden": "true" }, "›")))),
      h("h2", { class: "group-title" }, "交易明细"),
      transactions);
    await growing(transactions, "/wallet/transactions?limit=10", row(question), "还没有交易。充值、扣费和退款会列在这里。");
  },
};
