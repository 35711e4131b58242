"""The one append-only audit log (R7) and the seals that chain it minute by minute."""

from __future__ import annotations

import sqlalchemy as sa

from app.column_types import Ascii, BigId, Digest, JSONText, UTCDateTime
from app.db import db


class AuditEntry(db.Model):
    """One change by a person or a machine, written in the transaction that made it. Never changed, never deleted:
    refused by triggers, and in production by privileges."""

    __tablename__ = "audit_log"
    __table_args__ = (
        sa.Index("ix_audit_log_target", "target_type", "target_id", "id"),
        sa.Index("ix_audit_log_family", "family_id", "id"),
        sa.Index("ix_audit_log_actor", "actor_type", "actor_id", "id"),
        sa.Index("ix_audit_log_action", "action", "id"),
        sa.Index("ix_audit_log_created_at", "created_at"),
    )

    id = sa.Column(BigId(), primary_key=True, autoincrement=True)
    created_at = sa.Column(UTCDateTime, nullable=False)
    actor_type = sa.Column(Ascii(16), nullable=False)
    actor_id = sa.Column(sa.BigInteger, nullable=True)
    actor_name = sa.Column(sa.String(64), nullable=False)
    #: dotted, e.g. `adjustment.completed`; the list with its Chinese is in audit/actions.py
    action = sa.Column(Ascii(64), nullable=False)
    target_type = sa.Column(Ascii(32), nullable=False)
    target_id = sa.Column(Ascii(64), nullable=False)
    #: the family that it concerns, for the family page's tab
    family_id = sa.Column(sa.BigInteger, nullable=True)
    order_id = sa.Column(Ascii(64), nullable=True)
    #: the wallet or payment transaction that it made, where there is one
    transaction_id = sa.Column(Ascii(64), nullable=True)
    old_status = sa.Column(Ascii(32), nullable=True)
    new_status = sa.Column(Ascii(32), nullable=True)
    before = sa.Column(JSONText, nullable=True)
    after = sa.Column(JSONText, nullable=True)
    #: what was asked of and answered by an outside system, redacted
    request = sa.Column(JSONText, nullable=True)
    answer = sa.Column(JSONText, nullable=True)
    reason = sa.Column(sa.String(500), nullable=True)
    error = sa.Column(sa.String(500), nullable=True)
    ip = sa.Column(Ascii(45), nullable=True)
    user_agent = sa.Column(sa.String(255), nullable=True)
    request_id = sa.Column(Ascii(64), nullable=True)


class AuditSeal(db.Model):
    """A hash over a range of audit rows and the seal before it (R7). The ranges touch: none can be slipped between."""

    __tablename__ = "audit_seals"

    id = sa.Column(BigId(), primary_key=True, autoincrement=True)
    first_id = sa.Column(sa.BigInteger, nullable=False, unique=True)
    last_id = sa.Column(sa.BigInteger, nullable=False, unique=True)
    rows = sa.Column(sa.Integer, nullable=False)
    hash = sa.Column(Digest(), nullable=False)
    prev_hash = sa.Column(Digest(), nullable=True)
    created_at = sa.Column(UTCDateTime, nullable=False)


class AuditArchive(db.Model):
    """A month that left the log: what the file says that holds it, by which the rest of the chain still verifies (S12).

    Never changed, never deleted. Only the database user `migrate` writes here; rows of the log may go only if one of
    these names them.
    """

    __tablename__ = "audit_archives"

    id = sa.Column(BigId(), primary_key=True, autoincrement=True)
    #: the first day of the newest month in it, on the studio's clock
    month = sa.Column(sa.Date, nullable=False, unique=True)
    file_name = sa.Column(Ascii(64), nullable=False)
    #: of the whole file, hex
    sha256 = sa.Column(Ascii(64), nullable=False)
    first_id = sa.Column(sa.BigInteger, nullable=False, unique=True)
    last_id = sa.Column(sa.BigInteger, nullable=False, unique=True)
    rows = sa.Column(sa.Integer, nullable=False)
    #: the hash of the seal that ends with `last_id`
    head_hash = sa.Column(Digest(), nullable=False)
    made_by = sa.Column(sa.String(64), nullable=False)
    created_at = sa.Column(UTCDateTime, nullable=False)
