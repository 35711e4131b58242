"""What the family page shows of people; money and messages come from their own queries."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

import sqlalchemy as sa

from app import clock
from app.db import db
from app.domain.people.models import Family, Level, Profile, User
from app.vault import mask_phone


@dataclass(frozen=True, slots=True)
class ParentLine:
    id: int
    name: str
    nickname: str | None
    phone_masked: str | None
    member_status: str
    registered_at: datetime
    enrolled_at: datetime | None


@dataclass(frozen=True, slots=True)
class StudentLine:
    id: int
    name: str
    gender: str
    age: int | None
    birthday_masked: str | None
    level_id: int | None
    level: str | None
    level_confirmed: bool
    notes: str | None
    status: str


@dataclass(frozen=True, slots=True)
class FamilySheet:
    id: int
    name: str
    created_at: datetime
    merged_into: int | None
    parents: list[ParentLine]
    students: list[StudentLine]


# Columns and not whole objects: the page is opened all day, and half of its time went into making them.
_sheet = sa.select(Family.id, Family.name, Family.created_at, Family.merged_into).where(
    Family.id == sa.bindparam("family_id")
)
_parents = (
    sa.select(
        User.id, User.real_name, User.nickname, User.phone, User.member_status, User.registered_at, User.enrolled_at
    )
    .where(User.family_id == sa.bindparam("family_id"))
    .order_by(User.id)
)
_students = (
    sa.select(
        Profile.id, Profile.name, Profile.gender, Profile.birthday, Profile.level_id, Level.name.label("level"),
        Profile.level_confirmed, Profile.notes, Profile.status,
    )
    .outerjoin(Level, Level.id == Profile.level_id)
    .where(Profile.family_id == sa.bindparam("family_id"))
    .order_by(Profile.status, Profile.id)
)  # fmt: skip


def family_sheet(family_id: int) -> FamilySheet | None:
    """A family with its parents and students, phones and birthdays masked (S8); None if there is none."""
    asked = {"family_id": family_id}
    family = db.session.execute(_sheet, asked).first()
    if family is None:
        return None
    parents, students = db.session.execute(_parents, asked), db.session.execute(_students, asked)
    return FamilySheet(*family, [_parent(user) for user in parents], [_student(profile) for profile in students])


def heir(family_id: int) -> tuple[int, str] | None:
    """(id, name) of the family that this one was merged into, however often; None where it was not (P11)."""
    query = sa.select(Family.id, Family.name, Family.merged_into)
    row = db.session.execute(query.where(Family.id == family_id)).one()
    found = None
    while row.merged_into is not None:
        row = db.session.execute(query.where(Family.id == row.merged_into)).one()
        found = (row.id, row.name)
    return found


def absorbed(family_id: int) -> list[tuple[int, str]]:
    """(id, name) of the families that were merged into this one: their earlier transactions stay with them."""
    query = sa.select(Family.id, Family.name).where(Family.merged_into == family_id).order_by(Family.id)
    return [(row.id, row.name) for row in db.session.execute(query)]


def levels() -> list[tuple[int, str]]:
    """(id, name) of all levels, lowest first."""
    return [(row.id, row.name) for row in db.session.execute(sa.select(Level.id, Level.name).order_by(Level.rank))]


def _parent(user: sa.Row) -> ParentLine:
    return ParentLine(
        id=user.id,
        name=user.real_name or user.nickname or "未留姓名",
        nickname=user.nickname,
        phone_masked=mask_phone(user.phone),
        member_status=user.member_status,
        registered_at=user.registered_at,
        enrolled_at=user.enrolled_at,
    )


def _student(profile: sa.Row) -> StudentLine:
    birthday = date.fromisoformat(profile.birthday) if profile.birthday else None
    return StudentLine(
        id=profile.id,
        name=profile.name,
        gender=profile.gender,
        age=_age(birthday),
        birthday_masked=f"{birthday.year}-**-**" if birthday else None,
        level_id=profile.level_id,
        level=profile.level,
        level_confirmed=profile.level_confirmed,
        notes=profile.notes,
        status=profile.status,
    )


def _age(birthday: date | None) -> int | None:
    if birthday is None:
        return None
    today = clock.today()
    return today.year - birthday.year - ((today.month, today.day) < (birthday.month, birthday.day))
