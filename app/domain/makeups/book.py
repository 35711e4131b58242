"""Booking a makeup: seat, booking, credit and minutes together or not at all (M3–M5)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import sqlalchemy as sa

from app.db import RequestKey, db, db_now, transactional
from app.domain.audit import service as audit
from app.domain.audit.actor import Actor, ActorType
from app.domain.bookings import place, students
from app.domain.bookings import rules as booking_rules
from app.domain.bookings.errors import BookingNotFound, ScheduleNotFound
from app.domain.bookings.models import Booking, BookingKind, BookingSource, BookingStatus
from app.domain.bookings.students import Student
from app.domain.catalog import facts
from app.domain.catalog.facts import SessionFacts
from app.domain.credits import minutes
from app.domain.credits import rules as credit_rules
from app.domain.credits import service as credits
from app.domain.credits.errors import CreditNotFound, NoCredit
from app.domain.credits.models import HistoryKind, MakeupCredit
from app.domain.credits.rules import Exchange
from app.domain.makeups import rules
from app.domain.makeups.errors import TypeNotAllowed
from app.domain.makeups.failures import noted
from app.domain.people import roles
from app.domain.people.models import Level
from app.domain.people.roles import Permission
from app.domain.policy import service as policy
from app.domain.policy import switches
from app.domain.policy.switches import Capability
from app.domain.seats import refusals
from app.errors import Invalid
from app.money import ZERO
from app.text import clean

REASON_LENGTH = 200

_k, _l, _b = MakeupCredit.__table__, Level.__table__, Booking.__table__


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the parent agreed to: a shorter class (M4), minutes used for a longer one (M5). `waived` is a manager's
    reason to let a longer one through without them."""

    accept_shorter: bool = False
    use_compensation: bool = False
    waived: str | None = None


@dataclass(frozen=True, slots=True)
class MadeUp:
    """All in minutes. `difference`: the class's length less the missed one's; `remaining`: the student's balance."""

    booking_id: int
    credit_id: int
    difference: int
    used: int
    earned: int
    remaining: int


@dataclass(frozen=True, slots=True)
class CreditFacts:
    """What matching asks of a credit; `rank` is that of the missed class's level, None where it had none."""

    id: int
    family_id: int
    profile_id: int
    course_type_id: int
    status: str
    valid_until: datetime
    minutes: int
    rank: int | None


def credit_facts(*, credit_id: int | None = None, booking_id: int | None = None) -> CreditFacts | None:
    """A credit by its id, or by the booking that was given up for it, as the last commit left it."""
    rank = sa.select(_l.c.rank).where(_l.c.id == _k.c.level_id).scalar_subquery()
    query = sa.select(
        _k.c.id, _k.c.family_id, _k.c.profile_id, _k.c.course_type_id, _k.c.status, _k.c.valid_until, _k.c.minutes, rank
    ).where(_k.c.id == credit_id if booking_id is None else _k.c.booking_id == booking_id)
    row = db.session.execute(query).first()
    return None if row is None else CreditFacts(*row)


def own_credit(student: Student, *, credit_id: int | None = None, booking_id: int | None = None) -> CreditFacts | None:
    """What `credit_facts` finds, if it belongs to the student's family: another family's is as little there as
    nobody's (96.27). None for a booking of theirs that was not given up (96.70). Raises CreditNotFound,
    BookingNotFound."""
    credit = credit_facts(credit_id=credit_id, booking_id=booking_id)
    if credit is not None and credit.family_id == student.family_id:
        return credit
    if booking_id is None:
        raise CreditNotFound
    theirs = db.session.scalar(sa.select(_b.c.family_id).where(_b.c.id == booking_id)) == student.family_id
    if credit is not None or not theirs:
        raise BookingNotFound(code="BOOKING_NOT_FOUND")
    return None


@noted
@refusals.noted
@transactional
def book(
    *,
    schedule_id: int,
    profile_id: int,
    actor: Actor,
    credit_id: int | None = None,
    original_booking_id: int | None = None,
    accept_shorter: bool = False,
    use_compensation: bool = False,
    waive_reason: str | None = None,
    override_reason: str | None = None,
    request_key: RequestKey | None = None,
) -> MadeUp:
    """Book a makeup with a credit, named by itself or by the booking that was given up for it.

    A manager may waive the minutes of a longer class (`waive_reason`, M5) and pass a full class (`override_reason`,
    B8). Refusals in this order: NotFound, ScheduleNotFound, CreditNotFound or BookingNotFound, FeatureOff,
    ScheduleCancelled, ScheduleStarted, NoCredit, CreditExpired, TypeNotAllowed, LevelNotAllowed, AlreadyBooked,
    TimeConflict, SeatFull, ShorterClass, NotEnoughCompensation; Forbidden and Invalid for staff.
    """
    wishes = Wishes(accept_shorter, use_compensation, _waived(waive_reason, actor))
    override = place.check_override(override_reason, actor)
    student = students.lock(profile_id, actor)
    session = facts.of_session(schedule_id)
    if session is None:
        raise ScheduleNotFound
    credit = own_credit(student, credit_id=credit_id, booking_id=original_booking_id)
    switches.require_for(actor, Capability.MAKEUP)
    now = db_now()
    booking_rules.check_session(session.status, session.starts_at, now, is_trial=False)
    check_credit(credit, session, student, now)
    students.check_free(student, session)
    if session.full and override is None:
        # Before the parent is asked to agree to anything: the answer would change nothing.
        raise place.full(session.waiting, session.waitlist_capacity)
    check_minutes(credit.minutes, session, wishes, minutes.available(profile_id, now))
    place.claim_seat(session, override)
    return on_seat(session, student, credit.id, actor, wishes, override_reason=override)


def _waived(reason: str | None, actor: Actor) -> str | None:
    if actor.type == ActorType.STAFF:
        roles.require(actor, Permission.MAKEUP_MANAGE)
    if reason is None:
        return None
    roles.require(actor, Permission.MAKEUP_WAIVE)
    reason = clean(reason, REASON_LENGTH)
    if not reason:
        raise Invalid.field("waive_reason", "请填写免扣课时补偿的原因")
    return reason


class Taker(Protocol):
    """The student, as far as a credit asks: `rank` is that of a confirmed level."""

    id: int
    rank: int | None


def check_credit(credit: CreditFacts | None, session: SessionFacts, student: Taker, now: datetime) -> None:
    """The credit is this student's, can be used now, and fits the class. Raises NoCredit, CreditExpired,
    TypeNotAllowed, LevelNotAllowed."""
    if credit is None or credit.profile_id != student.id:
        raise NoCredit
    credit_rules.check_usable(credit.status, credit.valid_until, now, session.starts_at)
    if credit.course_type_id != session.course_type_id or session.is_trial:
        raise TypeNotAllowed
    rules.check_level(session.course_rank, credit.rank, student.rank, session.lowest_rank)


def check_minutes(missed: int, session: SessionFacts, wishes: Wishes, available: int) -> Exchange:
    """What the class's length means for the parent, who has agreed to it; `missed` and `available` in minutes. Raises
    ShorterClass, NotEnoughCompensation."""
    wanted = credit_rules.exchange(missed, session.minutes, policy.get("compensation_unit"))
    if wishes.waived is None:
        credit_rules.check_minutes(
            wanted, session.minutes, available, accept_shorter=wishes.accept_shorter,
            use_compensation=wishes.use_compensation,
        )  # fmt: skip
    return wanted


def on_seat(
    session: SessionFacts,
    student: Student,
    credit_id: int,
    actor: Actor,
    wishes: Wishes,
    *,
    override_reason: str | None = None,
    user_id: int | None = None,
) -> MadeUp:
    """Building block: the makeup on a seat that was taken. Credit and minutes are looked at again, now under their
    locks. `user_id` is the parent where another acts. Raises AlreadyBooked and what `check_credit` and `check_minutes`
    raise."""
    booking_id = place.insert(
        session, student, actor, kind=BookingKind.MAKEUP, source=BookingSource.MAKEUP_CREDIT, price=ZERO,
        credit_id=credit_id, override_reason=override_reason, user_id=user_id,
    )  # fmt: skip
    now = db_now()
    credit = credits.use(credit_id, actor, now, starts_at=session.starts_at)
    lots = minutes.lock(student.id, now)
    available = sum(lot.minutes_left for lot in lots)
    wanted = check_minutes(credit.minutes, session, wishes, available)
    used = 0 if wishes.waived else wanted.needed
    if used:
        minutes.use(lots, used, booking_id, actor, now, note=session.course_name)
    if wanted.earned:
        minutes.give(student.id, student.family_id, wanted.earned, actor, now, kind=HistoryKind.EARNED,
                     note=session.course_name, booking_id=booking_id)  # fmt: skip
    made = MadeUp(booking_id, credit_id, wanted.difference, used, wanted.earned, available - used + wanted.earned)
    _record(made, session, student, actor, wishes)
    place.tell_booked(booking_id, session, student, actor, user_id)
    return made


def _record(made: MadeUp, session: SessionFacts, student: Student, actor: Actor, wishes: Wishes) -> None:
    audit.record(
        actor, "makeup.booked", target_type="booking", target_id=made.booking_id, family_id=student.family_id,
        new_status=BookingStatus.BOOKED, reason=wishes.waived,
        after={"schedule": session.id, "profile": student.id, "credit": made.credit_id,
               "difference": made.difference, "used": made.used, "earned": made.earned},
    )  # fmt: skip
