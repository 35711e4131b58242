"""What every end of a booking shares: locking it in the right order, its facts, its refund, its traces."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

import sqlalchemy as sa

from app import clock, money
from app.column_types import Money
from app.db import db, execute, lock_row
from app.domain.audit import service as audit
from app.domain.audit.actor import Actor, ActorType
from app.domain.bookings.errors import BookingNotFound
from app.domain.bookings.models import Booking, BookingStatus
from app.domain.cases import service as cases
from app.domain.cases.models import CaseKind
from app.domain.catalog import facts
from app.domain.catalog.facts import SessionFacts
from app.domain.catalog.models import CourseSchedule
from app.domain.credits import minutes
from app.domain.credits import service as credits
from app.domain.credits.models import MakeupCredit
from app.domain.credits.service import Missed
from app.domain.ledger import merging
from app.domain.ledger import service as ledger
from app.domain.ledger.models import TransactionType, WalletTransaction
from app.domain.ledger.service import Posting
from app.domain.people import belonging, roles
from app.domain.people.models import Family, Profile
from app.domain.people.roles import Permission
from app.domain.seats import service as seats
from app.domain.waitlist.freed import seat_freed
from app.domain.waitlist.models import Cause
from app.errors import Forbidden
from app.money import ZERO

_rows = WalletTransaction.__table__
_refunds = sa.table(
    "refunds", sa.column("order_id"), sa.column("booking_id"), sa.column("status"), sa.column("amount", Money())
)  # fmt: skip
_orders = sa.table("payment_orders", sa.column("id"), sa.column("order_id"))


@dataclass(slots=True)
class Held:
    """A booking whose session and own row this transaction holds."""

    booking: Booking
    session: SessionFacts
    student: str

    @property
    def missed(self) -> Missed:
        booking, session = self.booking, self.session
        return Missed(
            booking_id=booking.id, family_id=booking.family_id, profile_id=booking.profile_id, student=self.student,
            course=session.course_name, course_type_id=session.course_type_id, level_id=session.level_id,
            minutes=session.minutes, price=booking.price, starts_at=session.starts_at,
        )  # fmt: skip


def hold(booking_id: int, actor: Actor) -> Held:
    """Lock session, then booking (R6). Raises BookingNotFound for nobody's and for another family's; Forbidden."""
    if actor.type == ActorType.STAFF:
        roles.require(actor, Permission.BOOKING_MAKE)
    schedule_id = db.session.scalar(sa.select(Booking.course_schedule_id).where(Booking.id == booking_id))
    if schedule_id is None:
        raise BookingNotFound
    lock_row(CourseSchedule, schedule_id)
    booking = lock_row(Booking, booking_id)
    if actor.type == ActorType.PARENT and booking.family_id != actor.family_id:
        raise BookingNotFound
    student = db.session.scalar(sa.select(Profile.name).where(Profile.id == booking.profile_id))
    return Held(booking, facts.of_session(schedule_id), student)


def refuse_own_family(held: Held, actor: Actor) -> None:
    """Nobody gives money back late to the family that they belong to. Raises Forbidden OWN_FAMILY."""
    if belonging.is_own(actor, held.booking.family_id):
        raise Forbidden("不能处理自己家庭的退款，请由其他同事处理", code="OWN_FAMILY")


def end(held: Held, status: str, actor: Actor, now: datetime, reason: str | None, cause: Cause | None = None) -> None:
    """Write the end on the booking and free its seat; `cause` where it was neither cancelled nor given up."""
    booking = held.booking
    booking.status = status
    booking.ended_at = now
    booking.ended_by = actor.id if actor.type == ActorType.STAFF else None
    booking.end_reason = reason
    db.session.flush()
    seats.give_back(booking.course_schedule_id)
    usual = Cause.LEAVE if status == BookingStatus.ON_LEAVE else Cause.CANCELLED
    seat_freed(booking.course_schedule_id, cause or usual, booking_id=booking.id, actor=actor)


def restore_credit(
    held: Held, actor: Actor, now: datetime, *, at_least: timedelta = timedelta(0)
) -> MakeupCredit | None:
    """A makeup that ended gives its credit and its minutes back, and loses what it had earned (M6, M7); None for any
    other booking. `at_least` as in credits.restore."""
    booking = held.booking
    if booking.credit_id is None:
        return None
    credit = credits.restore(booking.credit_id, actor, now, at_least=at_least)
    minutes.undo(booking.id, actor, now)
    return credit


def refund(held: Held, actor: Actor, *, note: str) -> Posting | None:
    """Give back what a wallet paid, to it or to the one that it was merged into since (P11); None where none paid.

    Once: the ledger's key and `reverses` see to it (B3). What staff have given back of it already is left out.
    """
    booking = held.booking
    if booking.debit_id is None or booking.refund_id is not None:
        return None
    amount = booking.price - _given_back(booking.id)
    if amount <= ZERO:
        return None
    payer = execute(sa.select(_rows.c.wallet_id).where(_rows.c.id == booking.debit_id)).scalar_one()
    wallet = merging.lock_heir(payer)
    posting = ledger.post(
        wallet, type=TransactionType.REFUND, amount=amount, idempotency_key=f"booking:{booking.id}:refund",
        reference_type="booking", reference_id=booking.id, reverses_id=booking.debit_id,
        profile_id=booking.profile_id, user_id=actor.id if actor.type == ActorType.PARENT else None, actor=actor,
        reason=f"{note} {held.session.course_name} {clock.local(held.session.starts_at):%m月%d日 %H:%M}",
    )  # fmt: skip
    booking.refund_id = posting.id
    db.session.flush()
    return posting


def _given_back(booking_id: int) -> Decimal:
    """Yuan of refunds by staff (O18); the table belongs to a line below this one."""
    given = sa.select(sa.func.coalesce(sa.func.sum(_refunds.c.amount), ZERO))
    return execute(given.where(_refunds.c.booking_id == booking_id, _refunds.c.status == "succeeded")).scalar_one()


def record(
    held: Held, action: str, actor: Actor, *, old_status: str, reason: str | None, refunded: Posting | None = None
) -> None:
    """The audit row of an end."""
    booking = held.booking
    audit.record(
        actor, action, target_type="booking", target_id=booking.id, family_id=booking.family_id,
        order_id=booking.order_id, old_status=old_status, new_status=booking.status, reason=reason,
        after={"schedule": booking.course_schedule_id,
               "refund": money.plain(refunded.amount) if refunded else "0.00"},
    )  # fmt: skip


def family_name(booking: Booking) -> str:
    """How cards name a booking's family: a child's own name does not go into a group chat (S8)."""
    return db.session.scalar(sa.select(Family.name).where(Family.id == booking.family_id))


def _on_its_way_back(order_id: str) -> Decimal:
    """Yuan of an order that a refund by staff was approved for, and that has not come to nothing."""
    given = sa.select(sa.func.coalesce(sa.func.sum(_refunds.c.amount), ZERO)).select_from(
        _refunds.join(_orders, _orders.c.id == _refunds.c.order_id)
    )
    decided = ("approved", "processing", "succeeded", "failed")
    return execute(given.where(_orders.c.order_id == order_id, _refunds.c.status.in_(decided))).scalar_one()


def trial_case(booking_id: int) -> str:
    """The name of a cancelled trial among the cases of its kind."""
    return f"booking{booking_id}"


def tell_trial(held: Held, title: str, actor: Actor) -> None:
    """A trial that ended unheld: whether its money goes back is for a person to say, if none has said so (B11)."""
    booking, session = held.booking, held.session
    if booking.order_id is not None and _on_its_way_back(booking.order_id) >= booking.price:
        return
    cases.open_case(
        CaseKind.TRIAL_CANCELLED, trial_case(booking.id), title=title,
        facts={"课程": session.course_name, "上课时间": f"{clock.local(session.starts_at):%m月%d日 %H:%M}"},
        actor=actor, family_id=booking.family_id, order_id=booking.order_id, booking_id=booking.id,
        amount=booking.price,
    )  # fmt: skip
