// What all pages of the phone use: elements, the two servers (WeChat's part and the app's API), and messages
// to the person holding the phone. Text from the servers only ever becomes text nodes, never markup.

const { openid, name, phone } = document.body.dataset;
export const parent = { openid, name, phone };
export const $ = (selector) => document.querySelector(selector);

// -- elements ---------------------------------------------------------------------------------------------

/** `h("p", { class: "sub", onclick: f }, "text", otherElement, null)`; null and false are left out. */
export function h(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  for (const [key, value] of Object.entries(props)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (key in element) element[key] = value;
    else element.setAttribute(key, value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

export function icon(id) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
  use.setAttribute("href", `#icon-${id}`);
  svg.setAttribute("aria-hidden", "true");
  svg.append(use);
  return svg;
}

// -- words ------------------------------------------------------------------------------------------------

/** "-1234.50" → "-¥1,234.50". Amounts are strings all the way: a float would lose what it cannot hold. */
export function money(amount, signed = false) {
  const negative = amount.startsWith("-");
  const [yuan, fen = "00"] = amount.replace("-", "").split(".");
  const sign = negative ? "-" : signed ? "+" : "";
  return `${sign}¥${yuan.replace(/\B(?=(\d{3})+$)/g, ",")}.${fen}`;
}

const clock = new Intl.DateTimeFormat("zh-CN", {
  timeZone: "Asia/Shanghai", month: "long", day: "numeric", hour: "2-digit", minute: "2-digit", hourCycle: "h23",
});
export const time = (value) => (value ? clock.format(typeof value === "number" ? value * 1000 : new Date(value)) : "");

// -- this phone's sign-in -----------------------------------------------------------------------------------

const STORE = `phone:${openid}`;
export const session = {
  read: () => JSON.parse(localStorage.getItem(STORE) || "null"),
  keep: (tokens) => localStorage.setItem(STORE, JSON.stringify(tokens)),
  forget: () => localStorage.removeItem(STORE),
};

// -- servers ------------------------------------------------------------------------------------------------

export class Refusal extends Error {
  constructor(status, body) {
    super(body?.message || `服务器应答 ${status}`);
    Object.assign(this, { status, code: body?.error, errors: body?.errors || {}, data: body?.data, requestId: body?.request_id });
  }
}

async function ask(method, address, body, headers = {}) {
  let answer;
  try {
    answer = await fetch(address, {
      method,
      headers: { ...(body === undefined ? {} : { "Content-Type": "application/json" }), ...headers },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch {
    throw new Refusal(0, { message: "网络已断开，请稍后再试" });
  }
  if (answer.status === 204) return null;
  const document = await answer.json().catch(() => null);
  if (!answer.ok) throw new Refusal(answer.status, document);
  return document;
}

/** What WeChat itself does on this phone; `path` is below /phone/{openid}. */
export const wechat = (method, path, body) => ask(method, `/phone/${openid}${path}`, body);

let renewing = null;

/** One renewal at a time: a refresh token is spent by its first use, a second use would end the sign-in. */
async function renew() {
  renewing ??= (async () => {
    const { refresh_token } = session.read() ?? {};
    const answer = await ask("POST", "/phone/api/auth/refresh", { refresh_token });
    session.keep({ access_token: answer.data.access_token, refresh_token: answer.data.refresh_token });
  })().finally(() => { renewing = null; });
  return renewing;
}

/** The app's API below /api/v1. Returns `data`. A writing call carries a key, so that asking again is safe. */
export async function api(method, path, body, key = method === "GET" ? null : crypto.randomUUID()) {
  const send = () => {
    const tokens = session.read();
    return ask(method, `/phone/api${path}`, body, {
      ...(tokens ? { Authorization: `Bearer ${tokens.access_token}` } : {}),
      ...(key ? { "Idempotency-Key": key } : {}),
    });
  };
  try {
    return (await send())?.data;
  } catch (error) {
    if (error.status !== 401 || !session.read() || path === "/auth/login") throw error;
  }
  try {
    await renew();
  } catch (error) {
    // Only a refusal ends the sign-in; an app that is merely away keeps it.
    if (error.status === 401) {
      session.forget();
      dispatchEvent(new Event("signed-out"));
    }
    throw error;
  }
  return (await send())?.data;
}

/** One key for one order, so that pressing again after a lost answer acts once; another student is another order. */
export function keys() {
  const kept = new Map();
  return (...order) => {
    const name = order.join(":");
    if (!kept.has(name)) kept.set(name, crypto.randomUUID());
    return kept.get(name);
  };
}

// -- messages to the person -----------------------------------------------------------------------------------

let toastTimer;
export function toast(text) {
  const box = $("[data-toast]");
  box.textContent = text;
  box.hidden = false;
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => { box.hidden = true; }, 2200);
}

export const nothing = (text) => h("p", { class: "nothing" }, text);

export const problem = (error) =>
  h("div", { class: "problem", role: "alert" }, error.message,
    error.requestId ? h("span", { class: "sub" }, `请求编号 ${error.requestId}`) : null);

/** Runs the work of a button: not twice at once, and a refusal becomes a toast. */
export async function busy(button, work) {
  button.disabled = true;
  try {
    return await work();
  } catch (error) {
    toast(error.message);
  } finally {
    button.disabled = false;
  }
}

/**
 * A form from the bottom of the screen. `fields`: { name, label, type, value, options, placeholder }.
 * `body` stands above the fields: elements, or a function that is given the way to close the sheet with a value.
 * Without `action` there is nothing to send.
 * `save(values)` may throw a Refusal: its field errors appear under the fields, its sentence at the end.
 * Resolves to what `save` returned, or null when the form was closed.
 */
export function sheet({ title, text, body = null, fields = [], action = "保存", close = "取消", save = async (v) => v }) {
  const box = $("[data-sheet]");
  return new Promise((resolve) => {
    const before = document.activeElement;
    const done = (value) => { box.hidden = true; box.replaceChildren(); before?.focus?.(); resolve(value); };
    const wrongs = {};
    const rows = fields.map((field) => {
      const { label, options, ...props } = field;
      const input = options
        ? h("select", { name: props.name }, options.map(([value, words]) => h("option", { value, selected: value === (props.value ?? "") }, words)))
        : h("input", { autocomplete: "off", ...props });
      wrongs[field.name] = h("span", { class: "wrong" });
      return h("label", {}, h("span", {}, label), input, wrongs[field.name]);
    });
    const wrong = h("span", { class: "wrong", role: "alert" });
    const submit = h("button", { type: "submit", hidden: !action }, action);
    const form = h("form", {
      onsubmit: async (event) => {
        event.preventDefault();
        submit.disabled = true;
        for (const place of [wrong, ...Object.values(wrongs)]) place.textContent = "";
        try {
          done(await save(Object.fromEntries(new FormData(form))));
        } catch (error) {
          for (const [name, lines] of Object.entries(error.errors ?? {})) if (wrongs[name]) wrongs[name].textContent = lines.join("；");
          wrong.textContent = error.message;
        } finally {
          submit.disabled = false;
        }
      },
      onkeydown: (event) => { if (event.key === "Escape") done(null); },
    },
      h("h2", {}, title), text ? h("p", { class: "muted" }, text) : null,
      typeof body === "function" ? body(done) : body, rows, wrong,
      h("div", { class: "choices" }, h("button", { type: "button", onclick: () => done(null) }, close), submit));
    box.replaceChildren(form);
    box.hidden = false;
    (form.querySelector("input, select") ?? (action ? submit : form.querySelector("button"))).focus();
  });
}
