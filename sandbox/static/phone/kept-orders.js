// The orders made on this phone. The contract has no list of a family's orders, so the phone keeps their numbers.

import { parent } from "./core.js";

const STORE = `orders:${parent.openid}`;
const MOST = 20;
const read = () => JSON.parse(localStorage.getItem(STORE) || "[]");
const write = (orders) => localStorage.setItem(STORE, JSON.stringify(orders.slice(0, MOST)));
const without = (id) => read().filter((one) => one.id !== id);

export const kept = {
  /** Newest first. */
  all: () => read().map((one) => one.id),
  add: (order) => write([{ id: order.order_id, schedule: order.schedule.id }, ...without(order.order_id)]),
  forget: (id) => write(without(id)),
  /** The newest order of a class, if this phone made one. */
  of: (schedule) => read().find((one) => one.schedule === schedule.id)?.id,
};
