"""Two ends of one booking, a seat that comes free, one wallet, one key, in real processes (B3, B4, W7, R5). With
controls, as in test_booking_races."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from decimal import Decimal

import pytest
import sqlalchemy as sa

from app import clock
from app.db import RequestKey, db, transaction
from app.domain.audit.actor import Actor, ActorType, system
from app.domain.bookings import attendance, cancel, leave, place
from app.domain.bookings.models import Booking, BookingStatus
from app.domain.bookings.rules import Event
from app.domain.credits.models import MakeupCredit
from app.domain.ledger import control, verify
from app.errors import DomainError, Replayed
from tests.concurrency.bookers import ROUNDS, Asked, balance, book, booked, in_rounds, live, moves
from tests.concurrency.processes import pool, together
from tests.factories import make_course, make_family, make_session, parent_actor

pytestmark = pytest.mark.concurrency


# ── two ends of one booking ─────────────────────────────────────────────────────────────────────────

CLERK = system("前台")


def end_in_rounds(how: str, bookings: list[tuple[int, Actor]]) -> list[str]:
    codes = []
    for booking_id, actor in bookings:
        together()
        try:
            if how == "cancel":
                cancel.cancel(booking_id=booking_id, actor=actor)
            elif how == "leave":
                leave.take_leave(booking_id=booking_id, actor=actor)
            else:
                attendance.mark(booking_id=booking_id, event=Event.ATTEND, actor=CLERK)
        except DomainError as refusal:
            codes.append(refusal.code)
        else:
            codes.append("ok")
    return codes


def _bookings(count: int) -> tuple[int, list[tuple[int, Actor]]]:
    """Bookings of as many families in one class that begins in an hour and was moved: still free to cancel (C6)."""
    course_id = make_course(price="100.00")
    schedule_id = make_session(course_id, starts_in=timedelta(hours=1), capacity=count)
    made = []
    for _ in range(count):
        family = make_family(balance="500.00")
        done = place.book(schedule_id=schedule_id, profile_id=family.profile_ids[0], actor=parent_actor(family))
        made.append((done.booking_id, parent_actor(family)))
    with transaction():
        db.session.execute(sa.update(Booking).values(free_cancel=True))
    db.session.remove()
    return schedule_id, made


def _states(made) -> list[str]:
    query = sa.select(Booking.status).where(Booking.id.in_([b for b, _ in made])).order_by(Booking.id)
    return list(db.session.scalars(query))


@pytest.mark.parametrize("other", ["cancel", "attend", "leave"])
def test_a_booking_ends_once(live_app, other):
    """Cancelling against cancelling, the roll and leave: one of the two, and only its own traces."""
    with live_app.app_context():
        schedule_id, made = _bookings(ROUNDS)
    with pool(live_app, 2) as members:
        first, second = members.starmap(end_in_rounds, [("cancel", made), (other, made)], chunksize=1)
    assert [{a, b} for a, b in zip(first, second, strict=True)] == [{"ok", "INVALID_STATE"}] * ROUNDS
    with live_app.app_context():
        states = Counter(_states(made))
        assert moves("deduction") == ROUNDS
        assert moves("refund") == states[BookingStatus.CANCELLED]
        assert db.session.scalar(sa.select(sa.func.count(MakeupCredit.id))) == states[BookingStatus.ON_LEAVE]
        assert booked(schedule_id) == live(schedule_id) == states[BookingStatus.ATTENDED]
        if other != "cancel":
            assert states[BookingStatus.CANCELLED] == first.count("ok")
        assert verify.run(full=True).sound


def cancel_unlocked(bookings: list[tuple[int, Actor]]) -> list[str]:
    """Cancelling by what was read before anything was locked: both see a booking that is still on."""
    hold = cancel.ending.hold
    rows: dict[int, str] = {}

    def stale(booking_id, actor):
        held = hold(booking_id, actor)
        sa.orm.attributes.set_committed_value(held.booking, "status", rows[booking_id])
        return held

    cancel.ending.hold = stale
    codes = []
    for booking_id, actor in bookings:
        rows[booking_id] = db.session.scalar(sa.select(Booking.status).where(Booking.id == booking_id))
        db.session.rollback()
        together()
        try:
            cancel.cancel(booking_id=booking_id, actor=actor)
        except DomainError as refusal:
            codes.append(refusal.code)
        except Exception as error:
            codes.append(f"ERROR {type(error).__name__}")
        else:
            codes.append("ok")
    return codes


def test_control_a_state_read_before_the_lock_cancels_twice(live_app):
    """Without the fresh look both free the seat; only the ledger's key still keeps the money right (B3)."""
    with live_app.app_context():
        schedule_id, made = _bookings(4)
    with pool(live_app, 2) as members:
        answers = members.map(cancel_unlocked, [made[:2]] * 2, chunksize=1)
    assert answers == [["ok", "ok"], ["ok", "ok"]]
    with live_app.app_context():
        assert (booked(schedule_id), live(schedule_id)) == (0, 2)
        assert moves("refund") == 2


# ── a seat that comes free while another wants it ───────────────────────────────────────────────────


def either(task: str, work) -> list[str]:
    return end_in_rounds("cancel", work) if task == "cancel" else in_rounds(work)


def test_booking_against_cancelling_the_last_seat(live_app):
    with live_app.app_context():
        course_id = make_course(price="100.00")
        made, attempts = [], []
        for _ in range(ROUNDS):
            schedule_id = make_session(course_id, capacity=1)
            family, other = make_family(balance="500.00"), make_family(balance="500.00")
            done = place.book(schedule_id=schedule_id, profile_id=family.profile_ids[0], actor=parent_actor(family))
            made.append((done.booking_id, parent_actor(family)))
            attempts.append(Asked(schedule_id, other.profile_ids[0], parent_actor(other)))
        db.session.remove()
    with pool(live_app, 2) as members:
        gone, got = members.starmap(either, [("cancel", made), ("book", attempts)], chunksize=1)
    assert gone == ["ok"] * ROUNDS
    assert set(got) <= {"ok", "SEAT_FULL"}
    with live_app.app_context():
        for asked, code in zip(attempts, got, strict=True):
            assert booked(asked.schedule_id) == live(asked.schedule_id) == (code == "ok")
        assert moves("deduction") == ROUNDS + got.count("ok")
        assert moves("refund") == ROUNDS


# ── one wallet ──────────────────────────────────────────────────────────────────────────────────────


def test_children_of_one_family_book_down_to_exactly_the_limit(live_app):
    """−600.00 with a bypass: two of six classes of 200.00 fit, the wallet ends at −1000.00 (W7, W23)."""
    with live_app.app_context():
        family = make_family(students=tuple(f"孩子{n}" for n in range(6)), balance="-600.00")
        manager = Actor(type=ActorType.SYSTEM, id=None, name="店长", proof_age=0.0)
        control.grant_bypass(family_id=family.id, until=clock.today(), reason="已承诺转账", actor=manager)
        course_id = make_course(price="200.00")
        attempts = [
            [Asked(make_session(course_id), profile_id, parent_actor(family))] for profile_id in family.profile_ids
        ]
        db.session.remove()
    with pool(live_app, 6) as members:
        codes = Counter(c for codes in members.map(in_rounds, attempts, chunksize=1) for c in codes)
    assert codes == {"ok": 2, "OVERDRAFT_LIMIT_EXCEEDED": 4}
    with live_app.app_context():
        assert balance(family) == Decimal("-1000.00")
        assert sum(booked(task[0].schedule_id) for task in attempts) == moves("deduction") == 2


# ── one key ─────────────────────────────────────────────────────────────────────────────────────────


def under_one_key(attempts: list[Asked]) -> list[tuple[str, int]]:
    answers = []
    for number, asked in enumerate(attempts):
        key = RequestKey("user:1", f"once-{number}", "print", present=lambda done: {"booking": done.booking_id})
        together()
        try:
            done = place.book(
                schedule_id=asked.schedule_id, profile_id=asked.profile_id, actor=asked.actor, request_key=key
            )
            answers.append(("made", done.booking_id))
        except Replayed as replay:
            answers.append(("replayed", replay.answer["booking"]))
    return answers


def without_a_key(attempts: list[Asked]) -> list[tuple[str, int]]:
    answers = []
    for asked in attempts:
        together()
        answers.append((book(asked), 0))
    return answers


@pytest.mark.parametrize("keyed", [True, False])
def test_one_key_eight_times_at_once_is_one_booking(live_app, keyed):
    """Seven hear what the first was told. The control without keys: seven are refused, though their parent booked."""
    with live_app.app_context():
        family = make_family(balance="5000.00")
        course_id = make_course(price="100.00")
        attempts = [
            Asked(make_session(course_id, starts_in=timedelta(days=2 + n)), family.profile_ids[0], parent_actor(family))
            for n in range(6)
        ]
        db.session.remove()
    with pool(live_app, 8) as members:
        answers = members.map(under_one_key if keyed else without_a_key, [attempts] * 8, chunksize=1)
    for nth in zip(*answers, strict=True):
        words = Counter(word for word, _ in nth)
        assert words == ({"made": 1, "replayed": 7} if keyed else {"ok": 1, "ALREADY_BOOKED": 7})
        assert len({booking_id for _, booking_id in nth}) == 1
    with live_app.app_context():
        assert moves("deduction") == 6
        assert balance(family) == Decimal("4400.00")
