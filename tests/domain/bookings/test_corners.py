"""What happens between two statements of a booking: the session moved, ended or emptied while it was looked at."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
import sqlalchemy as sa

from app import clock
from app.db import RequestKey, db, transaction
from app.domain.bookings import attendance, cancel, errors, leave, look, place, students
from app.domain.bookings.models import Booking
from app.domain.bookings.rules import Event
from app.domain.catalog import facts
from app.domain.catalog.models import CourseSchedule
from app.domain.credits.models import MakeupCredit
from app.domain.ledger.models import Wallet, WalletTransaction
from app.domain.people.models import Profile
from app.domain.seats import service as seats
from app.errors import DomainError, IdempotencyKeyReused, InvalidState, Replayed
from tests.factories import make_course, make_family, make_level, make_session, parent_actor
from tests.portal import actor_of, make_staff

pytestmark = pytest.mark.usefixtures("app")


def book(family, schedule_id, **more):
    return place.book(schedule_id=schedule_id, profile_id=family.profile_ids[0], actor=parent_actor(family), **more)


def meanwhile(monkeypatch, **changes):
    """Between the look at a session and the taking of its seat somebody else changes it."""
    look = students.check_free

    def change(student, session):
        look(student, session)
        db.session.execute(sa.update(CourseSchedule).where(CourseSchedule.id == session.id).values(**changes))

    monkeypatch.setattr(place.students, "check_free", change)


def untouched(family, schedule_id, booked=0) -> bool:
    balance = db.session.scalar(sa.select(Wallet.balance).where(Wallet.id == family.wallet_id))
    counters = db.session.scalar(sa.select(CourseSchedule.booked).where(CourseSchedule.id == schedule_id))
    return (balance, counters) == (500, booked) and not db.session.scalar(sa.select(sa.func.count(Booking.id)))


def test_a_session_that_moved_meanwhile_takes_no_booking(monkeypatch):
    family, schedule_id = make_family(balance="500.00"), make_session()
    later = clock.now() + timedelta(days=3)
    meanwhile(monkeypatch, starts_at=later, ends_at=later + timedelta(hours=1))
    with pytest.raises(errors.ScheduleMoved):
        book(family, schedule_id)
    assert untouched(family, schedule_id)


def test_a_session_that_was_cancelled_meanwhile_says_so(monkeypatch):
    family, schedule_id = make_family(balance="500.00"), make_session()
    meanwhile(monkeypatch, status="cancelled")
    with pytest.raises(errors.ScheduleCancelled):
        book(family, schedule_id)
    assert untouched(family, schedule_id)


def test_the_last_seat_that_went_meanwhile_is_a_full_class(monkeypatch):
    family, schedule_id = make_family(balance="500.00"), make_session(capacity=1)
    meanwhile(monkeypatch, kept=1)
    with pytest.raises(errors.SeatFull) as refusal:
        book(family, schedule_id)
    assert refusal.value.data == {"waitlist_count": 0, "waitlist_capacity": 8}
    assert untouched(family, schedule_id)


def test_the_constraint_answers_where_the_look_did_not(monkeypatch):
    """B7: the look is switched off, the unique index is not; and the seat that was taken goes back with all else."""
    family, schedule_id = make_family(balance="500.00"), make_session()
    book(family, schedule_id)
    monkeypatch.setattr(place.students, "check_free", lambda student, session: None)
    with pytest.raises(errors.AlreadyBooked):
        book(family, schedule_id)
    assert db.session.scalar(sa.select(CourseSchedule.booked).where(CourseSchedule.id == schedule_id)) == 1
    debits = sa.select(sa.func.count()).where(WalletTransaction.type == "deduction").select_from(WalletTransaction)
    assert db.session.scalar(debits) == 1


def test_a_credit_that_is_not_used_up_stays_as_it_is():
    """A makeup whose credit somebody set free already: giving it up twice changes nothing more."""
    family = make_family(balance="900.00")
    first = book(family, make_session())
    credit_id = leave.take_leave(booking_id=first.booking_id, actor=parent_actor(family)).credit_id
    makeup = book(family, make_session(starts_in=timedelta(days=5)))
    with transaction():
        booking = db.session.get(Booking, makeup.booking_id)
        booking.kind, booking.source, booking.credit_id, booking.debit_id = "makeup", "makeup_credit", credit_id, None
        db.session.get(MakeupCredit, credit_id).status = "void"
    cancel.cancel(booking_id=makeup.booking_id, actor=parent_actor(family))
    assert db.session.get(MakeupCredit, credit_id).status == "void"


def test_full_is_what_nobody_can_book_any_more():
    course_id = make_course(price="180.00")
    sessions = [make_session(course_id, capacity=3, booked=1, held=1, kept=kept) for kept in (0, 1)]
    with transaction():
        open_, full = (facts.of_session(schedule_id) for schedule_id in sessions)
    assert (open_.taken, open_.full, full.taken, full.full) == (2, False, 3, True)


def test_a_seat_that_nobody_has_is_not_given_back():
    schedule_id = make_session()
    with pytest.raises(RuntimeError, match="no booked seat"), transaction():
        seats.give_back(schedule_id)


# ── the look before the transaction ─────────────────────────────────────────────────────────────────


def _key(print_="print") -> RequestKey:
    return RequestKey("user:1", "k1", print_, present=lambda done: {"booking": done.booking_id})


def refusal_of(schedule_id, family, monkeypatch, *, with_look: bool, **more) -> tuple:
    """Code and data of the refusal, with the look and without it."""
    with monkeypatch.context() as patch:
        if not with_look:
            patch.setattr(place.look, "only_full", lambda *_: None)
        with pytest.raises(DomainError) as refusal:
            book(family, schedule_id, **more)
    return refusal.value.code, refusal.value.data


def _full_class(case: str, family) -> int:
    """A class without a seat and, by the case, with something else in the way that comes first (96.28)."""
    level = {"level": "L2"} if case == "level" else {}
    course_id = make_course(price="0.00", **({"type_code": "trial", "is_trial": True} if case == "trial" else level))
    starts_in = {"started": timedelta(minutes=-1), "soon": timedelta(minutes=2)}.get(case, timedelta(days=2))
    session = {"starts_in": starts_in, "capacity": 1, "held": 1}
    if case == "cancelled":
        session["status"] = "cancelled"
    schedule_id = make_session(course_id, **session)
    if case == "left":
        with transaction():
            db.session.get(Profile, family.profile_ids[0]).status = "left"
    if case == "clash":
        book(family, make_session(course_id, starts_in=timedelta(days=2, minutes=30)))
    if case == "twice":
        with transaction():
            db.session.get(CourseSchedule, schedule_id).held = 0
        book(family, schedule_id)
    return schedule_id


@pytest.mark.parametrize(
    ("case", "code", "told"),
    [
        ("full", "SEAT_FULL", True), ("soon", "SEAT_FULL", False), ("started", "SCHEDULE_STARTED", False),
        ("cancelled", "SCHEDULE_CANCELLED", False), ("trial", "TRIAL_NEEDS_PAYMENT", False),
        ("twice", "ALREADY_BOOKED", False), ("clash", "TIME_CONFLICT", False), ("level", "LEVEL_NOT_ALLOWED", False),
        ("left", "NOT_FOUND", False), ("foreign", "NOT_FOUND", False), ("nobody", "NOT_FOUND", False),
    ],
)  # fmt: skip
def test_the_look_says_what_the_transaction_would(monkeypatch, case, code, told):
    """Whatever else is in the way of a full class comes first; the look leaves all of that to the transaction."""
    make_level("L1", 1)
    make_level("L2", 2)
    family = make_family(balance="500.00")
    schedule_id = _full_class(case, family)
    if case == "foreign":
        family = replace(family, profile_ids=make_family().profile_ids)
    if case == "nobody":
        family = replace(family, profile_ids=[999_999])
    found = look.only_full(schedule_id, family.profile_ids[0], parent_actor(family), None)
    assert (found == (0, 8)) is told
    answers = [refusal_of(schedule_id, family, monkeypatch, with_look=seen) for seen in (True, False)]
    assert answers[0] == answers[1]
    assert answers[0][0] == code


def test_a_full_class_is_refused_in_one_statement(statements):
    family, schedule_id = make_family(balance="500.00"), make_session(capacity=1, kept=1)
    statements.clear()
    with pytest.raises(errors.SeatFull):
        book(family, schedule_id, request_key=_key())
    assert [text.split()[0] for text in statements if "SAVEPOINT" not in text] == ["SELECT"]


def test_a_repetition_is_told_its_answer_although_the_class_is_full_now():
    family, schedule_id = make_family(balance="500.00"), make_session(capacity=1)
    done = book(family, schedule_id, request_key=_key())
    with pytest.raises(Replayed) as replay:
        book(family, schedule_id, request_key=_key())
    assert replay.value.answer == {"booking": done.booking_id}
    with pytest.raises(IdempotencyKeyReused):
        book(family, schedule_id, request_key=_key("another"))


def test_staff_are_not_looked_at():
    family, schedule_id = make_family(balance="500.00"), make_session(capacity=1, kept=1)
    assert look.only_full(schedule_id, family.profile_ids[0], actor_of(make_staff("front_desk")), None) is None


def test_a_cancelled_class_has_no_roll():
    family, schedule_id = make_family(balance="500.00"), make_session(starts_in=timedelta(hours=1))
    done = book(family, schedule_id)
    with transaction():
        db.session.get(CourseSchedule, schedule_id).status = "cancelled"
    with pytest.raises(InvalidState, match="已停课"):
        attendance.mark(booking_id=done.booking_id, event=Event.ATTEND, actor=actor_of(make_staff("front_desk")))
