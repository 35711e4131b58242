"""Families, parents, students; staff and their sessions (spec 10)."""

from __future__ import annotations

from enum import StrEnum

import sqlalchemy as sa

from app.column_types import Ascii, BigId, ExactText, UTCDateTime
from app.db import db
from app.vault import Sealed


class MemberStatus(StrEnum):
    TRIAL = "trial"
    FORMAL = "formal"
    LEFT = "left"


class ProfileStatus(StrEnum):
    ACTIVE = "active"
    LEFT = "left"


class Family(db.Model):
    """The party that owns one wallet."""

    __tablename__ = "families"
    __table_args__ = (sa.Index("ix_families_name", "name"),)  # sheets name families

    id = sa.Column(BigId(), primary_key=True, autoincrement=True)
    #: what staff see, e.g. 张女士家庭
    name = sa.Column(sa.String(64), nullable=False)
    #: the name that an import file gave it; rows with the same one share the wallet
    import_key = sa.Column(ExactText(64), nullable=True, unique=True)
    merged_into = sa.Column(sa.BigInteger, sa.ForeignKey("families.id"), nullable=True)
    #: when its personal data was deleted (S8): what is left is numbers and money
    erased_at = sa.Column(UTCDateTime, nullable=True)
    created_at = sa.Column(UTCDateTime, nullable=False)


class User(db.Model):
    """A parent, known by the mini program's openid."""

    __tablename__ = "users"
    __table_args__ = (sa.Index("ix_users_phone_tail", "phone_tail"),)

    id = sa.Column(BigId(), primary_key=True, autoincrement=True)
    family_id = sa.Column(sa.BigInteger, sa.ForeignKey("families.id"), nullable=False, index=True)
    openid = sa.Column(Ascii(64), nullable=False, unique=True)
    unionid = sa.Column(Ascii(64), nullable=True, index=True)
    nickname = sa.Column(sa.String(64), nullable=True)
    real_name = sa.Column(sa.String(64), nullable=True)
    phone = sa.Column(Sealed("phone"), nullable=True)
    #: blind index of the whole number: unique, and how it is searched (S11)
    phone_index = sa.Column(Ascii(32), nullable=True, unique=True)
    #: blind index of the last four digits
    phone_tail = sa.Column(Ascii(32), nullable=True)
    member_status = sa.Column(Ascii(16), nullable=False, default=MemberStatus.TRIAL)
    registered_at = sa.Column(UTCDateTime, nullable=False)
    enrolled_at = sa.Column(UTCDateTime, nullable=True)
    #: the parent's consent to the handling of the child's data (S8): which text, and when
    consent_version = sa.Column(Ascii(16), nullable=True)
    consent_at = sa.Column(UTCDateTime, nullable=True)
    #: when the parent took it back; NULL again with the next consent
    consent_withdrawn_at = sa.Column(UTCDateTime, nullable=True)


class Level(db.Model):
    """Levels are ordered by rank (P4)."""

    __tablename__ = "levels"

    id = sa.Column(BigId(), primary_key=True, autoincrement=True)
    name = sa.Column(sa.String(32), nullable=False, unique=True)
    rank = sa.Column(sa.Integer, nullable=False, unique=True)


class Profile(db.Model):
    """A student of a family."""

    __tablename__ = "profiles"

    id = sa.Column(BigId(), primary_key=True, autoincrement=True)
    family_id = sa.Column(sa.BigInteger, sa.ForeignKey("families.id"), nullable=False, index=True)
    name = sa.Column(sa.String(64), nullable=False)
    birthday = sa.Column(Sealed("birthday"), nullable=True)
    gender = sa.Column(Ascii(16), nullable=False, default="unknown")
    level_id = sa.Column(sa.BigInteger, sa.ForeignKey("levels.id"), nullable=True)
    #: a parent's level is a wish until staff confirm it (96.25)
    level_confirmed = sa.Column(sa.Boolean, nullable=False, default=False)
    notes = sa.Column(sa.String(500), nullable=True)
    status = sa.Column(Ascii(16), nullable=False, default=ProfileStatus.ACTIVE)
    created_at = sa.Column(UTCDateTime, nullable=False)


class UserSession(db.Model):
    """One sign-in of a parent on one phone. Revoking it kills its access tokens at once (P5)."""

    __tablename__ = "user_sessions"

    id = sa.Column(Ascii(32), primary_key=True)
    user_id = sa.Column(sa.BigInteger, sa.ForeignKey("users.id"), nullable=False, index=True)
    #: SHA-256 hex of the one refresh token that is good now; spent ones match nothing
    refresh_hash = sa.Column(Ascii(64), nullable=False, unique=True)
    refresh_expires_at = sa.Column(UTCDateTime, nullable=False)
    created_at = sa.Column(UTCDateTime, nullable=False)
    last_used_at = sa.Column(UTCDateTime, nullable=False)
    revoked_at = sa.Column(UTCDateTime, nullable=True)


class StaffStatus(StrEnum):
    ACTIVE = "active"
    DISABLED = "disabled"


class Staff(db.Model):
    """Someone who signs in to the portal."""

    __tablename__ = "staff"

    id = sa.Column(BigId(), primary_key=True, autoincrement=True)
    username = sa.Column(Ascii(32), nullable=False, unique=True)
    display_name = sa.Column(sa.String(64), nullable=False)
    #: argon2id
    password_hash = sa.Column(sa.String(255), nullable=False)
    must_change_password = sa.Column(sa.Boolean, nullable=False, default=False)
    role = sa.Column(Ascii(16), nullable=False)
    status = sa.Column(Ascii(16), nullable=False, default=StaffStatus.ACTIVE)
    totp_secret = sa.Column(Sealed("totp"), nullable=True)
    #: a set-up in progress: the secret above stays in force until the first code of this one was right
    totp_pending_secret = sa.Column(Sealed("totp"), nullable=True)
    totp_confirmed_at = sa.Column(UTCDateTime, nullable=True)
    #: the last time step that was used: a code is good once
    totp_last_step = sa.Column(sa.BigInteger, nullable=True)
    #: the staff member's own family, where there is one: nobody adjusts or approves for it (W12)
    family_id = sa.Column(sa.BigInteger, sa.ForeignKey("families.id"), nullable=True)
    openid = sa.Column(Ascii(64), nullable=True)
    phone_index = sa.Column(Ascii(32), nullable=True)
    created_at = sa.Column(UTCDateTime, nullable=False)
    last_seen_at = sa.Column(UTCDateTime, nullable=True)


class StaffSession(db.Model):
    """One sign-in of a staff member in one browser; the cookie carries only a random token."""

    __tablename__ = "staff_sessions"

    id = sa.Column(BigId(), primary_key=True, autoincrement=True)
    #: SHA-256 hex of the cookie's token
    token_hash = sa.Column(Ascii(64), nullable=False, unique=True)
    staff_id = sa.Column(sa.BigInteger, sa.ForeignKey("staff.id"), nullable=False, index=True)
    created_at = sa.Column(UTCDateTime, nullable=False)
    last_seen_at = sa.Column(UTCDateTime, nullable=False)
    #: when password or TOTP was last given (P9)
    proved_at = sa.Column(UTCDateTime, nullable=False)
    ip = sa.Column(Ascii(45), nullable=True)
    user_agent = sa.Column(sa.String(255), nullable=True)
    revoked_at = sa.Column(UTCDateTime, nullable=True)


class RecoveryCode(db.Model):
    """A single-use stand-in for the second factor; kept hashed."""

    __tablename__ = "staff_recovery_codes"

    id = sa.Column(BigId(), primary_key=True, autoincrement=True)
    staff_id = sa.Column(sa.BigInteger, sa.ForeignKey("staff.id"), nullable=False, index=True)
    code_hash = sa.Column(Ascii(64), nullable=False)
    used_at = sa.Column(UTCDateTime, nullable=True)


class SignInFailure(db.Model):
    """A failed sign-in, second factor or step-up: what the lockout counts (P7), in the database, fail closed."""

    __tablename__ = "sign_in_failures"
    __table_args__ = (
        sa.Index("ix_sign_in_failures_account", "account", "created_at"),
        sa.Index("ix_sign_in_failures_address", "address", "created_at"),
        sa.Index("ix_sign_in_failures_created_at", "created_at"),
    )

    id = sa.Column(BigId(), primary_key=True, autoincrement=True)
    #: blind index of the username as typed, lower-cased; it need not exist, and people type passwords there
    account = sa.Column(Ascii(64), nullable=False)
    address = sa.Column(Ascii(45), nullable=False)
    created_at = sa.Column(UTCDateTime, nullable=False)


class RateCount(db.Model):
    """Requests of one caller in one window, for the limits that must hold without Redis (Z6, S13)."""

    __tablename__ = "rate_counts"
    __table_args__ = (sa.Index("ix_rate_counts_window", "window"),)

    #: e.g. `signin:127.0.0.1`, `money:staff:3`
    bucket = sa.Column(Ascii(96), primary_key=True)
    #: the window's first second since the epoch
    window = sa.Column(sa.BigInteger, primary_key=True)
    count = sa.Column(sa.Integer, nullable=False)
