"""Classes and bookings: catalog, sessions, bookings, makeup credits, late refunds; since when a wallet owes.

Revision ID: 0006_classes
Revises: 0005_messages
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from migrations.columns import (
    add_column,
    ascii_,
    big_id,
    create_index,
    create_table,
    drop_column,
    drop_table,
    money,
    prefix_text,
    utc,
)

revision = "0006_classes"
down_revision = "0005_messages"
branch_labels = None
depends_on = None


def upgrade() -> None:
    create_table(
        "course_types",
        sa.Column("id", big_id(), autoincrement=True, nullable=False),
        sa.Column("code", ascii_(32), nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("waitlist_capacity", sa.Integer(), nullable=False),
        sa.Column("is_trial", sa.Boolean(), nullable=False),
        sa.Column("created_at", utc(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_course_types"),
        sa.UniqueConstraint("code", name="uq_course_types_code"),
        sa.CheckConstraint("waitlist_capacity BETWEEN 0 AND 99", name=op.f("ck_course_types_waitlist_capacity")),
    )
    create_table(
        "courses",
        sa.Column("id", big_id(), autoincrement=True, nullable=False),
        sa.Column("course_type_id", sa.BigInteger(), nullable=False),
        sa.Column("name", prefix_text(64), nullable=False),
        sa.Column("level_id", sa.BigInteger(), nullable=True),
        sa.Column("duration_minutes", sa.Integer(), nullable=False),
        sa.Column("price", money(), nullable=False),
        sa.Column("waitlist_capacity", sa.Integer(), nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("archived_at", utc(), nullable=True),
        sa.Column("created_at", utc(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_courses"),
        sa.ForeignKeyConstraint(["course_type_id"], ["course_types.id"], name="fk_courses_course_type_id"),
        sa.ForeignKeyConstraint(["level_id"], ["levels.id"], name="fk_courses_level_id"),
        sa.UniqueConstraint("course_type_id", "name", name="uq_courses_name"),
        sa.CheckConstraint("duration_minutes BETWEEN 1 AND 1440", name=op.f("ck_courses_duration_minutes")),
        sa.CheckConstraint("price >= 0", name=op.f("ck_courses_price")),
        sa.CheckConstraint("waitlist_capacity BETWEEN 0 AND 99", name=op.f("ck_courses_waitlist_capacity")),
    )
    create_index("ix_courses_level_id", "courses", ["level_id"])
    create_table(
        "coaches",
        sa.Column("id", big_id(), autoincrement=True, nullable=False),
        sa.Column("name", prefix_text(64), nullable=False),
        sa.Column("archived_at", utc(), nullable=True),
        sa.Column("created_at", utc(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_coaches"),
        sa.UniqueConstraint("name", name="uq_coaches_name"),
    )
    create_table(
        "venues",
        sa.Column("id", big_id(), autoincrement=True, nullable=False),
        sa.Column("name", prefix_text(64), nullable=False),
        sa.Column("archived_at", utc(), nullable=True),
        sa.Column("created_at", utc(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_venues"),
        sa.UniqueConstraint("name", name="uq_venues_name"),
    )
    create_table(
        "course_schedules",
        sa.Column("id", big_id(), autoincrement=True, nullable=False),
        sa.Column("course_id", sa.BigInteger(), nullable=False),
        sa.Column("coach_id", sa.BigInteger(), nullable=False),
        sa.Column("venue_id", sa.BigInteger(), nullable=False),
        sa.Column("starts_at", utc(), nullable=False),
        sa.Column("ends_at", utc(), nullable=False),
        sa.Column("capacity", sa.Integer(), nullable=False),
        sa.Column("booked", sa.Integer(), nullable=False),
        sa.Column("held", sa.Integer(), nullable=False),
        sa.Column("kept", sa.Integer(), nullable=False),
        sa.Column("override_seats", sa.Integer(), nullable=False),
        sa.Column("waitlist_capacity", sa.Integer(), nullable=True),
        sa.Column("status", ascii_(16), nullable=False),
        sa.Column("cancelled_at", utc(), nullable=True),
        sa.Column("cancelled_by", sa.BigInteger(), nullable=True),
        sa.Column("cancel_reason", sa.String(200), nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_by", sa.BigInteger(), nullable=True),
        sa.Column("created_at", utc(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_course_schedules"),
        sa.ForeignKeyConstraint(["course_id"], ["courses.id"], name="fk_course_schedules_course_id"),
        sa.ForeignKeyConstraint(["coach_id"], ["coaches.id"], name="fk_course_schedules_coach_id"),
        sa.ForeignKeyConstraint(["venue_id"], ["venues.id"], name="fk_course_schedules_venue_id"),
        sa.ForeignKeyConstraint(["cancelled_by"], ["staff.id"], name="fk_course_schedules_cancelled_by"),
        sa.ForeignKeyConstraint(["created_by"], ["staff.id"], name="fk_course_schedules_created_by"),
        sa.CheckConstraint("ends_at > starts_at", name=op.f("ck_course_schedules_times")),
        sa.CheckConstraint("capacity BETWEEN 1 AND 999", name=op.f("ck_course_schedules_capacity")),
        sa.CheckConstraint("booked >= 0 AND held >= 0 AND kept >= 0", name=op.f("ck_course_schedules_counters")),
        sa.CheckConstraint("booked + held + kept <= capacity", name=op.f("ck_course_schedules_seats")),
        sa.CheckConstraint("waitlist_capacity BETWEEN 0 AND 99", name=op.f("ck_course_schedules_waitlist_capacity")),
        sa.CheckConstraint("status IN ('scheduled', 'cancelled')", name=op.f("ck_course_schedules_status")),
    )
    create_index("ix_course_schedules_starts_at", "course_schedules", ["starts_at", "id"])
    create_index("ix_course_schedules_coach", "course_schedules", ["coach_id", "starts_at"])
    create_index("ix_course_schedules_venue", "course_schedules", ["venue_id", "starts_at"])
    create_index("ix_course_schedules_course", "course_schedules", ["course_id", "starts_at"])
    create_table(
        "bookings",
        sa.Column("id", big_id(), autoincrement=True, nullable=False),
        sa.Column("course_schedule_id", sa.BigInteger(), nullable=False),
        sa.Column("profile_id", sa.BigInteger(), nullable=False),
        sa.Column("family_id", sa.BigInteger(), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=True),
        sa.Column("kind", ascii_(16), nullable=False),
        sa.Column("source", ascii_(16), nullable=False),
        sa.Column("status", ascii_(16), nullable=False),
        sa.Column(
            "live_profile_id",
            sa.BigInteger(),
            sa.Computed("CASE WHEN status IN ('booked', 'attended', 'absent') THEN profile_id END", persisted=True),
        ),
        sa.Column("price", money(), nullable=False),
        sa.Column("order_id", ascii_(32), nullable=True),
        sa.Column("debit_id", sa.BigInteger(), nullable=True),
        sa.Column("refund_id", sa.BigInteger(), nullable=True),
        sa.Column("credit_id", sa.BigInteger(), nullable=True),
        sa.Column("free_cancel", sa.Boolean(), nullable=False),
        sa.Column("override_reason", sa.String(200), nullable=True),
        sa.Column("booked_by", sa.BigInteger(), nullable=True),
        sa.Column("ended_at", utc(), nullable=True),
        sa.Column("ended_by", sa.BigInteger(), nullable=True),
        sa.Column("end_reason", sa.String(200), nullable=True),
        sa.Column("marked_at", utc(), nullable=True),
        sa.Column("marked_by", sa.BigInteger(), nullable=True),
        sa.Column("reminded_for", sa.Date(), nullable=True),
        sa.Column("created_at", utc(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_bookings"),
        sa.ForeignKeyConstraint(["course_schedule_id"], ["course_schedules.id"], name="fk_bookings_course_schedule_id"),
        sa.ForeignKeyConstraint(["profile_id"], ["profiles.id"], name="fk_bookings_profile_id"),
        sa.ForeignKeyConstraint(["family_id"], ["families.id"], name="fk_bookings_family_id"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_bookings_user_id"),
        sa.ForeignKeyConstraint(["debit_id"], ["wallet_transactions.id"], name="fk_bookings_debit_id"),
        sa.ForeignKeyConstraint(["refund_id"], ["wallet_transactions.id"], name="fk_bookings_refund_id"),
        sa.ForeignKeyConstraint(["booked_by"], ["staff.id"], name="fk_bookings_booked_by"),
        sa.ForeignKeyConstraint(["ended_by"], ["staff.id"], name="fk_bookings_ended_by"),
        sa.ForeignKeyConstraint(["marked_by"], ["staff.id"], name="fk_bookings_marked_by"),
        sa.UniqueConstraint("course_schedule_id", "live_profile_id", name="uq_bookings_live"),
        sa.UniqueConstraint("debit_id", name="uq_bookings_debit_id"),
        sa.UniqueConstraint("refund_id", name="uq_bookings_refund_id"),
        sa.CheckConstraint(
            "status IN ('booked', 'attended', 'absent', 'cancelled', 'on_leave')", name=op.f("ck_bookings_status")
        ),
        sa.CheckConstraint("kind IN ('trial', 'regular', 'makeup')", name=op.f("ck_bookings_kind")),
        sa.CheckConstraint("price >= 0", name=op.f("ck_bookings_price")),
    )
    create_index("ix_bookings_profile", "bookings", ["profile_id", "status"])
    create_index("ix_bookings_live_profile", "bookings", ["live_profile_id"])
    create_index("ix_bookings_family", "bookings", ["family_id", "id"])
    create_index("ix_bookings_created_at", "bookings", ["created_at"])
    create_index("ix_bookings_order_id", "bookings", ["order_id"])
    create_index("ix_bookings_credit_id", "bookings", ["credit_id"])
    create_table(
        "makeup_credits",
        sa.Column("id", big_id(), autoincrement=True, nullable=False),
        sa.Column("family_id", sa.BigInteger(), nullable=False),
        sa.Column("profile_id", sa.BigInteger(), nullable=False),
        sa.Column("booking_id", sa.BigInteger(), nullable=False),
        sa.Column("course_type_id", sa.BigInteger(), nullable=False),
        sa.Column("level_id", sa.BigInteger(), nullable=True),
        sa.Column("minutes", sa.Integer(), nullable=False),
        sa.Column("price", money(), nullable=False),
        sa.Column("status", ascii_(16), nullable=False),
        sa.Column("valid_until", utc(), nullable=False),
        sa.Column("created_at", utc(), nullable=False),
        sa.Column("updated_at", utc(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_makeup_credits"),
        sa.ForeignKeyConstraint(["family_id"], ["families.id"], name="fk_makeup_credits_family_id"),
        sa.ForeignKeyConstraint(["profile_id"], ["profiles.id"], name="fk_makeup_credits_profile_id"),
        sa.ForeignKeyConstraint(["booking_id"], ["bookings.id"], name="fk_makeup_credits_booking_id"),
        sa.ForeignKeyConstraint(["course_type_id"], ["course_types.id"], name="fk_makeup_credits_course_type_id"),
        sa.ForeignKeyConstraint(["level_id"], ["levels.id"], name="fk_makeup_credits_level_id"),
        sa.UniqueConstraint("booking_id", name="uq_makeup_credits_booking_id"),
        sa.CheckConstraint("status IN ('available', 'used', 'expired', 'void')", name=op.f("ck_makeup_credits_status")),
        sa.CheckConstraint("minutes BETWEEN 1 AND 1440", name=op.f("ck_makeup_credits_minutes")),
    )
    create_index("ix_makeup_credits_profile", "makeup_credits", ["profile_id", "status"])
    create_index("ix_makeup_credits_due", "makeup_credits", ["status", "valid_until"])
    create_index("ix_makeup_credits_family", "makeup_credits", ["family_id", "status"])
    create_table(
        "late_refunds",
        sa.Column("id", big_id(), autoincrement=True, nullable=False),
        sa.Column("booking_id", sa.BigInteger(), nullable=False),
        sa.Column("amount", money(), nullable=False),
        sa.Column("reason", sa.String(200), nullable=False),
        sa.Column("status", ascii_(16), nullable=False),
        sa.Column(
            "live_booking_id",
            sa.BigInteger(),
            sa.Computed("CASE WHEN status = 'pending' THEN booking_id END", persisted=True),
        ),
        sa.Column("asked_by", sa.BigInteger(), nullable=False),
        sa.Column("asked_at", utc(), nullable=False),
        sa.Column("decided_by", sa.BigInteger(), nullable=True),
        sa.Column("decided_at", utc(), nullable=True),
        sa.Column("decision_note", sa.String(200), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_late_refunds"),
        sa.ForeignKeyConstraint(["booking_id"], ["bookings.id"], name="fk_late_refunds_booking_id"),
        sa.ForeignKeyConstraint(["asked_by"], ["staff.id"], name="fk_late_refunds_asked_by"),
        sa.ForeignKeyConstraint(["decided_by"], ["staff.id"], name="fk_late_refunds_decided_by"),
        sa.UniqueConstraint("live_booking_id", name="uq_late_refunds_live"),
        sa.CheckConstraint(
            "status IN ('pending', 'approved', 'rejected', 'withdrawn')", name=op.f("ck_late_refunds_status")
        ),
        sa.CheckConstraint("amount > 0", name=op.f("ck_late_refunds_amount")),
        sa.CheckConstraint("status <> 'approved' OR decided_by <> asked_by", name=op.f("ck_late_refunds_two_persons")),
    )
    create_index("ix_late_refunds_booking_id", "late_refunds", ["booking_id"])
    create_index("ix_late_refunds_status", "late_refunds", ["status", "asked_at"])
    add_column("wallets", sa.Column("arrears_since", utc(), nullable=True))
    create_table(
        "arrears_steps",
        sa.Column("wallet_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("since", utc(), nullable=False),
        sa.Column("step", ascii_(8), nullable=False),
        sa.Column("owed", money(), nullable=False),
        sa.Column("told_at", utc(), nullable=False),
        sa.PrimaryKeyConstraint("wallet_id", "since", "step", name="pk_arrears_steps"),
        sa.ForeignKeyConstraint(["wallet_id"], ["wallets.id"], name="fk_arrears_steps_wallet_id"),
        sa.CheckConstraint("step IN ('second', 'third')", name=op.f("ck_arrears_steps_step")),
        sa.CheckConstraint("owed > 0", name=op.f("ck_arrears_steps_owed")),
    )
    # The first debit below zero since the balance was last at or above it.
    op.execute(
        "UPDATE wallets SET arrears_since = (SELECT MAX(t.created_at) FROM wallet_transactions t"
        " WHERE t.wallet_id = wallets.id AND t.balance_before >= 0 AND t.balance_after < 0) WHERE balance < 0"
    )


def downgrade() -> None:
    drop_table("arrears_steps")
    drop_column("wallets", "arrears_since")
    for table in (
        "late_refunds",
        "makeup_credits",
        "bookings",
        "course_schedules",
        "venues",
        "coaches",
        "courses",
        "course_types",
    ):
        drop_table(table)
