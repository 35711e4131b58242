// What a class costs and what is left in the wallet after it.

import { h, money } from "./core.js";
import { facts } from "./schedule.js";

/** "-12.30" → -1230n: amounts are added as whole fen, never as floats. */
const fen = (amount) => BigInt(amount.replace(".", ""));

function yuan(value) {
  const digits = String(value < 0n ? -value : value).padStart(3, "0");
  return `${value < 0n ? "-" : ""}${digits.slice(0, -2)}.${digits.slice(-2)}`;
}

export function bill(price, balance) {
  const after = yuan(fen(balance) - fen(price));
  return facts([
    ["价格", h("span", { class: "money" }, money(price))],
    ["钱包余额", money(balance)],
    ["预约后余额", h("span", { class: after.startsWith("-") ? "money negative" : "money" }, money(after))],
  ]);
}
