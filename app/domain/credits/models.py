"""Makeup credits: the right to one makeup class (spec 60, M1)."""

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
