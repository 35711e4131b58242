"""The evening's reminders and the steps of arrears, run by several at once: each family is told once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from app import clock
from app.db import db
from app.domain.bookings import place, reminders
from app.domain.ledger import arrears
from app.domain.outbox.models import Notification
from tests.concurrency.processes import pool, together
from tests.factories import make_family, make_session, parent_actor

pytestmark = pytest.mark.concurrency
MEMBERS, FAMILIES = 4, 12
#: 18:00 in the studio, and a class on the day after
SIX = datetime(2026, 11, 20, 10, 0, tzinfo=UTC)
CLASS = datetime(2026, 11, 21, 11, 0, tzinfo=UTC)


def remind_again_and_again(_member: int) -> int:
    reminders.BATCH = 5
    together()
    with clock.travel(to=SIX):
        return sum(reminders.remind() for _ in range(3))


def escalate_again_and_again(_member: int) -> int:
    together()
    with clock.travel(to=SIX):
        return sum(arrears.escalate().told for _ in range(3))


def run(app, function) -> int:
    with pool(app, MEMBERS) as members:
        return sum(members.map(function, range(MEMBERS), chunksize=1))


def told(type: str, occasion: str | None = None) -> dict[int, int]:
    db.session.rollback()
    rows = db.session.scalars(
        sa.select(Notification).where(Notification.type == type, Notification.status != "suppressed")
    )
    found: dict[int, int] = {}
    for row in rows:
        if occasion is None or row.payload.get("occasion") == occasion:
            found[row.family_id] = found.get(row.family_id, 0) + 1
    return found


def test_four_schedulers_remind_each_booking_once(live_app):
    with live_app.app_context():
        with clock.travel(to=SIX - timedelta(hours=6)):
            schedule_id = make_session(starts_at=CLASS, capacity=FAMILIES)
            families = [make_family(balance="500.00") for _ in range(FAMILIES)]
            for family in families:
                place.book(schedule_id=schedule_id, profile_id=family.profile_ids[0], actor=parent_actor(family))
        assert run(live_app, remind_again_and_again) == FAMILIES
        assert told("class_reminder") == {family.id: 1 for family in families}


def test_four_schedulers_tell_each_step_once(live_app):
    with live_app.app_context():
        with clock.travel(to=SIX - timedelta(days=8)):
            families = [make_family(balance="-100.00") for _ in range(FAMILIES)]
        assert run(live_app, escalate_again_and_again) == FAMILIES
        assert told("arrears", "third") == {family.id: 1 for family in families}
        cards = sa.select(sa.func.count()).where(Notification.type == "wallet.arrears_list")
        assert db.session.scalar(cards) == 1
