// A list that grows by a keyset cursor: the first page at once, the others by 「更多」.

import { api, busy, h, nothing } from "./core.js";

/** Fills `place` with the items of `path`; `row(item)` makes an <li>. `got(data)` sees each page's data. */
export async function growing(place, path, row, empty, got = () => {}) {
  const list = h("ul", { class: "cells" });
  const more = h("button", { class: "grey-button", onclick: () => busy(more, load) }, "更多");
  let cursor = null;

  async function load() {
    const joint = path.includes("?") ? "&" : "?";
    const data = await api("GET", cursor ? `${path}${joint}cursor=${encodeURIComponent(cursor)}` : path);
    got(data);
    list.append(...data.items.map(row));
    cursor = data.next_cursor;
    more.hidden = !cursor;
  }

  await load();
  place.replaceChildren(...(list.children.length ? [list, more] : [nothing(empty)]));
}
