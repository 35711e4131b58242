"""Cancelling a booking (B3, B9, B11): the refund and the free seat in one transaction."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from app import money
from app.db import RequestKey, db_now, transactional
from app.domain.audit.actor import Actor, ActorType
from app.domain.bookings import ending, rules
from app.domain.bookings.ending import Held
from app.domain.bookings.errors import LateRefundNeedsSecond
from app.domain.bookings.models import BookingKind, BookingStatus
from app.domain.bookings.rules import Event
from app.domain.ledger import queries as ledger_queries
from app.domain.outbox import service as outbox
from app.domain.people import proof, roles
from app.domain.people.roles import Permission
from app.domain.policy import service as policy
from app.errors import Invalid
from app.money import ZERO
from app.text import clean

REASON_LENGTH = 200


@dataclass(frozen=True, slots=True)
class Cancelled:
    """`refund` and the wallet's `balance` in yuan."""

    booking_id: int
    refund: Decimal
    balance: Decimal


@transactional
def cancel(
    *,
    booking_id: int,
    actor: Actor,
    reason: str | None = None,
    late_refund: bool | None = None,
    request_key: RequestKey | None = None,
) -> Cancelled:
    """Cancel a booking that is still ahead. In time it refunds what a wallet paid.

    After the cutoff a parent is refused (CancelTooLate); staff say with `late_refund` whether the money goes back:
    without it anyone may, with a reason; with it finance or a manager, freshly proved, and above the policy's limit
    only through `late.ask` (LateRefundNeedsSecond). Raises BookingNotFound, InvalidState, Invalid, Forbidden,
    StepUpRequired.
    """
    reason = clean(reason, REASON_LENGTH) or None
    held = ending.hold(booking_id, actor)
    rules.next_status(held.booking.status, Event.CANCEL)
    now = db_now()
    pays_back = _may_cancel(held, actor, now, reason, late_refund)
    return carry_out(held, actor, now, reason, pays_back=pays_back)


def _may_cancel(held: Held, actor: Actor, now: datetime, reason: str | None, late_refund: bool | None) -> bool:
    """Whether it refunds; raises where it may not be cancelled now by this person."""
    booking, session = held.booking, held.session
    cutoff = policy.get(rules.cutoff_policy(booking.kind))
    if rules.in_time(now, session.starts_at, cutoff, free=booking.free_cancel):
        return True
    if actor.type != ActorType.STAFF or late_refund is None:
        raise rules.too_late(booking.kind, now, session.starts_at, cutoff)
    if not reason:
        raise Invalid.field("reason", "已过取消时限，请填写原因")
    if late_refund and booking.debit_id is not None:
        roles.require(actor, Permission.LATE_REFUND)
        proof.require_recent(actor)
        ending.refuse_own_family(held, actor)
        if booking.price > policy.get("late_refund_limit"):
            raise LateRefundNeedsSecond
    return late_refund


def carry_out(held: Held, actor: Actor, now: datetime, reason: str | None, *, pays_back: bool) -> Cancelled:
    """Building block: end the booking, free the seat, give back money or credit, tell the family."""
    booking, before = held.booking, held.booking.status
    ending.end(held, BookingStatus.CANCELLED, actor, now, reason)
    ending.restore_credit(held, actor, now)
    refunded = ending.refund(held, actor, note="取消") if pays_back else None
    ending.record(held, "booking.cancelled", actor, old_status=before, reason=reason, refunded=refunded)
    _tell(held, actor, reason, refunded.amount if refunded else ZERO)
    if refunded is not None:
        return Cancelled(booking.id, refunded.amount, refunded.balance_after)
    return Cancelled(booking.id, ZERO, ledger_queries.get_balance(family_id=booking.family_id))


def _tell(held: Held, actor: Actor, reason: str | None, amount: Decimal) -> None:
    booking = held.booking
    by_parent = actor.type == ActorType.PARENT
    if amount > ZERO:
        remark = f"{money.yuan(amount)}已退回钱包"
    elif booking.kind == BookingKind.TRIAL:
        remark = "体验课退款由馆方处理"
    elif booking.credit_id is not None:
        remark = "待补课已退回"
    else:
        remark = "不退费"
    outbox.tell_family(
        booking.family_id, "booking_cancelled",
        {"course": held.session.course_name, "starts_at": held.session.starts_at.isoformat(),
         "student": held.student, "reason": reason or ("家长取消" if by_parent else "馆方取消"), "remark": remark,
         "booking_id": booking.id},
        dedupe=f"booking{booking.id}", user_id=actor.id if by_parent else booking.user_id,
    )  # fmt: skip
    if booking.kind == BookingKind.TRIAL:
        ending.tell_trial(held, "体验课已取消，待退款判断", actor)
