// Starts the phone: signs in, shows the tabs, and brings up messages that arrive.
//
// A page is a file that exports { id, title, tab?, show(screen, rest) }. To add one, import it and put it into
// PAGES; `tab` ({ label, icon }) gives it a place in the bar. `#id/rest` is its address, and so is the mini program's
// own, as messages carry it (`#pages/waitlist/offer?waitlist_id=3`).

import { $, api, busy, h, icon, parent, problem, session, toast, wechat } from "./core.js";
import { booking, bookings } from "./bookings.js";
import classes from "./classes.js";
import { inbox } from "./inbox.js";
import { makeup, makeups } from "./makeups.js";
import me from "./me.js";
import messages from "./messages.js";
import { minutes } from "./minutes.js";
import { order, orders } from "./orders.js";
import students from "./students.js";
import { place } from "./pages.js";
import { wait, waits } from "./waits.js";
import wallet from "./wallet.js";
import withdrawals from "./withdrawals.js";

const PAGES = [classes, bookings, booking, wallet, messages, me, students, orders, order, waits, wait, withdrawals, makeups, makeup,
  minutes];
const screen = $("[data-screen]");
const tabs = $("[data-tabs]");
let drawing = 0;
let bannerTimer;

function current() {
  const address = location.hash.slice(1);
  const [id, ...rest] = (place(address) ?? address).split("/");
  return { page: PAGES.find((p) => p.id === id) ?? PAGES[0], rest: rest.join("/") };
}

async function draw() {
  const turn = ++drawing;
  const signedIn = Boolean(session.read());
  tabs.hidden = !signedIn;
  if (!signedIn) return welcome();
  const { page, rest } = current();
  $("[data-title]").textContent = page.title;
  $("[data-back]").hidden = Boolean(page.tab);
  drawTabs(page);
  // A page fills its own part of the screen, so that a slow answer cannot land on the page opened after it.
  const part = h("div", {}, h("p", { class: "nothing" }, "正在打开…"));
  screen.replaceChildren(part);
  screen.scrollTop = 0;
  try {
    await page.show(part, rest);
  } catch (error) {
    if (turn === drawing) part.replaceChildren(problem(error), h("button", { class: "grey-button", onclick: draw }, "重试"));
  }
}

function drawTabs(page) {
  tabs.replaceChildren(
    ...PAGES.filter((p) => p.tab).map((p) => {
      const unread = p === messages ? inbox.unread() : 0;
      return h("a", { href: `#${p.id}`, "aria-current": p === page ? "page" : null }, icon(p.tab.icon), p.tab.label,
        unread ? h("span", { class: "dot", "aria-label": `${unread} 条未读` }, unread > 99 ? "99+" : String(unread)) : null);
    }),
  );
}

function welcome() {
  $("[data-title]").textContent = "百适体操馆";
  $("[data-back]").hidden = true;
  const button = h("button", { class: "green-button", onclick: () => busy(button, signIn) }, "微信一键登录");
  screen.replaceChildren(
    h("div", { class: "welcome" }, h("div", { class: "logo", "aria-hidden": "true" }, "百"), h("h2", {}, "百适体操馆"),
      h("p", { class: "muted" }, `将以「${parent.name}」的微信身份登录`)),
    button,
  );
}

async function signIn() {
  const { code } = await wechat("POST", "/code");
  const data = await api("POST", "/auth/login", { code, nickname: parent.name });
  session.keep({ access_token: data.access_token, refresh_token: data.refresh_token });
  toast("登录成功");
  inbox.recount();
  draw();
}

function arrived(message) {
  const banner = $("[data-banner]");
  // Who is looking at the messages sees the new one come in; a banner would only cover it.
  if (session.read() && location.hash === "#messages") return draw();
  banner.replaceChildren(h("b", {}, message.title), h("span", { class: "sub" }, `百适体操馆 · ${message.fields[0]?.value ?? ""}`));
  banner.hidden = false;
  clearTimeout(bannerTimer);
  bannerTimer = setTimeout(() => { banner.hidden = true; }, 5000);
}

$("[data-banner]").addEventListener("click", () => {
  $("[data-banner]").hidden = true;
  location.hash = "messages";
});
$("[data-back]").addEventListener("click", () => history.back());
addEventListener("hashchange", () => {
  $("[data-banner]").hidden = true;
  draw();
});
addEventListener("signed-out", () => { toast("登录已失效，请重新登录"); draw(); });
addEventListener("redraw", draw);
inbox.watch({ arrived, changed: () => session.read() && drawTabs(current().page) });
draw();
