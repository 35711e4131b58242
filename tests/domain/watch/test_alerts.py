"""An alert's life: it begins once it lasted, is told again while it lasts, and is told when it is over (Z11)."""

from __future__ import annotations

from datetime import timedelta

import pytest
import sqlalchemy as sa

from app import clock, health, metrics_known
from app.db import db
from app.domain.policy import changes
from app.domain.watch import alerts
from app.domain.watch.models import Alert
from tasks import periodic_watch
from tests.domain.outbox.families import rows

MINUTE = timedelta(minutes=1)
BAD = {"desk_job_failing": [({"job": "audit_seal"}, 1.0)]}
GOOD = {"desk_job_failing": [({"job": "audit_seal"}, 0.0)]}
BROKEN = {"desk_money_check_failing": [({"check": "ledger"}, 2.0)]}


@pytest.fixture
def at(app):
    """Judge these figures so many minutes after now; the titles that burn."""
    began = clock.now()

    def judge(minutes: float, samples) -> list[str]:
        with clock.travel(to=began + minutes * MINUTE):
            return alerts.judge(samples)[0]

    return judge


def titles() -> list[str]:
    return [card.title for card in rows(type="system.alert")]


def kept() -> list[sa.Row]:
    return list(db.session.execute(sa.select(Alert.__table__).order_by(Alert.id)))


def test_it_begins_lasts_and_ends(at):
    assert at(0, BAD) == at(4, BAD) == []
    assert (alerts.lasting(45 * MINUTE / 60), alerts.lasting(120 * MINUTE)) == ("不到 1 分钟", "2 小时")
    assert at(5, BAD) == ["定时任务失败"]
    at(6, BAD)
    assert titles() == ["告警：定时任务失败"]
    at(5 + 239, BAD)
    assert len(titles()) == 1
    at(5 + 240, BAD)
    assert titles()[1:] == ["告警仍在：定时任务失败"]
    assert at(250, GOOD) == at(254, GOOD) == ["定时任务失败"]
    assert at(255, GOOD) == []
    assert titles()[2:] == ["已恢复：定时任务失败"]
    last = rows(type="system.alert")[-1]
    assert ["共持续", "4 小时 10 分钟"] in last.payload["lines"]
    assert (last.recipient, last.payload["colour"]) == ("system", "green")
    [row] = kept()
    assert (row.open_rule, row.told) == (None, 3)
    # The next time is another one.
    at(300, BAD)
    at(305, BAD)
    assert titles()[3:] == ["告警：定时任务失败"]


def test_what_was_short_was_nothing(at):
    at(0, BAD)
    at(1, GOOD)
    assert kept() == []
    at(2, BAD)
    at(6, BAD)
    assert titles() == []


def test_a_figure_that_flickers_writes_one_card(at):
    at(0, BROKEN)
    for minute in range(1, 40):
        at(minute, BROKEN if minute % 4 == 0 else {"desk_money_check_failing": []})
    assert titles() == ["告警：资金健康检查不符"]
    [card] = rows(type="system.alert")
    assert (card.queue, card.payload["colour"]) == ("urgent", "red")
    assert ["情况", "ledger 2 处"] in card.payload["lines"]


def test_not_to_know_is_neither_alarm_nor_recovery(at):
    at(0, BROKEN)
    for minute in (1, 10, 20):
        assert at(minute, {}) == ["资金健康检查不符"]
    assert titles() == ["告警：资金健康检查不符"]


def test_a_clock_that_drifts_is_told(app, monkeypatch):
    monkeypatch.setattr(health, "clock_offset", lambda: -3.25)
    assert "3.2" in str(metrics_known.samples()["desk_clock_offset_seconds"])
    began = clock.now()
    for minute in range(3):
        with clock.travel(to=began + minute * MINUTE):
            said = periodic_watch.alerts_judge()
    assert "时钟偏差过大" in said
    [card] = [card for card in rows(type="system.alert") if "时钟" in card.title]
    assert ["情况", "-3.2 秒"] not in card.payload["lines"]
    assert ["情况", "3.2 秒"] in card.payload["lines"]
    page = alerts.burning()
    assert [one.title for one in page if one.rule == "DeskClockOff"] == ["时钟偏差过大"]


def test_a_threshold_is_that_of_the_policy_in_force(app):
    late = {"desk_outbox_oldest_seconds": [({"queue": "bulk"}, 90.0)]}
    alerts.judge(late)
    assert [row.rule for row in kept()] == ["DeskOutboxLate"]
    changes.set_by_command(name="alert_outbox_late", value="2m", who="测试")
    alerts.judge(late)
    assert kept() == []
