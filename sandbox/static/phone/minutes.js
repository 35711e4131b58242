// A student's compensation minutes: what is left, until when, and how it came and went.

import { api, h, nothing, time } from "./core.js";
import { growing } from "./list.js";
import { when } from "./day.js";

/** Whole or half hours as "1.5小时", else "70分钟". */
export const spoken = (minutes) => (minutes > 0 && minutes % 30 === 0 ? `${minutes / 60}小时` : `${minutes}分钟`);

const row = (change) => h("li", {}, h("div", { class: "cell" },
  h("span", { class: "main" },
    h("b", {}, change.kind_text),
    h("span", { class: "sub" }, change.schedule ? `${change.schedule.course_name} ${when(change.schedule)}` : change.note),
    h("span", { class: "sub" }, time(change.at))),
  h("span", { class: change.minutes > 0 ? "side money in" : "side money" }, `${change.minutes > 0 ? "+" : "-"}${spoken(Math.abs(change.minutes))}`)));

function purse({ minutes, lots }) {
  return h("section", { class: "purse" },
    h("span", { class: "sub" }, "可用课时补偿"),
    h("div", { class: "figure" }, spoken(minutes)),
    h("span", { class: "sub" }, "补较长的课时使用，先到期的先用。"),
    lots.length ? h("ul", { class: "lots" }, lots.map((lot) => h("li", {}, `${spoken(lot.minutes_left)}，${time(lot.expires_at)}到期`))) : null);
}

export const minutes = {
  id: "minutes",
  title: "课时补偿",
  async show(screen, rest) {
    const { items } = await api("GET", "/profiles");
    const student = items.find((one) => String(one.id) === rest) ?? items[0];
    if (!student) return screen.replaceChildren(nothing("还没有学员。"));
    const balance = await api("GET", `/compensation/balance?profile_id=${student.id}`);
    const list = h("div");
    const who = items.length < 2 ? null : h("div", { class: "chips" }, h("select", {
      class: "chip", "aria-label": "学员", onchange: (event) => { location.hash = `minutes/${event.target.value}`; },
    }, items.map((one) => h("option", { value: String(one.id), selected: one.id === student.id }, one.name))));
    screen.replaceChildren(...[who, purse(balance), h("h2", { class: "group-title" }, "明细"), list].filter(Boolean));
    await growing(list, `/compensation/history?profile_id=${student.id}&limit=20`, row, "还没有课时补偿。补较短的课时，少的时长会记在这里。");
  },
};
