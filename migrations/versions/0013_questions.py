"""Parents' questions about transactions, and the answers.

Revision ID: 0013_questions
Revises: 0012_long_jobs
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from migrations.columns import ascii_, big_id, create_index, create_table, drop_table, utc

revision = "0013_questions"
down_revision = "0012_long_jobs"
branch_labels = None
depends_on = None

_TABLE = "transaction_questions"


def upgrade() -> None:
    create_table(
        _TABLE,
        sa.Column("id", big_id(), autoincrement=True, nullable=False),
        sa.Column("transaction_id", sa.BigInteger(), nullable=False),
        sa.Column("wallet_id", sa.BigInteger(), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("text", sa.String(500), nullable=False),
        sa.Column("status", ascii_(16), nullable=False),
        sa.Column(
            "live_transaction_id",
            sa.BigInteger(),
            sa.Computed("CASE WHEN status = 'open' THEN transaction_id END", persisted=True),
        ),
        sa.Column("asked_at", utc(), nullable=False),
        sa.Column("reminded_at", utc(), nullable=True),
        sa.Column("answer", sa.String(500), nullable=True),
        sa.Column("answered_by", sa.BigInteger(), nullable=True),
        sa.Column("answered_at", utc(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=f"pk_{_TABLE}"),
        sa.ForeignKeyConstraint(["transaction_id"], ["wallet_transactions.id"], name=f"fk_{_TABLE}_transaction_id"),
        sa.ForeignKeyConstraint(["wallet_id"], ["wallets.id"], name=f"fk_{_TABLE}_wallet_id"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=f"fk_{_TABLE}_user_id"),
        sa.ForeignKeyConstraint(["answered_by"], ["staff.id"], name=f"fk_{_TABLE}_answered_by"),
        sa.UniqueConstraint("live_transaction_id", name=f"uq_{_TABLE}_live"),
        sa.CheckConstraint("status IN ('open', 'answered')", name=op.f(f"ck_{_TABLE}_status")),
        sa.CheckConstraint(
            "(status = 'answered') = (answer IS NOT NULL AND answered_by IS NOT NULL AND answered_at IS NOT NULL)",
            name=op.f(f"ck_{_TABLE}_answered"),
        ),
    )
    create_index(f"ix_{_TABLE}_status", _TABLE, ["status", "id"])
    create_index(f"ix_{_TABLE}_wallet", _TABLE, ["wallet_id", "id"])
    create_index(f"ix_{_TABLE}_transaction_id", _TABLE, ["transaction_id"])


def downgrade() -> None:
    drop_table(_TABLE)
