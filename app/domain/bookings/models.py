"""Bookings: a seat that a student has (spec 30); and late refunds that wait for a second person (B3)."""

from __future__ import annotations

from enum import StrEnum

import sqlalchemy as sa

from app.column_types import Ascii, BigId, Money, UTCDateTime
from app.db import db


class BookingStatus(StrEnum):
    BOOKED = "booked"
    ATTENDED = "attended"
    ABSENT = "absent"
    CANCELLED = "cancelled"
    ON_LEAVE = "on_leave"


#: a live booking has its seat (B7)
LIVE = (BookingStatus.BOOKED, BookingStatus.ATTENDED, BookingStatus.ABSENT)


class BookingKind(StrEnum):
    TRIAL = "trial"
    REGULAR = "regular"
    MAKEUP = "makeup"


class BookingSource(StrEnum):
    WECHAT_PAY = "wechat_pay"
    WALLET = "wallet"
    MAKEUP_CREDIT = "makeup_credit"
    STAFF = "staff"


class Booking(db.Model):
    __tablename__ = "bookings"
    __table_args__ = (
        # B7, by the database: NULLs are not equal, so only live ones meet. MySQL has no partial unique index.
        sa.UniqueConstraint("course_schedule_id", "live_profile_id", name="uq_bookings_live"),
        sa.CheckConstraint("status IN ('booked', 'attended', 'absent', 'cancelled', 'on_leave')", name="status"),
        sa.CheckConstraint("kind IN ('trial', 'regular', 'makeup')", name="kind"),
        sa.CheckConstraint("price >= 0", name="price"),
        sa.Index("ix_bookings_profile", "profile_id", "status"),
        sa.Index("ix_bookings_live_profile", "live_profile_id"),
        sa.Index("ix_bookings_family", "family_id", "id"),
        sa.Index("ix_bookings_created_at", "created_at"),
        # what was given up or kept in a month (W29)
        sa.Index("ix_bookings_ended_at", "ended_at"),
    )

    id = sa.Column(BigId(), primary_key=True, autoincrement=True)
    course_schedule_id = sa.Column(sa.BigInteger, sa.ForeignKey("course_schedules.id"), nullable=False)
    profile_id = sa.Column(sa.BigInteger, sa.ForeignKey("profiles.id"), nullable=False)
    #: the student's family when it was booked; follows a merge or a move (P11)
    family_id = sa.Column(sa.BigInteger, sa.ForeignKey("families.id"), nullable=False)
    #: the parent who booked; NULL where staff did
    user_id = sa.Column(sa.BigInteger, sa.ForeignKey("users.id"), nullable=True)
    kind = sa.Column(Ascii(16), nullable=False)
    source = sa.Column(Ascii(16), nullable=False)
    status = sa.Column(Ascii(16), nullable=False, default=BookingStatus.BOOKED)
    live_profile_id = sa.Column(
        sa.BigInteger,
        sa.Computed("CASE WHEN status IN ('booked', 'attended', 'absent') THEN profile_id END", persisted=True),
    )
    #: yuan paid: from the wallet, by WeChat Pay, or 0.00 for a makeup
    price = sa.Column(Money, nullable=False)
    order_id = sa.Column(Ascii(32), nullable=True, index=True)
    #: the wallet movements of it: taken, given back
    debit_id = sa.Column(sa.BigInteger, sa.ForeignKey("wallet_transactions.id"), nullable=True, unique=True)
    refund_id = sa.Column(sa.BigInteger, sa.ForeignKey("wallet_transactions.id"), nullable=True, unique=True)
    #: the credit that a makeup used; no constraint of its own, since credits name their booking
    credit_id = sa.Column(sa.BigInteger, nullable=True, index=True)
    #: the session was moved under it: may be cancelled until the start (C6)
    free_cancel = sa.Column(sa.Boolean, nullable=False, default=False)
    #: why a manager let it past the capacity (B8)
    override_reason = sa.Column(sa.String(200), nullable=True)
    booked_by = sa.Column(sa.BigInteger, sa.ForeignKey("staff.id"), nullable=True)
    #: when it was cancelled or given up, by which staff member (NULL: a parent or the system), and why
    ended_at = sa.Column(UTCDateTime, nullable=True)
    ended_by = sa.Column(sa.BigInteger, sa.ForeignKey("staff.id"), nullable=True)
    end_reason = sa.Column(sa.String(200), nullable=True)
    #: attendance: when it was marked, by whom (C5)
    marked_at = sa.Column(UTCDateTime, nullable=True)
    marked_by = sa.Column(sa.BigInteger, sa.ForeignKey("staff.id"), nullable=True)
    #: the studio day of the class that its reminder spoke of; another one once the class is moved (B10)
    reminded_for = sa.Column(sa.Date, nullable=True)
    created_at = sa.Column(UTCDateTime, nullable=False)


class LateRefundStatus(StrEnum):
    PENDING = "pending"
    APPROVED = "approved"
    REJECTED = "rejected"
    WITHDRAWN = "withdrawn"


class LateRefund(db.Model):
    """A cancellation after the cutoff, with its money back, that waits for a second person (B3)."""

    __tablename__ = "late_refunds"
    __table_args__ = (
        sa.UniqueConstraint("live_booking_id", name="uq_late_refunds_live"),
        sa.CheckConstraint("status IN ('pending', 'approved', 'rejected', 'withdrawn')", name="status"),
        sa.CheckConstraint("amount > 0", name="amount"),
        sa.CheckConstraint("status <> 'approved' OR decided_by <> asked_by", name="two_persons"),
        sa.Index("ix_late_refunds_status", "status", "asked_at"),
    )

    id = sa.Column(BigId(), primary_key=True, autoincrement=True)
    booking_id = sa.Column(sa.BigInteger, sa.ForeignKey("bookings.id"), nullable=False, index=True)
    #: yuan
    amount = sa.Column(Money, nullable=False)
    reason = sa.Column(sa.String(200), nullable=False)
    status = sa.Column(Ascii(16), nullable=False, default=LateRefundStatus.PENDING)
    live_booking_id = sa.Column(
        sa.BigInteger, sa.Computed("CASE WHEN status = 'pending' THEN booking_id END", persisted=True)
    )
    asked_by = sa.Column(sa.BigInteger, sa.ForeignKey("staff.id"), nullable=False)
    asked_at = sa.Column(UTCDateTime, nullable=False)
    decided_by = sa.Column(sa.BigInteger, sa.ForeignKey("staff.id"), nullable=True)
    decided_at = sa.Column(UTCDateTime, nullable=True)
    decision_note = sa.Column(sa.String(200), nullable=True)
