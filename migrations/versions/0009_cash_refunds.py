"""Money that came over the counter may go back over it: refunds to `cash`.

Revision ID: 0009_cash_refunds
Revises: 0008_waitlist
"""

from __future__ import annotations

from alembic import op

from migrations.columns import replace_check

revision = "0009_cash_refunds"
down_revision = "0008_waitlist"
branch_labels = None
depends_on = None

_BEFORE, _NOW = "refund_to IN ('original', 'wallet')", "refund_to IN ('original', 'wallet', 'cash')"


def upgrade() -> None:
    replace_check("refunds", "ck_refunds_refund_to", _BEFORE, _NOW)


def downgrade() -> None:
    # The version before knows no cash, and sends nothing to WeChat that has no next moment.
    op.execute("UPDATE refunds SET refund_to = 'original' WHERE refund_to = 'cash'")
    replace_check("refunds", "ck_refunds_refund_to", _NOW, _BEFORE)
