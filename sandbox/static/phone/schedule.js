// How a class looks on the phone: as a row of a list, and as a table of facts.

import { h, money } from "./core.js";
import { range, when } from "./day.js";
import { free } from "./makeup-price.js";

const TYPES = { regular: "正式课", trial: "体验课", vip: "私教课" };
const STATES = { booked: "已预约", held: "待支付", offered: "候补到位", waiting: "候补中", full: "已满" };
const STATUS = { cancelled: "已取消", finished: "已结束" };

export const typeName = (code) => TYPES[code] ?? code;

function seats(schedule) {
  if (schedule.available > 0) return h("span", { class: schedule.available <= 2 ? "seats few" : "seats" }, `余 ${schedule.available} / ${schedule.capacity}`);
  return [
    h("span", { class: "seats none" }, `${schedule.capacity} 人已满`),
    schedule.waitlist_capacity > 0 && h("span", { class: "seats" }, `候补: ${schedule.waitlist_count}/${schedule.waitlist_capacity}人`),
  ];
}

function badge(schedule) {
  const words = STATUS[schedule.status] ?? STATES[schedule.my_state];
  return words && !(schedule.my_state === "full" && !STATUS[schedule.status])
    ? h("span", { class: `badge ${STATUS[schedule.status] ? schedule.status : schedule.my_state}` }, words)
    : null;
}

/** A class as a cell; `day` shows the date too. With `price` it is a makeup's, which costs nothing; `note` stands below. */
export function scheduleRow(schedule, { day = false, price = null, note = null, onclick }) {
  const facts = [typeName(schedule.course_type), schedule.level ?? "不限级别", schedule.coach.name, schedule.venue.name];
  return h("li", {},
    h("button", { class: "cell class", type: "button", onclick },
      h("span", { class: "main" },
        h("span", { class: "times" }, day ? when(schedule) : range(schedule), badge(schedule)),
        h("b", {}, schedule.course_name),
        h("span", { class: "sub" }, facts.join(" · ")), note),
      h("span", { class: "side" }, price ? free(price) : h("span", { class: "money" }, money(schedule.price)), seats(schedule))));
}

/** Pairs of name and value as a definition list; empty ones stay away. */
export const facts = (pairs) =>
  h("dl", { class: "facts" }, pairs.filter(([, value]) => value).flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));

export const scheduleFacts = (schedule) => [
  ["课程", schedule.course_name],
  ["时间", `${when(schedule)}（${schedule.duration_minutes} 分钟）`],
  ["教练", schedule.coach.name],
  ["场馆", schedule.venue.name],
  ["级别", schedule.level ?? "不限"],
];
