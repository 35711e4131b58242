// The parent: names, phone number, which messages WeChat may deliver, switches, sign-out.

import { api, busy, h, parent, session, sheet, toast, wechat } from "./core.js";
import { accept, grant } from "./consent.js";

const STATUS = { trial: "体验会员", formal: "正式会员", left: "已离校" };
const SWITCHES = {
  booking_made: "预约成功", booking_cancelled: "预约取消", balance_changed: "余额变动", low_balance: "余额不足", class_reminder: "上课提醒",
};
const redraw = () => dispatchEvent(new Event("redraw"));

async function bindPhone() {
  const user = await sheet({
    title: "百适体操馆 申请获取您的手机号",
    fields: [{ name: "phone", label: "手机号", type: "tel", inputMode: "numeric", maxLength: 11, value: parent.phone, required: true }],
    action: "允许",
    close: "不允许",
    save: async ({ phone }) => {
      const { code } = await wechat("POST", "/phone-code", { phone });
      return api("POST", "/auth/phone", { code });
    },
  });
  if (user) { toast("手机号已绑定"); redraw(); }
}

async function rename(user) {
  const saved = await sheet({
    title: "修改资料",
    fields: [
      { name: "nickname", label: "昵称", value: user.nickname ?? "", maxLength: 64 },
      { name: "real_name", label: "真实姓名", value: user.real_name ?? "", maxLength: 64 },
    ],
    save: (values) => api("PATCH", "/me", Object.fromEntries(Object.entries(values).filter(([, v]) => v !== ""))),
  });
  if (saved) { toast("已保存"); redraw(); }
}

function subscriptions(templates, counted) {
  const all = h("button", {
    class: "small-button",
    onclick: () => busy(all, async () => {
      for (const template of templates) await accept(template, true);
      toast("每种消息各允许了一次");
      redraw();
    }),
  }, "全部允许一次");
  const row = (template) => {
    const button = h("button", { class: "small-button", "aria-label": `允许${template.title}`, onclick: () => busy(button, () => grant(template).then(redraw)) }, "允许");
    const there = counted.get(template.template_id);
    return h("li", {}, h("div", { class: "cell" },
      h("span", { class: "main" }, h("b", {}, template.title),
        h("span", { class: "sub" }, `微信还可送达 ${template.remaining} 条`,
          there === undefined || there === template.remaining ? "" : `，运营台记为 ${there} 条`)),
      button));
  };
  return [h("h2", { class: "group-title" }, "订阅消息", all), h("ul", { class: "cells" }, templates.map(row))];
}

function switches(preferences) {
  const row = ([type, on]) => {
    const input = h("input", {
      type: "checkbox", class: "switch", role: "switch", checked: on,
      onchange: () => busy(input, () => api("PUT", "/me/notification-preferences", { [type]: input.checked }).catch((error) => {
        input.checked = !input.checked;
        throw error;
      })),
    });
    return h("li", {}, h("label", { class: "cell" }, h("span", { class: "main" }, SWITCHES[type] ?? type), input));
  };
  return [h("h2", { class: "group-title" }, "接收哪些消息"), h("ul", { class: "cells" }, Object.entries(preferences).map(row))];
}

async function signOut() {
  // The tokens on this phone go in any case; an app that is away only keeps its own until they lapse.
  try {
    await api("POST", "/auth/logout", {});
  } finally {
    session.forget();
    redraw();
  }
}

export default {
  id: "me",
  title: "我的",
  tab: { label: "我的", icon: "me" },
  async show(screen) {
    const [user, preferences, subscribed, templates] = await Promise.all([
      api("GET", "/me"), api("GET", "/me/notification-preferences"), api("GET", "/me/subscriptions"), wechat("GET", "/templates"),
    ]);
    const counted = new Map(subscribed.items.map((item) => [item.template_id, item.remaining]));
    const out = h("button", { class: "grey-button danger", onclick: () => busy(out, signOut) }, "退出登录");
    const go = (label, value, onclick) => h("li", {}, h("button", { class: "cell", type: "button", onclick },
      h("span", { class: "main" }, label), h("span", { class: "side" }, value), h("span", { class: "more", "aria-hidden": "true" }, "›")));
    screen.replaceChildren(
      h("ul", { class: "cells" },
        go("资料", [user.nickname, user.real_name && `（${user.real_name}）`].filter(Boolean).join("") || "未填写", () => rename(user)),
        go("学员", "", () => { location.hash = "students"; }),
        go("待补课", "", () => { location.hash = "makeups"; }),
        go("课时补偿", "", () => { location.hash = "minutes"; }),
        go("我的候补", "", () => { location.hash = "waits"; }),
        go("我的订单", "", () => { location.hash = "orders"; }),
        go("手机号", user.phone_masked ?? "去绑定", bindPhone),
        h("li", {}, h("div", { class: "cell" }, h("span", { class: "main" }, "会员"), h("span", { class: "side" }, STATUS[user.member_status] ?? user.member_status)))),
      ...subscriptions(templates.items, counted),
      ...switches(preferences),
      h("ul", { class: "cells" }, h("li", {}, out)),
      h("p", { class: "nothing" }, h("a", { href: "/phone" }, "换一部手机")));
  },
};
