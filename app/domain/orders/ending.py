"""Orders that end unpaid: cancelled by the parent, failed, expired (O4, O7, O21). The seat is free in the same step.

Whether WeChat has closed the number is another question, which the flow asks: with `closing` the order ends now and a
job closes it, and what is paid meanwhile is a late payment.
"""

from __future__ import annotations

import sqlalchemy as sa

from app import money
from app.db import db, db_now, transactional
from app.domain.audit import service as audit
from app.domain.audit.actor import Actor, ActorType
from app.domain.orders import claims, rules
from app.domain.orders.locking import HeldOrder, hold_order
from app.domain.orders.models import AttemptStatus, OrderStatus, PaymentAttempt, PaymentOrder
from app.domain.orders.rules import Event
from app.domain.outbox import service as outbox
from app.domain.seats import holds
from app.domain.seats.models import ReservationStatus, SeatReservation
from app.text import clean

REASON_LENGTH = 200

_o, _a, _r = PaymentOrder.__table__, PaymentAttempt.__table__, SeatReservation.__table__


@transactional
def end(*, order_id: str, event: Event, closing: bool, actor: Actor, reason: str | None = None) -> bool:
    """End a pending order; False where it is not pending any more, or not due (a paid one stays paid, 96.49).

    `closing`: WeChat has not confirmed that the open attempt is closed. Raises OrderNotFound.
    """
    held = hold_order(order_id, actor)
    order = held.order
    if order.status != OrderStatus.PENDING or (event == Event.EXPIRE and held.running):
        return False
    if event == Event.EXPIRE and any(one.reported == "failed" for one in held.attempts[-1:]):
        event = Event.FAIL  # its last attempt was reported so (O21)
    reason = clean(reason, REASON_LENGTH) or None
    order.status = rules.next_status(OrderStatus.PENDING, event)
    order.ended_at = order.updated_at = held.now
    order.closing = _close_attempts(held, closing) or any(a.status == AttemptStatus.CLOSING for a in held.attempts)
    order.failure_reason = reason or order.failure_reason
    _free(held, ReservationStatus.EXPIRED if event == Event.EXPIRE else ReservationStatus.CANCELLED)
    claims.release(order.id)
    audit.record(
        actor, f"order.{order.status}", target_type="order", target_id=order_id, order_id=order_id,
        family_id=order.family_id, old_status=OrderStatus.PENDING, new_status=order.status, reason=reason,
        after={"closing": order.closing},
    )  # fmt: skip
    _tell(held, order.status, actor)
    return True


@transactional
def report_failed(*, order_id: str, closing: bool, actor: Actor, reason: str | None) -> bool:
    """The phone says that paying failed and WeChat does not contradict: the attempt ends, the seat is free, the order
    waits for another try (O21). False where the order is not pending any more."""
    held = hold_order(order_id, actor)
    order, attempt = held.order, held.open_attempt
    if not held.running:
        return False
    reason = clean(reason, REASON_LENGTH) or None
    if attempt is not None:
        attempt.reported, attempt.failure_reason = "failed", reason
    _close_attempts(held, closing)
    order.failure_reason, order.updated_at = reason or order.failure_reason, held.now
    freed = _free(held, ReservationStatus.CANCELLED)
    audit.record(
        actor, "order.payment_reported", target_type="order", target_id=order_id, order_id=order_id,
        family_id=order.family_id, reason=reason, after={"result": "failed", "seat_freed": freed},
    )  # fmt: skip
    return True


def _close_attempts(held: HeldOrder, closing: bool) -> bool:
    """Attempts that nobody shall pay; whether any is still to be closed at WeChat."""
    attempt = held.open_attempt
    if attempt is None:
        return False
    attempt.status = AttemptStatus.CLOSING if closing else AttemptStatus.CLOSED
    attempt.next_query_at = held.now if closing else None
    attempt.updated_at = held.now
    db.session.flush()
    return closing


def _free(held: HeldOrder, status: ReservationStatus) -> bool:
    if held.reservation is None:
        return False
    lapsed = held.live_hold is None
    holds.end(held.reservation, ReservationStatus.EXPIRED if lapsed else status, held.now)
    return True


def _tell(held: HeldOrder, status: str, actor: Actor) -> None:
    """The parent hears of what they did not do themselves (O12)."""
    order, session = held.order, held.session
    facts = {
        "course": session.course_name, "amount": money.plain(order.amount), "time": held.now.isoformat(),
        "order_id": order.order_id,
    }  # fmt: skip
    if status == OrderStatus.EXPIRED:
        outbox.tell_family(
            order.family_id, "payment_expired", facts, dedupe=f"expired{order.order_id}", user_id=order.user_id
        )
    elif status == OrderStatus.CANCELLED and actor.type != ActorType.PARENT:
        outbox.tell_family(
            order.family_id, "class_cancelled",
            {"course": session.course_name, "starts_at": session.starts_at.isoformat(), "student": held.student.name,
             "reason": order.failure_reason or "馆方取消", "remark": "未支付的订单已取消"},
            dedupe=f"order{order.order_id}", user_id=order.user_id,
        )  # fmt: skip
    elif status == OrderStatus.FAILED:
        facts |= {"result": "支付失败", "remark": "座位已释放，可重新预约"}
        outbox.tell_family(
            order.family_id, "payment_result", facts, dedupe=f"failed{order.order_id}", user_id=order.user_id
        )


# ── what the jobs look for ──────────────────────────────────────────────────────────────────────────


def sessions_with_lapsed_holds(limit: int = 200) -> list[int]:
    """Sessions whose counter still has holds that have lapsed (O7)."""
    query = (
        sa.select(_r.c.course_schedule_id)
        .where(_r.c.status == ReservationStatus.TEMPORARY, _r.c.expires_at <= db_now())
        .distinct()
        .limit(limit)
    )
    found = list(db.session.scalars(query))
    db.session.rollback()
    return found


@transactional
def retire(*, schedule_id: int) -> int:
    """Mark the lapsed holds of a session and give their seats back; returns how many."""
    return holds.retire_lapsed(schedule_id)


def due_orders(limit: int = 200) -> list[tuple[str, str | None]]:
    """(order's number, open attempt's number) of pending orders whose end has come."""
    query = (
        sa.select(_o.c.order_id, _a.c.out_trade_no)
        .select_from(_o.outerjoin(_a, _a.c.open_order_id == _o.c.id))
        .where(_o.c.status == OrderStatus.PENDING, _o.c.expires_at <= db_now())
        .order_by(_o.c.expires_at)
        .limit(limit)
    )
    found = [tuple(row) for row in db.session.execute(query)]
    db.session.rollback()
    return found


def pending_of_session(schedule_id: int) -> list[str]:
    """Orders that a cancelled session leaves without a class (C6)."""
    return list(
        db.session.scalars(
            sa.select(_o.c.order_id).where(
                _o.c.course_schedule_id == schedule_id, _o.c.status == OrderStatus.PENDING
            )
        )
    )  # fmt: skip
