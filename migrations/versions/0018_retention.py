"""Archives of the audit log, and the proof that a family's personal data was deleted.

Revision ID: 0018_retention
Revises: 0017_watch
"""

from __future__ import annotations

import sqlalchemy as sa

from migrations.columns import (
    add_column,
    ascii_,
    big_id,
    create_table,
    create_trigger,
    digest,
    drop_column,
    drop_table,
    is_sqlite,
    long_text,
    refuse,
    utc,
)

revision = "0018_retention"
down_revision = "0017_watch"
branch_labels = None
depends_on = None

_APPEND_ONLY = ("audit_archives", "erasure_certificates")


def upgrade() -> None:
    create_table(
        "audit_archives",
        sa.Column("id", big_id(), autoincrement=True, nullable=False),
        sa.Column("month", sa.Date(), nullable=False),
        sa.Column("file_name", ascii_(64), nullable=False),
        sa.Column("sha256", ascii_(64), nullable=False),
        sa.Column("first_id", sa.BigInteger(), nullable=False),
        sa.Column("last_id", sa.BigInteger(), nullable=False),
        sa.Column("rows", sa.Integer(), nullable=False),
        sa.Column("head_hash", digest(), nullable=False),
        sa.Column("made_by", sa.String(64), nullable=False),
        sa.Column("created_at", utc(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_audit_archives"),
        sa.UniqueConstraint("month", name="uq_audit_archives_month"),
        sa.UniqueConstraint("first_id", name="uq_audit_archives_first_id"),
        sa.UniqueConstraint("last_id", name="uq_audit_archives_last_id"),
    )
    create_table(
        "erasure_certificates",
        sa.Column("id", big_id(), autoincrement=True, nullable=False),
        sa.Column("family_id", sa.BigInteger(), nullable=False),
        sa.Column("cause", ascii_(16), nullable=False),
        sa.Column("request_id", sa.BigInteger(), nullable=True),
        sa.Column("asked_by", sa.BigInteger(), nullable=True),
        sa.Column("approved_by", sa.BigInteger(), nullable=True),
        sa.Column("facts", long_text(), nullable=False),
        sa.Column("erased_at", utc(), nullable=False),
        sa.Column("hash", digest(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_erasure_certificates"),
        sa.ForeignKeyConstraint(["family_id"], ["families.id"], name="fk_erasure_certificates_family_id"),
        sa.ForeignKeyConstraint(["request_id"], ["change_requests.id"], name="fk_erasure_certificates_request_id"),
        sa.ForeignKeyConstraint(["asked_by"], ["staff.id"], name="fk_erasure_certificates_asked_by"),
        sa.ForeignKeyConstraint(["approved_by"], ["staff.id"], name="fk_erasure_certificates_approved_by"),
        sa.UniqueConstraint("family_id", name="uq_erasure_certificates_family_id"),
    )
    for table in _APPEND_ONLY:
        for action in ("UPDATE", "DELETE"):
            refuse(f"{table}_no_{action.lower()}", table, action, f"{table} is append-only")
    add_column("families", sa.Column("erased_at", utc(), nullable=True))
    add_column("users", sa.Column("consent_withdrawn_at", utc(), nullable=True))
    # Rows leave the log only for an archive that names them, and only by a user who may delete there at all.
    kept = "NOT EXISTS (SELECT 1 FROM audit_archives a WHERE OLD.id BETWEEN a.first_id AND a.last_id)"
    if is_sqlite():
        body = f"WHEN {kept} BEGIN SELECT RAISE(ABORT, 'audit_log is append-only'); END"
    else:
        signal = "SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'audit_log is append-only'"
        body = f"BEGIN IF {kept} THEN {signal}; END IF; END"
    create_trigger("audit_log_no_delete", "audit_log", "BEFORE DELETE", body)


def downgrade() -> None:
    refuse("audit_log_no_delete", "audit_log", "DELETE", "audit_log is append-only")
    drop_column("users", "consent_withdrawn_at")
    drop_column("families", "erased_at")
    for table in reversed(_APPEND_ONLY):
        drop_table(table)
