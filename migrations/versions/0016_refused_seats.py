"""Students who found a class and its queue full: demand that no booking shows.

Revision ID: 0016_refused_seats
Revises: 0015_books
"""

from __future__ import annotations

import sqlalchemy as sa

from migrations.columns import ascii_, big_id, create_index, create_table, drop_table, utc

revision = "0016_refused_seats"
down_revision = "0015_books"
branch_labels = None
depends_on = None


def upgrade() -> None:
    create_table(
        "seat_refusals",
        sa.Column("id", big_id(), autoincrement=True, nullable=False),
        sa.Column("course_schedule_id", sa.BigInteger(), nullable=False),
        sa.Column("profile_id", sa.BigInteger(), nullable=False),
        sa.Column("code", ascii_(32), nullable=False),
        sa.Column("refused_at", utc(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_seat_refusals"),
        sa.ForeignKeyConstraint(
            ["course_schedule_id"], ["course_schedules.id"], name="fk_seat_refusals_course_schedule_id"
        ),
        sa.ForeignKeyConstraint(["profile_id"], ["profiles.id"], name="fk_seat_refusals_profile_id"),
        sa.UniqueConstraint("course_schedule_id", "profile_id", name="uq_seat_refusals_student"),
    )
    create_index("ix_seat_refusals_profile_id", "seat_refusals", ["profile_id"])


def downgrade() -> None:
    drop_table("seat_refusals")
