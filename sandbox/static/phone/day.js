// Days and times of day on the studio's clock, whatever zone this computer is in.

const ZONE = "Asia/Shanghai";
const DAY = 86_400_000;
const number = new Intl.DateTimeFormat("sv-SE", { timeZone: ZONE });
const weekday = new Intl.DateTimeFormat("zh-CN", { timeZone: ZONE, weekday: "short" });
const hour = new Intl.DateTimeFormat("zh-CN", { timeZone: ZONE, hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const short = new Intl.DateTimeFormat("zh-CN", { timeZone: ZONE, month: "numeric", day: "numeric" });

/** The next days from today: `{ day: "2026-11-21", name: "今天", date: "11/21" }`. */
export function days(count) {
  return Array.from({ length: count }, (_, n) => {
    const moment = new Date(Date.now() + n * DAY);
    return { day: number.format(moment), name: ["今天", "明天"][n] ?? weekday.format(moment), date: short.format(moment) };
  });
}

export const range = (schedule) => `${hour.format(new Date(schedule.starts_at))}–${hour.format(new Date(schedule.ends_at))}`;

/** "11/21 周六 19:00–20:00" */
export function when(schedule) {
  const begins = new Date(schedule.starts_at);
  return `${short.format(begins)} ${weekday.format(begins)} ${range(schedule)}`;
}
