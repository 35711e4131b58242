"""Reading an order as its parent sees it (O3): with its hold, its seat, its refunds, and what to do next."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

import sqlalchemy as sa

from app import clock
from app.db import db
from app.domain.bookings.models import LIVE, Booking
from app.domain.catalog import queries as catalog
from app.domain.catalog.queries import SessionCard
from app.domain.orders import rules
from app.domain.orders.models import (
    AttemptStatus,
    OrderStatus,
    PaymentAttempt,
    PaymentOrder,
    Refund,
    RefundStatus,
)
from app.domain.seats.models import ReservationStatus, SeatReservation

_o, _r, _a, _f = PaymentOrder.__table__, SeatReservation.__table__, PaymentAttempt.__table__, Refund.__table__
_b = Booking.__table__


class SeatStatus(StrEnum):
    HELD = "held"
    CONFIRMED = "confirmed"
    UNSEATED = "unseated"
    RELEASED = "released"


class NextAction(StrEnum):
    PAY = "pay"
    RESERVE = "reserve"
    WAIT = "wait"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class HoldView:
    reservation_id: str
    status: str
    expires_at: datetime
    seconds_left: int


@dataclass(frozen=True, slots=True)
class RefundView:
    """`amount` in yuan."""

    refund_no: str
    amount: Decimal
    status: str
    refund_to: str
    created_at: datetime
    succeeded_at: datetime | None


@dataclass(frozen=True, slots=True)
class OrderView:
    """`status` is by the clock: a pending order past its end is expired (96.43). `amount` in yuan."""

    order_id: str
    status: str
    seat_status: str
    amount: Decimal
    currency: str
    schedule: SessionCard
    family_id: int
    user_id: int
    profile_id: int
    created_at: datetime
    expires_at: datetime
    paid_at: datetime | None
    closing: bool
    hold: HoldView | None
    booking_id: int | None
    refunds: list[RefundView]
    next_action: str
    #: the number that WeChat knows its open attempt by
    open_trade_no: str | None

    @property
    def status_text(self) -> str:
        return rules.STATUS_TEXTS[self.status]

    @property
    def over(self) -> bool:
        """Its end came unpaid (96.43)."""
        return self.status in rules.OVER


def order(order_id: str, *, family_id: int | None = None) -> OrderView | None:
    """One order; with `family_id` only if it is this family's."""
    query = sa.select(_o).where(_o.c.order_id == order_id)
    if family_id is not None:
        query = query.where(_o.c.family_id == family_id)
    row = db.session.execute(query).first()
    return None if row is None else _view(row, clock.now())


def _view(row: sa.Row, now: datetime) -> OrderView:
    hold = _hold(row.id, now)
    refunds = _refunds(row.id)
    open_trade_no = db.session.scalar(
        sa.select(_a.c.out_trade_no).where(_a.c.order_id == row.id, _a.c.status == AttemptStatus.OPEN)
    )
    status = rules.shown_status(row.status, row.expires_at, now)
    seat = _seat(row, status, hold, refunds)
    return OrderView(
        order_id=row.order_id, status=status, seat_status=seat, amount=row.amount, currency=row.currency,
        schedule=catalog.session_card(row.course_schedule_id), family_id=row.family_id, user_id=row.user_id,
        profile_id=row.profile_id, created_at=row.created_at, expires_at=row.expires_at, paid_at=row.paid_at,
        closing=row.closing, hold=hold, booking_id=row.booking_id, refunds=refunds,
        next_action=_next(status, seat, row.closing), open_trade_no=open_trade_no,
    )  # fmt: skip


def _hold(order_pk: int, now: datetime) -> HoldView | None:
    """The newest hold, `expired` at once by the clock (96.43)."""
    row = db.session.execute(
        sa.select(_r.c.reservation_id, _r.c.status, _r.c.expires_at)
        .where(_r.c.order_id == order_pk)
        .order_by(_r.c.id.desc())
        .limit(1)
    ).first()
    if row is None:
        return None
    live = row.status == ReservationStatus.TEMPORARY and row.expires_at > now
    status = ReservationStatus.EXPIRED if row.status == ReservationStatus.TEMPORARY and not live else row.status
    left = int((row.expires_at - now).total_seconds()) if live else 0
    return HoldView(row.reservation_id, status, row.expires_at, left)


def _refunds(order_pk: int) -> list[RefundView]:
    rows = db.session.execute(
        sa.select(_f.c.refund_no, _f.c.amount, _f.c.status, _f.c.refund_to, _f.c.created_at, _f.c.succeeded_at)
        .where(_f.c.order_id == order_pk, _f.c.status != RefundStatus.REJECTED)
        .order_by(_f.c.id)
    )
    return [RefundView(*row) for row in rows]


def _seat(row: sa.Row, status: str, hold: HoldView | None, refunds: list[RefundView]) -> SeatStatus:
    if status == OrderStatus.PAID:
        if row.booking_id is None:
            back = sum((one.amount for one in refunds if one.status == RefundStatus.SUCCEEDED), start=Decimal(0))
            return SeatStatus.RELEASED if back >= row.amount else SeatStatus.UNSEATED
        live = db.session.scalar(sa.select(_b.c.status).where(_b.c.id == row.booking_id)) in LIVE
        return SeatStatus.CONFIRMED if live else SeatStatus.RELEASED
    held = status == OrderStatus.PENDING and hold is not None and hold.status == ReservationStatus.TEMPORARY
    return SeatStatus.HELD if held else SeatStatus.RELEASED


def _next(status: str, seat: str, closing: bool) -> NextAction:
    if status == OrderStatus.PENDING:
        return NextAction.PAY if seat == SeatStatus.HELD else NextAction.RESERVE
    # Somebody, or WeChat, is still at it: asking again tells more.
    return NextAction.WAIT if closing or seat == SeatStatus.UNSEATED else NextAction.NONE
