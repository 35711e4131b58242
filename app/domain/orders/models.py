"""Trial orders, their payments and refunds (spec 40). Money is yuan; fen exist in the gateway and in what it stored."""

from __future__ import annotations

from enum import StrEnum

import sqlalchemy as sa

from app.column_types import Ascii, BigId, JSONText, Money, UTCDateTime
from app.db import db


class OrderStatus(StrEnum):
    PENDING = "pending"
    PAID = "paid"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


class PaymentMethod(StrEnum):
    WECHAT_PAY = "wechat_pay"
    OFFLINE = "offline"


class PaymentOrder(db.Model):
    """A parent's order of one trial class (O1)."""

    __tablename__ = "payment_orders"
    __table_args__ = (
        # In SQLite, where money is whole fen, the migration says 20000.
        sa.CheckConstraint("amount = 200.00", name="amount"),
        sa.CheckConstraint("currency = 'CNY'", name="currency"),
        sa.CheckConstraint("status IN ('pending', 'paid', 'failed', 'cancelled', 'expired')", name="status"),
        sa.CheckConstraint("payment_method IN ('wechat_pay', 'offline')", name="payment_method"),
        sa.CheckConstraint("status <> 'paid' OR paid_at IS NOT NULL", name="paid_at"),
        sa.CheckConstraint("shipping_status IN ('due', 'sent', 'failed')", name="shipping_status"),
        sa.Index("ix_payment_orders_user_id", "user_id"),
        sa.Index("ix_payment_orders_family_id", "family_id", "id"),
        sa.Index("ix_payment_orders_session", "course_schedule_id", "status"),
        sa.Index("ix_payment_orders_due", "status", "expires_at"),
        sa.Index("ix_payment_orders_created_at", "created_at"),
        sa.Index("ix_payment_orders_paid_at", "paid_at"),
        sa.Index("ix_payment_orders_shipping", "shipping_status", "shipping_next_at"),
    )

    id = sa.Column(BigId(), primary_key=True, autoincrement=True)
    #: 32 hex digits; also the first attempt's `out_trade_no`
    order_id = sa.Column(Ascii(32), nullable=False, unique=True)
    user_id = sa.Column(sa.BigInteger, sa.ForeignKey("users.id"), nullable=False)
    family_id = sa.Column(sa.BigInteger, sa.ForeignKey("families.id"), nullable=False)
    profile_id = sa.Column(sa.BigInteger, sa.ForeignKey("profiles.id"), nullable=False, index=True)
    course_schedule_id = sa.Column(sa.BigInteger, sa.ForeignKey("course_schedules.id"), nullable=False)
    #: yuan; a trial costs 200.00 whatever its course says (96.45)
    amount = sa.Column(Money, nullable=False)
    currency = sa.Column(Ascii(3), nullable=False, default="CNY")
    status = sa.Column(Ascii(16), nullable=False, default=OrderStatus.PENDING)
    payment_method = sa.Column(Ascii(16), nullable=False, default=PaymentMethod.WECHAT_PAY)
    description = sa.Column(sa.String(127), nullable=False)
    #: while WeChat has not confirmed that an attempt of an ended order is closed (96.42)
    closing = sa.Column(sa.Boolean, nullable=False, default=False)
    #: the parent's phone, or WeChat, on why it was not paid (error analytics)
    failure_reason = sa.Column(sa.String(200), nullable=True)
    #: when WeChat was last asked about it: at most every 5 s (96.50)
    asked_at = sa.Column(UTCDateTime, nullable=True)
    expires_at = sa.Column(UTCDateTime, nullable=False)
    paid_at = sa.Column(UTCDateTime, nullable=True)
    #: when it was cancelled, failed or expired
    ended_at = sa.Column(UTCDateTime, nullable=True)
    #: the booking that its payment made; NULL while unpaid, and for a paid one without a seat
    booking_id = sa.Column(sa.BigInteger, sa.ForeignKey("bookings.id"), nullable=True, unique=True)
    #: whether WeChat was told that the goods were delivered (O20): NULL where it need not be
    shipping_status = sa.Column(Ascii(16), nullable=True)
    shipping_tries = sa.Column(sa.Integer, nullable=False, default=0)
    shipping_next_at = sa.Column(UTCDateTime, nullable=True)
    shipping_error = sa.Column(sa.String(200), nullable=True)
    created_at = sa.Column(UTCDateTime, nullable=False)
    updated_at = sa.Column(UTCDateTime, nullable=False)


class ShippingStatus(StrEnum):
    DUE = "due"
    SENT = "sent"
    FAILED = "failed"


class TrialClaim(db.Model):
    """Who has a live trial order: one row per openid, phone and student. The primary key is the rule O2."""

    __tablename__ = "trial_claims"

    #: `openid:…`, `phone:` + blind index, `profile:12`
    identity = sa.Column(Ascii(96), primary_key=True)
    order_id = sa.Column(sa.BigInteger, sa.ForeignKey("payment_orders.id"), nullable=False, index=True)


class AttemptStatus(StrEnum):
    OPEN = "open"
    CLOSING = "closing"
    CLOSED = "closed"
    PAID = "paid"


class TradeType(StrEnum):
    JSAPI = "JSAPI"
    NATIVE = "NATIVE"
    OFFLINE = "OFFLINE"


class PaymentAttempt(db.Model):
    """One `out_trade_no` at WeChat: it fixes trade type and `time_expire` (96.38)."""

    __tablename__ = "payment_attempts"
    __table_args__ = (
        sa.UniqueConstraint("open_order_id", name="uq_payment_attempts_open"),
        sa.CheckConstraint("status IN ('open', 'closing', 'closed', 'paid')", name="status"),
        sa.CheckConstraint("trade_type IN ('JSAPI', 'NATIVE')", name="trade_type"),
        # Whom WeChat is asked about next.
        sa.Index("ix_payment_attempts_due", "status", "next_query_at"),
        sa.Index("ix_payment_attempts_created_at", "created_at"),
    )

    id = sa.Column(BigId(), primary_key=True, autoincrement=True)
    order_id = sa.Column(sa.BigInteger, sa.ForeignKey("payment_orders.id"), nullable=False, index=True)
    reservation_id = sa.Column(sa.BigInteger, sa.ForeignKey("seat_reservations.id"), nullable=False)
    out_trade_no = sa.Column(Ascii(32), nullable=False, unique=True)
    trade_type = sa.Column(Ascii(16), nullable=False)
    status = sa.Column(Ascii(16), nullable=False, default=AttemptStatus.OPEN)
    open_order_id = sa.Column(sa.BigInteger, sa.Computed("CASE WHEN status = 'open' THEN order_id END", persisted=True))
    #: whole seconds: what WeChat was told
    time_expire = sa.Column(UTCDateTime, nullable=False)
    #: whose openid JSAPI was started for
    openid = sa.Column(Ascii(64), nullable=True)
    prepay_id = sa.Column(Ascii(128), nullable=True)
    code_url = sa.Column(Ascii(255), nullable=True)
    #: what the phone reported, and why it said so (O21)
    reported = sa.Column(Ascii(16), nullable=True)
    failure_reason = sa.Column(sa.String(200), nullable=True)
    #: how WeChat answered when it was started: `ok`, or the error's code (O25)
    start_result = sa.Column(Ascii(64), nullable=True)
    #: how often WeChat was asked, and when it is next; NULL: not any more
    queries = sa.Column(sa.Integer, nullable=False, default=0)
    next_query_at = sa.Column(UTCDateTime, nullable=True)
    created_at = sa.Column(UTCDateTime, nullable=False)
    updated_at = sa.Column(UTCDateTime, nullable=False)


class PaymentSource(StrEnum):
    """Which of the ways into `settle` brought it."""

    CALLBACK = "callback"
    QUERY = "query"
    BILL = "bill"
    OFFLINE = "offline"


class PaymentTransaction(db.Model):
    """Money that came in, by WeChat's word (or over the counter, O23). Unique by WeChat's number; never changed."""

    __tablename__ = "payment_transactions"
    __table_args__ = (
        sa.CheckConstraint("total_fee > 0", name="total_fee"),
        sa.CheckConstraint("fee_type = 'CNY'", name="fee_type"),
        sa.Index("ix_payment_transactions_out_trade_no", "out_trade_no"),
        sa.Index("ix_payment_transactions_trade_state", "trade_state"),
        sa.Index("ix_payment_transactions_created_at", "created_at"),
    )

    id = sa.Column(BigId(), primary_key=True, autoincrement=True)
    #: WeChat's, or `offline-` + order_id
    transaction_id = sa.Column(Ascii(64), nullable=False, unique=True)
    order_id = sa.Column(sa.BigInteger, sa.ForeignKey("payment_orders.id"), nullable=False, index=True)
    attempt_id = sa.Column(sa.BigInteger, sa.ForeignKey("payment_attempts.id"), nullable=True)
    out_trade_no = sa.Column(Ascii(32), nullable=False)
    trade_type = sa.Column(Ascii(16), nullable=False)
    trade_state = sa.Column(Ascii(32), nullable=False)
    bank_type = sa.Column(Ascii(32), nullable=True)
    #: yuan, as are all fees here: after coupons, what the payer gave, WeChat's own, the order's
    settlement_total_fee = sa.Column(Money, nullable=True)
    cash_fee = sa.Column(Money, nullable=True)
    transaction_fee = sa.Column(Money, nullable=True)
    total_fee = sa.Column(Money, nullable=False)
    fee_type = sa.Column(Ascii(8), nullable=False, default="CNY")
    #: WeChat's moment of payment on the studio's clock, yyyymmddHHMMSS
    time_end = sa.Column(Ascii(14), nullable=True)
    is_subscribe = sa.Column(Ascii(1), nullable=False, default="N")
    openid = sa.Column(Ascii(128), nullable=True)
    source = sa.Column(Ascii(16), nullable=False)
    #: a second payment of a paid order: on the board, books nothing (96.38)
    duplicate = sa.Column(sa.Boolean, nullable=False, default=False)
    #: it came after its order had ended, or its hold
    late = sa.Column(sa.Boolean, nullable=False, default=False)
    #: yuan given back so far or on their way: the sum of its refunds that have not come to nothing
    refunded = sa.Column(Money, nullable=False)
    created_at = sa.Column(UTCDateTime, nullable=False)
    updated_at = sa.Column(UTCDateTime, nullable=False)


class OfflinePayment(db.Model):
    """200.00 taken at the desk while WeChat Pay is away; waits for a second person (O23)."""

    __tablename__ = "offline_payments"
    __table_args__ = (
        sa.UniqueConstraint("live_order_id", name="uq_offline_payments_live"),
        sa.CheckConstraint("status IN ('pending', 'approved', 'rejected', 'withdrawn')", name="status"),
        sa.CheckConstraint("status <> 'approved' OR decided_by <> asked_by", name="two_persons"),
        sa.Index("ix_offline_payments_status", "status", "asked_at"),
    )

    id = sa.Column(BigId(), primary_key=True, autoincrement=True)
    order_id = sa.Column(sa.BigInteger, sa.ForeignKey("payment_orders.id"), nullable=False, index=True)
    #: cash, pos, … as for adjustments
    method = sa.Column(Ascii(16), nullable=False)
    external_no = sa.Column(Ascii(64), nullable=True)
    note = sa.Column(sa.String(500), nullable=False)
    status = sa.Column(Ascii(16), nullable=False, default="pending")
    live_order_id = sa.Column(
        sa.BigInteger, sa.Computed("CASE WHEN status = 'pending' THEN order_id END", persisted=True)
    )
    asked_by = sa.Column(sa.BigInteger, sa.ForeignKey("staff.id"), nullable=False)
    asked_at = sa.Column(UTCDateTime, nullable=False)
    decided_by = sa.Column(sa.BigInteger, sa.ForeignKey("staff.id"), nullable=True)
    decided_at = sa.Column(UTCDateTime, nullable=True)
    decision_note = sa.Column(sa.String(200), nullable=True)


class PaymentNotification(db.Model):
    """A callback that verified, as it was; unique by WeChat's number of it (O9). Amounts inside are fen."""

    __tablename__ = "payment_notifications"
    __table_args__ = (
        sa.Index("ix_payment_notifications_received_at", "received_at"),
        sa.Index("ix_payment_notifications_number", "number"),
    )

    id = sa.Column(BigId(), primary_key=True, autoincrement=True)
    notification_id = sa.Column(Ascii(64), nullable=False, unique=True)
    event_type = sa.Column(Ascii(32), nullable=False)
    #: out_trade_no of a payment, refund_no of a refund
    number = sa.Column(Ascii(64), nullable=True)
    transaction_id = sa.Column(Ascii(64), nullable=True)
    resource = sa.Column(JSONText, nullable=False)
    #: `settled`, `repeated`, `mismatch`, `unknown`, `ignored`
    outcome = sa.Column(Ascii(16), nullable=False)
    #: what did not match
    problem = sa.Column(sa.String(200), nullable=True)
    received_at = sa.Column(UTCDateTime, nullable=False)
    request_id = sa.Column(Ascii(64), nullable=True)


class CallbackNonce(db.Model):
    """Timestamp and nonce of callbacks that verified: none is taken twice while its timestamp would pass (S6)."""

    __tablename__ = "callback_nonces"

    #: SHA-256 hex over timestamp and nonce
    digest = sa.Column(Ascii(64), primary_key=True)
    #: and over the body: the same callback once more is a repetition, another under its nonce a forgery
    body = sa.Column(Ascii(64), nullable=False)
    seen_at = sa.Column(UTCDateTime, nullable=False, index=True)


class RefundStatus(StrEnum):
    REQUESTED = "requested"
    APPROVED = "approved"
    PROCESSING = "processing"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CLOSED = "closed"
    REJECTED = "rejected"


class RefundTo(StrEnum):
    ORIGINAL = "original"
    WALLET = "wallet"
    CASH = "cash"


class Refund(db.Model):
    """Money on its way back, by staff, in parts, under one number for all tries (O14–O18)."""

    __tablename__ = "refunds"
    __table_args__ = (
        sa.CheckConstraint("amount > 0", name="amount"),
        sa.CheckConstraint("refund_to IN ('original', 'wallet', 'cash')", name="refund_to"),
        sa.CheckConstraint(
            "status IN ('requested', 'approved', 'processing', 'succeeded', 'failed', 'closed', 'rejected')",
            name="status",
        ),
        # It is of one payment, or of one booking that a wallet paid (O18).
        sa.CheckConstraint("(payment_id IS NULL) <> (booking_id IS NULL)", name="subject"),
        sa.CheckConstraint("approved_by IS NULL OR approved_by <> asked_by", name="two_persons"),
        sa.Index("ix_refunds_status", "status", "created_at"),
        sa.Index("ix_refunds_due", "status", "next_try_at"),
        sa.Index("ix_refunds_family", "family_id", "id"),
        sa.Index("ix_refunds_created_at", "created_at"),
        sa.Index("ix_refunds_ended", "status", "updated_at"),
    )

    id = sa.Column(BigId(), primary_key=True, autoincrement=True)
    #: 32 hex digits: WeChat's `out_refund_no`, the same for every try, stored before the first
    refund_no = sa.Column(Ascii(32), nullable=False, unique=True)
    family_id = sa.Column(sa.BigInteger, sa.ForeignKey("families.id"), nullable=False)
    order_id = sa.Column(sa.BigInteger, sa.ForeignKey("payment_orders.id"), nullable=True, index=True)
    payment_id = sa.Column(sa.BigInteger, sa.ForeignKey("payment_transactions.id"), nullable=True, index=True)
    booking_id = sa.Column(sa.BigInteger, sa.ForeignKey("bookings.id"), nullable=True, index=True)
    #: yuan
    amount = sa.Column(Money, nullable=False)
    refund_to = sa.Column(Ascii(16), nullable=False, default=RefundTo.ORIGINAL)
    #: told to the parent by WeChat, ≤ 80 characters
    reason = sa.Column(sa.String(80), nullable=False)
    #: for staff only
    note = sa.Column(sa.String(500), nullable=True)
    #: whether its booking's seat is given up when it is approved
    frees_seat = sa.Column(sa.Boolean, nullable=False, default=False)
    #: what was suggested when it was asked, by which rule, from which facts (O26)
    verdict = sa.Column(Ascii(16), nullable=True)
    verdict_rule = sa.Column(Ascii(48), nullable=True)
    facts = sa.Column(JSONText, nullable=True)
    status = sa.Column(Ascii(16), nullable=False, default=RefundStatus.REQUESTED)
    asked_by = sa.Column(sa.BigInteger, sa.ForeignKey("staff.id"), nullable=False)
    approved_by = sa.Column(sa.BigInteger, sa.ForeignKey("staff.id"), nullable=True)
    decided_by = sa.Column(sa.BigInteger, sa.ForeignKey("staff.id"), nullable=True)
    decided_at = sa.Column(UTCDateTime, nullable=True)
    decision_note = sa.Column(sa.String(200), nullable=True)
    #: WeChat's number and state of it
    wechat_refund_id = sa.Column(Ascii(64), nullable=True)
    wechat_status = sa.Column(Ascii(16), nullable=True)
    received_account = sa.Column(sa.String(64), nullable=True)
    #: tries to start it, questions about it since, and when the next of either is due; NULL: none
    attempts = sa.Column(sa.Integer, nullable=False, default=0)
    queries = sa.Column(sa.Integer, nullable=False, default=0)
    next_try_at = sa.Column(UTCDateTime, nullable=True)
    error_code = sa.Column(Ascii(64), nullable=True)
    error = sa.Column(sa.String(300), nullable=True)
    succeeded_at = sa.Column(UTCDateTime, nullable=True)
    #: the wallet's movement, for one that went into the wallet
    wallet_transaction_id = sa.Column(
        sa.BigInteger, sa.ForeignKey("wallet_transactions.id"), nullable=True, unique=True
    )
    #: how it was paid out by hand, for money from over the counter or after WeChat could not: method and its number
    paid_out_method = sa.Column(Ascii(16), nullable=True)
    paid_out_no = sa.Column(Ascii(64), nullable=True)
    #: raised by every change: the fence for stale forms (Z2)
    version = sa.Column(sa.Integer, nullable=False, default=1)
    created_at = sa.Column(UTCDateTime, nullable=False)
    updated_at = sa.Column(UTCDateTime, nullable=False)
