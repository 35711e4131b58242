"""Settling a payment: one operation, whoever brings it — callback, query, confirm, sweep, bill, desk (O10)."""

from __future__ import annotations

from decimal import Decimal

import sqlalchemy as sa

from app import clock, money
from app.db import db, transactional
from app.domain.audit import service as audit
from app.domain.audit.actor import Actor
from app.domain.cases import service as cases
from app.domain.cases.models import CaseKind
from app.domain.orders import notifications, rules, seating, shipping
from app.domain.orders.locking import HeldOrder, hold_order, order_of
from app.domain.orders.models import (
    AttemptStatus,
    OrderStatus,
    PaymentAttempt,
    PaymentMethod,
    PaymentSource,
    PaymentTransaction,
    TradeType,
)
from app.domain.orders.notifications import Received
from app.domain.orders.payment import Account, Payment, Settled, mismatches
from app.domain.orders.rules import Event
from app.domain.outbox import service as outbox
from app.prepared import Prepared

_p = PaymentTransaction.__table__

_recorded = Prepared(sa.select(_p.c.id).where(_p.c.transaction_id == sa.bindparam("number")))
_insert = Prepared(_p.insert())


@transactional
def settle(
    *, payment: Payment, account: Account, source: str, actor: Actor, received: Received | None = None
) -> Settled:
    """Record a payment, lift its order to paid, and give it its seat where there is one. A hundred times is once.

    `received` is the callback that brought it, stored in the same transaction. What does not match its order, and
    what has none, goes to the exceptions board and changes nothing else (O9). Raises nothing of its own.
    """
    order_id = order_of(payment.out_trade_no)
    held = None if order_id is None else hold_order(order_id, actor)
    # Under the order's lock: of its hundred twins the first has committed when the others look.
    if received is not None and notifications.known(received):
        return Settled("repeated", order_id)
    if held is None:
        done = _unknown(payment, actor)
    else:
        problems = mismatches(payment, held, account)
        done = _mismatch(payment, held, problems, actor) if problems else _settle(payment, held, source, actor)
    if received is not None:
        notifications.store(received, done.outcome, number=payment.out_trade_no, transaction_id=payment.transaction_id)
    return done


def settle_offline(*, order_id: str, offline_id: int, actor: Actor) -> Settled:
    """Building block: 200.00 that the desk took and a second person confirmed (O23). Raises OrderNotFound."""
    held = hold_order(order_id, actor)
    paid = Payment(
        transaction_id=f"offline-{offline_id}", out_trade_no=order_id, trade_type=TradeType.OFFLINE, appid="",
        mchid="", total=held.order.amount, currency=held.order.currency, success_at=held.now,
    )  # fmt: skip
    return _settle(paid, held, PaymentSource.OFFLINE, actor)


def known_transactions(numbers: list[str]) -> set[str]:
    """Which of WeChat's numbers are recorded already."""
    found: set[str] = set()
    for first in range(0, len(numbers), 500):
        part = numbers[first : first + 500]
        found |= set(db.session.scalars(sa.select(_p.c.transaction_id).where(_p.c.transaction_id.in_(part))))
    db.session.rollback()
    return found


# ── what fits no order ──────────────────────────────────────────────────────────────────────────────


def _unknown(payment: Payment, actor: Actor) -> Settled:
    opened = cases.open_case(
        CaseKind.UNKNOWN_PAYMENT, payment.transaction_id, title="微信通知了一笔找不到订单的付款",
        facts={"商户订单号": payment.out_trade_no, "微信单号": payment.transaction_id},
        actor=actor, transaction_id=payment.transaction_id, amount=_shown(payment.total),
    )  # fmt: skip
    if opened is not None:
        audit.record(actor, "payment.unknown", target_type="payment", target_id=payment.transaction_id,
                     transaction_id=payment.transaction_id, after={"out_trade_no": payment.out_trade_no},
                     answer=payment.said())  # fmt: skip
    return Settled("unknown")


def _mismatch(payment: Payment, held: HeldOrder, problems: list[str], actor: Actor) -> Settled:
    order = held.order
    opened = cases.open_case(
        CaseKind.MISMATCH, payment.transaction_id, title="；".join(problems),
        facts={"订单": order.order_id, "微信单号": payment.transaction_id}, actor=actor, family_id=order.family_id,
        order_id=order.order_id, transaction_id=payment.transaction_id, amount=_shown(payment.total),
    )  # fmt: skip
    if opened is not None:
        audit.record(
            actor, "payment.mismatched", target_type="order", target_id=order.order_id, order_id=order.order_id,
            transaction_id=payment.transaction_id, family_id=order.family_id, error="；".join(problems),
            answer=payment.said(),
        )  # fmt: skip
    return Settled("mismatch", order.order_id)


def _shown(total: Decimal) -> Decimal | None:
    """What a column of ours can hold of somebody else's amount."""
    return total if abs(total) <= money.MAX_AMOUNT else None


# ── settling ────────────────────────────────────────────────────────────────────────────────────────


def _settle(payment: Payment, held: HeldOrder, source: str, actor: Actor) -> Settled:
    order = held.order
    if _recorded.row({"number": payment.transaction_id}) is not None:
        return Settled("repeated", order.order_id, order.booking_id)
    again = order.status == OrderStatus.PAID
    late = not again and (order.status != OrderStatus.PENDING or held.live_hold is None)
    attempt = held.attempt(payment.out_trade_no)
    _record(payment, held, attempt, source, duplicate=again, late=late)
    if attempt is not None:
        attempt.status, attempt.next_query_at, attempt.updated_at = AttemptStatus.PAID, None, held.now
    if again:
        return _repeated(payment, held, actor)
    before = order.status
    _lift(held, source)
    reason = seating.reclaim(held) if before != OrderStatus.PENDING else None
    booking_id, reason = (None, reason) if reason else seating.give(held, actor)
    order.booking_id = booking_id
    if booking_id is not None:
        shipping.note_due(order, payment.trade_type, held.now)
    db.session.flush()
    _note(payment, held, before, booking_id, reason, source, actor)
    return Settled("settled", order.order_id, booking_id)


def _record(
    payment: Payment, held: HeldOrder, attempt: PaymentAttempt | None, source: str, *, duplicate: bool, late: bool
) -> None:
    ended = clock.local(payment.success_at).strftime("%Y%m%d%H%M%S") if payment.success_at else None
    _insert(
        {
            "transaction_id": payment.transaction_id, "order_id": held.order.id,
            "attempt_id": None if attempt is None else attempt.id, "out_trade_no": payment.out_trade_no,
            "trade_type": payment.trade_type or (attempt.trade_type if attempt else TradeType.OFFLINE),
            "trade_state": "SUCCESS", "bank_type": payment.bank_type, "settlement_total_fee": payment.payer_total,
            "cash_fee": payment.payer_total, "total_fee": payment.total, "fee_type": payment.currency,
            "time_end": ended, "is_subscribe": "N", "openid": payment.openid, "source": source,
            "duplicate": duplicate, "late": late, "refunded": money.ZERO, "created_at": held.now,
            "updated_at": held.now,
        }
    )  # fmt: skip


def _repeated(payment: Payment, held: HeldOrder, actor: Actor) -> Settled:
    """A second payment of a paid order: recorded, for a person to give back, and books nothing (96.38)."""
    order = held.order
    audit.record(
        actor, "payment.repeated", target_type="order", target_id=order.order_id, order_id=order.order_id,
        transaction_id=payment.transaction_id, family_id=order.family_id, after={"amount": money.plain(payment.total)},
        answer=payment.said(),
    )  # fmt: skip
    cases.open_case(
        CaseKind.DUPLICATE_PAYMENT, payment.transaction_id, title="同一订单付了两次，第二笔应退回",
        facts={"订单": order.order_id, "微信单号": payment.transaction_id}, actor=actor, family_id=order.family_id,
        order_id=order.order_id, transaction_id=payment.transaction_id, amount=payment.total,
    )  # fmt: skip
    return Settled("settled", order.order_id, order.booking_id)


def _lift(held: HeldOrder, source: str) -> None:
    order = held.order
    order.status = rules.next_status(order.status, Event.PAY)
    order.paid_at = order.updated_at = held.now
    if source == PaymentSource.OFFLINE:
        order.payment_method = PaymentMethod.OFFLINE
    for other in held.attempts:
        if other.status == AttemptStatus.OPEN:
            # Nobody shall pay this order again: the job closes it at WeChat.
            other.status, other.next_query_at, other.updated_at = AttemptStatus.CLOSING, held.now, held.now
    db.session.flush()


def _note(
    payment: Payment, held: HeldOrder, before: str, booking_id: int | None, reason: str | None, source: str,
    actor: Actor,
) -> None:  # fmt: skip
    order, session = held.order, held.session
    audit.record(
        actor, "order.paid", target_type="order", target_id=order.order_id, order_id=order.order_id,
        transaction_id=payment.transaction_id, family_id=order.family_id, old_status=before, new_status=order.status,
        reason=reason,
        after={"amount": money.plain(payment.total), "source": source, "booking": booking_id,
               "seat": "confirmed" if booking_id else "unseated"},
        # What came over the counter was said by nobody outside.
        answer=None if source == PaymentSource.OFFLINE else payment.said(),
    )  # fmt: skip
    told = {
        "course": session.course_name, "amount": money.plain(payment.total), "result": "支付成功",
        "time": (payment.success_at or held.now).isoformat(), "order_id": order.order_id,
    }  # fmt: skip
    if booking_id is None:
        told["remark"] = "座位安排中，我们会联系您"
        cases.open_case(
            CaseKind.UNSEATED, order.order_id, title=f"家长已付款，但没有座位：{reason}",
            facts={"课程": session.course_name, "上课时间": f"{clock.local(session.starts_at):%m月%d日 %H:%M}",
                   "订单": order.order_id},
            actor=actor, family_id=order.family_id, order_id=order.order_id, transaction_id=payment.transaction_id,
            amount=payment.total,
        )  # fmt: skip
    else:
        told["remark"] = "体验课预约成功"
        seating.tell_booked(held, session)
    outbox.tell_family(order.family_id, "payment_result", told, dedupe=f"paid{order.order_id}", user_id=order.user_id)
