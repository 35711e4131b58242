// The family's places in queues: the list, and one of them with its offer, its place and what may be done.

import { api, busy, h, money, nothing, sheet, time, toast } from "./core.js";
import { when } from "./day.js";
import { consentSwitch } from "./join.js";
import { clock, following, ticking } from "./live.js";
import { decline, leave, secondsLeft, take } from "./offer.js";
import { facts, scheduleFacts } from "./schedule.js";

const KINDS = {
  open: "名额同时通知了所有候补家长，先确认先得。",
  exclusive: "名额现在只为您保留。",
};
const live = (entry) => entry.status === "waiting" || entry.status === "offered";
const place = (entry) => (entry.position ? `第 ${entry.position} 位，共 ${entry.queue_length} 人` : "");

const row = (entry) => h("li", {},
  h("a", { class: "cell", href: `#wait/${entry.id}` },
    h("span", { class: "main" },
      h("b", {}, entry.schedule.course_name),
      h("span", { class: "sub" }, when(entry.schedule)),
      h("span", { class: "sub" }, `${entry.profile_name} · ${entry.schedule.coach.name} · ${entry.schedule.venue.name}`)),
    h("span", { class: "side" },
      h("span", { class: `badge ${entry.offer ? "offered" : entry.status}` }, entry.offer ? "有名额" : entry.status_text),
      entry.offer ? ticking(secondsLeft(entry.offer), clock) : h("span", { class: "sub" }, place(entry))),
    h("span", { class: "more", "aria-hidden": "true" }, "›")));

function group(title, entries) {
  return entries.length ? [h("h2", { class: "group-title" }, title), h("ul", { class: "cells" }, entries.map(row))] : [];
}

/** What of an entry is drawn; the seconds run by themselves. */
const look = (entry) => JSON.stringify({ ...entry, offer: entry.offer && [entry.offer.id, entry.offer.kind, entry.offer.deadline] });

export const waits = {
  id: "waits",
  title: "我的候补",
  async show(screen) {
    let shown = [];
    let drawn = "";
    const draw = async () => {
      ({ items: shown } = await api("GET", "/waitlist/my"));
      const now = shown.map(look).join();
      if (drawn && now === drawn) return;
      drawn = now;
      screen.replaceChildren(...(shown.length
        ? [...group("候补中", shown.filter(live)), ...group("已结束", shown.filter((one) => !live(one)))]
        : [nothing("没有候补。课程已满时可以候补，有名额会通知您。")]));
    };
    await following(screen, draw, () => shown.some(live));
  },
};

function button(words, work, entry, look = "grey-button") {
  const one = h("button", { class: look, type: "button", onclick: () => busy(one, () => work(entry)) }, words);
  return one;
}

/** The offered seat with its time, and the one tap that takes it. */
function seat(entry) {
  const { offer } = entry;
  if (!offer) return null;
  return h("div", { class: "offer" },
    h("p", { class: "offer-title" }, "有名额，立即预约"),
    h("p", { class: "offer-left" }, ticking(secondsLeft(offer), clock)),
    h("p", {}, `请在 ${time(offer.deadline)} 前确认。${KINDS[offer.kind]}`),
    button("立即预约", take, entry, "green-button"));
}

function ending(entry) {
  if (!live(entry)) return null;
  return entry.offer ? button("放弃名额，退出候补", decline, entry, "grey-button danger") : button("退出候补", leave, entry, "grey-button danger");
}

/** The credit is kept for another class; the wallet pays when the turn comes. */
async function payInstead(entry) {
  const sure = await sheet({
    title: "改为从钱包扣费？", text: `轮到时从钱包扣 ${money(entry.schedule.price)}，待补课留给其他课。`, action: "改为扣费", save: async () => true,
  });
  if (!sure) return;
  await api("PATCH", `/waitlist/${entry.id}`, { credit_id: null });
  toast("已改为从钱包扣费");
  dispatchEvent(new Event("redraw"));
}

/** One entry of this family with the guess of its wait, or null. The contract has no call for a single one. */
async function found(id) {
  const [{ items }, guess] = await Promise.all([
    api("GET", "/waitlist/my"),
    api("GET", `/waitlist/position/${id}`).catch((error) => {
      if (error.status !== 404) throw error;
      return null;
    }),
  ]);
  const entry = items.find((one) => String(one.id) === id);
  return entry ? { ...entry, estimate: guess?.estimated_wait_time } : null;
}

const pageOf = (entry) => [
  h("section", { class: "paper" },
    h("p", { class: "headline" }, h("b", {}, entry.profile_name),
      h("span", { class: `badge ${entry.offer ? "offered" : entry.status}` }, entry.offer ? "有名额" : entry.status_text)),
    seat(entry),
    facts([...scheduleFacts(entry.schedule), ["费用", entry.credit_id ? "用待补课，不扣费" : null], ["位次", place(entry)], ["预计等待", entry.offer ? null : entry.estimate],
      ["加入时间", time(entry.joined_at)]])),
  live(entry) && entry.schedule.course_type !== "trial" ? consentSwitch(entry) : null,
  live(entry) && entry.credit_id ? button("改为从钱包扣费", payInstead, entry) : null,
  ending(entry),
].filter(Boolean);

export const wait = {
  id: "wait",
  title: "候补详情",
  async show(screen, id) {
    let shown = null;
    let drawn = "";
    const draw = async () => {
      shown = await found(id);
      if (drawn && !screen.isConnected) return;
      if (!shown) return screen.replaceChildren(nothing("没有这个候补。"));
      const now = look(shown);
      if (now === drawn) return;
      drawn = now;
      screen.replaceChildren(...pageOf(shown));
    };
    await following(screen, draw, () => shown && live(shown));
  },
};
