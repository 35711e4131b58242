"""Sheets of adjustments: asked, approved and done as one batch (W20)."""

from __future__ import annotations

from enum import StrEnum

import sqlalchemy as sa

from app.column_types import Ascii, BigId, Money, UTCDateTime
from app.db import db


class BatchStatus(StrEnum):
    DRAFT = "draft"  # uploaded and checked, seen by its author alone as a preview
    ASKED = "asked"
    APPROVED = "approved"  # its long job says how far it is
    REJECTED = "rejected"
    WITHDRAWN = "withdrawn"
    LAPSED = "lapsed"


class AdjustmentBatch(db.Model):
    """One sheet. The file itself lies in the receipt store: it is the receipt of every row."""

    __tablename__ = "adjustment_batches"
    __table_args__ = (
        sa.CheckConstraint(
            "status IN ('draft', 'asked', 'approved', 'rejected', 'withdrawn', 'lapsed')", name="status"
        ),
        # nobody approves what they asked for (P10)
        sa.CheckConstraint("decided_by IS NULL OR decided_by <> asked_by", name="two_persons"),
        sa.CheckConstraint("(status = 'approved') = (job_id IS NOT NULL)", name="job"),
        # the same rows are not asked for twice at a time
        sa.UniqueConstraint("live_rows_sha256", name="uq_adjustment_batches_live"),
        sa.Index("ix_adjustment_batches_status", "status", "created_at"),
        sa.Index("ix_adjustment_batches_rows_sha256", "rows_sha256"),
        sa.Index("ix_adjustment_batches_asked_by", "asked_by", "created_at"),
    )

    id = sa.Column(BigId(), primary_key=True, autoincrement=True)
    status = sa.Column(Ascii(16), nullable=False)
    #: the file's name, for people
    name = sa.Column(sa.String(120), nullable=False)
    #: random name in the store
    storage_key = sa.Column(Ascii(96), nullable=False, unique=True)
    media_type = sa.Column(Ascii(80), nullable=False)
    #: size of the file, in bytes
    bytes = sa.Column(sa.Integer, nullable=False)
    #: hex, of the file as it was uploaded and is kept
    sha256 = sa.Column(Ascii(64), nullable=False)
    #: hex, of what the rows say: the same sheet saved again is another file
    rows_sha256 = sa.Column(Ascii(64), nullable=False)
    live_rows_sha256 = sa.Column(
        Ascii(64), sa.Computed("CASE WHEN status = 'asked' THEN rows_sha256 END", persisted=True)
    )
    rows_count = sa.Column(sa.Integer, nullable=False)
    #: what the batch is, in its author's words
    note = sa.Column(sa.String(500), nullable=True)
    #: why the same rows are asked for again
    repeat_reason = sa.Column(sa.String(500), nullable=True)
    asked_by = sa.Column(sa.BigInteger, sa.ForeignKey("staff.id"), nullable=False)
    created_at = sa.Column(UTCDateTime, nullable=False)
    asked_at = sa.Column(UTCDateTime, nullable=True)
    #: the wait for approval ends then (W12)
    lapses_at = sa.Column(UTCDateTime, nullable=True)
    decided_by = sa.Column(sa.BigInteger, sa.ForeignKey("staff.id"), nullable=True)
    decided_at = sa.Column(UTCDateTime, nullable=True)
    decision_note = sa.Column(sa.String(500), nullable=True)
    job_id = sa.Column(sa.BigInteger, sa.ForeignKey("long_jobs.id"), nullable=True, unique=True)


class AdjustmentBatchRow(db.Model):
    """What one line of the sheet asks for; never changed. What became of it: `long_job_rows`."""

    __tablename__ = "adjustment_batch_rows"
    __table_args__ = (
        sa.CheckConstraint("amount <> 0", name="amount"),
        sa.Index("ix_adjustment_batch_rows_external_no", "external_no"),
    )

    batch_id = sa.Column(sa.BigInteger, sa.ForeignKey("adjustment_batches.id"), primary_key=True, autoincrement=False)
    #: from 1, the order in which the rows are done
    number = sa.Column(sa.Integer, primary_key=True, autoincrement=False)
    #: where it stands in the file; the header is line 1
    line = sa.Column(sa.Integer, nullable=False)
    family_id = sa.Column(sa.BigInteger, sa.ForeignKey("families.id"), nullable=False, index=True)
    #: signed yuan
    amount = sa.Column(Money, nullable=False)
    type = sa.Column(Ascii(16), nullable=False)
    payment_method = sa.Column(Ascii(16), nullable=False)
    external_no = sa.Column(Ascii(64), nullable=True)
    reason_code = sa.Column(Ascii(32), nullable=False)
    note = sa.Column(sa.String(500), nullable=False)
