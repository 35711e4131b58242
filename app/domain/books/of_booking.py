"""Where the money of one booking stands (W29): the same conditions as the month's, asked about a single row."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

import sqlalchemy as sa

from app import clock
from app.db import db
from app.domain.bookings.models import BookingStatus
from app.domain.books.earning import (
    OWED,
    PAID,
    TRIALS,
    b,
    c,
    class_earned,
    credit_earned,
    left_of_booking,
    left_of_payment,
    p,
    trial_earned,
)
from app.money import ZERO


class Standing(StrEnum):
    EARNED = "earned"
    OPEN = "open"
    OWED = "owed"
    RETURNED = "returned"


@dataclass(frozen=True, slots=True)
class OfBooking:
    """`amount` in yuan: what is earned, or still owed. `original` is the booking that a makeup stands for."""

    standing: Standing
    amount: Decimal
    original: int | None = None


def of_booking(booking_id: int) -> OfBooking | None:
    """None where nobody paid for it."""
    row = db.session.execute(sa.select(b.c.debit_id, b.c.credit_id, b.c.status).where(b.c.id == booking_id)).first()
    if row is None:
        return None
    if row.credit_id is not None:
        return _of_makeup(row.credit_id, booking_id)
    if row.debit_id is None:
        return _of_trial(booking_id)
    if row.status == BookingStatus.ON_LEAVE:
        return _of_credit(c.c.booking_id == booking_id)
    now = clock.now()
    query = sa.select(class_earned(now), left_of_booking(now), b.c.refund_id).select_from(PAID)
    earned, left, refund_id = db.session.execute(query.where(b.c.id == booking_id)).one()
    if refund_id is not None or left <= ZERO:
        return OfBooking(Standing.RETURNED, ZERO)
    return OfBooking(Standing.EARNED if earned else Standing.OPEN, left)


def _of_makeup(credit_id: int, booking_id: int) -> OfBooking | None:
    """A makeup given up leaves the money with its credit: nothing of it is this booking's."""
    status = db.session.scalar(sa.select(b.c.status).where(b.c.id == booking_id))
    if status in (BookingStatus.CANCELLED, BookingStatus.ON_LEAVE):
        return None
    return _of_credit(c.c.id == credit_id)


def _of_credit(which: sa.ColumnElement[bool]) -> OfBooking | None:
    now = clock.now()
    query = sa.select(credit_earned(now), left_of_booking(now), b.c.id).select_from(OWED).where(which)
    found = db.session.execute(query.where(b.c.debit_id.is_not(None))).first()
    if found is None:
        return None
    earned, left, original = found
    if left <= ZERO:
        return OfBooking(Standing.RETURNED, ZERO, original)
    return OfBooking(Standing.EARNED if earned else Standing.OWED, left, original)


def _of_trial(booking_id: int) -> OfBooking | None:
    now = clock.now()
    query = sa.select(trial_earned(now), left_of_payment(now)).select_from(TRIALS).where(b.c.id == booking_id)
    found = db.session.execute(query.order_by(p.c.id)).first()
    if found is None:
        return None
    earned, left = found
    if left <= ZERO:
        return OfBooking(Standing.RETURNED, ZERO)
    return OfBooking(Standing.EARNED if earned else Standing.OPEN, left)
