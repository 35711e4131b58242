"""Cancelling a session of twenty bookings, killed on the way and run again; and while parents cancel and book (C2)."""

from __future__ import annotations

import os
import signal
from datetime import timedelta
from decimal import Decimal

import pytest
import sqlalchemy as sa

from app import clock
from app.db import db, transaction
from app.domain.bookings import attendance, cancel, leave, place
from app.domain.bookings.models import Booking
from app.domain.bookings.rules import Event
from app.domain.catalog.models import CourseSchedule
from app.domain.changes import cancel_session
from app.domain.credits.models import MakeupCredit
from app.domain.ledger import verify
from app.domain.outbox.models import Notification
from app.errors import DomainError
from tests.concurrency import failpoints
from tests.concurrency.failpoints import Failpoint, Fuse
from tests.concurrency.processes import pool, together
from tests.factories import make_family, make_session, parent_actor
from tests.portal import actor_of, make_staff

pytestmark = pytest.mark.concurrency

BOOKINGS = 20
KINDS = ("regular", "regular", "makeup", "trial")


def full_session():
    """Twenty families' bookings: paid from the wallet, makeups on a used credit, trials paid by WeChat."""
    schedule_id = make_session(capacity=BOOKINGS)
    families = [make_family(balance="500.00") for _ in range(BOOKINGS)]
    type_id = db.session.scalar(sa.text("SELECT MIN(id) FROM course_types"))
    db.session.rollback()
    for number, family in enumerate(families):
        done = place.book(schedule_id=schedule_id, profile_id=family.profile_ids[0], actor=parent_actor(family))
        kind = KINDS[number % len(KINDS)]
        if kind != "regular":
            with transaction():
                booking = db.session.get(Booking, done.booking_id)
                booking.kind, booking.debit_id = kind, None
                if kind == "makeup":
                    credit = MakeupCredit(
                        family_id=family.id, profile_id=booking.profile_id, booking_id=booking.id,
                        course_type_id=type_id, minutes=60, price=Decimal("200.00"), status="used",
                        valid_until=clock.now() + timedelta(days=30), created_at=clock.now(), updated_at=clock.now(),
                    )  # fmt: skip
                    db.session.add(credit)
                    db.session.flush()
                    booking.credit_id = credit.id
    return schedule_id, families


def what_is_there(schedule_id: int) -> dict[str, int]:
    counts = {
        "refunds": "SELECT COUNT(*) FROM wallet_transactions WHERE type = 'refund'",
        "credits": "SELECT COUNT(*) FROM makeup_credits WHERE status = 'available'",
        "told": "SELECT COUNT(*) FROM notifications WHERE type = 'class_cancelled'",
        "families told": "SELECT COUNT(DISTINCT family_id) FROM notifications WHERE type = 'class_cancelled'",
        "cards": "SELECT COUNT(*) FROM notifications WHERE type = 'staff.money_case'",
        "live": f"SELECT COUNT(*) FROM bookings WHERE course_schedule_id = {schedule_id} AND status = 'booked'",
        "seats": f"SELECT booked FROM course_schedules WHERE id = {schedule_id}",
    }
    found = {name: db.session.execute(sa.text(query)).scalar_one() for name, query in counts.items()}
    db.session.rollback()
    return found


DONE = {"refunds": 10, "credits": 5, "told": 20, "families told": 20, "cards": 5, "live": 0, "seats": 0}


def in_a_child(schedule_id: int, actor, point: Failpoint) -> int | None:
    """Cancel in a forked process that dies at the point; the signal that ended it."""
    db.session.remove()
    db.engine.dispose()
    child = os.fork()
    if child == 0:
        fuse = Fuse(point)
        with db.engine.connect():
            pass
        failpoints.watch(lambda: fuse, db.engine)
        cancel_session.cancel_session(schedule_id=schedule_id, reason="停电", actor=actor)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WTERMSIG(status) if os.WIFSIGNALED(status) else None


def test_killed_again_and_again_and_run_again_each_family_is_settled_once(live_app):
    with pool(live_app, 1) as members, live_app.app_context():
        schedule_id, _families = full_session()
        actor = actor_of(make_staff("manager"))
        kills, states = 0, []
        for number in (3, 20, 60, 110, 170, 230):
            if members.apply(in_a_child, (schedule_id, actor, Failpoint("before", number))) == signal.SIGKILL:
                kills += 1
            states.append(what_is_there(schedule_id))
        assert kills >= 3
        assert any(0 < state["live"] < BOOKINGS for state in states)  # the kills did fall into the middle
        for state in states:  # never more given back than ended, at any moment
            assert state["refunds"] + state["credits"] + state["cards"] == state["told"] == BOOKINGS - state["live"]
            assert state["seats"] == state["live"]
        cancel_session.cancel_session(schedule_id=schedule_id, reason="停电", actor=actor)
        assert what_is_there(schedule_id) == DONE
        cancel_session.cancel_session(schedule_id=schedule_id, reason="停电", actor=actor)
        assert cancel_session.settle_left() == 0
        assert what_is_there(schedule_id) == DONE
        assert verify.run(full=True).sound


# ── at the same moment ──────────────────────────────────────────────────────────────────────────────


def act(asked) -> str:
    what, number, actor = asked
    together()
    try:
        if what == "close":
            cancel_session.cancel_session(schedule_id=number, reason="停电", actor=actor)
        elif what == "cancel":
            cancel.cancel(booking_id=number, actor=actor)
        elif what == "mark":
            attendance.mark(booking_id=number, event=Event.ATTEND, actor=actor)
        elif what == "leave":
            leave.take_leave(booking_id=number, actor=actor)
        else:
            place.book(schedule_id=number[0], profile_id=number[1], actor=actor)
    except DomainError as refusal:
        return refusal.code
    return "ok"


def test_against_parents_and_against_itself(live_app):
    with pool(live_app, 4) as members, live_app.app_context():
        actor = actor_of(make_staff("manager"))
        for turn in range(6):
            schedule_id = make_session(capacity=5)
            family, late = make_family(balance="500.00"), make_family(balance="500.00")
            done = place.book(schedule_id=schedule_id, profile_id=family.profile_ids[0], actor=parent_actor(family))
            mine = ("cancel" if turn % 2 else "leave", done.booking_id, parent_actor(family))
            new = ("book", (schedule_id, late.profile_ids[0]), parent_actor(late))
            said = members.map(act, [("close", schedule_id, actor), ("close", schedule_id, actor), mine, new], 1)
            assert said[:2] == ["ok", "ok"]
            assert said[2] in ("ok", "INVALID_STATE")
            assert said[3] in ("ok", "SCHEDULE_CANCELLED")
            cancel_session.settle_left()
            session = db.session.get(CourseSchedule, schedule_id, populate_existing=True)
            assert (session.status, session.booked) == ("cancelled", 0)
            refunds = "SELECT COUNT(*) FROM wallet_transactions WHERE type='refund' AND reference_type='booking'"
            ends = "SELECT COUNT(*) FROM bookings WHERE status='cancelled' AND debit_id IS NOT NULL"
            assert db.session.execute(sa.text(refunds)).scalar() == db.session.execute(sa.text(ends)).scalar()
            assert not db.session.scalar(sa.select(Booking.id).where(Booking.status == "booked"))
            db.session.rollback()
        assert verify.run(full=True).sound
        told = sa.select(sa.func.count(), sa.func.count(sa.distinct(Notification.dedupe_key)))
        rows, keys = db.session.execute(told.where(Notification.type == "class_cancelled")).one()
        assert rows == keys


def test_against_the_roll(live_app):
    """A class is cancelled, or somebody was marked as there: never both."""
    with pool(live_app, 2) as members, live_app.app_context():
        actor = actor_of(make_staff("manager"))
        for _ in range(8):
            schedule_id, family = make_session(starts_in=timedelta(hours=1)), make_family(balance="500.00")
            done = place.book(schedule_id=schedule_id, profile_id=family.profile_ids[0], actor=parent_actor(family))
            said = members.map(act, [("close", schedule_id, actor), ("mark", done.booking_id, actor)], 1)
            cancel_session.settle_left()
            db.session.rollback()
            session = db.session.get(CourseSchedule, schedule_id)
            ends = (session.status, db.session.get(Booking, done.booking_id).status, session.booked)
            assert ends in (("cancelled", "cancelled", 0), ("scheduled", "attended", 1)), said
            assert (ends[0] == "scheduled") == (said == ["ROLL_BEGUN", "ok"]), said
        assert verify.run(full=True, keep_anchor=False).sound
