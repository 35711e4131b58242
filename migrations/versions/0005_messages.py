"""The outbox, consents, preferences, wordings; runs of periodic jobs.

Revision ID: 0005_messages
Revises: 0004_desk
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from migrations.columns import ascii_, big_id, create_index, create_table, drop_table, long_text, utc

revision = "0005_messages"
down_revision = "0004_desk"
branch_labels = None
depends_on = None


def upgrade() -> None:
    create_table(
        "job_runs",
        sa.Column("name", ascii_(48), nullable=False),
        sa.Column("last_started_at", utc(), nullable=True),
        sa.Column("last_finished_at", utc(), nullable=True),
        sa.Column("last_success_at", utc(), nullable=True),
        sa.Column("last_result", sa.String(255), nullable=True),
        sa.Column("last_error", sa.String(500), nullable=True),
        sa.Column("held_by", ascii_(64), nullable=True),
        sa.Column("held_until", utc(), nullable=True),
        sa.PrimaryKeyConstraint("name", name="pk_job_runs"),
    )
    create_table(
        "channel_paces",
        sa.Column("name", ascii_(32), nullable=False),
        sa.Column("free_at", utc(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_channel_paces"),
    )
    create_table(
        "template_wordings",
        sa.Column("type", ascii_(48), nullable=False),
        sa.Column("wording", sa.Text(), nullable=False),
        sa.Column("updated_at", utc(), nullable=False),
        sa.Column("updated_by", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("type", name="pk_template_wordings"),
    )
    create_table(
        "message_consents",
        sa.Column("user_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("type", ascii_(48), nullable=False),
        sa.Column("remaining", sa.Integer(), nullable=False),
        sa.Column("updated_at", utc(), nullable=False),
        sa.PrimaryKeyConstraint("user_id", "type", name="pk_message_consents"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_message_consents_user_id"),
        sa.CheckConstraint("remaining >= 0", name=op.f("ck_message_consents_remaining")),
    )
    create_table(
        "notification_preferences",
        sa.Column("user_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("type", ascii_(48), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("updated_at", utc(), nullable=False),
        sa.PrimaryKeyConstraint("user_id", "type", name="pk_notification_preferences"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_notification_preferences_user_id"),
    )
    create_table(
        "notifications",
        sa.Column("id", big_id(), autoincrement=True, nullable=False),
        sa.Column("channel", ascii_(16), nullable=False),
        sa.Column("type", ascii_(48), nullable=False),
        sa.Column("queue", ascii_(16), nullable=False),
        sa.Column("recipient", ascii_(64), nullable=False),
        sa.Column("family_id", sa.BigInteger(), nullable=True),
        sa.Column("user_id", sa.BigInteger(), nullable=True),
        sa.Column("payload", long_text(), nullable=False),
        sa.Column("title", sa.String(100), nullable=True),
        sa.Column("text", sa.Text(), nullable=True),
        sa.Column("page", sa.String(255), nullable=True),
        sa.Column("dedupe_key", ascii_(128), nullable=False),
        sa.Column("status", ascii_(16), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_attempt_at", utc(), nullable=True),
        sa.Column("lease_until", utc(), nullable=True),
        sa.Column("provider_message_id", sa.String(64), nullable=True),
        sa.Column("error_code", ascii_(32), nullable=True),
        sa.Column("error", sa.String(500), nullable=True),
        sa.Column("history", sa.Text(), nullable=True),
        sa.Column("follows_id", sa.BigInteger(), nullable=True),
        sa.Column("created_at", utc(), nullable=False),
        sa.Column("sent_at", utc(), nullable=True),
        sa.Column("read_at", utc(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_notifications"),
        sa.ForeignKeyConstraint(["family_id"], ["families.id"], name="fk_notifications_family_id"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_notifications_user_id"),
        sa.ForeignKeyConstraint(["follows_id"], ["notifications.id"], name="fk_notifications_follows_id"),
        sa.UniqueConstraint("dedupe_key", name="uq_notifications_dedupe_key"),
    )
    create_index("ix_notifications_cooldown", "notifications", ["family_id", "type", "created_at"])
    create_index("ix_notifications_created_at", "notifications", ["created_at"])
    create_index("ix_notifications_due", "notifications", ["status", "next_attempt_at"])
    create_index("ix_notifications_family", "notifications", ["family_id", "id"])
    create_index("ix_notifications_type", "notifications", ["type", "created_at"])
    create_index("ix_notifications_user", "notifications", ["user_id", "channel", "id"])


def downgrade() -> None:
    for table in (
        "notifications",
        "notification_preferences",
        "message_consents",
        "template_wordings",
        "channel_paces",
        "job_runs",
    ):
        drop_table(table)
