"""What in money needs a person: the rows of the exceptions board (spec 40, O19)."""

from __future__ import annotations

from enum import StrEnum

import sqlalchemy as sa

from app.column_types import Ascii, BigId, JSONText, Money, UTCDateTime
from app.db import db


class CaseKind(StrEnum):
    UNSEATED = "unseated"
    DUPLICATE_PAYMENT = "duplicate_payment"
    MISMATCH = "mismatch"
    UNKNOWN_PAYMENT = "unknown_payment"
    UNKNOWN_REFUND = "unknown_refund"
    REFUND_ABNORMAL = "refund_abnormal"
    REFUND_FAILED = "refund_failed"
    TRIAL_CANCELLED = "trial_cancelled"


class CaseStatus(StrEnum):
    OPEN = "open"
    SETTLED = "settled"


class MoneyCase(db.Model):
    """One thing that a person must settle. It is opened by what happened and closed by what was done about it."""

    __tablename__ = "money_cases"
    __table_args__ = (
        # The same thing is on the board once, however often it is met.
        sa.UniqueConstraint("kind", "live_subject", name="uq_money_cases_live"),
        sa.CheckConstraint("status IN ('open', 'settled')", name="status"),
        sa.CheckConstraint("status = 'open' OR (settled_at IS NOT NULL AND settled_as IS NOT NULL)", name="settled"),
        sa.Index("ix_money_cases_status", "status", "opened_at"),
        sa.Index("ix_money_cases_order_id", "order_id"),
        sa.Index("ix_money_cases_family_id", "family_id"),
    )

    id = sa.Column(BigId(), primary_key=True, autoincrement=True)
    kind = sa.Column(Ascii(32), nullable=False)
    #: what it is about, unique per kind while open: an order's, a refund's or a payment's number
    subject = sa.Column(Ascii(80), nullable=False)
    live_subject = sa.Column(Ascii(80), sa.Computed("CASE WHEN status = 'open' THEN subject END", persisted=True))
    status = sa.Column(Ascii(16), nullable=False, default=CaseStatus.OPEN)
    family_id = sa.Column(sa.BigInteger, sa.ForeignKey("families.id"), nullable=True)
    #: 32 hex digits of the order; the foreign keys would tie this line to those above it
    order_id = sa.Column(Ascii(32), nullable=True)
    refund_no = sa.Column(Ascii(32), nullable=True)
    booking_id = sa.Column(sa.BigInteger, nullable=True)
    #: WeChat's number of the payment
    transaction_id = sa.Column(Ascii(64), nullable=True)
    #: yuan that it is about
    amount = sa.Column(Money, nullable=True)
    #: one sentence: what happened
    title = sa.Column(sa.String(200), nullable=False)
    #: label → text, for the page
    facts = sa.Column(JSONText, nullable=False)
    opened_at = sa.Column(UTCDateTime, nullable=False)
    settled_at = sa.Column(UTCDateTime, nullable=True)
    #: NULL: by the system, because what was wrong is right now
    settled_by = sa.Column(sa.BigInteger, sa.ForeignKey("staff.id"), nullable=True)
    settled_as = sa.Column(Ascii(32), nullable=True)
    settle_note = sa.Column(sa.String(500), nullable=True)
