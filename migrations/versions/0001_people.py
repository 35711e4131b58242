"""Families, parents, students, staff, their sessions; policies, request keys, search terms.

Revision ID: 0001_people
Revises:
"""

from __future__ import annotations

import sqlalchemy as sa

from migrations.columns import (
    ascii_,
    big_id,
    create_index,
    create_table,
    drop_table,
    long_text,
    prefix_text,
    sealed,
    utc,
)

revision = "0001_people"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    create_table(
        "families",
        sa.Column("id", big_id(), autoincrement=True, nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("import_key", prefix_text(64), nullable=True),
        sa.Column("merged_into", sa.BigInteger(), nullable=True),
        sa.Column("created_at", utc(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_families"),
        sa.ForeignKeyConstraint(["merged_into"], ["families.id"], name="fk_families_merged_into"),
        sa.UniqueConstraint("import_key", name="uq_families_import_key"),
    )
    create_table(
        "levels",
        sa.Column("id", big_id(), autoincrement=True, nullable=False),
        sa.Column("name", sa.String(32), nullable=False),
        sa.Column("rank", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_levels"),
        sa.UniqueConstraint("name", name="uq_levels_name"),
        sa.UniqueConstraint("rank", name="uq_levels_rank"),
    )
    create_table(
        "policies",
        sa.Column("name", ascii_(64), nullable=False),
        sa.Column("value", sa.String(200), nullable=False),
        sa.Column("updated_at", utc(), nullable=False),
        sa.Column("updated_by", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_policies"),
    )
    create_table(
        "rate_counts",
        sa.Column("bucket", ascii_(96), nullable=False),
        sa.Column("window", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("bucket", "window", name="pk_rate_counts"),
    )
    create_table(
        "request_keys",
        sa.Column("scope", ascii_(48), nullable=False),
        sa.Column("key", ascii_(64), nullable=False),
        sa.Column("fingerprint", ascii_(64), nullable=False),
        sa.Column("answer", long_text(), nullable=True),
        sa.Column("created_at", utc(), nullable=False),
        sa.PrimaryKeyConstraint("scope", "key", name="pk_request_keys"),
    )
    create_index("ix_request_keys_created_at", "request_keys", ["created_at"])
    create_table(
        "sign_in_failures",
        sa.Column("id", big_id(), autoincrement=True, nullable=False),
        sa.Column("account", ascii_(64), nullable=False),
        sa.Column("address", ascii_(45), nullable=False),
        sa.Column("created_at", utc(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_sign_in_failures"),
    )
    create_index("ix_sign_in_failures_account", "sign_in_failures", ["account", "created_at"])
    create_index("ix_sign_in_failures_address", "sign_in_failures", ["address", "created_at"])
    create_table(
        "profiles",
        sa.Column("id", big_id(), autoincrement=True, nullable=False),
        sa.Column("family_id", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("birthday", sealed(), nullable=True),
        sa.Column("gender", ascii_(16), nullable=False),
        sa.Column("level_id", sa.BigInteger(), nullable=True),
        sa.Column("level_confirmed", sa.Boolean(), nullable=False),
        sa.Column("notes", sa.String(500), nullable=True),
        sa.Column("status", ascii_(16), nullable=False),
        sa.Column("created_at", utc(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_profiles"),
        sa.ForeignKeyConstraint(["family_id"], ["families.id"], name="fk_profiles_family_id"),
        sa.ForeignKeyConstraint(["level_id"], ["levels.id"], name="fk_profiles_level_id"),
    )
    create_index("ix_profiles_family_id", "profiles", ["family_id"])
    create_table(
        "search_terms",
        sa.Column("id", big_id(), autoincrement=True, nullable=False),
        sa.Column("term", prefix_text(96), nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("owner_type", ascii_(16), nullable=False),
        sa.Column("owner_id", sa.BigInteger(), nullable=False),
        sa.Column("family_id", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_search_terms"),
        sa.ForeignKeyConstraint(["family_id"], ["families.id"], name="fk_search_terms_family_id"),
    )
    create_index("ix_search_terms_family_id", "search_terms", ["family_id"])
    create_index("ix_search_terms_owner", "search_terms", ["owner_type", "owner_id"])
    create_index("ix_search_terms_term", "search_terms", ["term", "family_id"])
    create_table(
        "staff",
        sa.Column("id", big_id(), autoincrement=True, nullable=False),
        sa.Column("username", ascii_(32), nullable=False),
        sa.Column("display_name", sa.String(64), nullable=False),
        sa.Column("password_hash", sa.String(255), nullable=False),
        sa.Column("must_change_password", sa.Boolean(), nullable=False),
        sa.Column("role", ascii_(16), nullable=False),
        sa.Column("status", ascii_(16), nullable=False),
        sa.Column("totp_secret", sealed(), nullable=True),
        sa.Column("totp_pending_secret", sealed(), nullable=True),
        sa.Column("totp_confirmed_at", utc(), nullable=True),
        sa.Column("totp_last_step", sa.BigInteger(), nullable=True),
        sa.Column("family_id", sa.BigInteger(), nullable=True),
        sa.Column("openid", ascii_(64), nullable=True),
        sa.Column("phone_index", ascii_(32), nullable=True),
        sa.Column("created_at", utc(), nullable=False),
        sa.Column("last_seen_at", utc(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_staff"),
        sa.ForeignKeyConstraint(["family_id"], ["families.id"], name="fk_staff_family_id"),
        sa.UniqueConstraint("username", name="uq_staff_username"),
    )
    create_table(
        "users",
        sa.Column("id", big_id(), autoincrement=True, nullable=False),
        sa.Column("family_id", sa.BigInteger(), nullable=False),
        sa.Column("openid", ascii_(64), nullable=False),
        sa.Column("unionid", ascii_(64), nullable=True),
        sa.Column("nickname", sa.String(64), nullable=True),
        sa.Column("real_name", sa.String(64), nullable=True),
        sa.Column("phone", sealed(), nullable=True),
        sa.Column("phone_index", ascii_(32), nullable=True),
        sa.Column("phone_tail", ascii_(32), nullable=True),
        sa.Column("member_status", ascii_(16), nullable=False),
        sa.Column("registered_at", utc(), nullable=False),
        sa.Column("enrolled_at", utc(), nullable=True),
        sa.Column("consent_version", ascii_(16), nullable=True),
        sa.Column("consent_at", utc(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_users"),
        sa.ForeignKeyConstraint(["family_id"], ["families.id"], name="fk_users_family_id"),
        sa.UniqueConstraint("openid", name="uq_users_openid"),
        sa.UniqueConstraint("phone_index", name="uq_users_phone_index"),
    )
    create_index("ix_users_family_id", "users", ["family_id"])
    create_index("ix_users_phone_tail", "users", ["phone_tail"])
    create_index("ix_users_unionid", "users", ["unionid"])
    create_table(
        "change_requests",
        sa.Column("id", big_id(), autoincrement=True, nullable=False),
        sa.Column("kind", ascii_(16), nullable=False),
        sa.Column("target", ascii_(64), nullable=False),
        sa.Column("old_value", sa.String(200), nullable=False),
        sa.Column("new_value", sa.String(200), nullable=False),
        sa.Column("reason", sa.String(500), nullable=False),
        sa.Column("status", ascii_(16), nullable=False),
        sa.Column("asked_by", sa.BigInteger(), nullable=False),
        sa.Column("asked_at", utc(), nullable=False),
        sa.Column("decided_by", sa.BigInteger(), nullable=True),
        sa.Column("decided_at", utc(), nullable=True),
        sa.Column("decision_note", sa.String(500), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_change_requests"),
        sa.ForeignKeyConstraint(["asked_by"], ["staff.id"], name="fk_change_requests_asked_by"),
        sa.ForeignKeyConstraint(["decided_by"], ["staff.id"], name="fk_change_requests_decided_by"),
    )
    create_index("ix_change_requests_open", "change_requests", ["status", "asked_at"])
    create_table(
        "staff_recovery_codes",
        sa.Column("id", big_id(), autoincrement=True, nullable=False),
        sa.Column("staff_id", sa.BigInteger(), nullable=False),
        sa.Column("code_hash", ascii_(64), nullable=False),
        sa.Column("used_at", utc(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_staff_recovery_codes"),
        sa.ForeignKeyConstraint(["staff_id"], ["staff.id"], name="fk_staff_recovery_codes_staff_id"),
    )
    create_index("ix_staff_recovery_codes_staff_id", "staff_recovery_codes", ["staff_id"])
    create_table(
        "staff_sessions",
        sa.Column("id", big_id(), autoincrement=True, nullable=False),
        sa.Column("token_hash", ascii_(64), nullable=False),
        sa.Column("staff_id", sa.BigInteger(), nullable=False),
        sa.Column("created_at", utc(), nullable=False),
        sa.Column("last_seen_at", utc(), nullable=False),
        sa.Column("proved_at", utc(), nullable=False),
        sa.Column("ip", ascii_(45), nullable=True),
        sa.Column("user_agent", sa.String(255), nullable=True),
        sa.Column("revoked_at", utc(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_staff_sessions"),
        sa.ForeignKeyConstraint(["staff_id"], ["staff.id"], name="fk_staff_sessions_staff_id"),
        sa.UniqueConstraint("token_hash", name="uq_staff_sessions_token_hash"),
    )
    create_index("ix_staff_sessions_staff_id", "staff_sessions", ["staff_id"])
    create_table(
        "user_sessions",
        sa.Column("id", ascii_(32), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("refresh_hash", ascii_(64), nullable=False),
        sa.Column("refresh_expires_at", utc(), nullable=False),
        sa.Column("created_at", utc(), nullable=False),
        sa.Column("last_used_at", utc(), nullable=False),
        sa.Column("revoked_at", utc(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_user_sessions"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_user_sessions_user_id"),
        sa.UniqueConstraint("refresh_hash", name="uq_user_sessions_refresh_hash"),
    )
    create_index("ix_user_sessions_user_id", "user_sessions", ["user_id"])


def downgrade() -> None:
    for table in (
        "user_sessions",
        "staff_sessions",
        "staff_recovery_codes",
        "change_requests",
        "users",
        "staff",
        "search_terms",
        "profiles",
        "sign_in_failures",
        "request_keys",
        "rate_counts",
        "policies",
        "levels",
        "families",
    ):
        drop_table(table)
