"""What every way to a refund's end shares: its state, its traces, the money, and what the end means for others.

Building blocks: the caller holds the refund and its order (refund_locking.py).
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import sqlalchemy as sa

from app import money
from app.db import db, execute
from app.domain.audit import service as audit
from app.domain.audit.actor import Actor
from app.domain.bookings import ending
from app.domain.bookings.models import BookingStatus
from app.domain.cases import service as cases
from app.domain.cases.models import CaseKind, MoneyCase
from app.domain.ledger import merging
from app.domain.ledger import service as ledger
from app.domain.ledger.models import TransactionType, Wallet, WalletTransaction
from app.domain.orders import claims, refund_locking, refund_rules
from app.domain.orders.models import PaymentTransaction, Refund, RefundStatus
from app.domain.orders.refund_locking import HeldRefund
from app.domain.orders.refund_rules import Event
from app.domain.outbox import service as outbox
from app.domain.people.models import Family
from app.domain.policy import service as policy
from app.domain.waitlist.models import Cause
from app.money import ZERO

_r, _p, _rows, _w = Refund.__table__, PaymentTransaction.__table__, WalletTransaction.__table__, Wallet.__table__
_c = MoneyCase.__table__


def move(held: HeldRefund, event: Event, now: datetime, **values: Any) -> str:
    """Bring the refund to the state that the event leads to, and return the one before. Raises InvalidState."""
    refund, before = held.refund, held.refund.status
    refund.status = refund_rules.next_status(before, event)
    for name, value in values.items():
        setattr(refund, name, value)
    refund.version, refund.updated_at = refund.version + 1, now
    db.session.flush()
    return before


def record(
    held: HeldRefund, event: str, actor: Actor, *, old_status: str | None = None, reason: str | None = None,
    error: str | None = None, request: dict | None = None, answer: dict | None = None, **more: Any,
) -> None:  # fmt: skip
    """The audit row of a step, on the refund and found by its order as well. `request` and `answer` are WeChat's, as
    far as they may be kept (R7)."""
    refund = held.refund
    audit.record(
        actor, f"refund.{event}", target_type="refund", target_id=refund.refund_no, family_id=refund.family_id,
        order_id=None if held.order is None else held.order.order_id,
        transaction_id=None if held.payment is None else held.payment.transaction_id,
        old_status=old_status, new_status=refund.status, reason=reason, error=error,
        after={"amount": money.plain(refund.amount), "refund_to": refund.refund_to, **more}, request=request,
        answer=answer,
    )  # fmt: skip


def tell_staff(held: HeldRefund, title: str, colour: str, kind: str, *more: list[str]) -> None:
    """A card to the money group, once per kind and state of the refund. It names the family, never a child (S8)."""
    refund = held.refund
    family = db.session.scalar(sa.select(Family.name).where(Family.id == refund.family_id))
    outbox.tell_staff(
        "money", f"staff.{kind}",
        {"title": title, "colour": colour,
         "lines": [["家庭", family], ["项目", held.item], ["金额", money.yuan(refund.amount)],
                   ["去向", refund_rules.TO_TEXTS[refund.refund_to]], ["原因", refund.reason], *more],
         "link": {"text": "查看退款", "path": f"/refunds/{refund.refund_no}"}},
        dedupe=f"refund{refund.refund_no}:{refund.version}",
    )  # fmt: skip


# ── money ───────────────────────────────────────────────────────────────────────────────────────────


def into_wallet(held: HeldRefund, actor: Actor, now: datetime) -> None:
    """Post an approved refund to the wallet that paid, or to the family's; with that it has succeeded (O18).

    The whole price of a wallet's booking reverses its debit, which the ledger lets happen once; a part refers to the
    refund. Raises WalletClosed, AlreadyReversed, BalanceOutOfRange.
    """
    refund, booking = held.refund, None if held.order is not None else held.held.booking
    reverses = None
    if booking is None:
        wallet_id = db.session.scalar(sa.select(_w.c.id).where(_w.c.family_id == refund.family_id))
    else:
        wallet_id = db.session.scalar(sa.select(_rows.c.wallet_id).where(_rows.c.id == booking.debit_id))
        reverses = booking.debit_id if refund.amount == booking.price else None
    posting = ledger.post(
        merging.lock_heir(wallet_id), type=TransactionType.REFUND, amount=refund.amount,
        idempotency_key=f"refund:{refund.refund_no}", reference_type="refund", reference_id=refund.refund_no,
        reverses_id=reverses, profile_id=held.order.profile_id if booking is None else booking.profile_id,
        reason=f"退款 {held.item}：{refund.reason}", actor=actor,
    )  # fmt: skip
    if reverses is not None:
        booking.refund_id = posting.id
    before = move(held, Event.SUCCEED, now, wallet_transaction_id=posting.id, succeeded_at=now, next_try_at=None)
    succeeded(held, actor, before, remark="已退回钱包")


def give_up_amount(held: HeldRefund) -> None:
    """The refund came to nothing: its amount may be asked for again."""
    if held.refund.payment_id is not None:
        refund_locking.release(held.refund.payment_id, held.refund.amount)


# ── the seat ────────────────────────────────────────────────────────────────────────────────────────


def free_seat(held: HeldRefund, actor: Actor, now: datetime) -> bool:
    """End the refund's booking where it lies ahead; its money is the refund's business. False where none does."""
    seat = held.held
    if seat is None or not held.refund.frees_seat or seat.booking.status != BookingStatus.BOOKED:
        return False
    ending.end(seat, BookingStatus.CANCELLED, actor, now, held.refund.reason, Cause.REFUND)
    ending.record(seat, "booking.cancelled", actor, old_status=BookingStatus.BOOKED, reason=held.refund.reason)
    outbox.tell_family(
        seat.booking.family_id, "booking_cancelled",
        {"course": seat.session.course_name, "starts_at": seat.session.starts_at.isoformat(), "student": seat.student,
         "reason": "馆方退款", "remark": f"将退款{money.yuan(held.refund.amount)}", "booking_id": seat.booking.id},
        dedupe=f"booking{seat.booking.id}", user_id=seat.booking.user_id,
    )  # fmt: skip
    return True


# ── what a success means ────────────────────────────────────────────────────────────────────────────


def succeeded(
    held: HeldRefund, actor: Actor, before: str, *, remark: str, action: str = "succeeded", answer: dict | None = None
) -> None:
    """After `move` to succeeded: audit, trial right, cases, the parent and the money group (O17)."""
    refund, order = held.refund, held.order
    note = f"微信退款单号 {refund.wechat_refund_id}" if refund.wechat_refund_id else None
    record(held, action, actor, old_status=before, reason=note, answer=answer)
    for kind in (CaseKind.REFUND_ABNORMAL, CaseKind.REFUND_FAILED):
        cases.settle_case(kind, refund.refund_no, settled_as="refunded", actor=actor)
    if order is not None:
        _whole(held, actor)
        for closed in _made_good(refund.payment_id):
            cases.settle_case(CaseKind.REFUND_FAILED, closed, settled_as="refunded", actor=actor,
                              note=f"这笔钱已由退款 {refund.refund_no} 退回")  # fmt: skip
    outbox.tell_family(
        refund.family_id, "refund_result",
        {"item": held.item, "amount": money.plain(refund.amount), "result": "退款成功",
         "time": refund.succeeded_at.isoformat(), "remark": remark, "refund_no": refund.refund_no,
         "order_id": None if order is None else order.order_id},
        dedupe=f"refund{refund.refund_no}", user_id=None if order is None else order.user_id,
    )  # fmt: skip
    tell_staff(held, "退款成功", "green", "refund_done", ["结果", remark])


def _whole(held: HeldRefund, actor: Actor) -> None:
    """What changes once everything of a payment, or of an order, is back."""
    order, payment = held.order, held.payment
    if _back(payment_id=payment.id) >= payment.total_fee:
        cases.settle_case(CaseKind.DUPLICATE_PAYMENT, payment.transaction_id, settled_as="refunded", actor=actor)
    if payment.duplicate or _back(order_id=order.id) < order.amount:
        return
    cases.settle_case(CaseKind.UNSEATED, order.order_id, settled_as="refunded", actor=actor)
    if policy.get("refund_restores_trial"):
        claims.release(order.id)


def _made_good(payment_id: int) -> list[str]:
    """Numbers of the payment's refunds that WeChat closed and that stand on the board, whose money has come back since.

    What was closed after another of them had ended is a second try for the same money; those that lived at the same
    time are each other's addition, and leave the board together.
    """
    closed = execute(
        sa.select(_r.c.refund_no, _r.c.amount, _r.c.created_at, _r.c.updated_at)
        .join(_c, sa.and_(_c.c.kind == CaseKind.REFUND_FAILED, _c.c.live_subject == _r.c.refund_no))
        .where(_r.c.payment_id == payment_id, _r.c.status == RefundStatus.CLOSED)
    ).all()
    found = []
    for one in closed:
        beside = (
            other for other in closed if other.created_at <= one.updated_at and one.created_at <= other.updated_at
        )
        if _back(payment_id=payment_id, since=one.updated_at) >= sum(other.amount for other in beside):
            found.append(one.refund_no)
    return found


def _back(*, payment_id: int | None = None, order_id: int | None = None, since: datetime | None = None):
    """Yuan that came back of one payment, or of an order's payments but second ones; asked for since then."""
    query = sa.select(sa.func.coalesce(sa.func.sum(_r.c.amount), ZERO)).where(_r.c.status == RefundStatus.SUCCEEDED)
    if since is not None:
        query = query.where(_r.c.created_at >= since)
    if payment_id is not None:
        return execute(query.where(_r.c.payment_id == payment_id)).scalar_one()
    query = query.select_from(_r.join(_p, _p.c.id == _r.c.payment_id))
    return execute(query.where(_r.c.order_id == order_id, _p.c.duplicate.is_(False))).scalar_one()


def decided(held: HeldRefund, actor: Actor) -> None:
    """Somebody decided on the money of a cancelled trial: it leaves the board (B11)."""
    if held.held is not None:
        cases.settle_case(
            CaseKind.TRIAL_CANCELLED, ending.trial_case(held.held.booking.id), settled_as="refund", actor=actor
        )
