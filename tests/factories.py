"""Families for tests, made through the services: what they hold is what the product makes."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

from app import clock
from app.db import db, transaction
from app.domain.audit.actor import Actor, ActorType, system
from app.domain.catalog.models import Coach, Course, CourseSchedule, CourseType, Venue
from app.domain.ledger import service as ledger
from app.domain.people import phones
from app.domain.people.models import Family, Level, Profile, User
from app.domain.people.registration import add_family_with_parent
from app.domain.search.service import index_family

_numbers = itertools.count(1)


@dataclass(frozen=True)
class MadeFamily:
    """Ids of what was made."""

    id: int
    wallet_id: int
    user_id: int
    profile_ids: list[int]


def make_level(name: str = "L1", rank: int = 1) -> int:
    """The level of this name, made if there is none."""
    with transaction():
        level = db.session.query(Level).filter_by(name=name).one_or_none()
        if level is None:
            level = Level(name=name, rank=rank)
            db.session.add(level)
            db.session.flush()
        return level.id


def make_family(
    *,
    parent: str = "张女士",
    students: tuple[str, ...] = ("张小明",),
    phone: str | None = None,
    birthday: str | None = None,
    balance: str = "0.00",
) -> MadeFamily:
    """A family with one parent, its students, and a balance that was credited (or debited) once."""
    number = next(_numbers)
    with transaction():
        user = add_family_with_parent(openid=f"openid-test-{number}", nickname=parent)
        if phone:
            phones.assign(user, phone)
        family = db.session.get(Family, user.family_id)
        profiles = [
            Profile(family_id=family.id, name=name, gender="unknown", birthday=birthday, created_at=clock.now())
            for name in students
        ]
        db.session.add_all(profiles)
        db.session.flush()
        index_family(family.id)
        wallet = ledger.lock_wallet(family_id=family.id)
        amount = Decimal(balance)
        if amount:
            ledger.post(
                wallet, type="adjustment", amount=amount, idempotency_key=f"test-opening-{number}",
                reference_type="import", reference_id=family.id, reason="期初余额", actor=system("test"),
            )  # fmt: skip
        made = MadeFamily(family.id, wallet.id, user.id, [p.id for p in profiles])
        db.session.flush()
    return made


def parent_of(family: MadeFamily) -> User:
    return db.session.get(User, family.user_id)


# ── classes ─────────────────────────────────────────────────────────────────────────────────────────


def make_course(
    name: str = "少儿体操", *, type_code: str = "regular", level: str | None = None, minutes: int = 60,
    price: str = "200.00", is_trial: bool = False,
) -> int:  # fmt: skip
    """A course of this name, with its type where there is none; returns its id."""
    level_id = make_level(level, int(level[1:])) if level else None
    with transaction():
        course_type = db.session.query(CourseType).filter_by(code=type_code).one_or_none()
        if course_type is None:
            course_type = CourseType(
                code=type_code, name=f"{type_code}课", waitlist_capacity=8, is_trial=is_trial, created_at=clock.now()
            )
            db.session.add(course_type)
            db.session.flush()
        course = Course(
            course_type_id=course_type.id, name=f"{name}{next(_numbers)}", level_id=level_id,
            duration_minutes=minutes, price=Decimal(price), created_at=clock.now(),
        )  # fmt: skip
        db.session.add(course)
        db.session.flush()
        return course.id


def make_session(
    course_id: int | None = None, *, starts_in: timedelta = timedelta(days=2), capacity: int = 6, **columns
) -> int:
    """A session with a coach and a venue of its own, so that only what a test is about can clash; returns its id."""
    course_id = course_id or make_course()
    number = next(_numbers)
    with transaction():
        coach = Coach(name=f"教练{number}", created_at=clock.now())
        venue = Venue(name=f"{number}号馆", created_at=clock.now())
        db.session.add_all([coach, venue])
        db.session.flush()
        starts_at = columns.pop("starts_at", None) or clock.now() + starts_in
        session = CourseSchedule(
            course_id=course_id, coach_id=coach.id, venue_id=venue.id, starts_at=starts_at,
            ends_at=starts_at + timedelta(minutes=db.session.get(Course, course_id).duration_minutes),
            capacity=capacity, created_at=clock.now(), **columns,
        )  # fmt: skip
        db.session.add(session)
        db.session.flush()
        return session.id


def parent_actor(family: MadeFamily) -> Actor:
    return Actor(type=ActorType.PARENT, id=family.user_id, name="张女士", family_id=family.id)


#: how a member of staff can belong to a family (W12)
BELONGING = ("linked", "openid", "phone")


def belonging_to(family: MadeFamily, how: str) -> dict:
    """Columns of an account whose owner belongs to this family, which must have a phone."""
    parent = parent_of(family)
    return {
        "linked": {"family_id": family.id},
        "openid": {"openid": parent.openid},
        "phone": {"phone_index": parent.phone_index},
    }[how]
