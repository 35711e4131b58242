"""Receipts of a trial's money taken at the desk, and of a refund paid out by hand.

Revision ID: 0021_receipts_by_hand
Revises: 0020_cleaning
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from migrations.columns import add_reference, drop_reference, replace_check

revision = "0021_receipts_by_hand"
down_revision = "0020_cleaning"
branch_labels = None
depends_on = None

_REFERENCES = (("offline_id", "offline_payments"), ("refund_id", "refunds"))
_BEFORE = "(adjustment_id IS NULL) <> (withdrawal_id IS NULL)"
_NOW = (
    "(adjustment_id IS NOT NULL) + (withdrawal_id IS NOT NULL) + (offline_id IS NOT NULL) + (refund_id IS NOT NULL) = 1"
)


def upgrade() -> None:
    for column, table in _REFERENCES:
        add_reference("receipts", column, table)
    replace_check("receipts", "ck_receipts_owner", _BEFORE, _NOW)


def downgrade() -> None:
    # The version before has no place for these; their files go with the next look for files without a row.
    receipts = sa.table("receipts", *map(sa.column, ("id", "adjustment_id", "withdrawal_id", "flag", "flagged_as")))
    bands = sa.table("receipt_bands", sa.column("receipt_id"))
    new = sa.select(receipts.c.id).where(receipts.c.adjustment_id.is_(None), receipts.c.withdrawal_id.is_(None))
    for theirs in op.get_bind().scalars(new).all():
        op.execute(bands.delete().where(bands.c.receipt_id == theirs))
        op.execute(receipts.update().where(receipts.c.flagged_as == theirs).values(flag=None, flagged_as=None))
        op.execute(receipts.delete().where(receipts.c.id == theirs))
    replace_check("receipts", "ck_receipts_owner", _NOW, _BEFORE)
    for column, _table in _REFERENCES:
        drop_reference("receipts", column)
