"""The money desk: adjustments by staff, their receipts, and withdrawals (W31)."""

from __future__ import annotations

from enum import StrEnum

import sqlalchemy as sa

from app.column_types import Ascii, BigId, Money, UTCDateTime
from app.db import db


class AdjustmentStatus(StrEnum):
    PENDING = "pending"
    COMPLETED = "completed"
    CANCELLED = "cancelled"


class AdjustmentCause(StrEnum):
    """Why an adjustment was cancelled."""

    WITHDRAWN = "withdrawn"
    REJECTED = "rejected"
    LAPSED = "lapsed"
    FAILED = "failed"


class AdjustmentType(StrEnum):
    RECHARGE = "recharge"  # 充值, posts `recharge`
    TOP_UP = "top_up"  # 补差
    CORRECTION = "correction"  # 纠错
    GIFT = "gift"  # 赠送


class PaymentMethod(StrEnum):
    CASH = "cash"
    WECHAT_TRANSFER = "wechat_transfer"
    ALIPAY = "alipay"
    BANK_TRANSFER = "bank_transfer"
    POS = "pos"
    NONE = "none"


class WalletAdjustment(db.Model):
    """A staff member's manual change of a balance; a pending one moves no money (W11)."""

    __tablename__ = "wallet_adjustments"
    __table_args__ = (
        sa.CheckConstraint("amount <> 0", name="amount"),
        sa.CheckConstraint("status IN ('pending', 'completed', 'cancelled')", name="status"),
        # nobody approves what they asked for (P10); undoing one's own is `decided_by` NULL
        sa.CheckConstraint("decided_by IS NULL OR decided_by <> asked_by", name="two_persons"),
        # a transfer's own number is good once per method (W14)
        sa.UniqueConstraint("payment_method", "external_no_live", name="uq_wallet_adjustments_external_no"),
        sa.Index("ix_wallet_adjustments_status", "status", "created_at"),
        sa.Index("ix_wallet_adjustments_family", "family_id", "created_at"),
        sa.Index("ix_wallet_adjustments_asked_by", "asked_by", "created_at"),
        sa.Index("ix_wallet_adjustments_created_at", "created_at"),
        # the rolling sums of what one person completed alone (W12)
        sa.Index("ix_wallet_adjustments_decided", "asked_by", "decided_at"),
        sa.Index("ix_wallet_adjustments_decided_at", "decided_at"),
    )

    id = sa.Column(BigId(), primary_key=True, autoincrement=True)
    wallet_id = sa.Column(sa.BigInteger, sa.ForeignKey("wallets.id"), nullable=False)
    family_id = sa.Column(sa.BigInteger, sa.ForeignKey("families.id"), nullable=False)
    #: signed yuan
    amount = sa.Column(Money, nullable=False)
    type = sa.Column(Ascii(16), nullable=False)
    payment_method = sa.Column(Ascii(16), nullable=False)
    #: the bank's or WeChat's own number of the transfer
    external_no = sa.Column(Ascii(64), nullable=True)
    #: the same while the adjustment is pending or completed, NULL once cancelled: what the unique key sees
    external_no_live = sa.Column(Ascii(64), nullable=True)
    reason_code = sa.Column(Ascii(32), nullable=False)
    note = sa.Column(sa.String(500), nullable=False)
    status = sa.Column(Ascii(16), nullable=False)
    cause = sa.Column(Ascii(16), nullable=True)
    cause_note = sa.Column(sa.String(500), nullable=True)
    #: whether another person must approve before it completes (W12)
    needs_approval = sa.Column(sa.Boolean, nullable=False)
    #: why, as codes such as `above_direct_limit,receipt_reused`
    approval_reasons = sa.Column(Ascii(255), nullable=False, default="")
    #: whether a receipt must be there before it completes (W13)
    needs_receipt = sa.Column(sa.Boolean, nullable=False)
    #: the wait for approval ends then; counted from its receipt on (W12)
    lapses_at = sa.Column(UTCDateTime, nullable=True)
    receipt_reminded_at = sa.Column(UTCDateTime, nullable=True)
    asked_by = sa.Column(sa.BigInteger, sa.ForeignKey("staff.id"), nullable=False)
    asked_at = sa.Column(UTCDateTime, nullable=False)
    decided_by = sa.Column(sa.BigInteger, sa.ForeignKey("staff.id"), nullable=True)
    decided_at = sa.Column(UTCDateTime, nullable=True)
    #: set when it completes
    transaction_id = sa.Column(sa.BigInteger, sa.ForeignKey("wallet_transactions.id"), nullable=True, unique=True)
    #: the adjustment that this one undoes, while it is pending or completed; undone once at most (W19)
    undoes_id = sa.Column(sa.BigInteger, sa.ForeignKey("wallet_adjustments.id"), nullable=True)
    undoes_live = sa.Column(sa.BigInteger, nullable=True, unique=True)
    #: rows of one sheet share it (W20)
    batch = sa.Column(Ascii(32), nullable=True, index=True)
    #: scope and key of the request that made it, for ever (R5)
    request_key = sa.Column(Ascii(120), nullable=False, unique=True)
    #: raised by every change: the fence for stale forms (Z2)
    version = sa.Column(sa.Integer, nullable=False, default=1)
    #: from opening the form to asking, in seconds (U19)
    form_seconds = sa.Column(sa.Integer, nullable=True)
    created_at = sa.Column(UTCDateTime, nullable=False)


class WithdrawalStatus(StrEnum):
    REQUESTED = "requested"
    APPROVED = "approved"
    PAID = "paid"
    REJECTED = "rejected"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Withdrawal(db.Model):
    """A parent's wish to have money back (W21). What is done with it: app/domain/withdrawals."""

    __tablename__ = "withdrawals"
    __table_args__ = (
        sa.CheckConstraint("amount > 0", name="amount"),
        sa.CheckConstraint(
            "status IN ('requested', 'approved', 'paid', 'rejected', 'failed', 'cancelled')", name="status"
        ),
        # nobody pays out what they approved (P10)
        sa.CheckConstraint(
            "paid_by IS NULL OR (approved_by IS NOT NULL AND paid_by <> approved_by)", name="two_persons"
        ),
        sa.Index("ix_withdrawals_status", "status", "created_at"),
        sa.Index("ix_withdrawals_decided", "status", "decided_at"),
        # one transfer pays one withdrawal, one request makes one
        sa.Index("uq_withdrawals_external_no", "method", "external_no", unique=True),
        sa.Index("uq_withdrawals_request_key", "request_key", unique=True),
    )

    id = sa.Column(BigId(), primary_key=True, autoincrement=True)
    wallet_id = sa.Column(sa.BigInteger, sa.ForeignKey("wallets.id"), nullable=False, index=True)
    user_id = sa.Column(sa.BigInteger, sa.ForeignKey("users.id"), nullable=False)
    amount = sa.Column(Money, nullable=False)
    reason = sa.Column(sa.String(500), nullable=False)
    status = sa.Column(Ascii(16), nullable=False)
    debit_id = sa.Column(sa.BigInteger, sa.ForeignKey("wallet_transactions.id"), nullable=True, unique=True)
    reversal_id = sa.Column(sa.BigInteger, sa.ForeignKey("wallet_transactions.id"), nullable=True, unique=True)
    approved_by = sa.Column(sa.BigInteger, sa.ForeignKey("staff.id"), nullable=True)
    paid_by = sa.Column(sa.BigInteger, sa.ForeignKey("staff.id"), nullable=True)
    method = sa.Column(Ascii(16), nullable=True)
    #: the newest decision, whatever it was
    decided_at = sa.Column(UTCDateTime, nullable=True)
    created_at = sa.Column(UTCDateTime, nullable=False)
    approved_at = sa.Column(UTCDateTime, nullable=True)
    #: the bank's or WeChat's own number of the transfer that paid it
    external_no = sa.Column(Ascii(64), nullable=True)
    #: why it was rejected or failed, for the parent; who was given the money, for staff
    decision_note = sa.Column(sa.String(200), nullable=True)
    #: scope and key of the request that made it, for ever (R5)
    request_key = sa.Column(Ascii(120), nullable=True)
    #: when the money group was last told that it waits
    reminded_at = sa.Column(UTCDateTime, nullable=True)
    #: raised by every change: the fence for stale forms (Z2)
    version = sa.Column(sa.Integer, nullable=False, default=1, server_default=sa.text("1"))


class Receipt(db.Model):
    """A picture or PDF that shows that money moved. The file itself is in the receipt store (W14)."""

    __tablename__ = "receipts"
    __table_args__ = (
        sa.CheckConstraint(
            "(adjustment_id IS NOT NULL) + (withdrawal_id IS NOT NULL) + (offline_id IS NOT NULL)"
            " + (refund_id IS NOT NULL) = 1",
            name="owner",
        ),
        sa.Index("ix_receipts_sha256", "sha256"),
        sa.Index("ix_receipts_pixel_hash", "pixel_hash"),
    )

    id = sa.Column(BigId(), primary_key=True, autoincrement=True)
    adjustment_id = sa.Column(sa.BigInteger, sa.ForeignKey("wallet_adjustments.id"), nullable=True, index=True)
    withdrawal_id = sa.Column(sa.BigInteger, sa.ForeignKey("withdrawals.id"), nullable=True, index=True)
    #: a trial's money taken at the desk (O23), a refund paid out by hand (O16)
    offline_id = sa.Column(sa.BigInteger, sa.ForeignKey("offline_payments.id"), nullable=True, index=True)
    refund_id = sa.Column(sa.BigInteger, sa.ForeignKey("refunds.id"), nullable=True, index=True)
    #: random name in the store
    storage_key = sa.Column(Ascii(96), nullable=False, unique=True)
    media_type = sa.Column(Ascii(32), nullable=False)
    #: size of what is kept, in bytes
    bytes = sa.Column(sa.Integer, nullable=False)
    #: hex, of the bytes as they were uploaded
    sha256 = sa.Column(Ascii(64), nullable=False)
    #: hex SHA-256 of the decoded pixels: unchanged by a trailing byte or new metadata; NULL for PDF
    pixel_hash = sa.Column(Ascii(64), nullable=True)
    #: 64-bit perceptual hash as 16 hex digits; NULL for PDF
    lookalike_hash = sa.Column(Ascii(16), nullable=True)
    #: 1024 finer bits and the mean colour as 262 hex digits: confirm what the 64 bits found (desk/lookalike.py)
    detail_hash = sa.Column(Ascii(262), nullable=True)
    #: hex SHA-256 of what is kept, before encryption: what a restore is checked against
    stored_sha256 = sa.Column(Ascii(64), nullable=False)
    #: the receipt that this one equals or looks like
    flagged_as = sa.Column(sa.BigInteger, sa.ForeignKey("receipts.id"), nullable=True)
    #: `same`, `same_pixels`, `looks_alike`
    flag = sa.Column(Ascii(16), nullable=True)
    uploaded_by = sa.Column(sa.BigInteger, sa.ForeignKey("staff.id"), nullable=False)
    created_at = sa.Column(UTCDateTime, nullable=False)


class ReceiptBand(db.Model):
    """A 16-bit quarter of a perceptual hash: two pictures up to three bits apart share at least one (W14)."""

    __tablename__ = "receipt_bands"

    #: `0:9f3c`: which quarter, and its value
    band = sa.Column(Ascii(8), primary_key=True)
    receipt_id = sa.Column(sa.BigInteger, sa.ForeignKey("receipts.id"), primary_key=True)
