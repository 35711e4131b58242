"""Hours of what was answered, the levels over them, and the week's report (Z14)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from app import clock
from app.domain.watch import alerts, hours, levels, week
from app.domain.watch.hours import HOUR, Counted
from app.domain.watch.levels import Level
from app.slow_statements import Slow
from tests.domain.outbox.families import rows

#: Thursday, 12:00 in the studio
NOON = datetime(2026, 11, 19, 4, 0, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _noon(app):
    with clock.travel(to=NOON):
        yield


def calls(total: int, failed: int = 0, *, fast: int | None = None) -> Counted:
    """So many calls; `fast` of them within 50 ms, the rest between 200 and 500."""
    quick = total if fast is None else fast
    return Counted(total, failed, total * 10, [quick, quick, quick, total, total, total])


def add(at: datetime, counted: dict[str, Counted], slow=()) -> None:
    hours.add(counted={(hours.begin(at), "http", name): one for name, one in counted.items()}, slow=list(slow))


def test_what_processes_add_comes_together(app):
    for _ in range(3):
        add(NOON, {"POST api.wallet.x": calls(10, 1), "GET api.wallet.y": calls(5)})
    found = hours.sums(NOON, NOON + HOUR)
    assert found["POST api.wallet.x"] == calls(30, 3)
    assert found["GET api.wallet.y"].total == 15
    assert hours.sums(NOON - HOUR, NOON) == {}


def test_quantiles_lie_on_straight_lines_between_the_bounds():
    assert Counted().quantile(0.95) is None
    assert Counted(100, 0, 0, [100] * 6).quantile(0.95) == 47.5
    assert Counted(100, 0, 0, [0, 90, 100, 100, 100, 100]).quantile(0.95) == 150.0
    assert Counted(100, 0, 0, [0, 0, 0, 0, 0, 10]).quantile(0.95) == 5000.0
    assert Counted(4, 0, 0, [1, 1, 1, 2, 4, 4]).quantile(0.5) == 500.0


def test_each_level_counts_its_calls(app):
    add(NOON, {"POST api.wallet.x": calls(2000, 1, fast=1000), "POST api.payment.create_prepay": calls(1),
               "GET api.wallet.y": calls(500, 4), "POST auth.login": calls(100, 5)})  # fmt: skip
    kept = levels.lately(NOON)
    assert (kept[Level.MONEY].total, kept[Level.MONEY].failed) == (2001, 1)
    assert kept[Level.MONEY].holds
    assert kept[Level.MONEY].budget_left == pytest.approx(1 - 1 / 2.001)
    assert (kept[Level.AVAILABILITY].total, kept[Level.AVAILABILITY].failed) == (2601, 10)
    assert kept[Level.AVAILABILITY].holds is False
    assert kept[Level.AVAILABILITY].budget_left < 0
    assert kept[Level.READS_P95].value == 47.5
    assert kept[Level.MONEY_P95].value > 200
    assert kept[Level.MONEY_P95].holds is False
    assert not levels.counts(Level.MONEY_P95, "GET api.wallet.y")
    assert not levels.counts(Level.READS_P95, "GET api.payment.get_order")


def test_without_calls_nothing_is_said(app):
    kept = levels.lately(NOON)
    assert {one.holds for one in kept.values()} == {None}
    assert week.in_words(kept[Level.MONEY]) == "没有请求"
    assert len(week.report(week.monday(clock.today())).days) == 4


def test_the_week_by_days_with_what_was_slow(app):
    sunday = datetime(2026, 11, 22, 15, 30, tzinfo=UTC)  # 23:30 in the studio
    monday = datetime(2026, 11, 15, 16, 30, tzinfo=UTC)  # 00:30
    add(monday, {"POST api.wallet.x": calls(1000, 2), "GET orders.index": calls(40, fast=0)})
    add(monday - HOUR, {"POST api.wallet.x": calls(7, 7)})
    with clock.travel(to=sunday):
        add(sunday, {"POST api.wallet.x": calls(1000)}, [Slow("SELECT ?", 2, 900, 600)])
        add(sunday, {}, [Slow("SELECT ?", 1, 700, 700), Slow("UPDATE x", 1, 250, 250)])
        alerts.judge({"desk_money_check_failing": [({"check": "ledger"}, 2.0)]})
        found = week.report(week.monday(clock.today()))
    assert [day.levels[Level.MONEY].total for day in found.days] == [1000, 0, 0, 0, 0, 0, 1000]
    assert (found.levels[Level.MONEY].total, found.levels[Level.MONEY].failed) == (2000, 2)
    assert found.slow[0].name == "GET orders.index"
    assert [(one.name, one.failed) for one in found.failing] == [("POST api.wallet.x", 2)]
    assert [(one.statement, one.runs, one.milliseconds, one.longest) for one in found.statements] == [
        ("SELECT ?", 3, 1600, 700), ("UPDATE x", 1, 250, 250),
    ]  # fmt: skip
    assert [one.rule for one in found.alerts] == ["DeskMoneyCheckFailing"]


def test_the_card_of_last_week_is_written_once(app):
    add(NOON, {"POST api.wallet.x": calls(1000, 5)})
    with clock.travel(to=NOON + timedelta(days=4)):
        assert week.tell()
        assert not week.tell()
    [card] = rows(type="system.service_week")
    assert card.title == "服务水平周报 11月16日–11月22日"
    assert card.payload["colour"] == "orange"
    assert ["资金操作成功率", "99.5%（目标 99.9%，错误预算剩 -400%）"] in card.payload["lines"]
    assert card.payload["link"]["path"] == "/system/service?week=2026-11-16"


def test_hours_of_no_report_are_forgotten(app, monkeypatch):
    monkeypatch.setattr(hours, "BATCH", 2)
    for age in (0, 97, 99, 100, 101):
        add(NOON - timedelta(days=age), {"GET home.today": calls(1)})
    assert hours.forget() == 3
    assert len(hours.sums(NOON - timedelta(days=200), NOON + HOUR)) == 1
    assert hours.sums(NOON - timedelta(days=200), NOON + HOUR)["GET home.today"].total == 2
