// What was missed and may be made up for: the list by state, and the classes that one of them can be used for.

import { api, busy, h, nothing, sheet, time, toast } from "./core.js";
import { when } from "./day.js";
import { growing } from "./list.js";
import { makeUp, waitWith } from "./makeup-book.js";
import { spoken } from "./minutes.js";
import { scheduleRow } from "./schedule.js";

const VIEWS = [["available", "待补课"], ["booked", "已预约"], ["done", "已补课"], ["expired", "已失效"]];
const EMPTY = {
  available: "没有待补课。请假后保留的补课机会会列在这里。", booked: "没有约好的补课。", done: "还没有补过课。", expired: "没有失效的待补课。",
};
const redraw = () => dispatchEvent(new Event("redraw"));
const names = async () => new Map((await api("GET", "/profiles")).items.map((one) => [one.id, one.name]));

/** The hint of the minutes, one tap away from what they are. */
const hint = (data) => data.compensation_hint && h("a", { class: "hint", href: "#minutes" },
  h("span", {}, data.compensation_hint), h("b", {}, spoken(data.compensation_minutes)), h("span", { class: "more", "aria-hidden": "true" }, "›"));

async function ask(credit) {
  const key = crypto.randomUUID();
  const done = await sheet({
    title: "请前台安排补课",
    text: `${credit.original_schedule.course_name}，${time(credit.valid_until)}前有效。前台安排后会在消息里答复您。`,
    fields: [
      { name: "text", label: "要求", maxLength: 500, required: true, placeholder: "例如：请安排周六上午" },
      { name: "wishes", label: "希望的时间、教练（选填）", maxLength: 500 },
    ],
    action: "提交",
    save: ({ text, wishes }) => api("POST", `/makeup/credits/${credit.id}/request`, { text, wishes: wishes.trim() || null }, key),
  });
  if (done) toast("已提交，前台会在消息里答复");
}

function actions(credit) {
  if (credit.status === "available") {
    return h("div", { class: "row-buttons" },
      h("button", { class: "small-button", type: "button", onclick: () => ask(credit) }, "请前台安排"),
      h("a", { class: "small-button", href: `#makeup/${credit.id}` }, "选课补课"));
  }
  const { makeup_booking: booked } = credit;
  return booked && h("a", { class: "made-up", href: `#booking/${booked.id}` },
    h("span", {}, `补课：${booked.schedule.course_name}`), h("span", { class: "sub" }, when(booked.schedule)),
    h("span", { class: "more", "aria-hidden": "true" }, "›"));
}

const row = (students) => (credit) => h("li", { class: "credit" },
  h("div", { class: "cell" },
    h("span", { class: "main" },
      h("b", {}, credit.original_schedule.course_name),
      h("span", { class: "sub" }, `原课程 ${when(credit.original_schedule)} · ${spoken(credit.minutes)}`),
      h("span", { class: "sub" }, `${students.get(credit.profile_id) ?? "学员"} · ${time(credit.left_at)} 请假`),
      credit.status === "available" ? h("span", { class: "sub" }, `${time(credit.valid_until)} 到期`) : null),
    h("span", { class: "side" }, h("span", { class: `badge ${credit.status}` }, credit.status_text))),
  actions(credit));

export const makeups = {
  id: "makeups",
  title: "待补课",
  async show(screen, rest) {
    const view = VIEWS.some(([name]) => name === rest) ? rest : "available";
    const [list, top] = [h("div"), h("div")];
    screen.replaceChildren(
      h("div", { class: "segments" }, VIEWS.map(([name, label]) =>
        h("button", { type: "button", "aria-pressed": String(name === view), onclick: () => { location.hash = `makeups/${name}`; } }, label))),
      top, list);
    await growing(list, `/makeup/my?limit=20&status=${view}`, row(await names()), EMPTY[view],
      (data) => top.replaceChildren(...[hint(data)].filter(Boolean)));
  },
};

// -- the classes that a credit can be used for ----------------------------------------------------------------

const DAYS = [["", "全部"], ...["一", "二", "三", "四", "五", "六", "日"].map((name, n) => [String(n + 1), `周${name}`])];
const HOURS = { morning: ["00:00", "11:59"], afternoon: ["12:00", "17:59"], evening: ["18:00", "23:59"] };
const PARTS = [["", "全部"], ["morning", "上午"], ["afternoon", "下午"], ["evening", "晚上"]];
/** As set by the parent; kept while the app is open. */
const chosen = { weekday: "", part: "", coach_id: "", venue_id: "" };

async function filter(credit) {
  const { items } = await api("GET", `/makeup/available?credit_id=${credit.id}&limit=100`);
  const those = (name) => [["", "全部"], ...new Map(items.map(({ schedule }) => [String(schedule[name].id), schedule[name].name]))];
  const set = await sheet({
    title: "筛选课程",
    fields: [
      { name: "weekday", label: "星期", options: DAYS, value: chosen.weekday },
      { name: "part", label: "时段", options: PARTS, value: chosen.part },
      { name: "coach_id", label: "教练", options: those("coach"), value: chosen.coach_id },
      { name: "venue_id", label: "场馆", options: those("venue"), value: chosen.venue_id },
    ],
    action: "确定",
  });
  if (!set) return;
  Object.assign(chosen, set);
  redraw();
}

function query(credit) {
  const asked = new URLSearchParams({ credit_id: credit.id, limit: "20" });
  for (const name of ["weekday", "coach_id", "venue_id"]) if (chosen[name]) asked.set(name, chosen[name]);
  if (chosen.part) [["time_from", 0], ["time_to", 1]].forEach(([name, n]) => asked.set(name, HOURS[chosen.part][n]));
  return `/makeup/available?${asked}`;
}

async function choose(credit, choice) {
  const { schedule } = choice;
  if (schedule.my_state === "waiting" || schedule.my_state === "offered") location.hash = "waits";
  else if (choice.can_join_waitlist) await waitWith(credit, schedule);
  else if (schedule.available <= 0) toast("这节课已满，候补也已满或已截止");
  else await makeUp(credit, schedule, choice.match.text);
}

/** Only what is not the same as in the missed class. */
const differences = (match) =>
  ["level", "coach", "venue"].map((name) => match[name]).filter((words) => !words.endsWith("相同")).join("，") || "级别、教练、场地都相同";

const choiceRow = (credit) => (choice) => scheduleRow(choice.schedule, {
  day: true,
  price: choice.original_price,
  note: h("span", { class: "match" },
    choice.duration_difference ? h("span", { class: `badge ${choice.duration_difference < 0 ? "fewer" : "longer"}` }, choice.match.minutes) : null,
    differences(choice.match), choice.blocked_by === "NOT_ENOUGH_COMPENSATION" ? "，课时补偿不足" : null),
  onclick: ({ currentTarget }) => busy(currentTarget, () => choose(credit, choice)),
});

export const makeup = {
  id: "makeup",
  title: "选课补课",
  async show(screen, id) {
    const { items } = await api("GET", "/makeup/my?status=available&limit=100");
    const credit = items.find((one) => String(one.id) === id);
    if (!credit) return screen.replaceChildren(nothing("这次待补课已使用或已失效。"));
    const [list, top] = [h("div"), h("div")];
    const count = Object.values(chosen).filter(Boolean).length;
    const button = h("button", { class: "chip", type: "button", "aria-pressed": String(count > 0), onclick: () => busy(button, () => filter(credit)) },
      count ? `筛选 ${count}` : "筛选");
    screen.replaceChildren(
      h("p", { class: "missed" }, h("b", {}, credit.original_schedule.course_name),
        h("span", { class: "sub" }, `原课程 ${when(credit.original_schedule)} · ${spoken(credit.minutes)}`),
        h("span", { class: "sub" }, `${time(credit.valid_until)} 到期`)),
      h("div", { class: "chips" }, button), top, list);
    await growing(list, query(credit), choiceRow(credit), "没有符合条件的课。可以换个条件，或请前台安排。",
      (data) => top.replaceChildren(...[hint(data)].filter(Boolean)));
  },
};
