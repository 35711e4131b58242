"""Refunds by staff, by two persons: asked for, then approved, rejected or withdrawn (O14, O15, O18)."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from app import ids, money
from app.db import RequestKey, db, db_now, transactional
from app.domain.audit.actor import Actor
from app.domain.desk import persons
from app.domain.desk.errors import NotTheAuthor
from app.domain.orders import refund_ending, refund_locking, refund_rules, verdict
from app.domain.orders.errors import NothingToRefund, OwnRefund, RefundTooMuch
from app.domain.orders.models import Refund, RefundStatus, RefundTo, TradeType
from app.domain.orders.refund_locking import HeldRefund
from app.domain.orders.refund_rules import Event, Wish
from app.domain.people import proof, roles
from app.domain.people.roles import Permission
from app.domain.policy import service as policy
from app.domain.policy import switches
from app.domain.policy.switches import Capability
from app.errors import Invalid
from app.money import ZERO


@transactional
def ask(
    *,
    amount: Decimal,
    reason: str,
    refund_to: str,
    actor: Actor,
    order_id: str | None = None,
    booking_id: int | None = None,
    transaction_id: str | None = None,
    note: str | None = None,
    frees_seat: bool = False,
    request_key: RequestKey | None = None,
) -> str:
    """Ask for a refund of an order's payment (`transaction_id` says which where there are two), or of a booking that a
    wallet paid; returns its number. `amount` in yuan; up to the policy `refund_approval_from` nobody else is needed.

    Raises OrderNotFound, BookingNotFound, NothingToRefund, RefundTooMuch, Invalid, OwnFamily, Forbidden,
    StepUpRequired, FeatureOff, and for a wallet WalletClosed.
    """
    roles.require(actor, Permission.REFUND_ASK)
    proof.require_recent(actor)
    person = persons.hold(actor)[actor.id]
    wish = refund_rules.checked_wish(
        amount=amount, reason=reason, note=note, refund_to=refund_to, frees_seat=frees_seat
    )  # fmt: skip
    held = refund_locking.hold_subject(
        order_id=order_id, booking_id=booking_id, transaction_id=transaction_id, actor=actor
    )
    persons.refuse_own_family(person, held.family_id)
    if wish.refund_to == RefundTo.ORIGINAL:
        switches.require(Capability.WECHAT_REFUND, held.family_id)
    now = db_now()
    _keep_back(held, wish, now)
    held.refund = _insert(held, wish, actor, now)
    refund_ending.record(held, "asked", actor, reason=wish.reason, verdict=held.refund.verdict)
    if wish.amount <= policy.get("refund_approval_from"):
        _carry_out(held, actor, now, approver=None)
    else:
        refund_ending.tell_staff(held, "待审批：退款", "orange", "refund_asked", ["申请人", actor.name])
    return held.refund.refund_no


@transactional
def approve(*, refund_no: str, actor: Actor, version: int | None = None, request_key: RequestKey | None = None) -> str:
    """Approve another's refund; returns its state. Into the wallet it is there at once, by the original route the job
    hands it to WeChat, and cash waits for whoever gives it to the parent. A seat that it frees is free now.

    Raises RefundNotFound, RefundMoved, InvalidState, OwnRefund, OwnFamily, Forbidden, StepUpRequired, WalletClosed.
    """
    held = _to_decide(refund_no, version, actor, seat=True)
    _carry_out(held, actor, db_now(), approver=actor.id)
    return held.refund.status


@transactional
def reject(
    *, refund_no: str, note: str, actor: Actor, version: int | None = None, request_key: RequestKey | None = None
) -> None:
    """Refuse another's refund, with a reason. Raises as `approve`, and Invalid."""
    note = refund_rules.checked_note(note, "请填写驳回原因")
    held = _to_decide(refund_no, version, actor)
    _drop(held, Event.REJECT, actor, note)


@transactional
def withdraw(
    *, refund_no: str, actor: Actor, version: int | None = None, request_key: RequestKey | None = None
) -> None:
    """Take back one's own refund before it is decided. Raises RefundNotFound, NotTheAuthor, InvalidState, Forbidden."""
    roles.require(actor, Permission.REFUND_ASK)
    persons.hold(actor)
    held = refund_locking.hold_refund(refund_no, actor, version=version)
    refund_rules.next_status(held.refund.status, Event.WITHDRAW)
    if held.refund.asked_by != actor.id:
        raise NotTheAuthor
    _drop(held, Event.WITHDRAW, actor, "申请人撤回")


# ── asking ──────────────────────────────────────────────────────────────────────────────────────────


def _keep_back(held: HeldRefund, wish: Wish, now: datetime) -> None:
    """Refuse what is more than was paid, and keep the amount for this refund."""
    if held.payment is not None:
        payment = held.payment
        refund_rules.check_way(
            wish.refund_to, offline=payment.trade_type == TradeType.OFFLINE, paid_at=payment.created_at,
            parts=refund_locking.parts(payment.id), now=now,
        )  # fmt: skip
        if not refund_locking.reserve(payment, wish.amount):
            db.session.refresh(payment)
            raise _too_much(payment.total_fee - payment.refunded)
        return
    booking = held.held.booking
    if wish.refund_to != RefundTo.WALLET:
        raise Invalid.field("refund_to", "这节课是从钱包付的，只能退到钱包")
    left = ZERO if booking.refund_id is not None else booking.price
    left -= refund_locking.given_back(booking.id, *refund_rules.LIVE) if left else ZERO
    if wish.amount > left:
        raise _too_much(left)


def _too_much(left: Decimal) -> Exception:
    if left <= ZERO:
        return NothingToRefund("已全部退款，或正在退款中")
    sentence = f"最多还可退 {money.yuan(left)}"
    return RefundTooMuch(sentence, errors={"amount": [sentence]}, data={"left": money.plain(left)})


def _insert(held: HeldRefund, wish: Wish, actor: Actor, now: datetime) -> Refund:
    order, facts, rule = held.order, None, None
    if order is not None:
        facts = verdict.verdict_facts(order)
        rule = verdict.judge(facts)
    refund = Refund(
        refund_no=ids.new_hex(), family_id=held.family_id, order_id=None if order is None else order.id,
        payment_id=None if held.payment is None else held.payment.id,
        booking_id=None if order is not None else held.held.booking.id, amount=wish.amount,
        refund_to=wish.refund_to, reason=wish.reason, note=wish.note, frees_seat=wish.frees_seat,
        verdict=None if rule is None else rule.verdict, verdict_rule=None if rule is None else rule.code,
        facts=None if facts is None else facts.shown(), status=RefundStatus.REQUESTED, asked_by=actor.id,
        attempts=0, queries=0, version=1, created_at=now, updated_at=now,
    )  # fmt: skip
    db.session.add(refund)
    db.session.flush()
    return refund


# ── deciding ────────────────────────────────────────────────────────────────────────────────────────


def _to_decide(refund_no: str, version: int | None, actor: Actor, *, seat: bool = False) -> HeldRefund:
    roles.require(actor, Permission.REFUND_APPROVE)
    proof.require_recent(actor)
    person = persons.hold(actor)[actor.id]
    held = refund_locking.hold_refund(refund_no, actor, version=version, seat=seat)
    # What was decided meanwhile is said first: it explains the most.
    refund_rules.next_status(held.refund.status, Event.APPROVE)
    if held.refund.asked_by == actor.id:
        raise OwnRefund
    persons.refuse_own_family(person, held.family_id)
    return held


def _carry_out(held: HeldRefund, actor: Actor, now: datetime, *, approver: int | None) -> None:
    """Approved: the seat is free, and the money on its way."""
    refund = held.refund
    if held.order is None and held.held.booking.refund_id is not None:
        raise NothingToRefund("这个预约的费用已退回钱包")
    before = refund_ending.move(
        held, Event.APPROVE, now, approved_by=approver, decided_by=approver, decided_at=now,
        next_try_at=now if refund.refund_to == RefundTo.ORIGINAL else None,
    )  # fmt: skip
    freed = refund_ending.free_seat(held, actor, now)
    refund_ending.record(
        held, "approved", actor, old_status=before, reason=None if approver else "低于审批额度", seat_freed=freed
    )
    refund_ending.decided(held, actor)
    if refund.refund_to == RefundTo.WALLET:
        refund_ending.into_wallet(held, actor, now)
    elif refund.refund_to == RefundTo.CASH:
        refund_ending.tell_staff(held, "待退现金：退给家长后登记", "orange", "refund_to_pay", ["批准人", actor.name])


def _drop(held: HeldRefund, event: Event, actor: Actor, note: str) -> None:
    now = db_now()
    before = refund_ending.move(
        held, event, now, decided_by=actor.id, decided_at=now, decision_note=note, next_try_at=None
    )
    refund_ending.give_up_amount(held)
    action = "withdrawn" if event == Event.WITHDRAW else "rejected"
    refund_ending.record(held, action, actor, old_status=before, reason=note)
