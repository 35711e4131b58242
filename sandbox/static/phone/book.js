// Booking a class: what it costs and what is left, the answer, and other classes where this one is full.

import { api, h, keys, money, sheet, toast } from "./core.js";
import { bill } from "./bill.js";
import { isOpen } from "./features.js";
import { choices, join } from "./join.js";
import { cancelled } from "./pay.js";
import { facts, scheduleFacts } from "./schedule.js";
import { bookTrial } from "./trial.js";

/** Asks, books and tells. `student` is the one who is chosen first. Resolves once it is done or given up. */
export async function book(schedule, student) {
  const trial = schedule.course_type === "trial";
  const [wallet, { items }] = await Promise.all([trial ? null : api("GET", "/wallet"), api("GET", "/profiles")]);
  const students = items.filter((one) => one.status === "active").map((one) => [String(one.id), one.name]);
  if (!students.length) {
    toast("请先添加学员");
    location.hash = "students";
    return;
  }
  const first = String(student ?? students[0][0]);
  if (schedule.available <= 0) return queue(schedule, students, first);
  if (!(await isOpen(...(trial ? ["trial_order", "payment"] : ["booking"])))) return;
  if (trial) {
    const full = await bookTrial(schedule, students, first);
    return full && others({ ...full, schedule, students });
  }
  const key = keys();
  let price = schedule.price;
  const cost = h("div", {}, bill(price, wallet.balance));
  const done = await sheet({
    title: "确认预约",
    body: [facts(scheduleFacts(schedule)), cost],
    fields: [{ name: "profile_id", label: "学员", options: students, value: first }],
    action: "确认预约",
    save: async ({ profile_id }) => {
      const body = { course_schedule_id: schedule.id, profile_id: Number(profile_id), price };
      try {
        return await api("POST", "/bookings", body, key(profile_id, price));
      } catch (error) {
        if (error.code === "SEAT_FULL") return { alternatives: error.data.alternatives, student: profile_id };
        if (error.code === "PRICE_CHANGED") {
          price = error.data.price;
          cost.replaceChildren(bill(price, wallet.balance));
        }
        throw error;
      }
    },
  });
  if (!done) return;
  if (done.alternatives) return others({ ...done, schedule, students });
  toast(`预约成功，余额 ${money(done.balance)}`);
  dispatchEvent(new Event("redraw"));
}

/** Waits for a full class, or books another one instead. */
async function queue(schedule, students, student) {
  const instead = await join(schedule, students, student);
  if (instead) await book(instead.schedule, instead.student);
}

/**
 * The class is full: up to three others, each one tap away, or waiting for it with the `students` to choose from;
 * `order` is what is given up for another class.
 */
export async function others({ alternatives, student, schedule = null, students = [], order = null }) {
  dispatchEvent(new Event("redraw"));
  const choice = order ? "同类课程还有空位，改约后原订单取消：" : "同类课程还有空位：";
  const chosen = await sheet({
    title: "这节课已满",
    text: alternatives.length ? choice : "近期没有同类课程的空位，请换个时间再看看。",
    body: (done) => choices(alternatives, done),
    action: schedule ? "候补" : null,
    close: "知道了",
    save: async () => true,
  });
  if (chosen === true) return queue(schedule, students, student);
  if (!chosen || (order && !(await cancelled(order)))) return;
  await book(chosen, student ?? order?.profile_id);
}
