"""Makeup credits, the right to one makeup class (M1); compensation minutes (M6); requests for a makeup (M11)."""

from __future__ import annotations

from enum import StrEnum

import sqlalchemy as sa

from app.column_types import Ascii, BigId, Money, UTCDateTime
from app.db import db


class CreditStatus(StrEnum):
    AVAILABLE = "available"
    USED = "used"
    EXPIRED = "expired"
    VOID = "void"


class MakeupCredit(db.Model):
    """Made by a leave, or by a session that the studio cancelled under a makeup booking."""

    __tablename__ = "makeup_credits"
    __table_args__ = (
        sa.CheckConstraint("status IN ('available', 'used', 'expired', 'void')", name="status"),
        sa.CheckConstraint("minutes BETWEEN 1 AND 1440", name="minutes"),
        sa.Index("ix_makeup_credits_profile", "profile_id", "status"),
        sa.Index("ix_makeup_credits_due", "status", "valid_until"),
        sa.Index("ix_makeup_credits_family", "family_id", "status"),
        sa.Index("ix_makeup_credits_created_at", "created_at"),
    )

    id = sa.Column(BigId(), primary_key=True, autoincrement=True)
    family_id = sa.Column(sa.BigInteger, sa.ForeignKey("families.id"), nullable=False)
    profile_id = sa.Column(sa.BigInteger, sa.ForeignKey("profiles.id"), nullable=False)
    #: the booking that was given up; one credit each
    booking_id = sa.Column(sa.BigInteger, sa.ForeignKey("bookings.id"), nullable=False, unique=True)
    course_type_id = sa.Column(sa.BigInteger, sa.ForeignKey("course_types.id"), nullable=False)
    #: the missed class's level; NULL where it had none
    level_id = sa.Column(sa.BigInteger, sa.ForeignKey("levels.id"), nullable=True)
    #: length of the missed class
    minutes = sa.Column(sa.Integer, nullable=False)
    #: yuan paid for the missed class: what is owed as 待补课负债 (W29)
    price = sa.Column(Money, nullable=False)
    status = sa.Column(Ascii(16), nullable=False, default=CreditStatus.AVAILABLE)
    valid_until = sa.Column(UTCDateTime, nullable=False)
    created_at = sa.Column(UTCDateTime, nullable=False)
    updated_at = sa.Column(UTCDateTime, nullable=False)
    #: when it expired or was voided, and why staff voided it
    ended_at = sa.Column(UTCDateTime, nullable=True)
    end_reason = sa.Column(sa.String(200), nullable=True)


class CompensationLot(db.Model):
    """Minutes owed to a student, from one source and with one end. The one that ends first is used first."""

    __tablename__ = "compensation_lots"
    __table_args__ = (
        sa.CheckConstraint("minutes BETWEEN 1 AND 14400", name="minutes"),
        # M6 by the database: no lot is ever used beyond its minutes, nor filled above them.
        sa.CheckConstraint("minutes_left BETWEEN 0 AND minutes", name="left"),
        sa.Index("ix_compensation_lots_profile", "profile_id", "expires_at"),
        sa.Index("ix_compensation_lots_due", "expires_at", "minutes_left"),
    )

    id = sa.Column(BigId(), primary_key=True, autoincrement=True)
    profile_id = sa.Column(sa.BigInteger, sa.ForeignKey("profiles.id"), nullable=False)
    family_id = sa.Column(sa.BigInteger, sa.ForeignKey("families.id"), nullable=False, index=True)
    #: whole minutes, as they were given
    minutes = sa.Column(sa.Integer, nullable=False)
    minutes_left = sa.Column(sa.Integer, nullable=False)
    #: the shorter makeup that earned them, or the cancelled longer one that gave them back; NULL: staff gave them
    booking_id = sa.Column(sa.BigInteger, sa.ForeignKey("bookings.id"), nullable=True, index=True)
    earned_at = sa.Column(UTCDateTime, nullable=False)
    #: from this moment on they are gone
    expires_at = sa.Column(UTCDateTime, nullable=False)
    #: when the makeup that earned them was cancelled: what was used of them by then does not come back
    revoked_at = sa.Column(UTCDateTime, nullable=True)


class CompensationUsage(db.Model):
    """Minutes that a longer makeup took of a lot, until it is cancelled."""

    __tablename__ = "compensation_usages"
    __table_args__ = (
        sa.UniqueConstraint("booking_id", "lot_id", name="uq_compensation_usages_lot"),
        sa.CheckConstraint("minutes > 0", name="minutes"),
    )

    id = sa.Column(BigId(), primary_key=True, autoincrement=True)
    lot_id = sa.Column(sa.BigInteger, sa.ForeignKey("compensation_lots.id"), nullable=False, index=True)
    booking_id = sa.Column(sa.BigInteger, sa.ForeignKey("bookings.id"), nullable=False)
    minutes = sa.Column(sa.Integer, nullable=False)
    used_at = sa.Column(UTCDateTime, nullable=False)
    returned_at = sa.Column(UTCDateTime, nullable=True)


class HistoryKind(StrEnum):
    EARNED = "earned"
    USED = "used"
    EXPIRED = "expired"
    ADJUSTED = "adjusted"
    RETURNED = "returned"


class CompensationHistory(db.Model):
    """Every change of a lot, signed (96.71): a lot's minutes left are the sum of its rows. Never changed."""

    __tablename__ = "compensation_history"
    __table_args__ = (
        sa.CheckConstraint("kind IN ('earned', 'used', 'expired', 'adjusted', 'returned')", name="kind"),
        sa.CheckConstraint("minutes <> 0", name="minutes"),
        sa.Index("ix_compensation_history_profile", "profile_id", "id"),
        sa.Index("ix_compensation_history_created_at", "created_at"),
    )

    id = sa.Column(BigId(), primary_key=True, autoincrement=True)
    lot_id = sa.Column(sa.BigInteger, sa.ForeignKey("compensation_lots.id"), nullable=False, index=True)
    profile_id = sa.Column(sa.BigInteger, sa.ForeignKey("profiles.id"), nullable=False)
    kind = sa.Column(Ascii(16), nullable=False)
    #: what was given is positive, what was used, taken back or lost negative
    minutes = sa.Column(sa.Integer, nullable=False)
    booking_id = sa.Column(sa.BigInteger, sa.ForeignKey("bookings.id"), nullable=True, index=True)
    actor_type = sa.Column(Ascii(16), nullable=False)
    actor_id = sa.Column(sa.BigInteger, nullable=True)
    note = sa.Column(sa.String(200), nullable=False, default="")
    created_at = sa.Column(UTCDateTime, nullable=False)


class RequestStatus(StrEnum):
    """`booked`: the credit was used meanwhile; `closed`: it ended meanwhile."""

    OPEN = "open"
    ANSWERED = "answered"
    BOOKED = "booked"
    CLOSED = "closed"


class MakeupRequest(db.Model):
    """A parent asks the desk to arrange a makeup (M11). One at a time for each credit."""

    __tablename__ = "makeup_requests"
    __table_args__ = (
        sa.UniqueConstraint("live_credit_id", name="uq_makeup_requests_live"),
        sa.CheckConstraint("status IN ('open', 'answered', 'booked', 'closed')", name="status"),
        sa.CheckConstraint("(status = 'open') = (answered_at IS NULL)", name="answered"),
        sa.Index("ix_makeup_requests_status", "status", "asked_at"),
    )

    id = sa.Column(BigId(), primary_key=True, autoincrement=True)
    credit_id = sa.Column(sa.BigInteger, sa.ForeignKey("makeup_credits.id"), nullable=False)
    family_id = sa.Column(sa.BigInteger, sa.ForeignKey("families.id"), nullable=False, index=True)
    user_id = sa.Column(sa.BigInteger, sa.ForeignKey("users.id"), nullable=False)
    text = sa.Column(sa.String(500), nullable=False)
    wishes = sa.Column(sa.String(500), nullable=True)
    status = sa.Column(Ascii(16), nullable=False, default=RequestStatus.OPEN)
    live_credit_id = sa.Column(
        sa.BigInteger, sa.Computed("CASE WHEN status = 'open' THEN credit_id END", persisted=True)
    )
    asked_at = sa.Column(UTCDateTime, nullable=False)
    #: when staff were reminded of it
    reminded_at = sa.Column(UTCDateTime, nullable=True)
    answered_at = sa.Column(UTCDateTime, nullable=True)
    answered_by = sa.Column(sa.BigInteger, sa.ForeignKey("staff.id"), nullable=True)
    answer = sa.Column(sa.String(500), nullable=True)
