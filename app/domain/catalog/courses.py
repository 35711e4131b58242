"""What the studio teaches, who teaches it and where: course types, courses, coaches, venues (C1).

What is archived has no new sessions; its sessions that are there already stay as they are. Nothing is deleted:
bookings, credits and old sessions name it.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from app.db import RequestKey, db, transactional
from app.domain.audit.actor import Actor
from app.domain.catalog import records, rules
from app.domain.catalog.errors import CourseTypeNotFound, Stale
from app.domain.catalog.models import Coach, Course, CourseType, Venue
from app.domain.people import roles
from app.domain.people.models import Level
from app.domain.people.roles import Permission
from app.errors import Invalid

WAITLIST_DEFAULT = 8

# ── course types ────────────────────────────────────────────────────────────────────────────────────


@transactional
def create_course_type(
    *,
    code: str,
    name: str,
    waitlist_capacity: int = WAITLIST_DEFAULT,
    is_trial: bool = False,
    waitlist_policy: str = rules.WAITLIST_POLICIES[0],
    actor: Actor,
    request_key: RequestKey | None = None,
) -> int:
    """A kind of course. Code and trial flag stay for ever: the contract and bookings rest on them.

    `waitlist_capacity` is how many may wait where neither course nor session says otherwise, `waitlist_policy` how a
    freed seat goes round its queues (Q8). Raises Forbidden, Invalid, NameTaken.
    """
    roles.require(actor, Permission.SCHEDULE_EDIT)
    values = {
        "code": rules.code(code), "name": rules.name(name),
        "waitlist_capacity": _type_waitlist(waitlist_capacity), "is_trial": bool(is_trial),
        "waitlist_policy": rules.waitlist_policy(waitlist_policy),
    }  # fmt: skip
    records.check_unique(CourseType, "code", values["code"], label="代码")
    records.check_unique(CourseType, "name", values["name"])
    return records.add(CourseType, values, actor)


@transactional
def update_course_type(
    *, course_type_id: int, name: str, waitlist_capacity: int, waitlist_policy: str | None = None, actor: Actor
) -> None:
    """Another policy holds for seats that come free from now on; None leaves it as it is.

    Raises Forbidden, CourseTypeNotFound, Invalid, NameTaken.
    """
    roles.require(actor, Permission.SCHEDULE_EDIT)
    values = {"name": rules.name(name), "waitlist_capacity": _type_waitlist(waitlist_capacity)}
    if waitlist_policy is not None:
        values["waitlist_policy"] = rules.waitlist_policy(waitlist_policy)
    course_type = records.locked(CourseType, course_type_id)
    records.check_unique(CourseType, "name", values["name"], but=course_type_id)
    records.change(course_type, values, actor)


def _type_waitlist(value: int | None) -> int:
    """A type stands above all others and so must say it."""
    if value is None:
        raise Invalid.field("waitlist_capacity", "请填写候补人数，0 为不设候补")
    return rules.waitlist_capacity(value)


# ── courses ─────────────────────────────────────────────────────────────────────────────────────────


@transactional
def create_course(
    *,
    course_type_id: int,
    name: str,
    level_id: int | None,
    minutes: int,
    price: Decimal,
    waitlist_capacity: int | None = None,
    actor: Actor,
    request_key: RequestKey | None = None,
) -> int:
    """A course of this type; `level_id` None is for every level, `price` in yuan.

    Raises Forbidden, CourseTypeNotFound, Invalid, NameTaken (names are unique within a type).
    """
    roles.require(actor, Permission.SCHEDULE_EDIT)
    values = _course_values(name, level_id, minutes, price, waitlist_capacity)
    if db.session.get(CourseType, course_type_id) is None:
        raise CourseTypeNotFound
    records.check_unique(Course, "name", values["name"], course_type_id=course_type_id)
    return records.add(Course, values | {"course_type_id": course_type_id, "version": 1}, actor)


@transactional
def update_course(
    *,
    course_id: int,
    version: int,
    name: str,
    level_id: int | None,
    minutes: int,
    price: Decimal,
    waitlist_capacity: int | None,
    actor: Actor,
) -> None:
    """Change a course; `version` is the one that the form was made from.

    A new price holds for bookings from now on, new minutes for sessions made from now on; both are audited with
    before and after. Raises Forbidden, CourseNotFound, Stale, Invalid, NameTaken.
    """
    roles.require(actor, Permission.SCHEDULE_EDIT)
    values = _course_values(name, level_id, minutes, price, waitlist_capacity)
    course = records.locked(Course, course_id)
    if course.version != version:
        raise Stale
    records.check_unique(Course, "name", values["name"], but=course_id, course_type_id=course.course_type_id)
    if records.change(course, values, actor):
        course.version += 1


def _course_values(
    name: str, level_id: int | None, minutes: int, price: Decimal, waitlist_capacity: int | None
) -> dict[str, Any]:
    if level_id is not None and db.session.get(Level, level_id) is None:
        raise Invalid.field("level_id", "没有这个级别，请从级别列表中选择")
    return {
        "name": rules.name(name, label="课程名称"), "level_id": level_id, "duration_minutes": rules.minutes(minutes),
        "price": rules.price(price), "waitlist_capacity": rules.waitlist_capacity(waitlist_capacity),
    }  # fmt: skip


@transactional
def archive_course(*, course_id: int, actor: Actor) -> None:
    """No new sessions of it from now on; archived twice changes nothing. Raises Forbidden, CourseNotFound."""
    records.archive(Course, course_id, actor)


@transactional
def restore_course(*, course_id: int, actor: Actor) -> None:
    """Raises Forbidden, CourseNotFound."""
    records.restore(Course, course_id, actor)


# ── coaches and venues ──────────────────────────────────────────────────────────────────────────────


@transactional
def create_coach(*, name: str, actor: Actor, request_key: RequestKey | None = None) -> int:
    """Raises Forbidden, Invalid, NameTaken."""
    return records.create_named(Coach, name, actor)


@transactional
def rename_coach(*, coach_id: int, name: str, actor: Actor) -> None:
    """Raises Forbidden, CoachNotFound, Invalid, NameTaken."""
    records.rename(Coach, coach_id, name, actor)


@transactional
def archive_coach(*, coach_id: int, actor: Actor) -> None:
    """Raises Forbidden, CoachNotFound."""
    records.archive(Coach, coach_id, actor)


@transactional
def restore_coach(*, coach_id: int, actor: Actor) -> None:
    """Raises Forbidden, CoachNotFound."""
    records.restore(Coach, coach_id, actor)


@transactional
def create_venue(*, name: str, actor: Actor, request_key: RequestKey | None = None) -> int:
    """Raises Forbidden, Invalid, NameTaken."""
    return records.create_named(Venue, name, actor)


@transactional
def rename_venue(*, venue_id: int, name: str, actor: Actor) -> None:
    """Raises Forbidden, VenueNotFound, Invalid, NameTaken."""
    records.rename(Venue, venue_id, name, actor)


@transactional
def archive_venue(*, venue_id: int, actor: Actor) -> None:
    """Raises Forbidden, VenueNotFound."""
    records.archive(Venue, venue_id, actor)


@transactional
def restore_venue(*, venue_id: int, actor: Actor) -> None:
    """Raises Forbidden, VenueNotFound."""
    records.restore(Venue, venue_id, actor)
