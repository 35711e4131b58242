"""Indices for pages and jobs that read a table from end to end as soon as it has some thousand rows.

Revision ID: 0019_plans
Revises: 0018_retention
"""

from __future__ import annotations

from migrations.columns import create_index, drop_index

revision = "0019_plans"
down_revision = "0018_retention"
branch_labels = None
depends_on = None

_INDICES = (
    ("ix_refunds_ended", "refunds", ["status", "updated_at"]),
    ("ix_withdrawals_decided", "withdrawals", ["status", "decided_at"]),
    ("ix_wallet_adjustments_decided_at", "wallet_adjustments", ["decided_at"]),
    ("ix_makeup_credits_created_at", "makeup_credits", ["created_at"]),
    ("ix_seat_reservations_created_at", "seat_reservations", ["created_at"]),
)


def upgrade() -> None:
    for name, table, columns in _INDICES:
        create_index(name, table, columns)


def downgrade() -> None:
    for name, table, _columns in reversed(_INDICES):
        drop_index(name, table)
