"""Taking a timetable over from a file: every row of it, or nothing (95, 96.8, Z16).

A file may be run again at any time: what it says of types, courses and sessions stands, what is missing is made, and
a session that is there already stays the same session, with its bookings.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from app import clock
from app.db import db, execute, lock_rows, transactional
from app.domain.audit import service as audit
from app.domain.audit.actor import Actor, ActorType
from app.domain.catalog import courses, records
from app.domain.catalog.import_plan import Plan, There, capacity_complaint, chunks, make_plan
from app.domain.catalog.import_rows import CatalogLines, CourseLine, SessionLine, TypeLine
from app.domain.catalog.models import Coach, Course, CourseSchedule, CourseType, ScheduleStatus, Venue
from app.domain.people import levels
from app.domain.people.roles import Permission, require
from app.domain.waitlist.freed import seat_freed
from app.domain.waitlist.models import Cause
from app.sheets import CellError


class ImportRefused(Exception):
    """The file contradicts what is there; `cells` says where. Nothing has changed."""

    def __init__(self, cells: list[CellError]):
        self.cells = cells
        super().__init__("; ".join(map(str, cells[:3])))


@dataclass(slots=True)
class Totals:
    """What the file holds and what of it is new."""

    types: int
    new_types: int
    courses: int
    new_courses: int
    coaches: int
    new_coaches: int
    venues: int
    new_venues: int
    new_levels: int
    sessions: int
    new_sessions: int
    #: there already, and different from the file
    changed_sessions: int
    #: there already, but cancelled: they stay so
    cancelled_sessions: int


def preview(lines: CatalogLines) -> Totals:
    """What an import would do. Changes nothing. Raises ImportRefused."""
    return _count(lines, _plan(lines))


@transactional
def import_catalog(*, lines: CatalogLines, actor: Actor) -> Totals:
    """Put the file's sessions in, in one transaction. Raises Forbidden, ImportRefused; then nothing has changed."""
    require(actor, Permission.SCHEDULE_EDIT)
    # Who else puts a session to one of them waits, and is then checked against what we made.
    _lock_by_name(Coach, lines.coaches)
    _lock_by_name(Venue, lines.venues)
    plan = _plan(lines)
    totals = _count(lines, plan)
    levels.make(plan.new_levels, plan.levels)
    for line in lines.types.values():
        _put_type(line, plan, actor)
    for line in lines.courses.values():
        _put_course(line, plan, actor)
    _add_named(Coach, lines.coaches, plan.coaches, actor)
    _add_named(Venue, lines.venues, plan.venues, actor)
    _change_sessions(lines, plan, actor)
    _add_sessions(lines, plan, actor)
    audit.record(
        actor, "catalog.imported", target_type="catalog", target_id="sessions",
        after={name: getattr(totals, name) for name in totals.__slots__},
    )  # fmt: skip
    return totals


def _plan(lines: CatalogLines) -> Plan:
    plan = make_plan(lines)
    if plan.errors:
        raise ImportRefused(plan.errors)
    return plan


def _lock_by_name(model: type, names: dict[str, int]) -> None:
    found = [
        row_id
        for chunk in chunks(sorted(names))
        for row_id in db.session.scalars(sa.select(model.id).where(model.name.in_(chunk)))
    ]
    for chunk in chunks(sorted(found)):
        lock_rows(model, chunk)


def _count(lines: CatalogLines, plan: Plan) -> Totals:
    cancelled = sum(there.status == ScheduleStatus.CANCELLED for there in plan.sessions.values())
    return Totals(
        types=len(lines.types), new_types=len(lines.types.keys() - plan.types.keys()),
        courses=len(lines.courses), new_courses=len(lines.courses.keys() - plan.courses.keys()),
        coaches=len(lines.coaches), new_coaches=len(lines.coaches.keys() - plan.coaches.keys()),
        venues=len(lines.venues), new_venues=len(lines.venues.keys() - plan.venues.keys()),
        new_levels=len(plan.new_levels), sessions=len(lines.sessions),
        new_sessions=len(lines.sessions) - len(plan.sessions),
        changed_sessions=len(_changes(lines, plan)), cancelled_sessions=cancelled,
    )  # fmt: skip


# ── types, courses, coaches, venues ─────────────────────────────────────────────────────────────────


def _said(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _put_type(line: TypeLine, plan: Plan, actor: Actor) -> None:
    said = _said({"name": line.name, "waitlist_capacity": line.waitlist_capacity, "is_trial": line.is_trial})
    known = plan.types.get(line.code)
    if known is not None:
        records.change(known, said, actor)
        return
    values = {"code": line.code, "name": line.code, "waitlist_capacity": courses.WAITLIST_DEFAULT, "is_trial": False}
    plan.types[line.code] = _made(CourseType, values | said, actor)


def _put_course(line: CourseLine, plan: Plan, actor: Actor) -> None:
    level_id = plan.levels[line.level.casefold()].id if line.level else None
    said = _said({"level_id": level_id, "duration_minutes": line.minutes, "price": line.price})
    known = plan.courses.get((line.type_code, line.name))
    if known is not None:
        if records.change(known, said, actor):
            known.version += 1
        return
    values = {"course_type_id": plan.types[line.type_code].id, "name": line.name, "version": 1}
    plan.courses[line.type_code, line.name] = _made(Course, values | said, actor)


def _add_named(model: type, names: dict[str, int], known: dict[str, Any], actor: Actor) -> None:
    for name in names:
        if name not in known:
            known[name] = _made(model, {"name": name}, actor)


def _made(model: type, values: dict[str, Any], actor: Actor) -> Any:
    return db.session.get(model, records.add(model, values, actor))


# ── sessions ────────────────────────────────────────────────────────────────────────────────────────


def _changes(lines: CatalogLines, plan: Plan) -> dict[int, tuple[SessionLine, There]]:
    """The sessions that the file would change, by id."""
    return {
        there.id: (lines.sessions[key], there)
        for key, there in plan.sessions.items()
        if there.status == ScheduleStatus.SCHEDULED
        and (there.capacity, there.ends_at)
        != (there.capacity_by(lines.sessions[key]), there.end_by(lines.sessions[key]))
    }


def _change_sessions(lines: CatalogLines, plan: Plan, actor: Actor) -> None:
    changes, errors = _changes(lines, plan), []
    for chunk in chunks(sorted(changes)):
        for session in lock_rows(CourseSchedule, chunk):
            line, there = changes[session.id]
            taken = session.booked + session.held + session.kept
            # Somebody may have booked between the look and the lock.
            complaint = capacity_complaint(line, taken, session.override_seats)
            if complaint is not None:
                errors.append(complaint)
                continue
            before = {"capacity": session.capacity, "ends_at": session.ends_at.isoformat()}
            more = line.capacity + session.override_seats - session.capacity
            session.capacity += more
            session.ends_at = session.ends_at if taken else there.end_by(line)
            session.version += 1
            audit.record(
                actor, "schedule.updated", target_type="course_schedule", target_id=session.id, before=before,
                after={"capacity": session.capacity, "ends_at": session.ends_at.isoformat()},
            )  # fmt: skip
            if more > 0:
                seat_freed(session.id, Cause.CAPACITY, count=more, actor=actor)
    if errors:
        raise ImportRefused(errors)
    db.session.flush()


def _add_sessions(lines: CatalogLines, plan: Plan, actor: Actor) -> None:
    now = clock.now()
    by = actor.id if actor.type == ActorType.STAFF else None
    rows = (
        {
            "course_id": plan.courses[line.course.type_code, line.course.name].id,
            "coach_id": plan.coaches[line.coach].id, "venue_id": plan.venues[line.venue].id,
            "starts_at": line.starts_at, "ends_at": line.ends_at, "capacity": line.capacity, "booked": 0, "held": 0,
            "kept": 0, "override_seats": 0, "status": ScheduleStatus.SCHEDULED, "version": 1, "created_by": by,
            "created_at": now,
        }
        for key, line in lines.sessions.items()
        if key not in plan.sessions
    )  # fmt: skip
    for chunk in chunks(rows):
        execute(CourseSchedule.__table__.insert(), chunk)
