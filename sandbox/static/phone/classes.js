// The studio's classes, day by day, with filters; a tap books.

import { api, busy, h, sheet } from "./core.js";
import { book } from "./book.js";
import { days } from "./day.js";
import { kept } from "./kept-orders.js";
import { growing } from "./list.js";
import { scheduleRow, typeName } from "./schedule.js";

const AHEAD = 14;
const CHOICES = [["type", "课程类型"], ["level", "级别"], ["coach_id", "教练"], ["venue_id", "场馆"]];
/** What this phone filters by, kept while it is open. */
const chosen = { type: "", level: "", coach_id: "", venue_id: "", available: "", profile_id: "" };
const redraw = () => dispatchEvent(new Event("redraw"));

/** What the classes of the coming days can be filtered by: the API has no list of coaches or venues of its own. */
async function offered(calendar) {
  const found = { type: new Map(), level: new Map(), coach_id: new Map(), venue_id: new Map() };
  const { items } = await api("GET", `/schedules?date_to=${calendar.at(-1).day}&limit=100`);
  for (const item of items) {
    found.type.set(item.course_type, typeName(item.course_type));
    if (item.level) found.level.set(item.level, item.level);
    found.coach_id.set(String(item.coach.id), item.coach.name);
    found.venue_id.set(String(item.venue.id), item.venue.name);
  }
  return found;
}

async function filter(calendar) {
  const found = await offered(calendar);
  const set = await sheet({
    title: "筛选课程",
    fields: CHOICES.map(([name, label]) => ({
      name, label, value: chosen[name], options: [["", "全部"], ...[...found[name]].sort((a, b) => a[1].localeCompare(b[1], "zh-CN"))],
    })),
    action: "确定",
  });
  if (!set) return;
  Object.assign(chosen, set);
  redraw();
}

function dayStrip(calendar, day) {
  const strip = h("nav", { class: "days", "aria-label": "日期" }, calendar.map((one) =>
    h("a", { href: `#classes/${one.day}`, "aria-current": one.day === day ? "date" : null },
      h("span", {}, one.name), h("b", {}, one.date))));
  // The chosen day stays in sight after the page is drawn anew.
  requestAnimationFrame(() => strip.querySelector("[aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" }));
  return strip;
}

function tools(calendar, students) {
  const count = CHOICES.filter(([name]) => chosen[name]).length;
  const button = h("button", { class: "chip", type: "button", "aria-pressed": String(count > 0), onclick: () => busy(button, () => filter(calendar)) },
    count ? `筛选 ${count}` : "筛选");
  const free = h("button", {
    class: "chip", type: "button", "aria-pressed": String(chosen.available === "true"),
    onclick: () => { chosen.available = chosen.available ? "" : "true"; redraw(); },
  }, "有空位");
  const who = students.length < 2 ? null : h("select", {
    class: "chip", "aria-label": "学员",
    onchange: (event) => { chosen.profile_id = event.target.value; redraw(); },
  }, h("option", { value: "" }, "全部学员"), students.map((one) =>
    h("option", { value: String(one.id), selected: String(one.id) === chosen.profile_id }, one.name)));
  return h("div", { class: "chips" }, button, free, who);
}

function query(calendar, day) {
  const asked = new URLSearchParams({ date_to: day, limit: "20" });
  // Of today only what is still to come: without a first day the list begins now.
  if (day !== calendar[0].day) asked.set("date_from", day);
  for (const [name, value] of Object.entries(chosen)) if (value) asked.set(name, value);
  return `/schedules?${asked}`;
}

export default {
  id: "classes",
  title: "课程",
  tab: { label: "课程", icon: "calendar" },
  async show(screen, rest) {
    const calendar = days(AHEAD);
    const day = calendar.find((one) => one.day === rest)?.day ?? calendar[0].day;
    const { items } = await api("GET", "/profiles");
    const students = items.filter((one) => one.status === "active");
    if (!students.some((one) => String(one.id) === chosen.profile_id)) chosen.profile_id = "";
    const list = h("div");
    screen.replaceChildren(dayStrip(calendar, day), tools(calendar, students), list);
    const row = (schedule) => scheduleRow(schedule, {
      onclick: ({ currentTarget }) => {
        const mine = chosen.profile_id || students.length < 2;
        if (schedule.my_state === "booked" && mine) location.hash = "bookings";
        else if (schedule.my_state === "offered" || (schedule.my_state === "waiting" && mine)) location.hash = "waits";
        else if (schedule.my_state === "held" && kept.of(schedule)) location.hash = `order/${kept.of(schedule)}`;
        else busy(currentTarget, () => book(schedule, chosen.profile_id || null));
      },
    });
    await growing(list, query(calendar, day), row, "这一天没有符合条件的课。");
  },
};
