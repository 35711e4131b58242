"""Compensation minutes: lots, what bookings took of them, and their history; requests for a makeup;
calls to book one that failed.

Revision ID: 0010_makeups
Revises: 0009_cash_refunds
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
    refuse,
    utc,
)

revision = "0010_makeups"
down_revision = "0009_cash_refunds"
branch_labels = None
depends_on = None


def upgrade() -> None:
    add_column("makeup_credits", sa.Column("ended_at", utc(), nullable=True))
    add_column("makeup_credits", sa.Column("end_reason", sa.String(200), nullable=True))
    create_table(
        "compensation_lots",
        sa.Column("id", big_id(), autoincrement=True, nullable=False),
        sa.Column("profile_id", sa.BigInteger(), nullable=False),
        sa.Column("family_id", sa.BigInteger(), nullable=False),
        sa.Column("minutes", sa.Integer(), nullable=False),
        sa.Column("minutes_left", sa.Integer(), nullable=False),
        sa.Column("booking_id", sa.BigInteger(), nullable=True),
        sa.Column("earned_at", utc(), nullable=False),
        sa.Column("expires_at", utc(), nullable=False),
        sa.Column("revoked_at", utc(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_compensation_lots"),
        sa.ForeignKeyConstraint(["profile_id"], ["profiles.id"], name="fk_compensation_lots_profile_id"),
        sa.ForeignKeyConstraint(["family_id"], ["families.id"], name="fk_compensation_lots_family_id"),
        sa.ForeignKeyConstraint(["booking_id"], ["bookings.id"], name="fk_compensation_lots_booking_id"),
        sa.CheckConstraint("minutes BETWEEN 1 AND 14400", name=op.f("ck_compensation_lots_minutes")),
        sa.CheckConstraint("minutes_left BETWEEN 0 AND minutes", name=op.f("ck_compensation_lots_left")),
    )
    create_index("ix_compensation_lots_profile", "compensation_lots", ["profile_id", "expires_at"])
    create_index("ix_compensation_lots_due", "compensation_lots", ["expires_at", "minutes_left"])
    create_index("ix_compensation_lots_booking_id", "compensation_lots", ["booking_id"])
    create_index("ix_compensation_lots_family_id", "compensation_lots", ["family_id"])
    create_table(
        "compensation_usages",
        sa.Column("id", big_id(), autoincrement=True, nullable=False),
        sa.Column("lot_id", sa.BigInteger(), nullable=False),
        sa.Column("booking_id", sa.BigInteger(), nullable=False),
        sa.Column("minutes", sa.Integer(), nullable=False),
        sa.Column("used_at", utc(), nullable=False),
        sa.Column("returned_at", utc(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_compensation_usages"),
        sa.ForeignKeyConstraint(["lot_id"], ["compensation_lots.id"], name="fk_compensation_usages_lot_id"),
        sa.ForeignKeyConstraint(["booking_id"], ["bookings.id"], name="fk_compensation_usages_booking_id"),
        sa.UniqueConstraint("booking_id", "lot_id", name="uq_compensation_usages_lot"),
        sa.CheckConstraint("minutes > 0", name=op.f("ck_compensation_usages_minutes")),
    )
    create_index("ix_compensation_usages_lot_id", "compensation_usages", ["lot_id"])
    create_table(
        "compensation_history",
        sa.Column("id", big_id(), autoincrement=True, nullable=False),
        sa.Column("lot_id", sa.BigInteger(), nullable=False),
        sa.Column("profile_id", sa.BigInteger(), nullable=False),
        sa.Column("kind", ascii_(16), nullable=False),
        sa.Column("minutes", sa.Integer(), nullable=False),
        sa.Column("booking_id", sa.BigInteger(), nullable=True),
        sa.Column("actor_type", ascii_(16), nullable=False),
        sa.Column("actor_id", sa.BigInteger(), nullable=True),
        sa.Column("note", sa.String(200), nullable=False),
        sa.Column("created_at", utc(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_compensation_history"),
        sa.ForeignKeyConstraint(["lot_id"], ["compensation_lots.id"], name="fk_compensation_history_lot_id"),
        sa.ForeignKeyConstraint(["profile_id"], ["profiles.id"], name="fk_compensation_history_profile_id"),
        sa.ForeignKeyConstraint(["booking_id"], ["bookings.id"], name="fk_compensation_history_booking_id"),
        sa.CheckConstraint(
            "kind IN ('earned', 'used', 'expired', 'adjusted', 'returned')", name=op.f("ck_compensation_history_kind")
        ),
        sa.CheckConstraint("minutes <> 0", name=op.f("ck_compensation_history_minutes")),
    )
    create_index("ix_compensation_history_profile", "compensation_history", ["profile_id", "id"])
    create_index("ix_compensation_history_lot_id", "compensation_history", ["lot_id"])
    create_index("ix_compensation_history_booking_id", "compensation_history", ["booking_id"])
    create_index("ix_compensation_history_created_at", "compensation_history", ["created_at"])
    create_table(
        "makeup_requests",
        sa.Column("id", big_id(), autoincrement=True, nullable=False),
        sa.Column("credit_id", sa.BigInteger(), nullable=False),
        sa.Column("family_id", sa.BigInteger(), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("text", sa.String(500), nullable=False),
        sa.Column("wishes", sa.String(500), nullable=True),
        sa.Column("status", ascii_(16), nullable=False),
        sa.Column(
            "live_credit_id",
            sa.BigInteger(),
            sa.Computed("CASE WHEN status = 'open' THEN credit_id END", persisted=True),
        ),
        sa.Column("asked_at", utc(), nullable=False),
        sa.Column("reminded_at", utc(), nullable=True),
        sa.Column("answered_at", utc(), nullable=True),
        sa.Column("answered_by", sa.BigInteger(), nullable=True),
        sa.Column("answer", sa.String(500), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_makeup_requests"),
        sa.ForeignKeyConstraint(["credit_id"], ["makeup_credits.id"], name="fk_makeup_requests_credit_id"),
        sa.ForeignKeyConstraint(["family_id"], ["families.id"], name="fk_makeup_requests_family_id"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_makeup_requests_user_id"),
        sa.ForeignKeyConstraint(["answered_by"], ["staff.id"], name="fk_makeup_requests_answered_by"),
        sa.UniqueConstraint("live_credit_id", name="uq_makeup_requests_live"),
        sa.CheckConstraint(
            "status IN ('open', 'answered', 'booked', 'closed')", name=op.f("ck_makeup_requests_status")
        ),
        sa.CheckConstraint("(status = 'open') = (answered_at IS NULL)", name=op.f("ck_makeup_requests_answered")),
    )
    create_index("ix_makeup_requests_status", "makeup_requests", ["status", "asked_at"])
    create_index("ix_makeup_requests_family_id", "makeup_requests", ["family_id"])
    create_table(
        "makeup_failures",
        sa.Column("id", big_id(), autoincrement=True, nullable=False),
        sa.Column("course_schedule_id", sa.BigInteger(), nullable=False),
        sa.Column("profile_id", sa.BigInteger(), nullable=False),
        sa.Column("error", ascii_(64), nullable=False),
        sa.Column("failed_at", utc(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_makeup_failures"),
    )
    create_index("ix_makeup_failures_failed_at", "makeup_failures", ["failed_at"])
    for action in ("UPDATE", "DELETE"):
        refuse(
            f"compensation_history_no_{action.lower()}",
            "compensation_history",
            action,
            "compensation_history is append-only",
        )


def downgrade() -> None:
    drop_table("makeup_failures")
    drop_table("makeup_requests")
    drop_table("compensation_history")
    drop_table("compensation_usages")
    drop_table("compensation_lots")
    drop_column("makeup_credits", "end_reason")
    drop_column("makeup_credits", "ended_at")
