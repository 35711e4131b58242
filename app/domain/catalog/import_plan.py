"""Holding an import file of sessions against what is there: what is new, what would clash, what may not change."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

import sqlalchemy as sa

from app import clock
from app.db import db
from app.domain.catalog import rules
from app.domain.catalog.import_rows import CatalogLines, SessionKey, SessionLine
from app.domain.catalog.models import Coach, Course, CourseSchedule, CourseType, ScheduleStatus, Venue
from app.domain.catalog.sessions import span
from app.domain.catalog.timetable import Slot, Timetable
from app.domain.people import levels
from app.domain.people.models import Level
from app.sheets import CellError

CHUNK = 500
_s, _c, _t = CourseSchedule.__table__, Course.__table__, CourseType.__table__
_LONGEST = timedelta(minutes=rules.MINUTES_MAX)


@dataclass(frozen=True, slots=True)
class There:
    """A session that the database holds, with the names by which a file finds it."""

    id: int
    status: str
    starts_at: datetime
    ends_at: datetime
    capacity: int
    taken: int
    override_seats: int
    type_code: str
    course: str
    coach: str
    venue: str

    @property
    def key(self) -> SessionKey:
        return (self.type_code, self.course, self.coach, self.venue, self.starts_at)

    def capacity_by(self, line: SessionLine) -> int:
        """The file's, and the seats that a manager added for single students since (96.37)."""
        return line.capacity + self.override_seats

    def end_by(self, line: SessionLine) -> datetime:
        """The file's, where nobody has a seat; a family that has one booked the time as it was."""
        return self.ends_at if self.taken else line.ends_at


@dataclass(slots=True)
class Plan:
    """What an import meets. Filled by `make_plan`; `errors` in the order of the file."""

    types: dict[str, CourseType] = field(default_factory=dict)
    courses: dict[tuple[str, str], Course] = field(default_factory=dict)
    coaches: dict[str, Coach] = field(default_factory=dict)
    venues: dict[str, Venue] = field(default_factory=dict)
    #: by name without case
    levels: dict[str, Level] = field(default_factory=dict)
    new_levels: list[str] = field(default_factory=list)
    #: sessions of the file that are there, cancelled ones too
    sessions: dict[SessionKey, There] = field(default_factory=dict)
    errors: list[CellError] = field(default_factory=list)

    def wrong(self, line: int, column: str, message: str) -> None:
        self.errors.append(CellError(line, column, message))


def make_plan(lines: CatalogLines) -> Plan:
    """Reads only: a few queries however long the file is."""
    plan = Plan()
    plan.types = {row.code: row for row in db.session.scalars(sa.select(CourseType))}
    codes = {row.id: row.code for row in plan.types.values()}
    plan.courses = {(codes[row.course_type_id], row.name): row for row in db.session.scalars(sa.select(Course))}
    plan.coaches = {row.name: row for row in db.session.scalars(sa.select(Coach))}
    plan.venues = {row.name: row for row in db.session.scalars(sa.select(Venue))}
    plan.levels = levels.known()
    asked = (course.level for course in lines.courses.values() if course.level)
    plan.new_levels = levels.missing(asked, plan.levels)
    _check_types(lines, plan)
    there = _there(lines)
    for session in there:
        before = plan.sessions.get(session.key)
        if session.key in lines.sessions and (before is None or before.status == ScheduleStatus.CANCELLED):
            plan.sessions[session.key] = session
    _check_archived(lines, plan)
    _check_capacities(lines, plan)
    _check_clashes(lines, plan, there)
    plan.errors.sort(key=lambda error: error.line)
    return plan


def _check_types(lines: CatalogLines, plan: Plan) -> None:
    names = {row.name: code for code, row in plan.types.items()}
    for code, line in lines.types.items():
        known = plan.types.get(code)
        name = line.name or (known.name if known else code)
        if names.setdefault(name, code) != code:
            plan.wrong(line.line, "course_type_name", f"这个名称已是课程类型「{names[name]}」的")
        if known and line.is_trial not in (None, known.is_trial) and _has_seats_taken(known.id):
            plan.wrong(line.line, "is_trial", "这个类型的课次已有预约，不能改体验课标记")


def _has_seats_taken(course_type_id: int) -> bool:
    """Whether anybody has a seat in a class of this type: paid in the way that its trial flag says."""
    query = (
        sa.select(_s.c.id)
        .join_from(_s, _c, _c.c.id == _s.c.course_id)
        .where(_c.c.course_type_id == course_type_id, _s.c.booked + _s.c.held + _s.c.kept > 0)
        .limit(1)
    )
    return db.session.execute(query).first() is not None


def _there(lines: CatalogLines) -> list[There]:
    """Every session of the file's time and a day around it, by time."""
    if not lines.sessions:
        return []
    starts = [key[-1] for key in lines.sessions]
    query = (
        sa.select(
            _s.c.id, _s.c.status, _s.c.starts_at, _s.c.ends_at, _s.c.capacity,
            _s.c.booked + _s.c.held + _s.c.kept, _s.c.override_seats,
            _t.c.code, _c.c.name, Coach.name, Venue.name,
        )
        .select_from(
            _s.join(_c, _c.c.id == _s.c.course_id).join(_t, _t.c.id == _c.c.course_type_id)
            .join(Coach, Coach.id == _s.c.coach_id).join(Venue, Venue.id == _s.c.venue_id)
        )
        .where(_s.c.starts_at > min(starts) - _LONGEST, _s.c.starts_at < max(starts) + _LONGEST)
        .order_by(_s.c.starts_at, _s.c.id)
    )  # fmt: skip
    return [There(*row) for row in db.session.execute(query)]


def _check_archived(lines: CatalogLines, plan: Plan) -> None:
    """What is archived has no new sessions; what was taught with it is history and welcome."""
    now = clock.now()
    for key, line in lines.sessions.items():
        if key in plan.sessions or line.starts_at <= now:
            continue
        for column, word, row in (
            ("course", "课程", plan.courses.get((line.course.type_code, line.course.name))),
            ("coach", "教练", plan.coaches.get(line.coach)),
            ("venue", "场馆", plan.venues.get(line.venue)),
        ):
            if row is not None and row.archived_at is not None:
                plan.wrong(line.line, column, f"{word}「{row.name}」已停用，不能安排新课次")


def _check_capacities(lines: CatalogLines, plan: Plan) -> None:
    for key, there in plan.sessions.items():
        if there.status == ScheduleStatus.SCHEDULED:
            complaint = capacity_complaint(lines.sessions[key], there.taken, there.override_seats)
            if complaint is not None:
                plan.errors.append(complaint)


def capacity_complaint(line: SessionLine, taken: int, override_seats: int) -> CellError | None:
    """A capacity never goes below the seats that are taken (C6)."""
    capacity = line.capacity + override_seats
    if capacity < taken:
        return CellError(line.line, "capacity", f"这节课已有 {taken} 个座位被占用，人数上限不能改为 {capacity}")
    if capacity > rules.CAPACITY_MAX:
        return CellError(line.line, "capacity", f"加上已加的 {override_seats} 个座位超过 {rules.CAPACITY_MAX}")
    return None


def _check_clashes(lines: CatalogLines, plan: Plan, there: list[There]) -> None:
    """Nobody and no room in two places at once (C2): within the file, and with what the file does not name."""
    coaches, venues = Timetable(), Timetable()
    named = {session.id for session in plan.sessions.values()}
    for session in there:
        if session.status == ScheduleStatus.SCHEDULED and session.id not in named:
            slot = Slot(None, session.course, session.starts_at, session.ends_at)
            coaches.add(session.coach, slot)
            venues.add(session.venue, slot)
    for key, line in lines.sessions.items():
        known = plan.sessions.get(key)
        if known is not None and known.status == ScheduleStatus.CANCELLED:
            continue
        ends_at = line.ends_at if known is None else known.end_by(line)
        slot = Slot(line.line, line.course.name, line.starts_at, ends_at)
        for column, word, table, whose in (
            ("coach", "教练", coaches, line.coach), ("venue", "场馆", venues, line.venue),
        ):  # fmt: skip
            clash = table.clash(whose, line.starts_at, ends_at)
            if clash is not None:
                where = "系统中" if clash.key is None else f"第 {clash.key} 行"
                when = span(clash.starts_at, clash.ends_at)
                plan.wrong(line.line, column, f"{word}「{whose}」{when} 已有{where}的「{clash.course}」")
            table.add(whose, slot)


def chunks(items: Iterable[Any]) -> Iterator[list[Any]]:
    rest = iter(items)
    while chunk := list(islice(rest, CHUNK)):
        yield chunk
