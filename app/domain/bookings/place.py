"""Booking a regular class from the wallet: seat, debit and booking together or not at all (B1, B2, B8)."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from app import clock, money
from app.db import RequestKey, count_outcome, db, db_now, execute, recall, transactional
from app.domain.audit import service as audit
from app.domain.audit.actor import Actor, ActorType
from app.domain.bookings import look, rules, students
from app.domain.bookings.errors import (
    AlreadyBooked,
    ArrearsBlocked,
    PriceChanged,
    ScheduleMoved,
    ScheduleNotFound,
    SeatFull,
)
from app.domain.bookings.models import Booking, BookingKind, BookingSource, BookingStatus
from app.domain.bookings.students import Student
from app.domain.catalog import facts
from app.domain.catalog.facts import SessionFacts
from app.domain.ledger import rules as wallet_rules
from app.domain.ledger import service as ledger
from app.domain.ledger.models import TransactionType, WalletTransaction
from app.domain.ledger.service import LockedWallet, Posting
from app.domain.outbox import service as outbox
from app.domain.people import roles
from app.domain.people.roles import Permission
from app.domain.policy import service as policy
from app.domain.policy import switches
from app.domain.policy.switches import Capability
from app.domain.seats import holds, refusals
from app.domain.seats import service as seats
from app.domain.waitlist import queue
from app.errors import DomainError, IdempotencyKeyReused, Invalid, Replayed
from app.money import ZERO
from app.prepared import Prepared
from app.text import clean

REASON_LENGTH = 200

_bookings, _rows = Booking.__table__, WalletTransaction.__table__
_insert = Prepared(_bookings.insert())
_note_debit = Prepared(
    _bookings.update().where(_bookings.c.id == sa.bindparam("key")).values(debit_id=sa.bindparam("posting"))
)


@dataclass(frozen=True, slots=True)
class Booked:
    """`balance` is the wallet's after the debit, in yuan."""

    booking_id: int
    balance: Decimal


@refusals.noted
def book(
    *,
    schedule_id: int,
    profile_id: int,
    actor: Actor,
    price: Decimal | None = None,
    override_reason: str | None = None,
    request_key: RequestKey | None = None,
) -> Booked:
    """Book a class and pay it from the family's wallet. `price` in yuan is what the person saw, where they saw one.

    Refusals come in the order of 96.28: NotFound, FeatureOff, ScheduleNotFound, ScheduleCancelled, ScheduleStarted,
    TrialNeedsPayment, AlreadyBooked, TimeConflict, LevelNotAllowed, SeatFull, PriceChanged, WalletFrozen,
    WalletClosed, ArrearsBlocked, OverdraftLimitExceeded. Staff may pass a full class with `override_reason` where
    their role allows it (Forbidden).
    """
    waits = look.only_full(schedule_id, profile_id, actor, request_key)
    if waits is not None:
        count_outcome("refused", "bookings.place._book")
        raise full(*waits)
    try:
        return _book(
            schedule_id=schedule_id, profile_id=profile_id, actor=actor, price=price,
            override_reason=override_reason, request_key=request_key,
        )  # fmt: skip
    except DomainError as refusal:
        _refuse_done_before(request_key, schedule_id, profile_id)
        if isinstance(refusal, ArrearsBlocked):
            # The refusal rolled everything back; the reminder is a fact of its own (W23).
            remind(profile_id=profile_id, refusal=refusal)
        raise


def _refuse_done_before(request_key: RequestKey | None, schedule_id: int, profile_id: int) -> None:
    """Kept answers are cleaned up after a while; what was paid holds its key for ever, in the ledger (96.13). Asked
    only of what was refused: nothing can be paid twice under one key, so who comes again is refused first.

    Raises Replayed with the booking that the key paid for, IdempotencyKeyReused where another was asked for.
    """
    if request_key is None:
        return
    query = sa.select(_bookings.c.id, _bookings.c.course_schedule_id, _bookings.c.profile_id, _rows.c.balance_after)
    query = query.join_from(_bookings, _rows, _rows.c.id == _bookings.c.debit_id)
    made = db.session.execute(query.where(_rows.c.idempotency_key == _debit_key(request_key))).first()
    if made is not None:
        recall(request_key)  # while its answer is kept, another request under the key is told so
        if (made.course_schedule_id, made.profile_id) != (schedule_id, profile_id):
            raise IdempotencyKeyReused
        booked = Booked(made.id, made.balance_after)
        raise Replayed(request_key.present(booked) if request_key.present else {})
    db.session.rollback()


def _debit_key(request_key: RequestKey) -> str:
    return f"booking:{request_key.scope}:{request_key.key}"


@transactional
def _book(
    *,
    schedule_id: int,
    profile_id: int,
    actor: Actor,
    price: Decimal | None,
    override_reason: str | None,
    request_key: RequestKey | None,
) -> Booked:
    override = check_override(override_reason, actor)
    student = students.lock(profile_id, actor)
    switches.require_for(actor, Capability.BOOKING)
    session = facts.of_session(schedule_id)
    if session is None:
        raise ScheduleNotFound
    check(session, student)
    claim_seat(session, override)
    if price is not None and price != session.price:
        raise PriceChanged(data={"price": money.plain(session.price), "seen": money.plain(price)})
    return on_seat(session, student, actor, override_reason=override, request_key=request_key)


def on_seat(
    session: SessionFacts,
    student: Student,
    actor: Actor,
    *,
    override_reason: str | None = None,
    user_id: int | None = None,
    request_key: RequestKey | None = None,
) -> Booked:
    """Building block: the booking on a seat that was taken, paid from the wallet. `user_id` is the parent where another
    acts; `request_key` pays once, for ever. Raises AlreadyBooked, WalletFrozen, WalletClosed, ArrearsBlocked,
    OverdraftLimitExceeded, IdempotencyKeyReused."""
    booking_id = insert(session, student, actor, override_reason=override_reason, user_id=user_id)
    wallet = ledger.lock_wallet(family_id=student.family_id)
    paid_as = f"booking:{booking_id}:debit" if request_key is None else _debit_key(request_key)
    posting = _pay(wallet, session, student, booking_id, actor, paid_as)
    balance = wallet.balance if posting is None else posting.balance_after
    _finish(booking_id, session, student, actor, balance, user_id)
    return Booked(booking_id, balance)


# ── the steps ───────────────────────────────────────────────────────────────────────────────────────


def check(session: SessionFacts, student: Student) -> None:
    """What refuses before seat and money are looked at."""
    rules.check_session(session.status, session.starts_at, db_now(), is_trial=session.is_trial)
    students.check_free(student, session)
    rules.check_level(session.course_rank, student.rank, session.lowest_rank)


def check_override(reason: str | None, actor: Actor) -> str | None:
    """A manager's reason for a seat above the capacity (B8). Raises Forbidden, Invalid."""
    if actor.type == ActorType.STAFF:
        roles.require(actor, Permission.BOOKING_MAKE)
    if reason is None:
        return None
    roles.require(actor, Permission.CAPACITY_OVERRIDE)
    reason = clean(reason, REASON_LENGTH)
    if not reason:
        raise Invalid.field("override_reason", "请填写加座原因")
    return reason


def claim_seat(session: SessionFacts, override: str | None) -> None:
    """Building block: a seat, or one above the capacity for `override`. Raises SeatFull; ScheduleCancelled,
    ScheduleStarted, ScheduleMoved where the session changed since it was read."""
    if session.full and override is None:
        # The last commit left no seat. Asking for one would queue on the row behind all others who do, for the same
        # answer: of two hundred who want six seats, a hundred and more are told here.
        raise full(session.waiting, session.waitlist_capacity)
    if take_seat(session):
        return
    # Full, or changed since it was read: what it is now decides.
    now = facts.of_session(session.id)
    rules.check_session(now.status, now.starts_at, db_now(), is_trial=now.is_trial)
    if now.starts_at != session.starts_at:
        raise ScheduleMoved
    if override is not None:
        most = policy.get("capacity_override_seats")
        if seats.add_override(session.id, most=most) and seats.take(session.id, starts_at=session.starts_at):
            return
        raise SeatFull(f"这节课已加过 {most} 个座位，不能再加")
    raise full(now.waiting, now.waitlist_capacity)


def take_seat(session: SessionFacts) -> bool:
    """A free seat of this session, or one whose hold has lapsed; False if there is neither."""
    if seats.take(session.id, starts_at=session.starts_at):
        return True
    return bool(holds.retire_lapsed(session.id)) and seats.take(session.id, starts_at=session.starts_at)


def full(waiting: int, waitlist_capacity: int) -> SeatFull:
    """The refusal, with how many wait and how many may."""
    return SeatFull(data={"waitlist_count": waiting, "waitlist_capacity": waitlist_capacity})


def insert(
    session: SessionFacts,
    student: Student,
    actor: Actor,
    *,
    kind: str = BookingKind.REGULAR,
    source: str | None = None,
    price: Decimal | None = None,
    order_id: str | None = None,
    credit_id: int | None = None,
    override_reason: str | None = None,
    user_id: int | None = None,
) -> int:
    """The booking's row, on a seat that was taken. `user_id` is the parent where another acts. Raises AlreadyBooked."""
    by_staff = actor.type == ActorType.STAFF
    try:
        booking_id = _insert(
            {
                "course_schedule_id": session.id, "profile_id": student.id, "family_id": student.family_id,
                "user_id": actor.id if actor.type == ActorType.PARENT else user_id, "kind": kind,
                "source": source or (BookingSource.STAFF if by_staff else BookingSource.WALLET),
                "status": BookingStatus.BOOKED, "price": session.price if price is None else price,
                "order_id": order_id, "credit_id": credit_id, "free_cancel": False,
                "override_reason": override_reason, "booked_by": actor.id if by_staff else None,
                "created_at": clock.now(),
            }
        ).lastrowid  # fmt: skip
    except IntegrityError as error:
        # The student's row is locked, so this is the constraint's last word (B7).
        raise AlreadyBooked from error
    if session.waiting:
        queue.booked(session.id, student.id, booking_id, actor)
    return booking_id


def _pay(
    wallet: LockedWallet, session: SessionFacts, student: Student, booking_id: int, actor: Actor, paid_as: str
) -> Posting | None:
    """Debit the price; None for a class that costs nothing. Raises as `book` says."""
    wallet_rules.check_status(wallet.status, -session.price)
    bypassed = wallet.bypass_until is not None and db_now() < wallet.bypass_until
    rules.check_arrears(wallet.balance, policy.get("arrears_block_threshold"), bypassed=bypassed)
    if session.price == ZERO:
        return None
    posting = ledger.post(
        wallet, type=TransactionType.DEDUCTION, amount=-session.price, idempotency_key=paid_as,
        reference_type="booking", reference_id=booking_id, profile_id=student.id,
        user_id=actor.id if actor.type == ActorType.PARENT else None, actor=actor,
        reason=f"{session.course_name} {clock.local(session.starts_at):%m月%d日 %H:%M}",
    )  # fmt: skip
    _note_debit({"key": booking_id, "posting": posting.id})
    return posting


def _finish(
    booking_id: int, session: SessionFacts, student: Student, actor: Actor, balance: Decimal, user_id: int | None
) -> None:
    audit.record(
        actor, "booking.made", target_type="booking", target_id=booking_id, family_id=student.family_id,
        new_status=BookingStatus.BOOKED,
        after={"schedule": session.id, "profile": student.id, "price": money.plain(session.price),
               "balance": money.plain(balance)},
    )  # fmt: skip
    tell_booked(booking_id, session, student, actor, user_id)


def tell_booked(
    booking_id: int, session: SessionFacts, student: Student, actor: Actor, user_id: int | None = None
) -> None:
    """The family hears of its booking. `user_id` is the parent where another acts."""
    outbox.tell_family(
        student.family_id, "booking_made",
        {"course": session.course_name, "starts_at": session.starts_at.isoformat(), "student": student.name,
         "venue": session.venue_name, "booking_id": booking_id},
        dedupe=f"booking{booking_id}", user_id=actor.id if actor.type == ActorType.PARENT else user_id,
    )  # fmt: skip


@transactional
def remind(*, profile_id: int, refusal: ArrearsBlocked) -> None:
    """Tell the family that arrears refused a booking of this student (W23)."""
    owed = -Decimal(refusal.data["balance"])
    family_id = execute(sa.text("SELECT family_id FROM profiles WHERE id = :id"), {"id": profile_id}).scalar_one()
    # One key a day: whoever presses the button a hundred times fills neither the phone nor the table.
    outbox.tell_family(
        family_id, "arrears", {"owed": money.plain(owed), "time": clock.now().isoformat(), "occasion": "refused"},
        dedupe=f"refused:{clock.today():%Y%m%d}:{family_id}",
    )  # fmt: skip
