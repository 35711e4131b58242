// The fault switches: each change is sent at once, and what others changed is shown every few seconds.

const TROUBLES = [
  "slow", "down", "rate_limited", "refuse", "busy", "risk", "token_invalid", "wrong_signature", "unsigned",
  "drop_callbacks", "bill_creating",
  "duplicate_callbacks", "stale_callbacks", "probe_first", "other_serial", "wrong_amount", "not_enough",
];
const status = document.querySelector("[data-status]");

async function call(method, path, body) {
  const answer = await fetch(path, {
    method,
    headers: body ? { "Content-Type": "application/json" } : {},
    body: body && JSON.stringify(body),
  });
  const data = await answer.json();
  if (!answer.ok) throw new Error(data.message);
  return data;
}

function say(text) {
  status.textContent = text;
  status.hidden = !text;
}

function valueOf(input) {
  if (input.type === "checkbox") return input.checked;
  if (input.tagName === "SELECT") return input.value;
  if (input.dataset.switch === "times") return input.value === "" ? null : Number(input.value) || null;
  return Number(input.value);
}

function show(faults) {
  for (const input of document.querySelectorAll("[data-switch]")) {
    const value = faults[input.dataset.system]?.[input.dataset.switch];
    if (value === undefined || input === document.activeElement) continue;
    if (input.type === "checkbox") input.checked = value;
    else input.value = value || "";
  }
  for (const pill of document.querySelectorAll("[data-pill]")) {
    const fault = faults[pill.dataset.pill];
    const bad = TROUBLES.some((name) => fault[name]) || fault.refund_result !== "SUCCESS";
    pill.textContent = bad ? "有故障" : "正常";
    pill.classList.toggle("bad", Boolean(bad));
  }
}

async function attempt(work) {
  try {
    await work();
    say("");
  } catch (error) {
    say(error instanceof TypeError ? "已断开，正在重试" : error.message);
  }
}

const refresh = async () => show(await call("GET", "/_control/faults"));

document.addEventListener("change", (event) => {
  const input = event.target;
  if (!input.dataset.switch) return;
  const order = { system: input.dataset.system, [input.dataset.switch]: valueOf(input) };
  attempt(async () => {
    await call("POST", "/_control/faults", order);
    await refresh();
  });
});

document.querySelector("[data-expire]").addEventListener("click", () =>
  attempt(async () => {
    await call("POST", "/_control/faults", { system: "wechat", token_expired: true });
    say("现有令牌已失效，下一次发送会得到 40001");
  }),
);
document.querySelector("[data-clear]").addEventListener("click", () =>
  attempt(async () => show(await call("DELETE", "/_control/faults"))),
);
document.querySelector("[data-reset]").addEventListener("click", () => {
  if (!confirm("清空沙箱：所有消息、授权、令牌和故障设置都会消失。")) return;
  attempt(async () => {
    await call("POST", "/_control/reset", {});
    location.reload();
  });
});

attempt(refresh);
setInterval(() => document.hidden || attempt(refresh), 4000);
