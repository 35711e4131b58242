// Booking a makeup, or waiting for one, with a credit: what is asked of the parent is asked in the server's words.

import { api, h, keys, money, sheet, toast } from "./core.js";
import { isOpen } from "./features.js";
import { choices, consent, joined } from "./join.js";
import { free } from "./makeup-price.js";
import { spoken } from "./minutes.js";
import { facts, scheduleFacts } from "./schedule.js";

/** What a refusal asks the parent to agree to; null for one that no agreement helps against. */
function question(error) {
  if (error.code === "SHORTER_CLASS") {
    const { earned } = error.data;
    return {
      wish: "accept_shorter", title: error.message, action: "确认预约",
      text: earned ? `少的时长成为${spoken(earned)}课时补偿，补较长的课时可以使用。` : null,
    };
  }
  if (error.code === "NOT_ENOUGH_COMPENSATION" && error.data.missing === 0) {
    const { needed, available } = error.data;
    return {
      wish: "use_compensation", title: error.message, action: "使用并预约",
      body: facts([["现有课时补偿", spoken(available)], ["使用", spoken(needed)], ["剩余", spoken(available - needed)]]),
    };
  }
  return null;
}

/** Shows `form`, sends, and asks what the server wants agreed. Resolves to what `send` gave, or null. */
async function agreed(form, send) {
  const wishes = {};
  let now = form;
  let values = {};
  for (;;) {
    const answer = await sheet({
      ...now,
      close: "再想想",
      save: async (entered) => {
        values = { ...values, ...entered };
        try {
          return { done: await send(wishes, values) };
        } catch (error) {
          if (question(error)) return { error };
          throw error;
        }
      },
    });
    if (!answer) return null;
    if (answer.done) return answer.done;
    const { wish, ...asked } = question(answer.error);
    wishes[wish] = true;
    now = asked;
  }
}

const about = (credit, schedule, match) => facts([
  ...scheduleFacts(schedule), ["与原课程", match], ["原课时长", spoken(credit.minutes)], ["价格", free(schedule.price)],
]);

/** Asks, books with the credit and tells what became of the minutes. `match` says how the class differs. */
export async function makeUp(credit, schedule, match) {
  if (!(await isOpen("makeup"))) return;
  const key = keys();
  const form = { title: "确认补课", body: about(credit, schedule, match), action: "确认补课" };
  const done = await agreed(form, async (wishes) => {
    const body = {
      course_schedule_id: schedule.id, profile_id: credit.profile_id, original_booking_id: credit.original_booking_id, ...wishes,
    };
    try {
      return await api("POST", "/makeup/book", body, key(...Object.keys(wishes)));
    } catch (error) {
      if (error.code === "SEAT_FULL") return { alternatives: error.data.alternatives };
      throw error;
    }
  });
  if (!done) return;
  if (done.alternatives) return full(credit, schedule, done.alternatives);
  const minutes = [
    done.compensation_earned && ["得到课时补偿", spoken(done.compensation_earned)],
    done.compensation_used && ["使用课时补偿", spoken(done.compensation_used)],
    done.remaining_compensation && ["现有课时补偿", spoken(done.remaining_compensation)],
  ].filter(Boolean);
  const open = await sheet({
    title: "补课预约成功",
    body: facts([["学员", done.booking.profile_name], ...scheduleFacts(done.booking.schedule), ["扣费", money(done.booking.price)], ...minutes]),
    action: "查看预约",
    close: "完成",
    save: async () => true,
  });
  location.hash = open ? `booking/${done.makeup_booking_id}` : "makeups/booked";
}

/** Somebody had the last seat: others that the credit can be used for, or its queue. */
async function full(credit, schedule, alternatives) {
  dispatchEvent(new Event("redraw"));
  const chosen = await sheet({
    title: "这节课已满",
    text: alternatives.length ? "还有这些课可以补：" : "近期没有其他可补的空位，可以候补。",
    body: (done) => choices(alternatives, done),
    action: "候补",
    close: "知道了",
    save: async () => true,
  });
  if (chosen === true) return waitWith(credit, await api("GET", `/schedules/${schedule.id}`));
  if (chosen) await makeUp(credit, chosen);
}

/** Joins the queue of a full class; when its turn comes the seat is taken with the credit. */
export async function waitWith(credit, schedule) {
  if (!(await isOpen("waitlist"))) return;
  const key = keys();
  const form = {
    title: "这节课已满，加入候补",
    body: [
      facts([...scheduleFacts(schedule), ["候补", `${schedule.waitlist_count}/${schedule.waitlist_capacity}人`], ["价格", free(schedule.price)]]),
      h("p", { class: "notice" }, "轮到时用这次待补课，不扣费；随时可以退出。"),
      consent(schedule, credit.id),
    ],
    action: "候补",
  };
  const made = await agreed(form, async (wishes, { auto_accept }) => {
    const body = {
      course_schedule_id: schedule.id, profile_id: credit.profile_id, credit_id: credit.id, auto_accept: auto_accept === "on", ...wishes,
    };
    try {
      return await api("POST", "/waitlist/join", body, key(body.auto_accept, ...Object.keys(wishes)));
    } catch (error) {
      if (error.code === "SEAT_AVAILABLE") return { free: true };
      throw error;
    }
  });
  if (!made) return;
  dispatchEvent(new Event("redraw"));
  if (made.free) {
    toast("刚好有空位了，可以直接补课");
    return makeUp(credit, await api("GET", `/schedules/${schedule.id}`));
  }
  const chosen = await joined(made);
  if (chosen) await makeUp(credit, chosen);
}
