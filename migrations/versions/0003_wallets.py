"""Wallets, their transactions, anchors; the triggers that refuse money without a row.

Revision ID: 0003_wallets
Revises: 0002_audit
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
    digest,
    drop_table,
    is_sqlite,
    money,
    refuse,
    utc,
)

revision = "0003_wallets"
down_revision = "0002_audit"
branch_labels = None
depends_on = None


def upgrade() -> None:
    create_table(
        "ledger_anchors",
        sa.Column("id", big_id(), autoincrement=True, nullable=False),
        sa.Column("created_at", utc(), nullable=False),
        sa.Column("root", ascii_(64), nullable=False),
        sa.Column("wallets", sa.BigInteger(), nullable=False),
        sa.Column("transactions", sa.BigInteger(), nullable=False),
        sa.Column("balance_sum", sa.String(32), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_ledger_anchors"),
    )
    create_index("ix_ledger_anchors_root", "ledger_anchors", ["root"])
    create_table(
        "ledger_anchor_leaves",
        sa.Column("wallet_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("anchor_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("balance", money(), nullable=False),
        sa.Column("hash", digest(), nullable=True),
        sa.PrimaryKeyConstraint("wallet_id", "anchor_id", name="pk_ledger_anchor_leaves"),
        sa.ForeignKeyConstraint(["anchor_id"], ["ledger_anchors.id"], name="fk_ledger_anchor_leaves_anchor_id"),
    )
    create_table(
        "wallets",
        sa.Column("id", big_id(), autoincrement=True, nullable=False),
        sa.Column("family_id", sa.BigInteger(), nullable=False),
        sa.Column("balance", money(), nullable=False),
        sa.Column("status", ascii_(16), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("head_hash", digest(), nullable=True),
        sa.Column("overdraft_limit", money(), nullable=True),
        sa.Column("bypass_until", utc(), nullable=True),
        sa.Column("bypass_reason", sa.String(500), nullable=True),
        sa.Column("bypass_by", sa.BigInteger(), nullable=True),
        sa.Column("merged_into", sa.BigInteger(), nullable=True),
        sa.Column("created_at", utc(), nullable=False),
        sa.Column("updated_at", utc(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_wallets"),
        sa.ForeignKeyConstraint(["family_id"], ["families.id"], name="fk_wallets_family_id"),
        sa.ForeignKeyConstraint(["bypass_by"], ["staff.id"], name="fk_wallets_bypass_by"),
        sa.ForeignKeyConstraint(["merged_into"], ["wallets.id"], name="fk_wallets_merged_into"),
        sa.UniqueConstraint("family_id", name="uq_wallets_family_id"),
        sa.CheckConstraint("overdraft_limit IS NULL OR overdraft_limit >= 0", name=op.f("ck_wallets_overdraft_limit")),
        sa.CheckConstraint("status IN ('active', 'frozen', 'closed')", name=op.f("ck_wallets_status")),
        sa.CheckConstraint("version >= 0", name=op.f("ck_wallets_version")),
    )
    create_index("ix_wallets_balance", "wallets", ["balance"])
    create_table(
        "wallet_transactions",
        sa.Column("id", big_id(), autoincrement=True, nullable=False),
        sa.Column("wallet_id", sa.BigInteger(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("type", ascii_(24), nullable=False),
        sa.Column("amount", money(), nullable=False),
        sa.Column("balance_before", money(), nullable=False),
        sa.Column("balance_after", money(), nullable=False),
        sa.Column("idempotency_key", ascii_(96), nullable=False),
        sa.Column("reference_type", ascii_(16), nullable=False),
        sa.Column("reference_id", ascii_(64), nullable=False),
        sa.Column("reverses_id", sa.BigInteger(), nullable=True),
        sa.Column("profile_id", sa.BigInteger(), nullable=True),
        sa.Column("user_id", sa.BigInteger(), nullable=True),
        sa.Column("performed_by", sa.BigInteger(), nullable=True),
        sa.Column("reason", sa.String(500), nullable=False),
        sa.Column("metadata", sa.Text(), nullable=True),
        sa.Column("created_at", utc(), nullable=False),
        sa.Column("prev_hash", digest(), nullable=True),
        sa.Column("hash", digest(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_wallet_transactions"),
        sa.ForeignKeyConstraint(["wallet_id"], ["wallets.id"], name="fk_wallet_transactions_wallet_id"),
        sa.ForeignKeyConstraint(["reverses_id"], ["wallet_transactions.id"], name="fk_wallet_transactions_reverses_id"),
        sa.ForeignKeyConstraint(["profile_id"], ["profiles.id"], name="fk_wallet_transactions_profile_id"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_wallet_transactions_user_id"),
        sa.ForeignKeyConstraint(["performed_by"], ["staff.id"], name="fk_wallet_transactions_performed_by"),
        sa.UniqueConstraint("idempotency_key", name="uq_wallet_transactions_idempotency_key"),
        sa.UniqueConstraint("reverses_id", name="uq_wallet_transactions_reverses_id"),
        sa.UniqueConstraint("wallet_id", "seq", name="uq_wallet_transactions_seq"),
        sa.CheckConstraint("amount <> 0", name=op.f("ck_wallet_transactions_amount")),
        sa.CheckConstraint("seq >= 1", name=op.f("ck_wallet_transactions_seq")),
        sa.CheckConstraint("balance_after = balance_before + amount", name=op.f("ck_wallet_transactions_sum")),
    )
    create_index("ix_wallet_transactions_created_at", "wallet_transactions", ["created_at"])
    create_index("ix_wallet_transactions_profile", "wallet_transactions", ["profile_id", "seq"])
    create_index("ix_wallet_transactions_reference", "wallet_transactions", ["reference_type", "reference_id"])
    create_index("ix_wallet_transactions_type", "wallet_transactions", ["wallet_id", "type", "seq"])
    create_index("ix_wallet_transactions_wallet_created", "wallet_transactions", ["wallet_id", "created_at"])
    _triggers()


def downgrade() -> None:
    for table in (
        "wallet_transactions",
        "wallets",
        "ledger_anchor_leaves",
        "ledger_anchors",
    ):
        drop_table(table)


def _triggers() -> None:
    for action in ("UPDATE", "DELETE"):
        refuse(
            f"wallet_transactions_no_{action.lower()}",
            "wallet_transactions",
            action,
            "wallet_transactions is append-only",
        )
    refuse("wallets_no_delete", "wallets", "DELETE", "a wallet is closed, never deleted")
    if is_sqlite():
        _sqlite_triggers()
    else:
        _mysql_triggers()


# A new row must continue its wallet: next seq, same balance, same head. Rows of a wallet therefore form one chain
# even for hand-written SQL. A wallet's balance, version and head may change only together, to what the row with
# that seq says (W3). NULL-safe equality is `<=>` on MySQL and IS on SQLite.


def _mysql_triggers() -> None:
    create_trigger(
        "wallet_transactions_continue",
        "wallet_transactions",
        "BEFORE INSERT",
        """
        BEGIN
          DECLARE fits INT DEFAULT 0;
          SELECT COUNT(*) INTO fits FROM wallets w
           WHERE w.id = NEW.wallet_id AND w.version + 1 = NEW.seq AND w.balance = NEW.balance_before
             AND w.head_hash <=> NEW.prev_hash;
          IF fits <> 1 THEN
            SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'the row does not continue its wallet';
          END IF;
        END""",
    )
    create_trigger(
        "wallets_follow_transactions",
        "wallets",
        "BEFORE UPDATE",
        """
        BEGIN
          IF NOT (NEW.balance <=> OLD.balance AND NEW.version <=> OLD.version AND NEW.head_hash <=> OLD.head_hash)
             AND NOT EXISTS (SELECT 1 FROM wallet_transactions t
                              WHERE t.wallet_id = NEW.id AND t.seq = NEW.version
                                AND NEW.version = OLD.version + 1
                                AND t.balance_after = NEW.balance AND t.hash = NEW.head_hash) THEN
            SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'a balance moves only with its transaction';
          END IF;
          IF NEW.id <> OLD.id OR NEW.family_id <> OLD.family_id THEN
            SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'a wallet keeps its id and family';
          END IF;
        END""",
    )
    create_trigger(
        "wallets_begin_empty",
        "wallets",
        "BEFORE INSERT",
        """
        BEGIN
          IF NEW.balance <> 0 OR NEW.version <> 0 OR NEW.head_hash IS NOT NULL THEN
            SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'a wallet begins empty';
          END IF;
        END""",
    )


def _sqlite_triggers() -> None:
    create_trigger(
        "wallet_transactions_continue",
        "wallet_transactions",
        "BEFORE INSERT",
        """
        WHEN NOT EXISTS (SELECT 1 FROM wallets w
             WHERE w.id = NEW.wallet_id AND w.version + 1 = NEW.seq AND w.balance = NEW.balance_before
               AND w.head_hash IS NEW.prev_hash)
        BEGIN SELECT RAISE(ABORT, 'the row does not continue its wallet'); END""",
    )
    create_trigger(
        "wallets_follow_transactions",
        "wallets",
        "BEFORE UPDATE",
        """
        WHEN NOT (NEW.balance IS OLD.balance AND NEW.version IS OLD.version AND NEW.head_hash IS OLD.head_hash)
         AND NOT EXISTS (SELECT 1 FROM wallet_transactions t
             WHERE t.wallet_id = NEW.id AND t.seq = NEW.version AND NEW.version = OLD.version + 1
               AND t.balance_after = NEW.balance AND t.hash = NEW.head_hash)
        BEGIN SELECT RAISE(ABORT, 'a balance moves only with its transaction'); END""",
    )
    create_trigger(
        "wallets_keep_identity",
        "wallets",
        "BEFORE UPDATE",
        """
        WHEN NEW.id <> OLD.id OR NEW.family_id <> OLD.family_id
        BEGIN SELECT RAISE(ABORT, 'a wallet keeps its id and family'); END""",
    )
    create_trigger(
        "wallets_begin_empty",
        "wallets",
        "BEFORE INSERT",
        """
        WHEN NEW.balance <> 0 OR NEW.version <> 0 OR NEW.head_hash IS NOT NULL
        BEGIN SELECT RAISE(ABORT, 'a wallet begins empty'); END""",
    )
    # INSERT OR REPLACE deletes what is in its way without firing DELETE triggers, unless the connection has
    # recursive_triggers on. Ours have; the sqlite3 shell has not, and is refused by these two.
    create_trigger(
        "wallet_transactions_no_replace",
        "wallet_transactions",
        "BEFORE INSERT",
        """
        WHEN EXISTS (SELECT 1 FROM wallet_transactions t WHERE t.id = NEW.id)
          OR EXISTS (SELECT 1 FROM wallet_transactions t WHERE t.idempotency_key = NEW.idempotency_key)
          OR EXISTS (SELECT 1 FROM wallet_transactions t WHERE t.wallet_id = NEW.wallet_id AND t.seq = NEW.seq)
          OR EXISTS (SELECT 1 FROM wallet_transactions t WHERE t.reverses_id = NEW.reverses_id)
        BEGIN SELECT RAISE(ABORT, 'UNIQUE: the row, its key or its reversal exists'); END""",
    )
    create_trigger(
        "wallets_no_replace",
        "wallets",
        "BEFORE INSERT",
        """
        WHEN EXISTS (SELECT 1 FROM wallets w WHERE w.id = NEW.id OR w.family_id = NEW.family_id)
        BEGIN SELECT RAISE(ABORT, 'UNIQUE: the family has its wallet'); END""",
    )
