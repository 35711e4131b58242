"""Calls to book a makeup that failed for no rule's sake (Q25)."""

from __future__ import annotations

import sqlalchemy as sa

from app.column_types import Ascii, BigId, UTCDateTime
from app.db import db


class MakeupFailure(db.Model):
    """One call that neither booked nor was refused by a rule. It names what was asked for, which need not exist."""

    __tablename__ = "makeup_failures"
    __table_args__ = (sa.Index("ix_makeup_failures_failed_at", "failed_at"),)

    id = sa.Column(BigId(), primary_key=True, autoincrement=True)
    course_schedule_id = sa.Column(sa.BigInteger, nullable=False)
    profile_id = sa.Column(sa.BigInteger, nullable=False)
    #: the refusal's code (BUSY_TRY_AGAIN, OUTCOME_UNKNOWN) or the name of the program's error
    error = sa.Column(Ascii(64), nullable=False)
    failed_at = sa.Column(UTCDateTime, nullable=False)
