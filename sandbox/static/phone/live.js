// What changes while it is looked at: a page that asks again, and a clock that runs down between two answers.

import { h } from "./core.js";

const EVERY = 3000;

/** Draws at once and every few seconds while `screen` is shown and `again()` says that it may change. */
export async function following(screen, draw, again) {
  await draw();
  const timer = setInterval(async () => {
    if (!screen.isConnected || !again()) return clearInterval(timer);
    if (!document.hidden) await draw().catch(() => {}); // the next round asks again
  }, EVERY);
}

/** An element whose text is `words(seconds left)`; the end is this many seconds from now, whatever this phone's clock says. */
export function ticking(seconds, words) {
  const end = performance.now() + seconds * 1000;
  const left = h("b", { role: "timer" });
  const tick = () => { left.textContent = words(Math.max(0, Math.round((end - performance.now()) / 1000))); };
  tick();
  const timer = setInterval(() => (left.isConnected ? tick() : clearInterval(timer)), 1000);
  return left;
}

const two = (number) => String(number).padStart(2, "0");

/** Seconds as minutes and seconds: "14:05". */
export const clock = (seconds) => `${two(Math.floor(seconds / 60))}:${two(seconds % 60)}`;
