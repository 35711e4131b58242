"""Seats that are kept for unpaid orders (spec 40, O5–O7), and students for whom there was none (U18)."""

from __future__ import annotations

from enum import StrEnum

import sqlalchemy as sa

from app.column_types import Ascii, BigId, UTCDateTime
from app.db import db


class ReservationStatus(StrEnum):
    TEMPORARY = "temporary"
    CONFIRMED = "confirmed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


class SeatReservation(db.Model):
    """One hold: a seat of one session for one order, until a moment. Many over time per order, one live."""

    __tablename__ = "seat_reservations"
    __table_args__ = (
        # NULLs are not equal: only what is still written as `temporary` meets.
        sa.UniqueConstraint("live_order_id", name="uq_seat_reservations_live"),
        sa.CheckConstraint("seat_count = 1", name="seat_count"),
        sa.CheckConstraint("status IN ('temporary', 'confirmed', 'cancelled', 'expired')", name="status"),
        # Which holds of a session have lapsed is asked by every reader of a session that has some.
        sa.Index("ix_seat_reservations_session", "course_schedule_id", "status", "expires_at"),
        sa.Index("ix_seat_reservations_due", "status", "expires_at"),
        sa.Index("ix_seat_reservations_created_at", "created_at"),
        sa.Index("ix_seat_reservations_order_id", "order_id"),
        sa.Index("ix_seat_reservations_user_id", "user_id"),
    )

    id = sa.Column(BigId(), primary_key=True, autoincrement=True)
    #: 32 hex digits, as the parent's phone knows it
    reservation_id = sa.Column(Ascii(32), nullable=False, unique=True)
    order_id = sa.Column(sa.BigInteger, sa.ForeignKey("payment_orders.id"), nullable=False)
    course_schedule_id = sa.Column(sa.BigInteger, sa.ForeignKey("course_schedules.id"), nullable=False)
    user_id = sa.Column(sa.BigInteger, sa.ForeignKey("users.id"), nullable=False)
    seat_count = sa.Column(sa.Integer, nullable=False, default=1)
    status = sa.Column(Ascii(16), nullable=False, default=ReservationStatus.TEMPORARY)
    live_order_id = sa.Column(
        sa.BigInteger, sa.Computed("CASE WHEN status = 'temporary' THEN order_id END", persisted=True)
    )
    #: it counts until then, by the database's clock, whether or not anything has marked it since (O7)
    expires_at = sa.Column(UTCDateTime, nullable=False)
    confirmed_at = sa.Column(UTCDateTime, nullable=True)
    created_at = sa.Column(UTCDateTime, nullable=False)
    updated_at = sa.Column(UTCDateTime, nullable=False)


class SeatRefusal(db.Model):
    """A student who found a session and its queue full, once for each session: demand that no booking shows (U18)."""

    __tablename__ = "seat_refusals"
    __table_args__ = (sa.UniqueConstraint("course_schedule_id", "profile_id", name="uq_seat_refusals_student"),)

    id = sa.Column(BigId(), primary_key=True, autoincrement=True)
    course_schedule_id = sa.Column(sa.BigInteger, sa.ForeignKey("course_schedules.id"), nullable=False)
    profile_id = sa.Column(sa.BigInteger, sa.ForeignKey("profiles.id"), nullable=False, index=True)
    #: SEAT_FULL or WAITLIST_FULL, whichever was said first
    code = sa.Column(Ascii(32), nullable=False)
    refused_at = sa.Column(UTCDateTime, nullable=False)
