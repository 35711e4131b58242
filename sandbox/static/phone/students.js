// The family's students: list, add, edit.

import { api, h, nothing, sheet, toast } from "./core.js";

const GENDERS = [["unknown", "未填写"], ["female", "女"], ["male", "男"]];
const STATUS = { active: "在读", left: "已离校", inactive: "已停用" };

async function edit(profile) {
  const saved = await sheet({
    title: profile ? "修改学员" : "添加学员",
    fields: [
      { name: "name", label: "姓名", value: profile?.name ?? "", maxLength: 64, required: true },
      { name: "birthday", label: "生日", type: "date", value: profile?.birthday ?? "" },
      { name: "gender", label: "性别", options: GENDERS, value: profile?.gender ?? "unknown" },
      { name: "level", label: "级别（选填，由老师确认后生效）", value: profile?.level ?? "", placeholder: "例如 L1" },
    ],
    save: (values) => {
      // Empty fields stay away: the API takes a missing one as "not said".
      const body = Object.fromEntries(Object.entries(values).filter(([, value]) => value !== ""));
      return profile ? api("PATCH", `/profiles/${profile.id}`, body) : api("POST", "/profiles", body);
    },
  });
  if (!saved) return;
  toast(profile ? "已保存" : "已添加");
  dispatchEvent(new Event("redraw"));
}

function row(profile) {
  const facts = [profile.level ?? "级别待确认", GENDERS.find(([g]) => g === profile.gender && g !== "unknown")?.[1], profile.birthday];
  return h("li", {},
    h("button", { class: "cell", type: "button", onclick: () => edit(profile) },
      h("span", { class: "main" }, h("b", {}, profile.name), h("span", { class: "sub" }, facts.filter(Boolean).join(" · "))),
      h("span", { class: "side" }, STATUS[profile.status] ?? ""), h("span", { class: "more", "aria-hidden": "true" }, "›")));
}

export default {
  id: "students",
  title: "学员",
  async show(screen) {
    const { items } = await api("GET", "/profiles");
    screen.replaceChildren(
      items.length ? h("ul", { class: "cells" }, items.map(row)) : nothing("还没有学员。先添加孩子，再预约课程。"),
      h("button", { class: "green-button", onclick: () => edit(null) }, "添加学员"));
  },
};
