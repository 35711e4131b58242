"""The week's report: how the service levels were kept, what was slow, what burned (Z14); and its card on Monday."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

import sqlalchemy as sa

from app import clock
from app.db import db, transactional
from app.domain.outbox import service as outbox
from app.domain.watch import alerts, hours, levels
from app.domain.watch.alerts import Shown
from app.domain.watch.hours import Counted
from app.domain.watch.levels import SHARES, WORDS, Kept, Level

#: endpoints and statements of a report, and those that the card names
SHOWN, NAMED = 10, 3
WEEK = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Slow:
    """One endpoint: its calls, their 95th percentile in milliseconds, and those that failed."""

    name: str
    calls: int
    p95: float
    failed: int


@dataclass(frozen=True, slots=True)
class Day:
    on: date
    levels: dict[Level, Kept]


@dataclass(frozen=True, slots=True)
class Report:
    """Of the studio week that begins on `monday`; `days` that have begun, the oldest first."""

    monday: date
    levels: dict[Level, Kept]
    days: list[Day]
    slow: list[Slow]
    failing: list[Slow]
    statements: list[sa.Row]
    alerts: list[Shown]

    @property
    def sunday(self) -> date:
        return self.monday + timedelta(days=6)


def monday(day: date) -> date:
    """Of its week."""
    return day - timedelta(days=day.weekday())


def report(first: date) -> Report:
    """The week that begins on this Monday."""
    last = first + timedelta(days=6)
    start, end = clock.day_bounds(first)[0], clock.day_bounds(last)[1]
    days, whole = [], {}
    for offset in range(7):
        day = first + timedelta(days=offset)
        if day > clock.today():
            break
        found = hours.sums(*clock.day_bounds(day))
        days.append(Day(day, levels.judge(found)))
        for name, one in found.items():
            whole[name] = whole.get(name, Counted()) + one
    ended = [Slow(name, one.total, one.quantile(0.95) or 0.0, one.failed) for name, one in whole.items()]
    often = [one for one in ended if one.calls >= levels.LEAST]
    return Report(
        first, levels.judge(whole), days,
        sorted(often, key=lambda one: -one.p95)[:SHOWN],
        sorted((one for one in ended if one.failed), key=lambda one: -one.failed)[:SHOWN],
        hours.slowest_statements(first, last, SHOWN), alerts.fired_between(start, end),
    )  # fmt: skip


def tell() -> bool:
    """The card of the week before, once; whether it was written now."""
    first = monday(clock.today()) - WEEK
    found = report(first)
    db.session.rollback()
    hours.forget()
    return _tell(found=found)


@transactional
def _tell(*, found: Report) -> bool:
    held = [kept.holds for kept in found.levels.values()]
    lines = [[WORDS[level], in_words(kept)] for level, kept in found.levels.items()]
    lines += [["最慢的接口", f"{one.name}，95% 在 {one.p95:.0f} 毫秒内"] for one in found.slow[:NAMED]]
    lines += [["最慢的语句", f"{one.statement[:120]}（{one.runs} 次，最长 {one.longest} 毫秒）"]
              for one in found.statements[:NAMED]]  # fmt: skip
    lines.append(["告警", f"{len(found.alerts)} 次"])
    card = {
        "title": f"服务水平周报 {found.monday:%m月%d日}–{found.sunday:%m月%d日}",
        "colour": "orange" if False in held else "green", "lines": lines,
        "link": {"text": "查看周报", "path": f"/system/service?week={found.monday}"},
    }  # fmt: skip
    return outbox.tell_staff("system", "system.service_week", card, dedupe=f"week:{found.monday}") is not None


def in_words(kept: Kept) -> str:
    """`99.95%（目标 99.9%，错误预算剩 50%）`, or `120 毫秒（目标 200 毫秒）`."""
    if kept.value is None:
        return "没有请求"
    if kept.level not in SHARES:
        return f"{kept.value:.0f} 毫秒（目标 {kept.goal:.0f} 毫秒）"
    # Rounded down: 99.999 must not look like 100 while something failed.
    value = int(kept.value * 100_000) / 1000
    return f"{value:g}%（目标 {kept.goal * 100:g}%，错误预算剩 {kept.budget_left * 100:.0f}%）"
