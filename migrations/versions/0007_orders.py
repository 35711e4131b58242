"""Trial orders, seat holds, payment attempts, payments, refunds, callbacks; what in money needs a person.

Revision ID: 0007_orders
Revises: 0006_classes
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from migrations.columns import ascii_, big_id, create_index, create_table, drop_table, is_sqlite, money, utc

revision = "0007_orders"
down_revision = "0006_classes"
branch_labels = None
depends_on = None


def upgrade() -> None:
    create_table(
        "payment_orders",
        sa.Column("id", big_id(), autoincrement=True, nullable=False),
        sa.Column("order_id", ascii_(32), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("family_id", sa.BigInteger(), nullable=False),
        sa.Column("profile_id", sa.BigInteger(), nullable=False),
        sa.Column("course_schedule_id", sa.BigInteger(), nullable=False),
        sa.Column("amount", money(), nullable=False),
        sa.Column("currency", ascii_(3), nullable=False),
        sa.Column("status", ascii_(16), nullable=False),
        sa.Column("payment_method", ascii_(16), nullable=False),
        sa.Column("description", sa.String(127), nullable=False),
        sa.Column("closing", sa.Boolean(), nullable=False),
        sa.Column("failure_reason", sa.String(200), nullable=True),
        sa.Column("asked_at", utc(), nullable=True),
        sa.Column("expires_at", utc(), nullable=False),
        sa.Column("paid_at", utc(), nullable=True),
        sa.Column("ended_at", utc(), nullable=True),
        sa.Column("booking_id", sa.BigInteger(), nullable=True),
        sa.Column("shipping_status", ascii_(16), nullable=True),
        sa.Column("shipping_tries", sa.Integer(), nullable=False),
        sa.Column("shipping_next_at", utc(), nullable=True),
        sa.Column("shipping_error", sa.String(200), nullable=True),
        sa.Column("created_at", utc(), nullable=False),
        sa.Column("updated_at", utc(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_payment_orders"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_payment_orders_user_id"),
        sa.ForeignKeyConstraint(["family_id"], ["families.id"], name="fk_payment_orders_family_id"),
        sa.ForeignKeyConstraint(["profile_id"], ["profiles.id"], name="fk_payment_orders_profile_id"),
        sa.ForeignKeyConstraint(
            ["course_schedule_id"], ["course_schedules.id"], name="fk_payment_orders_course_schedule_id"
        ),
        sa.ForeignKeyConstraint(["booking_id"], ["bookings.id"], name="fk_payment_orders_booking_id"),
        sa.UniqueConstraint("booking_id", name="uq_payment_orders_booking_id"),
        sa.UniqueConstraint("order_id", name="uq_payment_orders_order_id"),
        sa.CheckConstraint(
            "status IN ('pending', 'paid', 'failed', 'cancelled', 'expired')", name=op.f("ck_payment_orders_status")
        ),
        sa.CheckConstraint("status <> 'paid' OR paid_at IS NOT NULL", name=op.f("ck_payment_orders_paid_at")),
        sa.CheckConstraint(f"amount = {20000 if is_sqlite() else 200}", name=op.f("ck_payment_orders_amount")),
        sa.CheckConstraint("currency = 'CNY'", name=op.f("ck_payment_orders_currency")),
        sa.CheckConstraint(
            "shipping_status IN ('due', 'sent', 'failed')", name=op.f("ck_payment_orders_shipping_status")
        ),
        sa.CheckConstraint(
            "payment_method IN ('wechat_pay', 'offline')", name=op.f("ck_payment_orders_payment_method")
        ),
    )
    create_index("ix_payment_orders_created_at", "payment_orders", ["created_at"])
    create_index("ix_payment_orders_due", "payment_orders", ["status", "expires_at"])
    create_index("ix_payment_orders_family_id", "payment_orders", ["family_id", "id"])
    create_index("ix_payment_orders_paid_at", "payment_orders", ["paid_at"])
    create_index("ix_payment_orders_profile_id", "payment_orders", ["profile_id"])
    create_index("ix_payment_orders_shipping", "payment_orders", ["shipping_status", "shipping_next_at"])
    create_index("ix_payment_orders_session", "payment_orders", ["course_schedule_id", "status"])
    create_index("ix_payment_orders_user_id", "payment_orders", ["user_id"])
    create_table(
        "trial_claims",
        sa.Column("identity", ascii_(96), nullable=False),
        sa.Column("order_id", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("identity", name="pk_trial_claims"),
        sa.ForeignKeyConstraint(["order_id"], ["payment_orders.id"], name="fk_trial_claims_order_id"),
    )
    create_index("ix_trial_claims_order_id", "trial_claims", ["order_id"])
    create_table(
        "seat_reservations",
        sa.Column("id", big_id(), autoincrement=True, nullable=False),
        sa.Column("reservation_id", ascii_(32), nullable=False),
        sa.Column("order_id", sa.BigInteger(), nullable=False),
        sa.Column("course_schedule_id", sa.BigInteger(), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("seat_count", sa.Integer(), nullable=False),
        sa.Column("status", ascii_(16), nullable=False),
        sa.Column(
            "live_order_id",
            sa.BigInteger(),
            sa.Computed("CASE WHEN status = 'temporary' THEN order_id END", persisted=True),
        ),
        sa.Column("expires_at", utc(), nullable=False),
        sa.Column("confirmed_at", utc(), nullable=True),
        sa.Column("created_at", utc(), nullable=False),
        sa.Column("updated_at", utc(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_seat_reservations"),
        sa.ForeignKeyConstraint(["order_id"], ["payment_orders.id"], name="fk_seat_reservations_order_id"),
        sa.ForeignKeyConstraint(
            ["course_schedule_id"], ["course_schedules.id"], name="fk_seat_reservations_course_schedule_id"
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_seat_reservations_user_id"),
        sa.UniqueConstraint("live_order_id", name="uq_seat_reservations_live"),
        sa.UniqueConstraint("reservation_id", name="uq_seat_reservations_reservation_id"),
        sa.CheckConstraint("seat_count = 1", name=op.f("ck_seat_reservations_seat_count")),
        sa.CheckConstraint(
            "status IN ('temporary', 'confirmed', 'cancelled', 'expired')", name=op.f("ck_seat_reservations_status")
        ),
    )
    create_index("ix_seat_reservations_due", "seat_reservations", ["status", "expires_at"])
    create_index("ix_seat_reservations_order_id", "seat_reservations", ["order_id"])
    create_index("ix_seat_reservations_session", "seat_reservations", ["course_schedule_id", "status", "expires_at"])
    create_index("ix_seat_reservations_user_id", "seat_reservations", ["user_id"])
    create_table(
        "payment_attempts",
        sa.Column("id", big_id(), autoincrement=True, nullable=False),
        sa.Column("order_id", sa.BigInteger(), nullable=False),
        sa.Column("reservation_id", sa.BigInteger(), nullable=False),
        sa.Column("out_trade_no", ascii_(32), nullable=False),
        sa.Column("trade_type", ascii_(16), nullable=False),
        sa.Column("status", ascii_(16), nullable=False),
        sa.Column(
            "open_order_id", sa.BigInteger(), sa.Computed("CASE WHEN status = 'open' THEN order_id END", persisted=True)
        ),
        sa.Column("time_expire", utc(), nullable=False),
        sa.Column("openid", ascii_(64), nullable=True),
        sa.Column("prepay_id", ascii_(128), nullable=True),
        sa.Column("code_url", ascii_(255), nullable=True),
        sa.Column("reported", ascii_(16), nullable=True),
        sa.Column("failure_reason", sa.String(200), nullable=True),
        sa.Column("start_result", ascii_(64), nullable=True),
        sa.Column("queries", sa.Integer(), nullable=False),
        sa.Column("next_query_at", utc(), nullable=True),
        sa.Column("created_at", utc(), nullable=False),
        sa.Column("updated_at", utc(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_payment_attempts"),
        sa.ForeignKeyConstraint(["order_id"], ["payment_orders.id"], name="fk_payment_attempts_order_id"),
        sa.ForeignKeyConstraint(
            ["reservation_id"], ["seat_reservations.id"], name="fk_payment_attempts_reservation_id"
        ),
        sa.UniqueConstraint("open_order_id", name="uq_payment_attempts_open"),
        sa.UniqueConstraint("out_trade_no", name="uq_payment_attempts_out_trade_no"),
        sa.CheckConstraint("status IN ('open', 'closing', 'closed', 'paid')", name=op.f("ck_payment_attempts_status")),
        sa.CheckConstraint("trade_type IN ('JSAPI', 'NATIVE')", name=op.f("ck_payment_attempts_trade_type")),
    )
    create_index("ix_payment_attempts_created_at", "payment_attempts", ["created_at"])
    create_index("ix_payment_attempts_due", "payment_attempts", ["status", "next_query_at"])
    create_index("ix_payment_attempts_order_id", "payment_attempts", ["order_id"])
    create_table(
        "payment_transactions",
        sa.Column("id", big_id(), autoincrement=True, nullable=False),
        sa.Column("transaction_id", ascii_(64), nullable=False),
        sa.Column("order_id", sa.BigInteger(), nullable=False),
        sa.Column("attempt_id", sa.BigInteger(), nullable=True),
        sa.Column("out_trade_no", ascii_(32), nullable=False),
        sa.Column("trade_type", ascii_(16), nullable=False),
        sa.Column("trade_state", ascii_(32), nullable=False),
        sa.Column("bank_type", ascii_(32), nullable=True),
        sa.Column("settlement_total_fee", money(), nullable=True),
        sa.Column("cash_fee", money(), nullable=True),
        sa.Column("transaction_fee", money(), nullable=True),
        sa.Column("total_fee", money(), nullable=False),
        sa.Column("fee_type", ascii_(8), nullable=False),
        sa.Column("time_end", ascii_(14), nullable=True),
        sa.Column("is_subscribe", ascii_(1), nullable=False),
        sa.Column("openid", ascii_(128), nullable=True),
        sa.Column("source", ascii_(16), nullable=False),
        sa.Column("duplicate", sa.Boolean(), nullable=False),
        sa.Column("late", sa.Boolean(), nullable=False),
        sa.Column("refunded", money(), nullable=False),
        sa.Column("created_at", utc(), nullable=False),
        sa.Column("updated_at", utc(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_payment_transactions"),
        sa.ForeignKeyConstraint(["order_id"], ["payment_orders.id"], name="fk_payment_transactions_order_id"),
        sa.ForeignKeyConstraint(["attempt_id"], ["payment_attempts.id"], name="fk_payment_transactions_attempt_id"),
        sa.UniqueConstraint("transaction_id", name="uq_payment_transactions_transaction_id"),
        sa.CheckConstraint("fee_type = 'CNY'", name=op.f("ck_payment_transactions_fee_type")),
        sa.CheckConstraint("total_fee > 0", name=op.f("ck_payment_transactions_total_fee")),
    )
    create_index("ix_payment_transactions_created_at", "payment_transactions", ["created_at"])
    create_index("ix_payment_transactions_order_id", "payment_transactions", ["order_id"])
    create_index("ix_payment_transactions_out_trade_no", "payment_transactions", ["out_trade_no"])
    create_index("ix_payment_transactions_trade_state", "payment_transactions", ["trade_state"])
    create_table(
        "offline_payments",
        sa.Column("id", big_id(), autoincrement=True, nullable=False),
        sa.Column("order_id", sa.BigInteger(), nullable=False),
        sa.Column("method", ascii_(16), nullable=False),
        sa.Column("external_no", ascii_(64), nullable=True),
        sa.Column("note", sa.String(500), nullable=False),
        sa.Column("status", ascii_(16), nullable=False),
        sa.Column(
            "live_order_id",
            sa.BigInteger(),
            sa.Computed("CASE WHEN status = 'pending' THEN order_id END", persisted=True),
        ),
        sa.Column("asked_by", sa.BigInteger(), nullable=False),
        sa.Column("asked_at", utc(), nullable=False),
        sa.Column("decided_by", sa.BigInteger(), nullable=True),
        sa.Column("decided_at", utc(), nullable=True),
        sa.Column("decision_note", sa.String(200), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_offline_payments"),
        sa.ForeignKeyConstraint(["order_id"], ["payment_orders.id"], name="fk_offline_payments_order_id"),
        sa.ForeignKeyConstraint(["asked_by"], ["staff.id"], name="fk_offline_payments_asked_by"),
        sa.ForeignKeyConstraint(["decided_by"], ["staff.id"], name="fk_offline_payments_decided_by"),
        sa.UniqueConstraint("live_order_id", name="uq_offline_payments_live"),
        sa.CheckConstraint(
            "status <> 'approved' OR decided_by <> asked_by", name=op.f("ck_offline_payments_two_persons")
        ),
        sa.CheckConstraint(
            "status IN ('pending', 'approved', 'rejected', 'withdrawn')", name=op.f("ck_offline_payments_status")
        ),
    )
    create_index("ix_offline_payments_order_id", "offline_payments", ["order_id"])
    create_index("ix_offline_payments_status", "offline_payments", ["status", "asked_at"])
    create_table(
        "payment_notifications",
        sa.Column("id", big_id(), autoincrement=True, nullable=False),
        sa.Column("notification_id", ascii_(64), nullable=False),
        sa.Column("event_type", ascii_(32), nullable=False),
        sa.Column("number", ascii_(64), nullable=True),
        sa.Column("transaction_id", ascii_(64), nullable=True),
        sa.Column("resource", sa.Text(), nullable=False),
        sa.Column("outcome", ascii_(16), nullable=False),
        sa.Column("problem", sa.String(200), nullable=True),
        sa.Column("received_at", utc(), nullable=False),
        sa.Column("request_id", ascii_(64), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_payment_notifications"),
        sa.UniqueConstraint("notification_id", name="uq_payment_notifications_notification_id"),
    )
    create_index("ix_payment_notifications_number", "payment_notifications", ["number"])
    create_index("ix_payment_notifications_received_at", "payment_notifications", ["received_at"])
    create_table(
        "callback_nonces",
        sa.Column("digest", ascii_(64), nullable=False),
        sa.Column("body", ascii_(64), nullable=False),
        sa.Column("seen_at", utc(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name="pk_callback_nonces"),
    )
    create_index("ix_callback_nonces_seen_at", "callback_nonces", ["seen_at"])
    create_table(
        "refunds",
        sa.Column("id", big_id(), autoincrement=True, nullable=False),
        sa.Column("refund_no", ascii_(32), nullable=False),
        sa.Column("family_id", sa.BigInteger(), nullable=False),
        sa.Column("order_id", sa.BigInteger(), nullable=True),
        sa.Column("payment_id", sa.BigInteger(), nullable=True),
        sa.Column("booking_id", sa.BigInteger(), nullable=True),
        sa.Column("amount", money(), nullable=False),
        sa.Column("refund_to", ascii_(16), nullable=False),
        sa.Column("reason", sa.String(80), nullable=False),
        sa.Column("note", sa.String(500), nullable=True),
        sa.Column("frees_seat", sa.Boolean(), nullable=False),
        sa.Column("verdict", ascii_(16), nullable=True),
        sa.Column("verdict_rule", ascii_(48), nullable=True),
        sa.Column("facts", sa.Text(), nullable=True),
        sa.Column("status", ascii_(16), nullable=False),
        sa.Column("asked_by", sa.BigInteger(), nullable=False),
        sa.Column("approved_by", sa.BigInteger(), nullable=True),
        sa.Column("decided_by", sa.BigInteger(), nullable=True),
        sa.Column("decided_at", utc(), nullable=True),
        sa.Column("decision_note", sa.String(200), nullable=True),
        sa.Column("wechat_refund_id", ascii_(64), nullable=True),
        sa.Column("wechat_status", ascii_(16), nullable=True),
        sa.Column("received_account", sa.String(64), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("queries", sa.Integer(), nullable=False),
        sa.Column("next_try_at", utc(), nullable=True),
        sa.Column("error_code", ascii_(64), nullable=True),
        sa.Column("error", sa.String(300), nullable=True),
        sa.Column("succeeded_at", utc(), nullable=True),
        sa.Column("wallet_transaction_id", sa.BigInteger(), nullable=True),
        sa.Column("paid_out_method", ascii_(16), nullable=True),
        sa.Column("paid_out_no", ascii_(64), nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", utc(), nullable=False),
        sa.Column("updated_at", utc(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_refunds"),
        sa.ForeignKeyConstraint(["family_id"], ["families.id"], name="fk_refunds_family_id"),
        sa.ForeignKeyConstraint(["order_id"], ["payment_orders.id"], name="fk_refunds_order_id"),
        sa.ForeignKeyConstraint(["payment_id"], ["payment_transactions.id"], name="fk_refunds_payment_id"),
        sa.ForeignKeyConstraint(["booking_id"], ["bookings.id"], name="fk_refunds_booking_id"),
        sa.ForeignKeyConstraint(["asked_by"], ["staff.id"], name="fk_refunds_asked_by"),
        sa.ForeignKeyConstraint(["approved_by"], ["staff.id"], name="fk_refunds_approved_by"),
        sa.ForeignKeyConstraint(["decided_by"], ["staff.id"], name="fk_refunds_decided_by"),
        sa.ForeignKeyConstraint(
            ["wallet_transaction_id"], ["wallet_transactions.id"], name="fk_refunds_wallet_transaction_id"
        ),
        sa.UniqueConstraint("refund_no", name="uq_refunds_refund_no"),
        sa.UniqueConstraint("wallet_transaction_id", name="uq_refunds_wallet_transaction_id"),
        sa.CheckConstraint("refund_to IN ('original', 'wallet')", name=op.f("ck_refunds_refund_to")),
        sa.CheckConstraint(
            "status IN ('requested', 'approved', 'processing', 'succeeded', 'failed', 'closed', 'rejected')",
            name=op.f("ck_refunds_status"),
        ),
        sa.CheckConstraint("(payment_id IS NULL) <> (booking_id IS NULL)", name=op.f("ck_refunds_subject")),
        sa.CheckConstraint("approved_by IS NULL OR approved_by <> asked_by", name=op.f("ck_refunds_two_persons")),
        sa.CheckConstraint("amount > 0", name=op.f("ck_refunds_amount")),
    )
    create_index("ix_refunds_booking_id", "refunds", ["booking_id"])
    create_index("ix_refunds_created_at", "refunds", ["created_at"])
    create_index("ix_refunds_due", "refunds", ["status", "next_try_at"])
    create_index("ix_refunds_family", "refunds", ["family_id", "id"])
    create_index("ix_refunds_order_id", "refunds", ["order_id"])
    create_index("ix_refunds_payment_id", "refunds", ["payment_id"])
    create_index("ix_refunds_status", "refunds", ["status", "created_at"])
    create_table(
        "money_cases",
        sa.Column("id", big_id(), autoincrement=True, nullable=False),
        sa.Column("kind", ascii_(32), nullable=False),
        sa.Column("subject", ascii_(80), nullable=False),
        sa.Column(
            "live_subject", ascii_(80), sa.Computed("CASE WHEN status = 'open' THEN subject END", persisted=True)
        ),
        sa.Column("status", ascii_(16), nullable=False),
        sa.Column("family_id", sa.BigInteger(), nullable=True),
        sa.Column("order_id", ascii_(32), nullable=True),
        sa.Column("refund_no", ascii_(32), nullable=True),
        sa.Column("booking_id", sa.BigInteger(), nullable=True),
        sa.Column("transaction_id", ascii_(64), nullable=True),
        sa.Column("amount", money(), nullable=True),
        sa.Column("title", sa.String(200), nullable=False),
        sa.Column("facts", sa.Text(), nullable=False),
        sa.Column("opened_at", utc(), nullable=False),
        sa.Column("settled_at", utc(), nullable=True),
        sa.Column("settled_by", sa.BigInteger(), nullable=True),
        sa.Column("settled_as", ascii_(32), nullable=True),
        sa.Column("settle_note", sa.String(500), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_money_cases"),
        sa.ForeignKeyConstraint(["family_id"], ["families.id"], name="fk_money_cases_family_id"),
        sa.ForeignKeyConstraint(["settled_by"], ["staff.id"], name="fk_money_cases_settled_by"),
        sa.UniqueConstraint("kind", "live_subject", name="uq_money_cases_live"),
        sa.CheckConstraint("status IN ('open', 'settled')", name=op.f("ck_money_cases_status")),
        sa.CheckConstraint(
            "status = 'open' OR (settled_at IS NOT NULL AND settled_as IS NOT NULL)",
            name=op.f("ck_money_cases_settled"),
        ),
    )
    create_index("ix_money_cases_family_id", "money_cases", ["family_id"])
    create_index("ix_money_cases_order_id", "money_cases", ["order_id"])
    create_index("ix_money_cases_status", "money_cases", ["status", "opened_at"])


def downgrade() -> None:
    for table in (
        "money_cases",
        "refunds",
        "callback_nonces",
        "payment_notifications",
        "offline_payments",
        "payment_transactions",
        "payment_attempts",
        "seat_reservations",
        "trial_claims",
        "payment_orders",
    ):
        drop_table(table)
