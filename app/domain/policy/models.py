"""Policy figures that differ from their defaults, and changes that wait for a second person (R9)."""

from __future__ import annotations

import sqlalchemy as sa

from app.column_types import Ascii, BigId, UTCDateTime
from app.db import db


class PolicyValue(db.Model):
    """A figure that a manager changed; a name without a row has its default."""

    __tablename__ = "policies"

    name = sa.Column(Ascii(64), primary_key=True)
    #: as `flask policy set` takes it: `15m`, `1000.00`, `on`, `21:30-08:00`
    value = sa.Column(sa.String(200), nullable=False)
    updated_at = sa.Column(UTCDateTime, nullable=False)
    updated_by = sa.Column(sa.String(64), nullable=False)


class ChangeRequest(db.Model):
    """A change of a money limit or of a role: asked by one person, in force once another has approved (R9, S9)."""

    __tablename__ = "change_requests"
    __table_args__ = (sa.Index("ix_change_requests_open", "status", "asked_at"),)

    id = sa.Column(BigId(), primary_key=True, autoincrement=True)
    #: `policy`, `staff_role`
    kind = sa.Column(Ascii(16), nullable=False)
    #: the policy's name or the staff id
    target = sa.Column(Ascii(64), nullable=False)
    old_value = sa.Column(sa.String(200), nullable=False)
    new_value = sa.Column(sa.String(200), nullable=False)
    reason = sa.Column(sa.String(500), nullable=False)
    #: `pending`, `approved`, `rejected`, `withdrawn`
    status = sa.Column(Ascii(16), nullable=False)
    asked_by = sa.Column(sa.BigInteger, sa.ForeignKey("staff.id"), nullable=False)
    asked_at = sa.Column(UTCDateTime, nullable=False)
    decided_by = sa.Column(sa.BigInteger, sa.ForeignKey("staff.id"), nullable=True)
    decided_at = sa.Column(UTCDateTime, nullable=True)
    decision_note = sa.Column(sa.String(500), nullable=True)
