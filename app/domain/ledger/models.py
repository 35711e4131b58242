"""Wallets and their transactions (spec 20). Only the ledger writes here; triggers refuse everyone else."""

from __future__ import annotations

from enum import StrEnum

import sqlalchemy as sa

from app.column_types import Ascii, BigId, Digest, JSONText, Money, UTCDateTime
from app.db import db


class WalletStatus(StrEnum):
    ACTIVE = "active"
    FROZEN = "frozen"
    CLOSED = "closed"


class TransactionType(StrEnum):
    RECHARGE = "recharge"
    DEDUCTION = "deduction"
    ADJUSTMENT = "adjustment"
    REFUND = "refund"
    WITHDRAWAL = "withdrawal"
    WITHDRAWAL_REVERSAL = "withdrawal_reversal"
    TRANSFER_IN = "transfer_in"
    TRANSFER_OUT = "transfer_out"


class Wallet(db.Model):
    """A family's money. `balance`, `version` and `head_hash` mirror its newest transaction (W3)."""

    __tablename__ = "wallets"
    __table_args__ = (
        sa.CheckConstraint("version >= 0", name="version"),
        sa.CheckConstraint("status IN ('active', 'frozen', 'closed')", name="status"),
        sa.CheckConstraint("overdraft_limit IS NULL OR overdraft_limit >= 0", name="overdraft_limit"),
        sa.Index("ix_wallets_balance", "balance"),
    )

    id = sa.Column(BigId(), primary_key=True, autoincrement=True)
    family_id = sa.Column(sa.BigInteger, sa.ForeignKey("families.id"), nullable=False, unique=True)
    balance = sa.Column(Money, nullable=False)
    status = sa.Column(Ascii(16), nullable=False, default=WalletStatus.ACTIVE)
    #: seq of the newest transaction; 0 before the first
    version = sa.Column(sa.BigInteger, nullable=False, default=0)
    #: hash of the newest transaction; NULL before the first
    head_hash = sa.Column(Digest(), nullable=True)
    #: how far below zero this wallet may go, in yuan; NULL means the policy (W7)
    overdraft_limit = sa.Column(Money, nullable=True)
    #: when the balance last fell below zero; NULL while it is not (N7)
    arrears_since = sa.Column(UTCDateTime, nullable=True)
    #: bookings pass the arrears block until then (W23)
    bypass_until = sa.Column(UTCDateTime, nullable=True)
    bypass_reason = sa.Column(sa.String(500), nullable=True)
    bypass_by = sa.Column(sa.BigInteger, sa.ForeignKey("staff.id"), nullable=True)
    #: where a merged family's later credits go (P11)
    merged_into = sa.Column(sa.BigInteger, sa.ForeignKey("wallets.id"), nullable=True)
    created_at = sa.Column(UTCDateTime, nullable=False)
    updated_at = sa.Column(UTCDateTime, nullable=False)


class WalletTransaction(db.Model):
    """One movement of money. Rows never change and are never deleted (W2); a correction is another row."""

    __tablename__ = "wallet_transactions"
    __table_args__ = (
        sa.UniqueConstraint("wallet_id", "seq", name="uq_wallet_transactions_seq"),
        sa.CheckConstraint("balance_after = balance_before + amount", name="sum"),
        sa.CheckConstraint("seq >= 1", name="seq"),
        sa.CheckConstraint("amount <> 0", name="amount"),
        sa.Index("ix_wallet_transactions_reference", "reference_type", "reference_id"),
        sa.Index("ix_wallet_transactions_type", "wallet_id", "type", "seq"),
        # the history of one student; also what the foreign key needs
        sa.Index("ix_wallet_transactions_profile", "profile_id", "seq"),
        # what a span of moments moved, and so balances at any moment, without reading the rows (W24, W29)
        sa.Index("ix_wallet_transactions_created_at", "created_at", "wallet_id", "type", "amount"),
        sa.Index("ix_wallet_transactions_wallet_created", "wallet_id", "created_at"),
    )

    id = sa.Column(BigId(), primary_key=True, autoincrement=True)
    wallet_id = sa.Column(sa.BigInteger, sa.ForeignKey("wallets.id"), nullable=False)
    #: 1, 2, 3 … per wallet without a gap
    seq = sa.Column(sa.BigInteger, nullable=False)
    type = sa.Column(Ascii(24), nullable=False)
    #: signed yuan
    amount = sa.Column(Money, nullable=False)
    balance_before = sa.Column(Money, nullable=False)
    balance_after = sa.Column(Money, nullable=False)
    #: one movement per key, for ever (R5)
    idempotency_key = sa.Column(Ascii(96), nullable=False, unique=True)
    #: `booking`, `withdrawal`, `adjustment`, `refund`, `import`, `transfer` (96.32)
    reference_type = sa.Column(Ascii(16), nullable=False)
    reference_id = sa.Column(Ascii(64), nullable=False)
    #: the transaction that this one undoes; undone once at most
    reverses_id = sa.Column(sa.BigInteger, sa.ForeignKey("wallet_transactions.id"), nullable=True, unique=True)
    profile_id = sa.Column(sa.BigInteger, sa.ForeignKey("profiles.id"), nullable=True)
    user_id = sa.Column(sa.BigInteger, sa.ForeignKey("users.id"), nullable=True)
    #: the staff member who did it
    performed_by = sa.Column(sa.BigInteger, sa.ForeignKey("staff.id"), nullable=True)
    #: what the parent reads
    reason = sa.Column(sa.String(500), nullable=False)
    details = sa.Column("metadata", JSONText, nullable=True)
    created_at = sa.Column(UTCDateTime, nullable=False)
    prev_hash = sa.Column(Digest(), nullable=True)
    hash = sa.Column(Digest(), nullable=False)


class ArrearsStep(db.Model):
    """A later step of an arrears that the family was told (N7); day 0 is the message of the debit itself."""

    __tablename__ = "arrears_steps"
    __table_args__ = (
        sa.CheckConstraint("step IN ('second', 'third')", name="step"),
        sa.CheckConstraint("owed > 0", name="owed"),
    )

    wallet_id = sa.Column(sa.BigInteger, sa.ForeignKey("wallets.id"), primary_key=True, autoincrement=False)
    #: `wallets.arrears_since` of that arrears: one that is paid and begins anew has its steps anew
    since = sa.Column(UTCDateTime, primary_key=True)
    step = sa.Column(Ascii(8), primary_key=True)
    #: yuan, positive
    owed = sa.Column(Money, nullable=False)
    told_at = sa.Column(UTCDateTime, nullable=False)


class LedgerAnchor(db.Model):
    """A verified state of the whole ledger: one Merkle root over (wallet, seq, hash), with count and sum (W32)."""

    __tablename__ = "ledger_anchors"

    id = sa.Column(BigId(), primary_key=True, autoincrement=True)
    created_at = sa.Column(UTCDateTime, nullable=False)
    #: hex; this is what leaves the machine each morning
    root = sa.Column(Ascii(64), nullable=False, index=True)
    wallets = sa.Column(sa.BigInteger, nullable=False)
    transactions = sa.Column(sa.BigInteger, nullable=False)
    balance_sum = sa.Column(sa.String(32), nullable=False)


class LedgerAnchorLeaf(db.Model):
    """A wallet's head when an anchor was made, kept only for wallets that moved since the anchor before."""

    __tablename__ = "ledger_anchor_leaves"

    wallet_id = sa.Column(sa.BigInteger, primary_key=True, autoincrement=False)
    anchor_id = sa.Column(sa.BigInteger, sa.ForeignKey("ledger_anchors.id"), primary_key=True)
    seq = sa.Column(sa.BigInteger, nullable=False)
    balance = sa.Column(Money, nullable=False)
    hash = sa.Column(Digest(), nullable=True)
