"""Alerts, what was answered how fast by the hour, slow statements, and what is reached outside.

Revision ID: 0017_watch
Revises: 0016_refused_seats
"""

from __future__ import annotations

import sqlalchemy as sa

from migrations.columns import ascii_, big_id, create_index, create_table, drop_table, utc

revision = "0017_watch"
down_revision = "0016_refused_seats"
branch_labels = None
depends_on = None

_COUNTED = (
    "total", "failed", "milliseconds", "within_50", "within_100", "within_200", "within_500", "within_1000",
    "within_5000",
)  # fmt: skip


def upgrade() -> None:
    create_table(
        "alerts",
        sa.Column("id", big_id(), autoincrement=True, nullable=False),
        sa.Column("rule", ascii_(48), nullable=False),
        sa.Column("open_rule", ascii_(48), nullable=True),
        sa.Column("since", utc(), nullable=False),
        sa.Column("fired_at", utc(), nullable=True),
        sa.Column("told_at", utc(), nullable=True),
        sa.Column("told", sa.Integer(), nullable=False),
        sa.Column("quiet_since", utc(), nullable=True),
        sa.Column("recovered_at", utc(), nullable=True),
        sa.Column("said", sa.String(500), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_alerts"),
        sa.UniqueConstraint("open_rule", name="uq_alerts_open_rule"),
    )
    create_index("ix_alerts_fired_at", "alerts", ["fired_at"])
    create_table(
        "service_hours",
        sa.Column("hour", utc(), nullable=False),
        sa.Column("kind", ascii_(16), nullable=False),
        sa.Column("name", ascii_(96), nullable=False),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in _COUNTED),
        sa.PrimaryKeyConstraint("hour", "kind", "name", name="pk_service_hours"),
    )
    create_table(
        "slow_statements",
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("fingerprint", ascii_(64), nullable=False),
        sa.Column("statement", sa.Text(), nullable=False),
        sa.Column("runs", sa.BigInteger(), nullable=False),
        sa.Column("milliseconds", sa.BigInteger(), nullable=False),
        sa.Column("longest", sa.BigInteger(), nullable=False),
        sa.Column("last_at", utc(), nullable=False),
        sa.PrimaryKeyConstraint("day", "fingerprint", name="pk_slow_statements"),
    )
    create_table(
        "outside_findings",
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("level", ascii_(16), nullable=False),
        sa.Column("text", sa.String(500), nullable=False),
        sa.Column("remedy", sa.String(500), nullable=False),
        sa.Column("days", sa.Integer(), nullable=True),
        sa.Column("checked_at", utc(), nullable=False),
        sa.PrimaryKeyConstraint("position", name="pk_outside_findings"),
    )


def downgrade() -> None:
    for table in ("outside_findings", "slow_statements", "service_hours", "alerts"):
        drop_table(table)
