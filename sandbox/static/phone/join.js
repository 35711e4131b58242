// Waiting for a full class: for whom, the consent to be booked without being asked, and the place in the queue.

import { api, busy, h, keys, money, sheet, toast } from "./core.js";
import { reachable } from "./consent.js";
import { isOpen } from "./features.js";
import { facts, scheduleFacts, scheduleRow } from "./schedule.js";

/** What the consent in advance does, what it costs, and that it can be taken back. A trial, paid by hand, has none. */
const consentWords = (schedule, credit) => (credit
  ? "轮到我时不再询问，直接用待补课预约，不扣费。随时可以关掉。"
  : `轮到我时不再询问，直接预约并从钱包扣 ${money(schedule.price)}。随时可以关掉。`);

/** `credit` is the id of the makeup credit that is used instead of the wallet. */
export const consent = (schedule, credit = null) => h("label", { class: "consent" },
  h("input", { type: "checkbox", class: "switch", role: "switch", name: "auto_accept" }),
  h("span", { class: "words" }, h("b", {}, "自动预约"), h("span", { class: "sub" }, consentWords(schedule, credit))));

/** The other classes as rows, each one tap away. */
export const choices = (alternatives, onclick) =>
  h("ul", { class: "cells" }, alternatives.map((one) => scheduleRow(one, { day: true, onclick: () => onclick(one) })));

/**
 * Joins the queue of a full class and tells the place in it; `students` are pairs of id and name.
 * Resolves to the class that is booked instead, with its student, or to null.
 */
export async function join(schedule, students, student) {
  if (!(await isOpen("waitlist"))) return null;
  const key = keys();
  let asked = student;
  const made = await sheet({
    title: "这节课已满，加入候补",
    body: [
      facts([...scheduleFacts(schedule), ["候补", `${schedule.waitlist_count}/${schedule.waitlist_capacity}人`]]),
      h("p", { class: "notice" }, "有名额时会通知您，请在时限内确认，先确认先得；不确认不扣费，随时可以退出。"),
      schedule.course_type === "trial" ? null : consent(schedule),
    ],
    fields: [{ name: "profile_id", label: "学员", options: students, value: student }],
    action: "候补",
    save: async ({ profile_id, auto_accept }) => {
      asked = profile_id;
      const body = { course_schedule_id: schedule.id, profile_id: Number(profile_id), auto_accept: auto_accept === "on" };
      try {
        return await api("POST", "/waitlist/join", body, key(profile_id, body.auto_accept));
      } catch (error) {
        if (error.code === "SEAT_AVAILABLE") return { free: await api("GET", `/schedules/${schedule.id}`) };
        if (error.code === "WAITLIST_FULL") return { full: error.message, alternatives: error.data.alternatives };
        throw error;
      }
    },
  });
  if (!made) return null;
  dispatchEvent(new Event("redraw"));
  if (made.free) {
    toast("刚好有空位了，可以直接预约");
    return { schedule: made.free, student: asked };
  }
  const chosen = await (made.full ? instead(made) : joined(made));
  return chosen ? { schedule: chosen, student: asked } : null;
}

const instead = ({ full, alternatives }) => sheet({
  title: "候补队列已满",
  text: alternatives.length ? `${full}。同类课程还有空位：` : `${full}。`,
  body: (done) => choices(alternatives, done),
  action: null,
  close: "知道了",
});

/** Tells the place in the queue; resolves to a class that is wanted instead, or to null. */
export async function joined({ waitlist_id: id, position, estimated_wait_time: estimate, alternatives }) {
  const chosen = await sheet({
    title: `您是第${position}位候补`,
    body: (done) => h("div", {},
      facts([["预计等待", estimate]]),
      alternatives.length ? h("p", { class: "muted" }, "同类课程还有空位，也可以改约：") : null,
      choices(alternatives, done)),
    action: "查看候补",
    close: "知道了",
    save: async () => true,
  });
  await reachable("waitlist_offer");
  if (chosen !== true) return chosen;
  location.hash = `wait/${id}`;
  return null;
}

/** The switch of the consent of an entry, at once on and off. */
export function consentSwitch(entry) {
  const input = h("input", {
    type: "checkbox", class: "switch", role: "switch", checked: entry.auto_accept, ariaLabel: "自动预约",
    onchange: () => busy(input, async () => {
      try {
        await api("PATCH", `/waitlist/${entry.id}`, { auto_accept: input.checked });
        toast(input.checked ? "已打开自动预约" : "已关掉自动预约");
      } catch (error) {
        input.checked = !input.checked;
        throw error;
      }
    }),
  });
  return h("ul", { class: "cells" }, h("li", {}, h("label", { class: "cell" },
    h("span", { class: "main" }, "自动预约", h("span", { class: "sub" }, consentWords(entry.schedule, entry.credit_id))), input)));
}
