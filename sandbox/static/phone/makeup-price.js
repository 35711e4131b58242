// What a makeup costs: the class's own price struck through, and nothing.

import { h, money } from "./core.js";

/** "180.00" → ¥180.00 struck through, then ¥0.00. */
export const free = (price) => h("span", { class: "free" },
  h("s", { "aria-label": `原价 ${money(price)}` }, money(price)), h("b", { class: "money" }, money("0.00")));
