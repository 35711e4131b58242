"""One credit and two phones, one student's minutes and many classes, booking and cancelling at once, in real processes:
nothing is used twice and nothing goes below zero (M3, M6). Each race with its control."""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from app import clock
from app.db import db
from app.domain.audit.actor import Actor
from app.domain.bookings import cancel
from app.domain.bookings.models import LIVE, Booking
from app.domain.catalog.models import CourseSchedule
from app.domain.credits.models import CompensationLot, CompensationUsage, MakeupCredit, MakeupRequest
from app.domain.makeups import asking, book, manage
from app.domain.outbox.models import Notification
from app.errors import DomainError
from app.money import ZERO
from tests.concurrency.processes import pool, together
from tests.domain.makeups.steps import Away, whole
from tests.factories import make_session
from tests.portal import actor_of, make_staff

pytestmark = pytest.mark.concurrency

WRITERS, CALLS = 8, 50


@dataclass(frozen=True)
class Asked:
    """One call to book a makeup, or with `booking_id` to cancel one."""

    actor: Actor
    profile_id: int
    credit_id: int
    schedule_id: int = 0
    booking_id: int = 0


def said(ask, *args, **kwargs) -> str:
    """`ok`, the refusal's code, or what went wrong."""
    try:
        ask(*args, **kwargs)
        return "ok"
    except DomainError as refusal:
        return refusal.code
    except (DBAPIError, RuntimeError) as error:
        db.session.rollback()
        return f"ERROR {type(error).__name__}: {error}"[:200]


def do(asked: Asked) -> str:
    if asked.booking_id:
        return said(cancel.cancel, booking_id=asked.booking_id, actor=asked.actor)
    return said(
        book.book, schedule_id=asked.schedule_id, profile_id=asked.profile_id, credit_id=asked.credit_id,
        actor=asked.actor, accept_shorter=True, use_compensation=True,
    )  # fmt: skip


def by_turns(attempts: list[Asked]) -> list[str]:
    """Start together, then as fast as one can."""
    together()
    return [do(asked) for asked in attempts]


def race(app, task, attempts: list[Asked]) -> Counter:
    with pool(app, WRITERS) as members:
        shares = [attempts[n::WRITERS] for n in range(WRITERS)]
        return Counter(word for words in members.map(task, shares, chunksize=1) for word in words)


@contextmanager
def studio(app):
    with app.app_context():
        yield
        db.session.remove()


def count(model, *where) -> int:
    return db.session.scalar(sa.select(sa.func.count()).select_from(model).where(*where))


def made_up(*where) -> int:
    return count(Booking, Booking.kind == "makeup", Booking.status.in_(LIVE), *where)


def sessions(one: Away, number: int, length: int = 60) -> list[int]:
    """Classes of one course, each on a day of its own, with a seat each."""
    first = one.session(length, capacity=1)
    course = db.session.get(CourseSchedule, first).course_id
    return [first] + [make_session(course, starts_in=timedelta(days=20 + n / 2), capacity=1) for n in range(number - 1)]


# ── one credit, fifty calls ─────────────────────────────────────────────────────────────────────────


def one_credit() -> list[Asked]:
    one = Away(90)
    return [Asked(one.actor, one.profile_id, one.credits[0], at) for at in sessions(one, CALLS)]


def test_fifty_calls_with_one_credit_and_one_makeup(live_app):
    with studio(live_app):
        attempts = one_credit()
    assert race(live_app, by_turns, attempts) == {"ok": 1, "NO_CREDIT": CALLS - 1}
    with studio(live_app):
        assert made_up() == count(CourseSchedule, CourseSchedule.booked == 1) == 1
        lots = db.session.execute(sa.select(CompensationLot.minutes, CompensationLot.minutes_left)).all()
        assert lots == [(30, 30)]
        assert db.session.scalar(sa.select(MakeupCredit.status)) == "used"
        whole()


def blind_credit(attempts: list[Asked]) -> list[str]:
    """The control: a program that looks whether its credit can be used, and then books, with no row locked."""
    together()
    [asked, *_] = attempts
    with db.engine.connect() as look:
        status = look.scalar(sa.select(MakeupCredit.status).where(MakeupCredit.id == asked.credit_id))
    together()  # between its look and its write the others look as well
    if status != "available":
        return ["NO_CREDIT"]
    with db.engine.begin() as write:
        write.execute(
            Booking.__table__.insert().values(
                course_schedule_id=asked.schedule_id, profile_id=asked.profile_id, family_id=asked.actor.family_id,
                kind="makeup", source="makeup_credit", status="booked", price=ZERO, credit_id=asked.credit_id,
                free_cancel=False, created_at=clock.now(),
            )
        )  # fmt: skip
        write.execute(sa.update(MakeupCredit.__table__).values(status="used"))
    return ["ok"]


def test_control_without_the_lock_one_credit_is_used_more_than_once(live_app):
    with studio(live_app):
        attempts = one_credit()
    heard = race(live_app, blind_credit, attempts[:WRITERS])
    assert heard["ok"] > 1
    with studio(live_app):
        assert made_up(Booking.credit_id == attempts[0].credit_id) > 1


# ── one student's minutes, many credits ─────────────────────────────────────────────────────────────

#: minutes in two lots, and what each longer class needs
GIVEN, NEEDED = 75, 15


def many_credits(number: int) -> list[Asked]:
    """One student with so many credits, a longer class for each, and minutes for a few."""
    one = Away(*[60] * number)
    manager = actor_of(make_staff("manager"))
    for minutes in (30, 45):
        manage.adjust_minutes(profile_id=one.profile_id, minutes=minutes, reason="测试", actor=manager)
    times = sessions(one, number, 75)
    return [Asked(one.actor, one.profile_id, *pair) for pair in zip(one.credits, times, strict=True)]


def test_fifty_longer_classes_and_minutes_for_five(live_app):
    with studio(live_app):
        attempts = many_credits(12)
    # Each of the twelve credits is asked for by several calls, each for a class of its own.
    calls = [Asked(one.actor, one.profile_id, one.credit_id, other.schedule_id)
             for n, one in enumerate(attempts) for other in (attempts[n:] + attempts[:n])[:5]][:CALLS]  # fmt: skip
    heard = race(live_app, by_turns, calls)
    assert heard["ok"] == GIVEN // NEEDED
    assert set(heard) <= {"ok", "NOT_ENOUGH_COMPENSATION", "NO_CREDIT", "ALREADY_BOOKED", "SEAT_FULL"}
    assert sum(heard.values()) == CALLS
    with studio(live_app):
        assert made_up() == GIVEN // NEEDED
        assert db.session.scalar(sa.select(sa.func.sum(CompensationLot.minutes_left))) == 0
        assert int(db.session.scalar(sa.select(sa.func.sum(CompensationUsage.minutes)))) == GIVEN
        whole()


def blind_minutes(attempts: list[Asked]) -> list[str]:
    """The control: a program that reads the minutes, and then writes what is left, with no row locked."""
    together()
    with db.engine.connect() as look:
        lot, left = look.execute(
            sa.select(CompensationLot.id, CompensationLot.minutes_left).order_by(CompensationLot.id.desc()).limit(1)
        ).one()
    together()
    with db.engine.begin() as write:
        write.execute(
            sa.update(CompensationLot.__table__)
            .where(CompensationLot.__table__.c.id == lot)
            .values(minutes_left=left - NEEDED)
        )
    return ["ok"]


def test_control_without_the_lock_the_same_minutes_are_used_by_all(live_app):
    with studio(live_app):
        attempts = many_credits(2)
    heard = race(live_app, blind_minutes, [attempts[0]] * WRITERS)
    with studio(live_app):
        used = GIVEN - int(db.session.scalar(sa.select(sa.func.sum(CompensationLot.minutes_left))))
        assert (heard["ok"] * NEEDED, used) == (WRITERS * NEEDED, NEEDED)


# ── book and cancel at once ─────────────────────────────────────────────────────────────────────────


def test_booking_and_cancelling_at_once_leave_everything_whole(live_app):
    with studio(live_app):
        one = Away(90, 60)
        short = one.book(one.session(60), accept_shorter=True)
        times = sessions(one, 10, 75)
        calls = [Asked(one.actor, one.profile_id, one.credits[1], at) for at in times]
        calls += [Asked(one.actor, one.profile_id, one.credits[0], booking_id=short.booking_id)] * 6
    heard = race(live_app, by_turns, calls)
    assert not [word for word in heard if "ERROR" in word], heard
    assert heard["INVALID_STATE"] == 5
    with studio(live_app):
        whole()
        # The longer class was booked with the minutes of the shorter one before that was cancelled, or not at all.
        longer = made_up(Booking.credit_id == one.credits[1])
        assert heard["ok"] == 1 + longer
        assert [one.credit(n).status for n in (0, 1)] == ["available", "used" if longer else "available"]
        assert (one.minutes, one.lots) == (0, [(30, 0)])
        assert count(CourseSchedule, CourseSchedule.booked == 1) == longer


# ── asked for at once ───────────────────────────────────────────────────────────────────────────────


def ask(asked: list[Asked]) -> list[str]:
    together()
    return [said(asking.ask, credit_id=one.credit_id, text="周六", wishes=None, actor=one.actor) for one in asked]


def test_asking_at_once_asks_once(live_app):
    with studio(live_app):
        one = Away(60)
        calls = [Asked(one.actor, one.profile_id, one.credits[0])] * WRITERS
    assert race(live_app, ask, calls) == {"ok": 1, "REQUEST_OPEN": WRITERS - 1}
    with studio(live_app):
        assert count(MakeupRequest) == count(Notification, Notification.type == "staff.makeup_asked") == 1
