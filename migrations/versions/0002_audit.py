"""The append-only audit log and its seals.

Revision ID: 0002_audit
Revises: 0001_people
"""

from __future__ import annotations

import sqlalchemy as sa

from migrations.columns import (
    ascii_,
    big_id,
    create_index,
    create_table,
    digest,
    drop_table,
    long_text,
    refuse,
    utc,
)

revision = "0002_audit"
down_revision = "0001_people"
branch_labels = None
depends_on = None


def upgrade() -> None:
    create_table(
        "audit_log",
        sa.Column("id", big_id(), autoincrement=True, nullable=False),
        sa.Column("created_at", utc(), nullable=False),
        sa.Column("actor_type", ascii_(16), nullable=False),
        sa.Column("actor_id", sa.BigInteger(), nullable=True),
        sa.Column("actor_name", sa.String(64), nullable=False),
        sa.Column("action", ascii_(64), nullable=False),
        sa.Column("target_type", ascii_(32), nullable=False),
        sa.Column("target_id", ascii_(64), nullable=False),
        sa.Column("family_id", sa.BigInteger(), nullable=True),
        sa.Column("order_id", ascii_(64), nullable=True),
        sa.Column("transaction_id", ascii_(64), nullable=True),
        sa.Column("old_status", ascii_(32), nullable=True),
        sa.Column("new_status", ascii_(32), nullable=True),
        sa.Column("before", long_text(), nullable=True),
        sa.Column("after", long_text(), nullable=True),
        sa.Column("request", long_text(), nullable=True),
        sa.Column("answer", long_text(), nullable=True),
        sa.Column("reason", sa.String(500), nullable=True),
        sa.Column("error", sa.String(500), nullable=True),
        sa.Column("ip", ascii_(45), nullable=True),
        sa.Column("user_agent", sa.String(255), nullable=True),
        sa.Column("request_id", ascii_(64), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_audit_log"),
    )
    create_index("ix_audit_log_action", "audit_log", ["action", "id"])
    create_index("ix_audit_log_actor", "audit_log", ["actor_type", "actor_id", "id"])
    create_index("ix_audit_log_created_at", "audit_log", ["created_at"])
    create_index("ix_audit_log_family", "audit_log", ["family_id", "id"])
    create_index("ix_audit_log_target", "audit_log", ["target_type", "target_id", "id"])
    create_table(
        "audit_seals",
        sa.Column("id", big_id(), autoincrement=True, nullable=False),
        sa.Column("first_id", sa.BigInteger(), nullable=False),
        sa.Column("last_id", sa.BigInteger(), nullable=False),
        sa.Column("rows", sa.Integer(), nullable=False),
        sa.Column("hash", digest(), nullable=False),
        sa.Column("prev_hash", digest(), nullable=True),
        sa.Column("created_at", utc(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_audit_seals"),
        sa.UniqueConstraint("first_id", name="uq_audit_seals_first_id"),
        sa.UniqueConstraint("last_id", name="uq_audit_seals_last_id"),
    )
    for table in ("audit_log", "audit_seals"):
        for action in ("UPDATE", "DELETE"):
            refuse(f"{table}_no_{action.lower()}", table, action, f"{table} is append-only")


def downgrade() -> None:
    for table in (
        "audit_seals",
        "audit_log",
    ):
        drop_table(table)
