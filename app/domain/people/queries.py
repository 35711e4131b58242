"""What parents are shown of themselves and their family."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from app.db import db
from app.domain.people.models import Level, Profile, ProfileStatus, User
from app.vault import mask_phone


@dataclass(frozen=True, slots=True)
class UserCard:
    id: int
    nickname: str | None
    real_name: str | None
    phone_masked: str | None
    member_status: str
    registered_at: datetime
    family_id: int


@dataclass(frozen=True, slots=True)
class ProfileCard:
    id: int
    name: str
    birthday: str | None
    gender: str
    level: str | None
    status: str


@dataclass(frozen=True, slots=True)
class Member:
    """A parent or student who shares the family's wallet."""

    kind: str
    id: int
    name: str


def user_card(user: User) -> UserCard:
    return UserCard(
        id=user.id,
        nickname=user.nickname,
        real_name=user.real_name,
        phone_masked=mask_phone(user.phone),
        member_status=user.member_status,
        registered_at=user.registered_at,
        family_id=user.family_id,
    )


def profile_card(profile: Profile, level: str | None) -> ProfileCard:
    return ProfileCard(
        id=profile.id,
        name=profile.name,
        birthday=profile.birthday,
        gender=profile.gender,
        level=level,
        status=profile.status,
    )


def find_user(user_id: int) -> UserCard | None:
    user = db.session.get(User, user_id)
    return None if user is None else user_card(user)


def profiles_of(family_id: int) -> list[ProfileCard]:
    """The family's students, oldest entry first, those who left too."""
    rows = db.session.execute(
        sa.select(Profile, Level.name)
        .outerjoin(Level, Level.id == Profile.level_id)
        .where(Profile.family_id == family_id)
        .order_by(Profile.id)
    )
    return [profile_card(profile, level) for profile, level in rows]


def has_profile(family_id: int, profile_id: int) -> bool:
    """Whether this student belongs to the family."""
    query = sa.select(Profile.id).where(Profile.id == profile_id, Profile.family_id == family_id)
    return db.session.execute(query).first() is not None


def members_of(family_id: int) -> list[Member]:
    """Parents first, then students who have not left."""
    parents = db.session.execute(
        sa.select(User.id, User.real_name, User.nickname).where(User.family_id == family_id).order_by(User.id)
    )
    students = db.session.execute(
        sa.select(Profile.id, Profile.name)
        .where(Profile.family_id == family_id, Profile.status == ProfileStatus.ACTIVE)
        .order_by(Profile.id)
    )
    found = [Member("parent", row.id, row.real_name or row.nickname or "家长") for row in parents]
    return found + [Member("student", row.id, row.name) for row in students]
