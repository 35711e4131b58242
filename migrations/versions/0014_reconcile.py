"""Differences found by reconciling, WeChat's bills, and the standing checks of the money.

Revision ID: 0014_reconcile
Revises: 0013_questions
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from migrations.columns import ascii_, big_id, create_index, create_table, drop_table, money, utc

revision = "0014_reconcile"
down_revision = "0013_questions"
branch_labels = None
depends_on = None


def upgrade() -> None:
    create_table(
        "reconcile_differences",
        sa.Column("id", big_id(), autoincrement=True, nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("source", ascii_(16), nullable=False),
        sa.Column("kind", ascii_(32), nullable=False),
        sa.Column("key", ascii_(96), nullable=False),
        sa.Column("expected", sa.String(200), nullable=False),
        sa.Column("found", sa.String(200), nullable=False),
        sa.Column("expected_amount", money(), nullable=True),
        sa.Column("found_amount", money(), nullable=True),
        sa.Column("digest", ascii_(64), nullable=False),
        sa.Column("family_id", sa.BigInteger(), nullable=True),
        sa.Column("target_type", ascii_(16), nullable=True),
        sa.Column("target_id", ascii_(64), nullable=True),
        sa.Column("status", ascii_(16), nullable=False),
        sa.Column("settled_by", sa.BigInteger(), nullable=True),
        sa.Column("settled_at", utc(), nullable=True),
        sa.Column("note", sa.String(500), nullable=True),
        sa.Column("opened_at", utc(), nullable=False),
        sa.Column("seen_at", utc(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_reconcile_differences"),
        sa.ForeignKeyConstraint(["family_id"], ["families.id"], name="fk_reconcile_differences_family_id"),
        sa.ForeignKeyConstraint(["settled_by"], ["staff.id"], name="fk_reconcile_differences_settled_by"),
        sa.UniqueConstraint("day", "source", "kind", "key", name="uq_reconcile_differences_key"),
        sa.CheckConstraint("source IN ('bill', 'books')", name=op.f("ck_reconcile_differences_source")),
        sa.CheckConstraint("status IN ('open', 'settled')", name=op.f("ck_reconcile_differences_status")),
        sa.CheckConstraint(
            "(status = 'settled') = (settled_at IS NOT NULL)", name=op.f("ck_reconcile_differences_settled")
        ),
    )
    create_index("ix_reconcile_differences_status", "reconcile_differences", ["status", "id"])
    create_index("ix_reconcile_differences_scope", "reconcile_differences", ["source", "kind", "status"])
    create_index("ix_reconcile_differences_family", "reconcile_differences", ["family_id", "id"])
    create_table(
        "reconcile_runs",
        sa.Column("scope", ascii_(48), nullable=False),
        sa.Column("source", ascii_(16), nullable=False),
        sa.Column("day", sa.Date(), nullable=True),
        sa.Column("ran_at", utc(), nullable=False),
        sa.Column("judged", sa.BigInteger(), nullable=False),
        sa.Column("found", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("scope", name="pk_reconcile_runs"),
    )
    create_index("ix_reconcile_runs_day", "reconcile_runs", ["source", "day"])
    create_table(
        "bill_lines",
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("line", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("kind", ascii_(16), nullable=False),
        sa.Column("number", ascii_(96), nullable=False),
        sa.Column("out_trade_no", ascii_(96), nullable=False),
        sa.Column("at", utc(), nullable=False),
        sa.Column("amount", money(), nullable=True),
        sa.Column("fee", money(), nullable=True),
        sa.PrimaryKeyConstraint("day", "line", name="pk_bill_lines"),
    )
    create_index("ix_bill_lines_number", "bill_lines", ["kind", "number"])
    create_table(
        "health_checks",
        sa.Column("name", ascii_(32), nullable=False),
        sa.Column("last_run_at", utc(), nullable=False),
        sa.Column("last_full_at", utc(), nullable=True),
        sa.Column("last_held_at", utc(), nullable=True),
        sa.Column("rows_checked", sa.BigInteger(), nullable=False),
        sa.Column("failing", sa.Integer(), nullable=False),
        sa.Column("sample", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_health_checks"),
    )


def downgrade() -> None:
    for table in ("health_checks", "bill_lines", "reconcile_runs", "reconcile_differences"):
        drop_table(table)
