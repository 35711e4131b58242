"""Indices for what a job asks each minute of the offers, and for what nights and hours clean up.

Revision ID: 0020_cleaning
Revises: 0019_plans
"""

from __future__ import annotations

from migrations.columns import create_index, drop_index

revision = "0020_cleaning"
down_revision = "0019_plans"
branch_labels = None
depends_on = None

_INDICES = (
    ("ix_waitlist_offers_offered_at", "waitlist_offers", ["offered_at"]),
    ("ix_sign_in_failures_created_at", "sign_in_failures", ["created_at"]),
    ("ix_rate_counts_window", "rate_counts", ["window"]),
    ("ix_bill_lines_out_trade_no", "bill_lines", ["out_trade_no"]),
    ("ix_reconcile_differences_key", "reconcile_differences", ["key"]),
)


def upgrade() -> None:
    for name, table, columns in _INDICES:
        create_index(name, table, columns)


def downgrade() -> None:
    for name, table, _columns in reversed(_INDICES):
        drop_index(name, table)
