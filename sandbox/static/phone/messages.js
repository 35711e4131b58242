// Messages: WeChat's service messages as its chat shows them, and the notices inside the mini program.

import { api, busy, h, nothing, time } from "./core.js";
import { inbox } from "./inbox.js";
import { growing } from "./list.js";
import { place } from "./pages.js";

function service(message) {
  return [
    h("p", { class: "stamp" }, time(message.at)),
    h("article", { class: "service" },
      h("div", { class: "from" }, h("span", { "aria-hidden": "true" }, "百"), "百适体操馆"),
      h("h3", {}, message.title),
      h("dl", {}, message.fields.flatMap((field) => [h("dt", {}, field.label), h("dd", {}, field.value)])),
      place(message.page)
        ? h("a", { class: "enter", href: `#${message.page}` }, "进入小程序查看", h("span", { "aria-hidden": "true" }, "›"))
        : h("footer", {}, message.page ? "小程序还没有这个页面" : "无跳转页面")),
  ];
}

function notice(item) {
  const button = h("button", {
    class: item.read_at ? "cell" : "cell unread",
    type: "button",
    onclick: () => busy(button, async () => {
      if (!item.read_at) {
        Object.assign(item, await api("POST", `/notifications/${item.id}/read`, {}));
        button.classList.remove("unread");
        await inbox.recount();
      }
      if (place(item.page)) location.hash = item.page;
    }),
  },
    h("span", { class: "main" }, h("b", {}, item.title), h("span", { class: "sub" }, item.text), h("span", { class: "sub" }, time(item.created_at))));
  return h("li", {}, button);
}

function showService(place) {
  const all = inbox.all();
  place.replaceChildren(...(all.length
    ? all.toReversed().flatMap(service)
    : [nothing("还没有服务通知。在「我的」里允许一次，就能收到一条。")]));
  inbox.markSeen();
}

const showNotices = (place) =>
  growing(place, "/notifications?limit=20", notice, "还没有站内通知。微信没能送达的消息会留在这里。",
    (data) => inbox.setNotices(data.unread_count ?? 0));

export default {
  id: "messages",
  title: "消息",
  tab: { label: "消息", icon: "messages" },
  async show(screen, rest) {
    const inApp = rest === "notices";
    const place = h("div");
    const choice = (label, hash, pressed) =>
      h("button", { type: "button", "aria-pressed": String(pressed), onclick: () => { location.hash = hash; } }, label);
    screen.replaceChildren(
      h("div", { class: "segments" }, choice("服务通知", "messages", !inApp), choice("站内通知", "messages/notices", inApp)),
      place);
    await (inApp ? showNotices(place) : showService(place));
  },
};
