"""Adjustments, withdrawals, receipts.

Revision ID: 0004_desk
Revises: 0003_wallets
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from migrations.columns import ascii_, big_id, create_index, create_table, drop_table, money, utc

revision = "0004_desk"
down_revision = "0003_wallets"
branch_labels = None
depends_on = None


def upgrade() -> None:
    create_table(
        "wallet_adjustments",
        sa.Column("id", big_id(), autoincrement=True, nullable=False),
        sa.Column("wallet_id", sa.BigInteger(), nullable=False),
        sa.Column("family_id", sa.BigInteger(), nullable=False),
        sa.Column("amount", money(), nullable=False),
        sa.Column("type", ascii_(16), nullable=False),
        sa.Column("payment_method", ascii_(16), nullable=False),
        sa.Column("external_no", ascii_(64), nullable=True),
        sa.Column("external_no_live", ascii_(64), nullable=True),
        sa.Column("reason_code", ascii_(32), nullable=False),
        sa.Column("note", sa.String(500), nullable=False),
        sa.Column("status", ascii_(16), nullable=False),
        sa.Column("cause", ascii_(16), nullable=True),
        sa.Column("cause_note", sa.String(500), nullable=True),
        sa.Column("needs_approval", sa.Boolean(), nullable=False),
        sa.Column("approval_reasons", ascii_(255), nullable=False),
        sa.Column("needs_receipt", sa.Boolean(), nullable=False),
        sa.Column("lapses_at", utc(), nullable=True),
        sa.Column("receipt_reminded_at", utc(), nullable=True),
        sa.Column("asked_by", sa.BigInteger(), nullable=False),
        sa.Column("asked_at", utc(), nullable=False),
        sa.Column("decided_by", sa.BigInteger(), nullable=True),
        sa.Column("decided_at", utc(), nullable=True),
        sa.Column("transaction_id", sa.BigInteger(), nullable=True),
        sa.Column("undoes_id", sa.BigInteger(), nullable=True),
        sa.Column("undoes_live", sa.BigInteger(), nullable=True),
        sa.Column("batch", ascii_(32), nullable=True),
        sa.Column("request_key", ascii_(120), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("form_seconds", sa.Integer(), nullable=True),
        sa.Column("created_at", utc(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_wallet_adjustments"),
        sa.ForeignKeyConstraint(["wallet_id"], ["wallets.id"], name="fk_wallet_adjustments_wallet_id"),
        sa.ForeignKeyConstraint(["family_id"], ["families.id"], name="fk_wallet_adjustments_family_id"),
        sa.ForeignKeyConstraint(["asked_by"], ["staff.id"], name="fk_wallet_adjustments_asked_by"),
        sa.ForeignKeyConstraint(["decided_by"], ["staff.id"], name="fk_wallet_adjustments_decided_by"),
        sa.ForeignKeyConstraint(
            ["transaction_id"], ["wallet_transactions.id"], name="fk_wallet_adjustments_transaction_id"
        ),
        sa.ForeignKeyConstraint(["undoes_id"], ["wallet_adjustments.id"], name="fk_wallet_adjustments_undoes_id"),
        sa.UniqueConstraint("payment_method", "external_no_live", name="uq_wallet_adjustments_external_no"),
        sa.UniqueConstraint("request_key", name="uq_wallet_adjustments_request_key"),
        sa.UniqueConstraint("transaction_id", name="uq_wallet_adjustments_transaction_id"),
        sa.UniqueConstraint("undoes_live", name="uq_wallet_adjustments_undoes_live"),
        sa.CheckConstraint("amount <> 0", name=op.f("ck_wallet_adjustments_amount")),
        sa.CheckConstraint(
            "status IN ('pending', 'completed', 'cancelled')", name=op.f("ck_wallet_adjustments_status")
        ),
        sa.CheckConstraint(
            "decided_by IS NULL OR decided_by <> asked_by", name=op.f("ck_wallet_adjustments_two_persons")
        ),
    )
    create_index("ix_wallet_adjustments_asked_by", "wallet_adjustments", ["asked_by", "created_at"])
    create_index("ix_wallet_adjustments_batch", "wallet_adjustments", ["batch"])
    create_index("ix_wallet_adjustments_created_at", "wallet_adjustments", ["created_at"])
    create_index("ix_wallet_adjustments_decided", "wallet_adjustments", ["asked_by", "decided_at"])
    create_index("ix_wallet_adjustments_family", "wallet_adjustments", ["family_id", "created_at"])
    create_index("ix_wallet_adjustments_status", "wallet_adjustments", ["status", "created_at"])
    create_table(
        "withdrawals",
        sa.Column("id", big_id(), autoincrement=True, nullable=False),
        sa.Column("wallet_id", sa.BigInteger(), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("amount", money(), nullable=False),
        sa.Column("reason", sa.String(500), nullable=False),
        sa.Column("status", ascii_(16), nullable=False),
        sa.Column("debit_id", sa.BigInteger(), nullable=True),
        sa.Column("reversal_id", sa.BigInteger(), nullable=True),
        sa.Column("approved_by", sa.BigInteger(), nullable=True),
        sa.Column("paid_by", sa.BigInteger(), nullable=True),
        sa.Column("method", ascii_(16), nullable=True),
        sa.Column("decided_at", utc(), nullable=True),
        sa.Column("created_at", utc(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_withdrawals"),
        sa.ForeignKeyConstraint(["wallet_id"], ["wallets.id"], name="fk_withdrawals_wallet_id"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_withdrawals_user_id"),
        sa.ForeignKeyConstraint(["debit_id"], ["wallet_transactions.id"], name="fk_withdrawals_debit_id"),
        sa.ForeignKeyConstraint(["reversal_id"], ["wallet_transactions.id"], name="fk_withdrawals_reversal_id"),
        sa.ForeignKeyConstraint(["approved_by"], ["staff.id"], name="fk_withdrawals_approved_by"),
        sa.ForeignKeyConstraint(["paid_by"], ["staff.id"], name="fk_withdrawals_paid_by"),
        sa.UniqueConstraint("debit_id", name="uq_withdrawals_debit_id"),
        sa.UniqueConstraint("reversal_id", name="uq_withdrawals_reversal_id"),
        sa.CheckConstraint("amount > 0", name=op.f("ck_withdrawals_amount")),
    )
    create_index("ix_withdrawals_status", "withdrawals", ["status", "created_at"])
    create_index("ix_withdrawals_wallet_id", "withdrawals", ["wallet_id"])
    create_table(
        "receipts",
        sa.Column("id", big_id(), autoincrement=True, nullable=False),
        sa.Column("adjustment_id", sa.BigInteger(), nullable=True),
        sa.Column("withdrawal_id", sa.BigInteger(), nullable=True),
        sa.Column("storage_key", ascii_(96), nullable=False),
        sa.Column("media_type", ascii_(32), nullable=False),
        sa.Column("bytes", sa.Integer(), nullable=False),
        sa.Column("sha256", ascii_(64), nullable=False),
        sa.Column("pixel_hash", ascii_(64), nullable=True),
        sa.Column("lookalike_hash", ascii_(16), nullable=True),
        sa.Column("detail_hash", ascii_(262), nullable=True),
        sa.Column("stored_sha256", ascii_(64), nullable=False),
        sa.Column("flagged_as", sa.BigInteger(), nullable=True),
        sa.Column("flag", ascii_(16), nullable=True),
        sa.Column("uploaded_by", sa.BigInteger(), nullable=False),
        sa.Column("created_at", utc(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_receipts"),
        sa.ForeignKeyConstraint(["adjustment_id"], ["wallet_adjustments.id"], name="fk_receipts_adjustment_id"),
        sa.ForeignKeyConstraint(["withdrawal_id"], ["withdrawals.id"], name="fk_receipts_withdrawal_id"),
        sa.ForeignKeyConstraint(["flagged_as"], ["receipts.id"], name="fk_receipts_flagged_as"),
        sa.ForeignKeyConstraint(["uploaded_by"], ["staff.id"], name="fk_receipts_uploaded_by"),
        sa.UniqueConstraint("storage_key", name="uq_receipts_storage_key"),
        sa.CheckConstraint("(adjustment_id IS NULL) <> (withdrawal_id IS NULL)", name=op.f("ck_receipts_owner")),
    )
    create_index("ix_receipts_adjustment_id", "receipts", ["adjustment_id"])
    create_index("ix_receipts_pixel_hash", "receipts", ["pixel_hash"])
    create_index("ix_receipts_sha256", "receipts", ["sha256"])
    create_index("ix_receipts_withdrawal_id", "receipts", ["withdrawal_id"])
    create_table(
        "receipt_bands",
        sa.Column("band", ascii_(8), nullable=False),
        sa.Column("receipt_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("band", "receipt_id", name="pk_receipt_bands"),
        sa.ForeignKeyConstraint(["receipt_id"], ["receipts.id"], name="fk_receipt_bands_receipt_id"),
    )


def downgrade() -> None:
    for table in (
        "receipt_bands",
        "receipts",
        "withdrawals",
        "wallet_adjustments",
    ):
        drop_table(table)
