"""A refund after the cutoff takes a second person (B3): asked for, then approved, rejected or withdrawn."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from app import money
from app.db import RequestKey, db, db_now, lock_row, transactional
from app.domain.audit import service as audit
from app.domain.audit.actor import Actor
from app.domain.bookings import cancel, ending, rules
from app.domain.bookings.cancel import Cancelled
from app.domain.bookings.ending import Held
from app.domain.bookings.errors import BookingNotFound
from app.domain.bookings.models import Booking, LateRefund, LateRefundStatus
from app.domain.bookings.rules import Event
from app.domain.outbox import service as outbox
from app.domain.people import proof, roles
from app.domain.people.roles import Permission
from app.errors import Conflict, Forbidden, Invalid, InvalidState
from app.text import clean

REASON_LENGTH = 200


@transactional
def ask(*, booking_id: int, reason: str, actor: Actor, request_key: RequestKey | None = None) -> int:
    """Ask a second person to cancel a booking with its money back; returns the request's id. Nothing changes yet.

    The booking may lie ahead or have begun: it must still be `booked`. Raises BookingNotFound, InvalidState,
    Invalid, Forbidden, StepUpRequired, Conflict ALREADY_ASKED.
    """
    reason = _reason(reason, "reason", "请填写退款原因")
    held = _hold(booking_id, actor)
    if held.booking.debit_id is None:
        raise InvalidState("这个预约没有从钱包扣费，不需要退款")
    request = LateRefund(booking_id=booking_id, amount=held.booking.price, reason=reason,
                         status=LateRefundStatus.PENDING, asked_by=actor.id, asked_at=db_now())  # fmt: skip
    db.session.add(request)
    try:
        db.session.flush()
    except IntegrityError as error:
        raise Conflict("这个预约的退款已在等待复核", code="ALREADY_ASKED") from error
    _note(request, held, actor, "asked", reason)
    outbox.tell_staff(
        "money", "staff.late_refund_asked",
        {"title": "逾时取消待退款复核", "colour": "orange",
         "lines": [["家庭", ending.family_name(held.booking)], ["课程", held.session.course_name],
                   ["金额", money.yuan(held.booking.price)], ["申请人", actor.name], ["原因", reason]],
         "link": {"text": "去复核", "path": "/late-refunds"}},
        dedupe=f"late{request.id}",
    )  # fmt: skip
    return request.id


@transactional
def approve(*, request_id: int, actor: Actor, request_key: RequestKey | None = None) -> Cancelled:
    """Cancel the booking and give the money back. Raises Forbidden for whoever asked (P10), InvalidState."""
    request, held, now = _decidable(request_id, actor)
    # It may have ended otherwise while the request waited; then it can only be rejected.
    rules.next_status(held.booking.status, Event.CANCEL)
    _decide(request, LateRefundStatus.APPROVED, actor, now, None)
    _note(request, held, actor, "approved", request.reason)
    return cancel.carry_out(held, actor, now, request.reason, pays_back=True)


@transactional
def reject(*, request_id: int, note: str, actor: Actor, request_key: RequestKey | None = None) -> None:
    """Leave the booking as it is, with a reason. Raises as `approve`, and Invalid."""
    note = _reason(note, "note", "请填写驳回原因")
    request, held, now = _decidable(request_id, actor)
    _decide(request, LateRefundStatus.REJECTED, actor, now, note)
    _note(request, held, actor, "rejected", note)


@transactional
def withdraw(*, request_id: int, actor: Actor, request_key: RequestKey | None = None) -> None:
    """Take back one's own request. Raises BookingNotFound, Forbidden, InvalidState."""
    request, held = _pending(request_id, actor)
    if request.asked_by != actor.id:
        raise Forbidden("只能撤回自己提交的退款申请")
    _decide(request, LateRefundStatus.WITHDRAWN, actor, db_now(), None)
    _note(request, held, actor, "withdrawn", None)


# ── the steps ───────────────────────────────────────────────────────────────────────────────────────


def _hold(booking_id: int, actor: Actor) -> Held:
    roles.require(actor, Permission.LATE_REFUND)
    proof.require_recent(actor)
    held = ending.hold(booking_id, actor)
    ending.refuse_own_family(held, actor)
    rules.next_status(held.booking.status, Event.CANCEL)
    return held


def _pending(request_id: int, actor: Actor) -> tuple[LateRefund, Held]:
    booking_id = db.session.scalar(sa.select(LateRefund.booking_id).where(LateRefund.id == request_id))
    if booking_id is None:
        raise BookingNotFound("没有这项退款申请")
    held = ending.hold(booking_id, actor)
    request = lock_row(LateRefund, request_id)
    if request.status != LateRefundStatus.PENDING:
        raise InvalidState("这项退款申请已经处理过了")
    return request, held


def _decidable(request_id: int, actor: Actor) -> tuple[LateRefund, Held, datetime]:
    roles.require(actor, Permission.LATE_REFUND)
    proof.require_recent(actor)
    request, held = _pending(request_id, actor)
    if request.asked_by == actor.id:
        raise Forbidden("不能复核自己提交的退款，请由另一人处理", code="SELF_APPROVAL")
    ending.refuse_own_family(held, actor)
    return request, held, db_now()


def _decide(request: LateRefund, status: str, actor: Actor, now: datetime, note: str | None) -> None:
    request.status, request.decided_by, request.decided_at, request.decision_note = status, actor.id, now, note
    db.session.flush()


def _note(request: LateRefund, held: Held, actor: Actor, event: str, reason: str | None) -> None:
    booking: Booking = held.booking
    audit.record(
        actor, f"late_refund.{event}", target_type="booking", target_id=booking.id, family_id=booking.family_id,
        new_status=request.status, reason=reason,
        after={"request": request.id, "amount": money.plain(request.amount)},
    )  # fmt: skip


def _reason(text: str, field: str, sentence: str) -> str:
    reason = clean(text, REASON_LENGTH)
    if not reason:
        raise Invalid.field(field, sentence)
    return reason
