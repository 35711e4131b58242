"""Service levels: what they count, their goals, and how much of the error budget is left (Z14)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from app import clock
from app.domain.policy import service as policy
from app.domain.watch import hours
from app.domain.watch.hours import HOUR, Counted

#: blueprints whose writes move money, seats or credits
_MONEY = frozenset({
    "api.bookings", "api.makeup", "api.payment", "api.waitlist", "api.wallet", "api.withdrawals",
    "api.wxpay_callbacks", "bookings", "bulk", "cases", "desk", "makeups", "orders", "waitlist", "withdrawals",
})  # fmt: skip
#: they wait for WeChat or make a whole file: their time is not ours to promise
_OTHERS_TIME = frozenset({
    "api.payment.create_prepay", "api.payment.get_order", "api.payment.get_qrcode", "api.sign_in.login",
    "orders.ask", "orders.ask_number", "bulk.new", "bulk.sheet", "exports.take", "receipts.show",
})  # fmt: skip
#: a budget is reckoned over so long
BUDGET_SPAN = timedelta(days=7)
#: fewer calls than this say nothing about a share or a quantile
LEAST = 20


class Level(StrEnum):
    """What is promised. The first two are shares of calls that succeed, the others the p95 of milliseconds."""

    MONEY = "money"
    AVAILABILITY = "availability"
    MONEY_P95 = "money_p95"
    READS_P95 = "reads_p95"


WORDS = {
    Level.MONEY: "资金操作成功率", Level.AVAILABILITY: "可用率",
    Level.MONEY_P95: "资金操作 95% 耗时", Level.READS_P95: "查询 95% 耗时",
}  # fmt: skip
SHARES = (Level.MONEY, Level.AVAILABILITY)


@dataclass(frozen=True, slots=True)
class Kept:
    """One level over some time. `goal` and `value` are shares of one, or milliseconds; `value` None without calls."""

    level: Level
    goal: float
    value: float | None
    total: int
    failed: int

    @property
    def holds(self) -> bool | None:
        if self.value is None:
            return None
        return self.value >= self.goal if self.level in SHARES else self.value <= self.goal

    @property
    def budget_left(self) -> float | None:
        """Share of the failures that the goal allows which is not used up; negative beyond it. None for a time."""
        if self.level not in SHARES or not self.total:
            return None
        allowed = self.total * (1 - self.goal)
        return 1 - self.failed / allowed if allowed else (0.0 if self.failed else 1.0)


def goals() -> dict[Level, float]:
    """The goals in force."""
    found = policy.get_many("goal_money", "goal_availability", "goal_money_p95", "goal_reads_p95")
    return {
        Level.MONEY: float(found["goal_money"]) / 100, Level.AVAILABILITY: float(found["goal_availability"]) / 100,
        Level.MONEY_P95: float(found["goal_money_p95"]), Level.READS_P95: float(found["goal_reads_p95"]),
    }  # fmt: skip


def counts(level: Level, name: str) -> bool:
    """Whether a level counts this `METHOD endpoint`."""
    method, _, endpoint = name.partition(" ")
    if level == Level.AVAILABILITY:
        return True
    if level != Level.MONEY and endpoint in _OTHERS_TIME:
        return False
    reads = method in ("GET", "HEAD")
    if level == Level.READS_P95:
        return reads
    return not reads and endpoint.rpartition(".")[0] in _MONEY


def judge(found: Mapping[str, Counted]) -> dict[Level, Kept]:
    """The levels over what `hours.sums` found."""
    aims, kept = goals(), {}
    for level in Level:
        total = sum((one for name, one in found.items() if counts(level, name)), Counted())
        value = total.quantile(0.95) if level not in SHARES else None
        if level in SHARES and total:
            value = 1 - total.failed / total.total
        kept[level] = Kept(level, aims[level], value, total.total, total.failed)
    return kept


def lately(now: datetime | None = None) -> dict[Level, Kept]:
    """Of this hour and the one before."""
    now = now or clock.now()
    return judge(hours.sums(hours.begin(now) - HOUR, hours.begin(now) + HOUR))


def of_the_week(now: datetime | None = None) -> dict[Level, Kept]:
    """Of the last seven days: what the budget is reckoned over."""
    now = now or clock.now()
    return judge(hours.sums(hours.begin(now) - BUDGET_SPAN, hours.begin(now) + HOUR))
