// Booking a trial class: for whom, the order with its seat, and on to paying.

import { api, h, keys, money, sheet } from "./core.js";
import { kept } from "./kept-orders.js";
import { openOrder, pay } from "./pay.js";
import { facts, scheduleFacts } from "./schedule.js";

const price = (amount) => facts([["价格", h("span", { class: "money" }, money(amount))], ["付款方式", "微信支付"]]);

/**
 * Asks for whom, makes the order and pays it; `students` are pairs of id and name.
 * Resolves to `{ alternatives, student, order? }` where the class is full.
 */
export async function bookTrial(schedule, students, student) {
  const key = keys();
  let amount = schedule.price;
  const cost = h("div", {}, price(amount));
  const made = await sheet({
    title: "预约体验课",
    text: "下单后为您保留座位，请及时支付。",
    body: [facts(scheduleFacts(schedule)), cost],
    fields: [{ name: "profile_id", label: "学员", options: students, value: student }],
    action: "去支付",
    save: async ({ profile_id }) => {
      const body = { course_schedule_id: schedule.id, profile_id: Number(profile_id), amount };
      try {
        return await api("POST", "/payment/orders/create", body, key(profile_id, amount));
      } catch (error) {
        if (error.code === "SEAT_FULL") return { alternatives: error.data.alternatives, student: profile_id };
        if (error.code === "AMOUNT_MISMATCH") {
          amount = error.data.amount;
          cost.replaceChildren(price(amount));
        }
        throw error;
      }
    },
  });
  if (!made?.order_id) return made;
  kept.add(made);
  // The order is there whatever happens to paying it, and can be gone on with.
  return pay(made).catch((error) => openOrder(made, error.message));
}
