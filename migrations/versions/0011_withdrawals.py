"""Withdrawals: who approved when, the transfer's number, the decision's words, and the fence for stale forms.

Revision ID: 0011_withdrawals
Revises: 0010_makeups
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from migrations.columns import add_column, ascii_, create_index, drop_column, is_sqlite, utc

revision = "0011_withdrawals"
down_revision = "0010_makeups"
branch_labels = None
depends_on = None

_CHECKS = {
    "ck_withdrawals_status": "status IN ('requested', 'approved', 'paid', 'rejected', 'failed', 'cancelled')",
    "ck_withdrawals_two_persons": ("paid_by IS NULL OR (approved_by IS NOT NULL AND paid_by <> approved_by)"),
}


def upgrade() -> None:
    add_column("withdrawals", sa.Column("approved_at", utc(), nullable=True))
    add_column("withdrawals", sa.Column("external_no", ascii_(64), nullable=True))
    add_column("withdrawals", sa.Column("decision_note", sa.String(200), nullable=True))
    add_column("withdrawals", sa.Column("request_key", ascii_(120), nullable=True))
    add_column("withdrawals", sa.Column("reminded_at", utc(), nullable=True))
    _add_version_with_checks()
    create_index("uq_withdrawals_external_no", "withdrawals", ["method", "external_no"], unique=True)
    create_index("uq_withdrawals_request_key", "withdrawals", ["request_key"], unique=True)


def downgrade() -> None:
    if not is_sqlite():
        there = _checks()
        for name in _CHECKS:
            if name in there:
                op.execute(f"ALTER TABLE withdrawals DROP CONSTRAINT {name}")
    indexes = {index["name"] for index in sa.inspect(op.get_bind()).get_indexes("withdrawals")}
    for name in ("uq_withdrawals_request_key", "uq_withdrawals_external_no"):
        if name in indexes:
            op.drop_index(name, "withdrawals")
    for name in ("version", "reminded_at", "request_key", "decision_note", "external_no", "approved_at"):
        drop_column("withdrawals", name)


def _add_version_with_checks() -> None:
    if not is_sqlite():
        add_column("withdrawals", sa.Column("version", sa.Integer(), nullable=False, server_default="1"))
        there = _checks()
        for name, condition in _CHECKS.items():
            if name not in there:
                op.execute(f"ALTER TABLE withdrawals ADD CONSTRAINT {name} CHECK ({condition})")
        return
    # SQLite adds a check to a table that is there only together with a column, and drops it with that column.
    if "version" not in {found["name"] for found in sa.inspect(op.get_bind()).get_columns("withdrawals")}:
        checks = " ".join(f"CONSTRAINT {name} CHECK ({condition})" for name, condition in _CHECKS.items())
        op.execute(f"ALTER TABLE withdrawals ADD COLUMN version INTEGER DEFAULT '1' NOT NULL {checks}")


def _checks() -> set[str]:
    return {check["name"] for check in sa.inspect(op.get_bind()).get_check_constraints("withdrawals")}
