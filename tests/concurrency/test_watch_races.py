"""Several judges of the alerts, and several processes that add to an hour, with real commits (Z11, Z14). The controls
leave out what makes it right, and tell twice or lose counts."""

from __future__ import annotations

from datetime import timedelta

import pytest
import sqlalchemy as sa

from app import clock
from app.db import db, execute, transactional
from app.domain.outbox.models import Notification
from app.domain.watch import alerts, hours
from app.domain.watch.hours import HOUR, Counted
from app.domain.watch.models import Alert, ServiceHour
from tests.at_once import at_once_in
from tests.concurrency.test_approvals import is_mysql

pytestmark = pytest.mark.concurrency

BROKEN = {"desk_money_check_failing": [({"check": "ledger"}, 2.0)]}
MENDED = {"desk_money_check_failing": [({"check": "ledger"}, 0.0)]}
JUDGES = 4


def told() -> int:
    db.session.rollback()
    return db.session.scalar(sa.select(sa.func.count()).where(Notification.type == "system.alert"))


def test_many_judges_tell_each_step_once(live_app):
    with live_app.app_context():
        at_once_in(live_app, *(lambda: alerts.judge(BROKEN) for _ in range(JUDGES)))
        assert told() == 1
        assert db.session.scalar(sa.select(sa.func.count()).select_from(Alert)) == 1
        alerts.judge(MENDED)
        with clock.travel(by=timedelta(minutes=6)):
            at_once_in(live_app, *(lambda: alerts.judge(MENDED) for _ in range(JUDGES)))
        assert told() == 2


def test_without_its_unique_rule_they_tell_several_times(live_app, monkeypatch):
    def begin(rule, said, now):
        values = {"rule": rule.name, "open_rule": None, "since": now, "told": 0, "said": said}
        made = execute(Alert.__table__.insert().values(values)).lastrowid
        return execute(sa.select(Alert.__table__).where(Alert.id == made)).first()

    with live_app.app_context():
        monkeypatch.setattr(alerts, "_begin", begin)
        at_once_in(live_app, *(lambda: alerts.judge(BROKEN) for _ in range(JUDGES)))
        assert told() == JUDGES


def grow(count: int) -> None:
    for _ in range(count):
        hours.add(counted={(hours.begin(clock.now()), "http", "GET x.y"): Counted(1)}, slow=[])


@transactional
def lose() -> None:
    """What `hours.add` must not do: read, and write what it read and one."""
    row = db.session.get(ServiceHour, (hours.begin(clock.now()), "http", "GET x.y"))
    total = row.total
    db.session.execute(sa.text("SELECT SLEEP(0.1)"))
    execute(ServiceHour.__table__.update().values(total=total + 1))


def test_processes_that_add_at_once_lose_nothing(live_app):
    with live_app.app_context():
        now = hours.begin(clock.now())
        at_once_in(live_app, *(lambda: grow(10) for _ in range(JUDGES)))
        assert hours.sums(now, now + 2 * HOUR)["GET x.y"].total == 10 * JUDGES
        db.session.rollback()
        if is_mysql(live_app):  # SQLite lets only one of them read before writing
            at_once_in(live_app, *(lose for _ in range(JUDGES)))
            assert hours.sums(now, now + 2 * HOUR)["GET x.y"].total < 11 * JUDGES
