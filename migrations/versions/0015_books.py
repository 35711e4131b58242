"""Closed days, which nothing is dated into any more; what the books' figures are read by.

Revision ID: 0015_books
Revises: 0014_reconcile
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from migrations.columns import (
    ascii_,
    big_id,
    create_index,
    create_table,
    create_trigger,
    drop_index,
    drop_table,
    is_sqlite,
    money,
    refuse,
    utc,
)

revision = "0015_books"
down_revision = "0014_reconcile"
branch_labels = None
depends_on = None

#: money whose moment is its row's, so that no clock that lags writes it into a day that was signed
_DATED = ("wallet_transactions", "payment_transactions")


def upgrade() -> None:
    create_table(
        "day_closes",
        sa.Column("id", big_id(), autoincrement=True, nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("ends_at", utc(), nullable=False),
        sa.Column("figures", sa.Text(), nullable=False),
        sa.Column("digest", ascii_(64), nullable=False),
        sa.Column("counted_cash", money(), nullable=False),
        sa.Column("note", sa.String(500), nullable=False),
        sa.Column("closed_by", sa.BigInteger(), nullable=False),
        sa.Column("closed_at", utc(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_day_closes"),
        sa.ForeignKeyConstraint(["closed_by"], ["staff.id"], name="fk_day_closes_closed_by"),
        sa.UniqueConstraint("day", name="uq_day_closes_day"),
        sa.UniqueConstraint("ends_at", name="uq_day_closes_ends_at"),
    )
    for action in ("UPDATE", "DELETE"):
        refuse(f"day_closes_no_{action.lower()}", "day_closes", action, "a closed day is signed and stays")
    for table in _DATED:
        _lock(table)
    # A sum over a span of moments needs no row: balances at any moment are today's less what moved since.
    drop_index("ix_wallet_transactions_created_at", "wallet_transactions")
    create_index(
        "ix_wallet_transactions_created_at", "wallet_transactions", ["created_at", "wallet_id", "type", "amount"]
    )
    create_index("ix_bookings_ended_at", "bookings", ["ended_at"])


def _lock(table: str) -> None:
    closed = "EXISTS (SELECT 1 FROM day_closes d WHERE d.ends_at > NEW.created_at)"
    if is_sqlite():
        body = f"WHEN {closed} BEGIN SELECT RAISE(ABORT, 'the day is closed'); END"
    else:
        body = f"BEGIN IF {closed} THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'the day is closed'; END IF; END"
    create_trigger(f"{table}_open_day", table, "BEFORE INSERT", body)


def downgrade() -> None:
    for table in _DATED:
        op.execute(f"DROP TRIGGER IF EXISTS {table}_open_day")
    drop_index("ix_bookings_ended_at", "bookings")
    drop_index("ix_wallet_transactions_created_at", "wallet_transactions")
    create_index("ix_wallet_transactions_created_at", "wallet_transactions", ["created_at"])
    drop_table("day_closes")
