"""Long work that people started, row by row, with its checkpoint in the database (U11)."""

from __future__ import annotations

from enum import StrEnum

import sqlalchemy as sa

from app.column_types import Ascii, BigId, JSONText, UTCDateTime
from app.db import db


class LongJobStatus(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"  # stopped at a row that broke the program; a person lets it go on
    CANCELLED = "cancelled"


class RowOutcome(StrEnum):
    DONE = "done"
    REFUSED = "refused"


class LongJob(db.Model):
    """One piece of long work. Its row is the lock of every row's transaction."""

    __tablename__ = "long_jobs"
    __table_args__ = (
        sa.CheckConstraint("status IN ('queued', 'running', 'done', 'failed', 'cancelled')", name="status"),
        # each row up to the checkpoint was done or refused, once
        sa.CheckConstraint("checkpoint = done + refused AND checkpoint <= total", name="checkpoint"),
        sa.CheckConstraint("(status IN ('queued', 'running', 'failed')) = (finished_at IS NULL)", name="finished"),
        sa.Index("ix_long_jobs_status", "status", "lease_until"),
    )

    id = sa.Column(BigId(), primary_key=True, autoincrement=True)
    #: what is done with each row; app/flows/longjobs.py names the use case
    kind = sa.Column(Ascii(32), nullable=False)
    title = sa.Column(sa.String(120), nullable=False)
    #: ids that the kind needs, as plain data
    params = sa.Column(JSONText(), nullable=False)
    status = sa.Column(Ascii(16), nullable=False)
    #: rows in all; those that were done, and that the rules refused
    total = sa.Column(sa.Integer, nullable=False)
    done = sa.Column(sa.Integer, nullable=False, default=0)
    refused = sa.Column(sa.Integer, nullable=False, default=0)
    #: number of the last row that was dealt with; written in that row's transaction
    checkpoint = sa.Column(sa.Integer, nullable=False, default=0)
    #: who works on it, until when that holds without a word, and when the last word came
    lease_owner = sa.Column(Ascii(96), nullable=True)
    lease_until = sa.Column(UTCDateTime, nullable=True)
    heartbeat_at = sa.Column(UTCDateTime, nullable=True)
    #: workers that died since the last row that went through
    deaths = sa.Column(sa.Integer, nullable=False, default=0)
    #: what stopped a failed one, for the person who looks
    error = sa.Column(sa.String(500), nullable=True)
    asked_by = sa.Column(sa.BigInteger, sa.ForeignKey("staff.id"), nullable=False)
    created_at = sa.Column(UTCDateTime, nullable=False)
    started_at = sa.Column(UTCDateTime, nullable=True)
    finished_at = sa.Column(UTCDateTime, nullable=True)
    cancelled_by = sa.Column(sa.BigInteger, sa.ForeignKey("staff.id"), nullable=True)


class LongJobRow(db.Model):
    """What became of one row. Its key is one more reason why a row is not done twice."""

    __tablename__ = "long_job_rows"
    __table_args__ = (
        sa.CheckConstraint("outcome IN ('done', 'refused')", name="outcome"),
        sa.Index("ix_long_job_rows_outcome", "job_id", "outcome", "number"),
    )

    job_id = sa.Column(sa.BigInteger, sa.ForeignKey("long_jobs.id"), primary_key=True, autoincrement=False)
    #: from 1
    number = sa.Column(sa.Integer, primary_key=True, autoincrement=False)
    outcome = sa.Column(Ascii(16), nullable=False)
    #: the refusal's stable code and sentence
    code = sa.Column(Ascii(64), nullable=True)
    message = sa.Column(sa.String(500), nullable=True)
    #: the id of what the row made
    made_id = sa.Column(sa.BigInteger, nullable=True)
    created_at = sa.Column(UTCDateTime, nullable=False)
