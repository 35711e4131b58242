"""The waitlist: entries, freed seats kept for them, rounds, offers, every step, and which message told of what.

Revision ID: 0008_waitlist
Revises: 0007_orders
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from migrations.columns import add_column, ascii_, big_id, create_index, create_table, drop_column, drop_table, utc

revision = "0008_waitlist"
down_revision = "0007_orders"
branch_labels = None
depends_on = None


def upgrade() -> None:
    add_column(
        "course_types",
        sa.Column("waitlist_policy", ascii_(24), nullable=False, server_default="open_then_sequential"),
    )
    create_table(
        "waitlist_entries",
        sa.Column("id", big_id(), autoincrement=True, nullable=False),
        sa.Column("course_schedule_id", sa.BigInteger(), nullable=False),
        sa.Column("profile_id", sa.BigInteger(), nullable=False),
        sa.Column("family_id", sa.BigInteger(), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=True),
        sa.Column("status", ascii_(16), nullable=False),
        sa.Column(
            "live_profile_id",
            sa.BigInteger(),
            sa.Computed("CASE WHEN status IN ('waiting', 'offered') THEN profile_id END", persisted=True),
        ),
        sa.Column("rank", sa.Integer(), nullable=False),
        sa.Column("joined_at", utc(), nullable=False),
        sa.Column("joined_position", sa.Integer(), nullable=False),
        sa.Column("auto_accept", sa.Boolean(), nullable=False),
        sa.Column("credit_id", sa.BigInteger(), nullable=True),
        sa.Column("use_compensation", sa.Boolean(), nullable=False),
        sa.Column("accept_shorter", sa.Boolean(), nullable=False),
        sa.Column("skip_reason", ascii_(32), nullable=True),
        sa.Column("skipped_at", utc(), nullable=True),
        sa.Column("added_by", sa.BigInteger(), nullable=True),
        sa.Column("staff_note", sa.String(200), nullable=True),
        sa.Column("called_at", utc(), nullable=True),
        sa.Column("called_by", sa.BigInteger(), nullable=True),
        sa.Column("booking_id", sa.BigInteger(), nullable=True),
        sa.Column("order_id", sa.BigInteger(), nullable=True),
        sa.Column("ended_at", utc(), nullable=True),
        sa.Column("end_reason", ascii_(32), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_waitlist_entries"),
        sa.ForeignKeyConstraint(
            ["course_schedule_id"], ["course_schedules.id"], name="fk_waitlist_entries_course_schedule_id"
        ),
        sa.ForeignKeyConstraint(["profile_id"], ["profiles.id"], name="fk_waitlist_entries_profile_id"),
        sa.ForeignKeyConstraint(["family_id"], ["families.id"], name="fk_waitlist_entries_family_id"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_waitlist_entries_user_id"),
        sa.ForeignKeyConstraint(["credit_id"], ["makeup_credits.id"], name="fk_waitlist_entries_credit_id"),
        sa.ForeignKeyConstraint(["added_by"], ["staff.id"], name="fk_waitlist_entries_added_by"),
        sa.ForeignKeyConstraint(["called_by"], ["staff.id"], name="fk_waitlist_entries_called_by"),
        sa.ForeignKeyConstraint(["booking_id"], ["bookings.id"], name="fk_waitlist_entries_booking_id"),
        sa.ForeignKeyConstraint(["order_id"], ["payment_orders.id"], name="fk_waitlist_entries_order_id"),
        sa.UniqueConstraint("course_schedule_id", "live_profile_id", name="uq_waitlist_entries_live"),
        sa.CheckConstraint(
            "(status IN ('waiting', 'offered')) = (ended_at IS NULL)", name=op.f("ck_waitlist_entries_ended")
        ),
        sa.CheckConstraint(
            "status IN ('waiting', 'offered', 'confirmed', 'declined', 'expired', 'cancelled')",
            name=op.f("ck_waitlist_entries_status"),
        ),
    )
    create_index("ix_waitlist_entries_family", "waitlist_entries", ["family_id", "id"])
    create_index("ix_waitlist_entries_joined_at", "waitlist_entries", ["joined_at"])
    create_index("ix_waitlist_entries_live", "waitlist_entries", ["live_profile_id"])
    create_index("ix_waitlist_entries_profile", "waitlist_entries", ["profile_id", "status"])
    create_index("ix_waitlist_entries_user_id", "waitlist_entries", ["user_id"])
    create_table(
        "waitlist_rounds",
        sa.Column("id", big_id(), autoincrement=True, nullable=False),
        sa.Column("course_schedule_id", sa.BigInteger(), nullable=False),
        sa.Column("kind", ascii_(16), nullable=False),
        sa.Column("started_at", utc(), nullable=False),
        sa.Column("deadline", utc(), nullable=False),
        sa.Column("first_taken_at", utc(), nullable=True),
        sa.Column("extended", sa.Boolean(), nullable=False),
        sa.Column("ended_at", utc(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_waitlist_rounds"),
        sa.ForeignKeyConstraint(
            ["course_schedule_id"], ["course_schedules.id"], name="fk_waitlist_rounds_course_schedule_id"
        ),
        sa.CheckConstraint("kind IN ('open', 'exclusive')", name=op.f("ck_waitlist_rounds_kind")),
    )
    create_index("ix_waitlist_rounds_live", "waitlist_rounds", ["ended_at", "deadline"])
    create_index("ix_waitlist_rounds_session", "waitlist_rounds", ["course_schedule_id", "ended_at"])
    create_table(
        "seat_releases",
        sa.Column("id", big_id(), autoincrement=True, nullable=False),
        sa.Column("course_schedule_id", sa.BigInteger(), nullable=False),
        sa.Column("status", ascii_(16), nullable=False),
        sa.Column("cause", ascii_(16), nullable=False),
        sa.Column("booking_id", sa.BigInteger(), nullable=True),
        sa.Column("order_id", sa.BigInteger(), nullable=True),
        sa.Column("freed_at", utc(), nullable=False),
        sa.Column("round_id", sa.BigInteger(), nullable=True),
        sa.Column("opened", sa.Boolean(), nullable=False),
        sa.Column("entry_id", sa.BigInteger(), nullable=True),
        sa.Column("ended_at", utc(), nullable=True),
        sa.Column("end_reason", ascii_(32), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_seat_releases"),
        sa.ForeignKeyConstraint(
            ["course_schedule_id"], ["course_schedules.id"], name="fk_seat_releases_course_schedule_id"
        ),
        sa.ForeignKeyConstraint(["booking_id"], ["bookings.id"], name="fk_seat_releases_booking_id"),
        sa.ForeignKeyConstraint(["order_id"], ["payment_orders.id"], name="fk_seat_releases_order_id"),
        sa.ForeignKeyConstraint(["round_id"], ["waitlist_rounds.id"], name="fk_seat_releases_round_id"),
        sa.ForeignKeyConstraint(["entry_id"], ["waitlist_entries.id"], name="fk_seat_releases_entry_id"),
        sa.CheckConstraint("(status = 'kept') = (ended_at IS NULL)", name=op.f("ck_seat_releases_ended")),
        sa.CheckConstraint("status <> 'filled' OR entry_id IS NOT NULL", name=op.f("ck_seat_releases_filled")),
        sa.CheckConstraint("status IN ('kept', 'filled', 'returned')", name=op.f("ck_seat_releases_status")),
    )
    create_index("ix_seat_releases_freed_at", "seat_releases", ["freed_at"])
    create_index("ix_seat_releases_session", "seat_releases", ["course_schedule_id", "status"])
    create_index("ix_seat_releases_status", "seat_releases", ["status", "id"])
    create_table(
        "waitlist_offers",
        sa.Column("id", big_id(), autoincrement=True, nullable=False),
        sa.Column("round_id", sa.BigInteger(), nullable=False),
        sa.Column("entry_id", sa.BigInteger(), nullable=False),
        sa.Column("kind", ascii_(16), nullable=False),
        sa.Column("status", ascii_(16), nullable=False),
        sa.Column(
            "live_entry_id", sa.BigInteger(), sa.Computed("CASE WHEN status = 'live' THEN entry_id END", persisted=True)
        ),
        sa.Column("offered_at", utc(), nullable=False),
        sa.Column("deadline", utc(), nullable=False),
        sa.Column("begun_at", utc(), nullable=True),
        sa.Column("ends_at", utc(), nullable=False),
        sa.Column("answer", ascii_(16), nullable=True),
        sa.Column("answered_at", utc(), nullable=True),
        sa.Column("ended_at", utc(), nullable=True),
        sa.Column("call_asked_at", utc(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_waitlist_offers"),
        sa.ForeignKeyConstraint(["round_id"], ["waitlist_rounds.id"], name="fk_waitlist_offers_round_id"),
        sa.ForeignKeyConstraint(["entry_id"], ["waitlist_entries.id"], name="fk_waitlist_offers_entry_id"),
        sa.UniqueConstraint("live_entry_id", name="uq_waitlist_offers_live"),
        sa.CheckConstraint("(status = 'live') = (ended_at IS NULL)", name=op.f("ck_waitlist_offers_ended")),
        sa.CheckConstraint("kind IN ('open', 'exclusive')", name=op.f("ck_waitlist_offers_kind")),
        sa.CheckConstraint(
            "status IN ('live', 'confirmed', 'declined', 'lapsed', 'taken', 'withdrawn')",
            name=op.f("ck_waitlist_offers_status"),
        ),
    )
    create_index("ix_waitlist_offers_due", "waitlist_offers", ["status", "ends_at"])
    create_index("ix_waitlist_offers_entry", "waitlist_offers", ["entry_id", "id"])
    create_index("ix_waitlist_offers_round", "waitlist_offers", ["round_id"])
    create_table(
        "waitlist_flows",
        sa.Column("id", big_id(), autoincrement=True, nullable=False),
        sa.Column("course_schedule_id", sa.BigInteger(), nullable=False),
        sa.Column("at", utc(), nullable=False),
        sa.Column("step", ascii_(32), nullable=False),
        sa.Column("entry_id", sa.BigInteger(), nullable=True),
        sa.Column("offer_id", sa.BigInteger(), nullable=True),
        sa.Column("round_id", sa.BigInteger(), nullable=True),
        sa.Column("release_id", sa.BigInteger(), nullable=True),
        sa.Column("actor_type", ascii_(16), nullable=False),
        sa.Column("actor_id", sa.BigInteger(), nullable=True),
        sa.Column("reason", sa.String(200), nullable=True),
        sa.Column("facts", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_waitlist_flows"),
        sa.ForeignKeyConstraint(
            ["course_schedule_id"], ["course_schedules.id"], name="fk_waitlist_flows_course_schedule_id"
        ),
        sa.ForeignKeyConstraint(["entry_id"], ["waitlist_entries.id"], name="fk_waitlist_flows_entry_id"),
        sa.ForeignKeyConstraint(["offer_id"], ["waitlist_offers.id"], name="fk_waitlist_flows_offer_id"),
        sa.ForeignKeyConstraint(["round_id"], ["waitlist_rounds.id"], name="fk_waitlist_flows_round_id"),
        sa.ForeignKeyConstraint(["release_id"], ["seat_releases.id"], name="fk_waitlist_flows_release_id"),
    )
    create_index("ix_waitlist_flows_at", "waitlist_flows", ["at"])
    create_index("ix_waitlist_flows_entry", "waitlist_flows", ["entry_id", "id"])
    create_index("ix_waitlist_flows_release", "waitlist_flows", ["release_id", "id"])
    create_index("ix_waitlist_flows_round", "waitlist_flows", ["round_id", "id"])
    create_index("ix_waitlist_flows_session", "waitlist_flows", ["course_schedule_id", "id"])
    create_table(
        "waitlist_notifications",
        sa.Column("id", big_id(), autoincrement=True, nullable=False),
        sa.Column("notification_id", sa.BigInteger(), nullable=False),
        sa.Column("entry_id", sa.BigInteger(), nullable=False),
        sa.Column("offer_id", sa.BigInteger(), nullable=False),
        sa.Column("resent_by", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_waitlist_notifications"),
        sa.ForeignKeyConstraint(
            ["notification_id"], ["notifications.id"], name="fk_waitlist_notifications_notification_id"
        ),
        sa.ForeignKeyConstraint(["entry_id"], ["waitlist_entries.id"], name="fk_waitlist_notifications_entry_id"),
        sa.ForeignKeyConstraint(["offer_id"], ["waitlist_offers.id"], name="fk_waitlist_notifications_offer_id"),
        sa.ForeignKeyConstraint(["resent_by"], ["staff.id"], name="fk_waitlist_notifications_resent_by"),
        sa.UniqueConstraint("notification_id", name="uq_waitlist_notifications_notification_id"),
    )
    create_index("ix_waitlist_notifications_entry", "waitlist_notifications", ["entry_id", "id"])
    create_index("ix_waitlist_notifications_offer_id", "waitlist_notifications", ["offer_id"])


def downgrade() -> None:
    for table in (
        "waitlist_notifications",
        "waitlist_flows",
        "waitlist_offers",
        "seat_releases",
        "waitlist_rounds",
        "waitlist_entries",
    ):
        drop_table(table)
    drop_column("course_types", "waitlist_policy")
