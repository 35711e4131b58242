"""What a parent changes of themselves and of their children: names, phone, students (P5, 96.23–27)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from app import clock
from app.db import RequestKey, db, lock_row, transactional
from app.domain.audit import service as audit
from app.domain.audit.actor import Actor
from app.domain.people import phones, rules
from app.domain.people.models import Family, Level, Profile, ProfileStatus, User
from app.domain.people.queries import ProfileCard, UserCard, profile_card, user_card
from app.domain.search.service import index_family
from app.errors import Busy, Conflict, Invalid, NotFound

MAX_STUDENTS = 20


class PhoneTaken(Conflict):
    code = "PHONE_TAKEN"
    message = "该手机号已绑定其他账号，如有疑问请联系馆方"


@dataclass(frozen=True, slots=True)
class StudentFacts:
    """What is known of a new student; the level is a wish (96.25)."""

    name: str
    birthday: date | None = None
    gender: str = rules.Gender.UNKNOWN
    level: str | None = None


@transactional
def add_profile(*, facts: StudentFacts, actor: Actor, request_key: RequestKey | None = None) -> ProfileCard:
    """Add a student to the parent's family. Raises Invalid for an unknown level, Conflict past 20 students."""
    level = _level(facts.level)
    _own_family(actor)
    count = sa.select(sa.func.count()).select_from(Profile).where(Profile.family_id == actor.family_id)
    if db.session.execute(count).scalar_one() >= MAX_STUDENTS:
        raise Conflict(f"一个家庭最多登记 {MAX_STUDENTS} 位学员，如需更多请联系馆方", code="TOO_MANY_PROFILES")
    profile = Profile(
        family_id=actor.family_id,
        name=rules.person_name(facts.name),
        birthday=rules.birthday(facts.birthday).isoformat() if facts.birthday else None,
        gender=rules.Gender(facts.gender),
        level_id=level.id if level else None,
        level_confirmed=False,
        status=ProfileStatus.ACTIVE,
        created_at=clock.now(),
    )
    db.session.add(profile)
    db.session.flush()
    index_family(profile.family_id)
    audit.record(
        actor, "profile.added", target_type="profile", target_id=profile.id, family_id=profile.family_id,
        new_status=profile.status, after={"level_id": profile.level_id, "level_confirmed": False},
    )  # fmt: skip
    return profile_card(profile, level.name if level else None)


@transactional
def update_profile(*, profile_id: int, changes: dict[str, Any], actor: Actor) -> ProfileCard:
    """Change any of name, birthday, gender, level of a student of the parent's own family.

    A level that staff confirmed stays as it is (96.25). Raises Invalid, and NotFound for anybody else's student.
    """
    wished = _level(changes["level"]) if changes.get("level") else None
    profile = lock_row(Profile, profile_id)
    if profile is None or profile.family_id != actor.family_id:
        raise NotFound("没有这位学员")
    changed = []
    if "name" in changes and changes["name"] != profile.name:
        profile.name = rules.person_name(changes["name"])
        changed.append("name")
    if "birthday" in changes:
        value = rules.birthday(changes["birthday"]).isoformat() if changes["birthday"] else None
        if value != profile.birthday:
            profile.birthday = value
            changed.append("birthday")
    if "gender" in changes and changes["gender"] != profile.gender:
        profile.gender = rules.Gender(changes["gender"])
        changed.append("gender")
    level_id = wished.id if wished else None
    if "level" in changes and not profile.level_confirmed and level_id != profile.level_id:
        profile.level_id = level_id
        changed.append("level_id")
    if changed:
        db.session.flush()
        if "name" in changed:
            index_family(profile.family_id)
        # Names and birthdays of children stay out of the log (S8): it says that they changed, not from what.
        audit.record(
            actor, "profile.updated", target_type="profile", target_id=profile.id, family_id=profile.family_id,
            after={"fields": changed, "level_id": profile.level_id},
        )  # fmt: skip
    level = db.session.get(Level, profile.level_id) if profile.level_id else None
    return profile_card(profile, level.name if level else None)


@transactional
def update_me(*, changes: dict[str, Any], actor: Actor) -> UserCard:
    """Change the parent's own nickname or real name."""
    family = _own_family(actor)
    user = lock_row(User, actor.id)
    was_automatic = family.name == rules.family_name(user.real_name, user.nickname, family.id)
    changed = []
    for field, label in (("nickname", "昵称"), ("real_name", "真实姓名")):
        if field in changes:
            value = rules.optional_name(changes[field], field=field, label=label)
            if value != getattr(user, field):
                setattr(user, field, value)
                changed.append(field)
    if changed:
        if was_automatic:
            family.name = rules.family_name(user.real_name, user.nickname, family.id)
        db.session.flush()
        index_family(user.family_id)
        audit.record(
            actor, "user.updated", target_type="user", target_id=user.id, family_id=user.family_id,
            after={"fields": changed},
        )  # fmt: skip
    return user_card(user)


@transactional
def set_phone(*, phone: str, actor: Actor, request_key: RequestKey | None = None) -> UserCard:
    """Bind the number that WeChat vouches for. Raises PhoneTaken when another user has it (96.23)."""
    user = lock_row(User, actor.id)
    index = phones.whole_index(phone)
    if user.phone_index != index:
        other = sa.select(User.id).where(User.phone_index == index)
        if db.session.execute(other).first() is not None:
            raise PhoneTaken
        had_one = user.phone_index is not None
        phones.assign(user, phone)
        try:
            db.session.flush()
        except IntegrityError as error:
            raise PhoneTaken from error
        index_family(user.family_id)
        audit.record(
            actor, "user.phone_set", target_type="user", target_id=user.id, family_id=user.family_id,
            # The number itself would stay in the log when the family's data is erased (S8).
            after={"replaced": had_one}, request={"call": "wxa/business/getuserphonenumber"}, answer={"phone": True},
        )  # fmt: skip
    return user_card(user)


def _own_family(actor: Actor) -> Family:
    """The parent's family, locked. Raises Busy when staff moved the parent to another one since the call came in
    (P11): the next call finds that one."""
    family = lock_row(Family, actor.family_id)
    if db.session.scalar(sa.select(User.family_id).where(User.id == actor.id)) != actor.family_id:
        raise Busy
    return family


def _level(name: str | None) -> Level | None:
    if not name:
        return None
    level = db.session.scalars(sa.select(Level).where(Level.name == name)).one_or_none()
    if level is None or level.name != name:
        raise Invalid.field("level", "没有这个级别，请从级别列表中选择")
    return level
