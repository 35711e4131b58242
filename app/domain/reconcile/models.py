"""What reconciling found and how it was settled (W24), WeChat's bills as they came, and how the money is (W26)."""

from __future__ import annotations

from enum import StrEnum

import sqlalchemy as sa

from app.column_types import Ascii, BigId, JSONText, Money, UTCDateTime
from app.db import db


class DifferenceStatus(StrEnum):
    OPEN = "open"
    SETTLED = "settled"


class ReconcileDifference(db.Model):
    """One difference, once for its day, source, kind and key however often it is met.

    `expected` is what there should be (by WeChat's bill, or by the document), `found` what there is here.
    """

    __tablename__ = "reconcile_differences"
    __table_args__ = (
        sa.UniqueConstraint("day", "source", "kind", "key", name="uq_reconcile_differences_key"),
        sa.CheckConstraint("source IN ('bill', 'books')", name="source"),
        sa.CheckConstraint("status IN ('open', 'settled')", name="status"),
        sa.CheckConstraint("(status = 'settled') = (settled_at IS NOT NULL)", name="settled"),
        sa.Index("ix_reconcile_differences_status", "status", "id"),
        sa.Index("ix_reconcile_differences_scope", "source", "kind", "status"),
        sa.Index("ix_reconcile_differences_family", "family_id", "id"),
        sa.Index("ix_reconcile_differences_key", "key"),
    )

    id = sa.Column(BigId(), primary_key=True, autoincrement=True)
    #: of the studio: the bill's, or that of the movement or document
    day = sa.Column(sa.Date, nullable=False)
    source = sa.Column(Ascii(16), nullable=False)
    kind = sa.Column(Ascii(32), nullable=False)
    #: what it is about among its kind: WeChat's number, a refund's, the id of a document or movement
    key = sa.Column(Ascii(96), nullable=False)
    expected = sa.Column(sa.String(200), nullable=False)
    found = sa.Column(sa.String(200), nullable=False)
    #: signed yuan; NULL where there is none, or none that fits the column
    expected_amount = sa.Column(Money, nullable=True)
    found_amount = sa.Column(Money, nullable=True)
    #: SHA-256 hex over the figures: another one opens a settled difference again
    digest = sa.Column(Ascii(64), nullable=False)
    family_id = sa.Column(sa.BigInteger, sa.ForeignKey("families.id"), nullable=True)
    #: where to look: `order`, `refund`, `adjustment`, `withdrawal`, `booking`, and its number
    target_type = sa.Column(Ascii(16), nullable=True)
    target_id = sa.Column(Ascii(64), nullable=True)
    status = sa.Column(Ascii(16), nullable=False, default=DifferenceStatus.OPEN)
    #: NULL with a `settled_at`: it was gone when the figures were compared again
    settled_by = sa.Column(sa.BigInteger, sa.ForeignKey("staff.id"), nullable=True)
    settled_at = sa.Column(UTCDateTime, nullable=True)
    note = sa.Column(sa.String(500), nullable=True)
    opened_at = sa.Column(UTCDateTime, nullable=False)
    #: when a comparison last met it
    seen_at = sa.Column(UTCDateTime, nullable=False)


class ReconcileRun(db.Model):
    """The newest comparison of each scope: one bill's day, or one check of the books. Two at once queue on its row."""

    __tablename__ = "reconcile_runs"
    __table_args__ = (sa.Index("ix_reconcile_runs_day", "source", "day"),)

    #: `bill:2026-11-20`, `books:adjustments`
    scope = sa.Column(Ascii(48), primary_key=True)
    source = sa.Column(Ascii(16), nullable=False)
    #: the bill's
    day = sa.Column(sa.Date, nullable=True)
    ran_at = sa.Column(UTCDateTime, nullable=False)
    #: rows compared, and differences that were met
    judged = sa.Column(sa.BigInteger, nullable=False, default=0)
    found = sa.Column(sa.Integer, nullable=False, default=0)


class BillKind(StrEnum):
    PAYMENT = "payment"
    REFUND = "refund"


class BillLine(db.Model):
    """A row of WeChat's trade bill, as compared: WeChat keeps bills for three months only."""

    __tablename__ = "bill_lines"
    __table_args__ = (
        sa.Index("ix_bill_lines_number", "kind", "number"),
        sa.Index("ix_bill_lines_out_trade_no", "out_trade_no"),
    )

    #: the bill's day
    day = sa.Column(sa.Date, primary_key=True)
    line = sa.Column(sa.Integer, primary_key=True, autoincrement=False)
    kind = sa.Column(Ascii(16), nullable=False)
    #: WeChat's number of a payment, our number of a refund
    number = sa.Column(Ascii(96), nullable=False)
    out_trade_no = sa.Column(Ascii(96), nullable=False)
    #: when it was paid, or the refund began
    at = sa.Column(UTCDateTime, nullable=False)
    #: yuan, positive for refunds too; NULL where it fits no column of ours
    amount = sa.Column(Money, nullable=True)
    #: WeChat's own, rounded to the fen
    fee = sa.Column(Money, nullable=True)


class HealthCheck(db.Model):
    """A standing invariant of the money: when it was last looked at and last held, and the first rows where not."""

    __tablename__ = "health_checks"

    name = sa.Column(Ascii(32), primary_key=True)
    last_run_at = sa.Column(UTCDateTime, nullable=False)
    #: when all rows were last looked at, not only the new ones
    last_full_at = sa.Column(UTCDateTime, nullable=True)
    last_held_at = sa.Column(UTCDateTime, nullable=True)
    rows_checked = sa.Column(sa.BigInteger, nullable=False, default=0)
    failing = sa.Column(sa.Integer, nullable=False, default=0)
    #: the first failing rows: [{"key", "text", "family_id", "target_type", "target_id"}]
    sample = sa.Column(JSONText, nullable=False)
