"""What a refund touches, locked in R6's order: session, order, refund, booking. The wallet's row comes last."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

import sqlalchemy as sa

from app.db import db, execute, lock_row
from app.domain.audit.actor import Actor
from app.domain.bookings import ending
from app.domain.bookings.ending import Held
from app.domain.bookings.models import Booking
from app.domain.catalog.models import CourseSchedule
from app.domain.orders.errors import NothingToRefund, OrderNotFound, RefundMoved, RefundNotFound
from app.domain.orders.models import PaymentOrder, PaymentTransaction, Refund, RefundStatus

_o, _p, _r, _b = PaymentOrder.__table__, PaymentTransaction.__table__, Refund.__table__, Booking.__table__


@dataclass(slots=True)
class HeldRefund:
    """What this transaction holds. `refund` is None while it is being asked for; `held` is the booking with its
    session, None where there never was a seat."""

    order: PaymentOrder | None
    payment: PaymentTransaction | None
    held: Held | None
    refund: Refund | None = None

    @property
    def family_id(self) -> int:
        return self.held.booking.family_id if self.order is None else self.order.family_id

    @property
    def item(self) -> str:
        """What is given back for, in the parent's words."""
        if self.order is not None:
            return self.order.description
        return self.held.session.course_name


def hold_subject(
    *, order_id: str | None, booking_id: int | None, transaction_id: str | None, actor: Actor
) -> HeldRefund:
    """Lock what a new refund is about: one payment of an order, by default its first, or a booking that a wallet
    paid. Raises OrderNotFound, BookingNotFound, NothingToRefund."""
    if (order_id is None) == (booking_id is None):
        raise ValueError("a refund is of an order or of a booking")
    if order_id is None:
        held = ending.hold(booking_id, actor)
        if held.booking.debit_id is None:
            raise NothingToRefund("这个预约没有从钱包扣费")
        return HeldRefund(None, None, held)
    found = db.session.execute(sa.select(_o.c.id, _o.c.booking_id).where(_o.c.order_id == order_id)).first()
    if found is None:
        raise OrderNotFound
    order, held = _hold(found.id, found.booking_id, None, actor)
    return HeldRefund(order, _payment(order.id, transaction_id), held)


def hold_refund(refund_no: str, actor: Actor, *, version: int | None = None, seat: bool = False) -> HeldRefund:
    """Lock a refund with what it is of; with `seat` an order's booking as well. `version` is what the person's page
    showed. Raises RefundNotFound, RefundMoved."""
    found = db.session.execute(
        sa.select(_r.c.id, _r.c.order_id, _r.c.payment_id, _r.c.booking_id, _o.c.booking_id.label("seat"))
        .select_from(_r.outerjoin(_o, _o.c.id == _r.c.order_id))
        .where(_r.c.refund_no == refund_no)
    ).first()
    if found is None:
        raise RefundNotFound
    booking_id = found.booking_id or (found.seat if seat else None)
    locked: list[Refund] = []
    order, held = _hold(found.order_id, booking_id, lambda: locked.append(lock_row(Refund, found.id)), actor)
    refund = locked[0]
    if version is not None and refund.version != version:
        raise RefundMoved
    payment = None if found.payment_id is None else db.session.get(PaymentTransaction, found.payment_id)
    return HeldRefund(order, payment, held, refund)


def _hold(
    order_pk: int | None, booking_id: int | None, between: Callable[[], object] | None, actor: Actor
) -> tuple[PaymentOrder | None, Held | None]:
    """Session, then order, then what comes `between`, then the booking."""
    if booking_id is not None:
        lock_row(CourseSchedule, db.session.scalar(sa.select(_b.c.course_schedule_id).where(_b.c.id == booking_id)))
    order = None if order_pk is None else lock_row(PaymentOrder, order_pk)
    if between is not None:
        between()
    held = None if booking_id is None else ending.hold(booking_id, actor)
    return order, held


def _payment(order_pk: int, transaction_id: str | None) -> PaymentTransaction:
    query = sa.select(PaymentTransaction).where(PaymentTransaction.order_id == order_pk)
    if transaction_id is not None:
        query = query.where(PaymentTransaction.transaction_id == transaction_id)
    payment = db.session.scalars(query.order_by(PaymentTransaction.duplicate, PaymentTransaction.id)).first()
    if payment is None:
        raise NothingToRefund("这个订单没有收到付款")
    return payment


# ── what is left to give back ───────────────────────────────────────────────────────────────────────


def reserve(payment: PaymentTransaction, amount: Decimal) -> bool:
    """Keep this much of a payment for a refund; False where less is left. One guarded write: two who ask at once
    cannot both have the last yuan."""
    kept = execute(
        _p.update()
        .where(_p.c.id == payment.id, _p.c.refunded + amount <= _p.c.total_fee)
        .values(refunded=_p.c.refunded + amount)
    )
    return kept.rowcount == 1


def release(payment_id: int, amount: Decimal) -> None:
    """The refund came to nothing: its amount may be asked for again."""
    given = execute(
        _p.update()
        .where(_p.c.id == payment_id, _p.c.refunded >= amount)
        .values(refunded=_p.c.refunded - amount)
    )  # fmt: skip
    if given.rowcount != 1:
        raise RuntimeError(f"payment {payment_id} has not kept {amount}")


def given_back(booking_id: int, *statuses: str) -> Decimal:
    """The sum, in yuan, of the refunds of a wallet's booking that are in these states."""
    total = sa.func.coalesce(sa.func.sum(_r.c.amount), Decimal("0.00"))
    return db.session.scalar(sa.select(total).where(_r.c.booking_id == booking_id, _r.c.status.in_(statuses)))


def parts(payment_id: int) -> int:
    """How many refunds of a payment went to WeChat, or may."""
    query = sa.select(sa.func.count()).select_from(_r)
    return db.session.scalar(query.where(_r.c.payment_id == payment_id, _r.c.status != RefundStatus.REJECTED))
