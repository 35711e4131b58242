"""Dated classes: making one, copying a week, and the rule that nobody and no room is in two places at once (C2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from app import clock
from app.db import RequestKey, db, db_now, execute, lock_row, lock_rows, require_transaction, transactional
from app.domain.audit import service as audit
from app.domain.audit.actor import Actor, ActorType
from app.domain.catalog import rules
from app.domain.catalog.errors import Archived, CoachBusy, CoachNotFound, CourseNotFound, VenueBusy, VenueNotFound
from app.domain.catalog.models import Coach, Course, CourseSchedule, ScheduleStatus, Venue
from app.domain.catalog.timetable import Slot, Timetable
from app.domain.people import roles
from app.domain.people.roles import Permission
from app.errors import Invalid

_s, _c = CourseSchedule.__table__, Course.__table__
WEEK = timedelta(days=7)
#: no session lasts longer: what overlaps began at most this long before
_LONGEST = timedelta(minutes=rules.MINUTES_MAX)


@transactional
def create(
    *,
    course_id: int,
    coach_id: int,
    venue_id: int,
    starts_at: datetime,
    capacity: int,
    waitlist_capacity: int | None = None,
    actor: Actor,
    request_key: RequestKey | None = None,
) -> int:
    """Put a class into the calendar; returns the session's id. It ends after the course's minutes.

    `waitlist_capacity` None leaves it to the course or its type (Q2). Raises Forbidden, CourseNotFound,
    CoachNotFound, VenueNotFound, Archived, Invalid (a start in the past, figures out of range), CoachBusy, VenueBusy.
    """
    roles.require(actor, Permission.SCHEDULE_EDIT)
    capacity = rules.capacity(capacity)
    waitlist_capacity = rules.waitlist_capacity(waitlist_capacity)
    coach, venue = lock_row(Coach, coach_id), lock_row(Venue, venue_id)
    course = db.session.get(Course, course_id, populate_existing=True)
    _check_current(course, coach, venue)
    rules.ahead(starts_at, db_now())
    ends_at = starts_at + timedelta(minutes=course.duration_minutes)
    check_free(coach_id, venue_id, starts_at, ends_at)
    return _insert(
        actor, course_id=course_id, coach_id=coach_id, venue_id=venue_id, starts_at=starts_at, ends_at=ends_at,
        capacity=capacity, waitlist_capacity=waitlist_capacity,
    )  # fmt: skip


def check_free(
    coach_id: int, venue_id: int, starts_at: datetime, ends_at: datetime, except_schedule_id: int | None = None
) -> None:
    """Building block: raises CoachBusy or VenueBusy where either has another session that overlaps (C2).

    The caller has locked the coach's row, then the venue's: only that makes two at once queue, so that the second
    sees the first. One session may end at the moment when the next begins.
    """
    require_transaction()
    slot = _taken(_s.c.coach_id == coach_id, starts_at, ends_at, except_schedule_id)
    if slot is not None:
        raise busy(CoachBusy, execute(sa.select(Coach.name).where(Coach.id == coach_id)).scalar_one(), slot)
    slot = _taken(_s.c.venue_id == venue_id, starts_at, ends_at, except_schedule_id)
    if slot is not None:
        raise busy(VenueBusy, execute(sa.select(Venue.name).where(Venue.id == venue_id)).scalar_one(), slot)


def busy(refusal: type[CoachBusy | VenueBusy], name: str, slot: Slot) -> CoachBusy | VenueBusy:
    """The refusal in words: who or where, when, and by which class."""
    who = "教练" if refusal is CoachBusy else "场馆"
    return refusal(
        f"{who}「{name}」{span(slot.starts_at, slot.ends_at)} 已有「{slot.course}」",
        data={"schedule_id": slot.key, "course": slot.course, "starts_at": slot.starts_at.isoformat(),
              "ends_at": slot.ends_at.isoformat()},
    )  # fmt: skip


def span(starts_at: datetime, ends_at: datetime) -> str:
    """`12月01日 19:00–20:00` on the studio's clock."""
    return f"{clock.local(starts_at):%m月%d日 %H:%M}–{clock.local(ends_at):%H:%M}"


def _taken(whose: Any, starts_at: datetime, ends_at: datetime, except_id: int | None) -> Slot | None:
    query = (
        sa.select(_s.c.id, _c.c.name, _s.c.starts_at, _s.c.ends_at)
        .join_from(_s, _c, _c.c.id == _s.c.course_id)
        .where(
            whose,
            _s.c.status == ScheduleStatus.SCHEDULED,
            _s.c.starts_at < ends_at,
            _s.c.starts_at > starts_at - _LONGEST,
            _s.c.ends_at > starts_at,
        )
        .order_by(_s.c.starts_at)
        .limit(1)
    )
    if except_id is not None:
        query = query.where(_s.c.id != except_id)
    row = execute(query).first()
    return None if row is None else Slot(*row)


def _check_current(course: Course | None, coach: Coach | None, venue: Venue | None) -> None:
    """Raises CourseNotFound, CoachNotFound, VenueNotFound, Archived."""
    for found, missing, word in (
        (course, CourseNotFound, "课程"), (coach, CoachNotFound, "教练"), (venue, VenueNotFound, "场馆"),
    ):  # fmt: skip
        if found is None:
            raise missing
        if found.archived_at is not None:
            raise Archived(f"{word}「{found.name}」已停用，不能安排新课次")


def _insert(actor: Actor, *, copied_from: int | None = None, **columns: Any) -> int:
    schedule_id = execute(
        _s.insert().values(
            booked=0, held=0, kept=0, override_seats=0, status=ScheduleStatus.SCHEDULED, version=1,
            created_by=actor.id if actor.type == ActorType.STAFF else None, created_at=clock.now(), **columns,
        )
    ).inserted_primary_key[0]  # fmt: skip
    after = columns | {name: columns[name].isoformat() for name in ("starts_at", "ends_at")}
    audit.record(
        actor, "schedule.created", target_type="course_schedule", target_id=schedule_id,
        new_status=ScheduleStatus.SCHEDULED,
        after=after if copied_from is None else after | {"copied_from": copied_from},
    )  # fmt: skip
    return schedule_id


# ── copying a week ──────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Skipped:
    """A session of the first week that has no copy. `starts_at` is when the copy would have begun.

    `reason` is one of exists, cancelled, past, archived, coach_busy, venue_busy; `message` says it in Chinese.
    """

    session_id: int
    course: str
    starts_at: datetime
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Copied:
    """`made` holds the ids of the new sessions, in the order of time."""

    made: tuple[int, ...]
    skipped: tuple[Skipped, ...]


@transactional
def copy_week(*, from_monday: date, to_monday: date, actor: Actor, request_key: RequestKey | None = None) -> Copied:
    """Copy the sessions of a studio week that are not cancelled to another week, at the same weekday and time (C2).

    Each is checked as `create` would; those that cannot be are skipped and named, the others made, in one
    transaction. Run again it skips what it made, and what was cancelled there since. The copy has the course's
    minutes of today, and none of the seats that were added for single students. Raises Forbidden, Invalid.
    """
    roles.require(actor, Permission.SCHEDULE_EDIT)
    _check_weeks(from_monday, to_monday)
    # What the first week was when it was looked at is copied; the locks guard where the copies go.
    sources = _week(from_monday)
    coaches = {row.id: row for row in lock_rows(Coach, {source.coach_id for source in sources})}
    venues = {row.id: row for row in lock_rows(Venue, {source.venue_id for source in sources})}
    plan = _plan(sources, from_monday, to_monday, coaches, venues, db_now())
    copied = Copied(tuple(_copy(actor, one) for one in plan.copies), plan.skipped)
    audit.record(
        actor, "schedule.copied", target_type="week", target_id=to_monday.isoformat(),
        after={"from": from_monday.isoformat(), "made": len(copied.made), "skipped": len(copied.skipped)},
    )  # fmt: skip
    return copied


@dataclass(frozen=True, slots=True)
class Copy:
    """A session that copying would make, from the row of the first week, without its added seats."""

    source: Any
    starts_at: datetime
    ends_at: datetime

    @property
    def capacity(self) -> int:
        return max(1, self.source.capacity - self.source.override_seats)


@dataclass(frozen=True, slots=True)
class CopyPlan:
    """What copying a week would do; both in the order of time."""

    copies: tuple[Copy, ...]
    skipped: tuple[Skipped, ...]


def plan_copy(*, from_monday: date, to_monday: date) -> CopyPlan:
    """What `copy_week` would do now. Nothing is locked, so copying looks again. Raises Invalid."""
    _check_weeks(from_monday, to_monday)
    sources = _week(from_monday)
    coaches, venues = (
        {row.id: row for row in db.session.scalars(sa.select(model).where(model.id.in_(ids)))}
        for model, ids in ((Coach, {s.coach_id for s in sources}), (Venue, {s.venue_id for s in sources}))
    )
    return _plan(sources, from_monday, to_monday, coaches, venues, clock.now())


def _plan(
    sources: Sequence[Any], from_monday: date, to_monday: date, coaches: dict[int, Coach], venues: dict[int, Venue],
    now: datetime,
) -> CopyPlan:  # fmt: skip
    copier = _Copier(to_monday - from_monday, coaches, venues, now)
    copier.look_at(to_monday)
    for source in sources:
        if source.status == ScheduleStatus.SCHEDULED:
            copier.take(source)
    return CopyPlan(tuple(copier.copies), tuple(copier.skipped))


def _copy(actor: Actor, copy: Copy) -> int:
    source = copy.source
    return _insert(
        actor, copied_from=source.id, course_id=source.course_id, coach_id=source.coach_id,
        venue_id=source.venue_id, starts_at=copy.starts_at, ends_at=copy.ends_at,
        capacity=copy.capacity, waitlist_capacity=source.waitlist_capacity,
    )  # fmt: skip


def _check_weeks(from_monday: date, to_monday: date) -> None:
    for field, day in (("from_monday", from_monday), ("to_monday", to_monday)):
        if day.weekday() != 0:
            raise Invalid.field(field, "请选择一周的周一")
        # Far from both ends of the calendar, so that no sum of days passes them.
        if not 2000 <= day.year <= 2200:
            raise Invalid.field(field, "日期不在可用范围内")
    if from_monday == to_monday:
        raise Invalid.field("to_monday", "请选择另一周")


def _week(monday: date, *, and_before: timedelta = timedelta(0)) -> Sequence[Any]:
    """The sessions that begin in the studio week, with what a copy needs of their course."""
    begins, ends = clock.day_bounds(monday)[0] - and_before, clock.day_bounds(monday + WEEK)[0]
    return db.session.execute(
        sa.select(_s, _c.c.name, _c.c.duration_minutes, _c.c.archived_at)
        .join_from(_s, _c, _c.c.id == _s.c.course_id)
        .where(_s.c.starts_at >= begins, _s.c.starts_at < ends)
        .order_by(_s.c.starts_at, _s.c.id)
    ).all()


class _Copier:
    """One week being copied: what is taken where it goes, and what comes of each session. Writes nothing."""

    def __init__(self, shift: timedelta, coaches: dict[int, Coach], venues: dict[int, Venue], now: datetime):
        self.shift, self.now = shift, now
        self.coaches, self.venues = coaches, venues
        self.by_coach, self.by_venue = Timetable(), Timetable()
        self.there: dict[tuple, str] = {}
        self.copies: list[Copy] = []
        self.skipped: list[Skipped] = []

    def look_at(self, monday: date) -> None:
        """Learn what is there: the week, what reaches into it, and what its last class could run into."""
        for row in [*_week(monday, and_before=_LONGEST), *_week(monday + WEEK)]:
            key = (row.course_id, row.coach_id, row.venue_id, row.starts_at)
            if self.there.get(key) != ScheduleStatus.SCHEDULED:
                self.there[key] = row.status
            if row.status == ScheduleStatus.SCHEDULED:
                self.occupy(row.coach_id, row.venue_id, Slot(row.id, row.name, row.starts_at, row.ends_at))

    def occupy(self, coach_id: int, venue_id: int, slot: Slot) -> None:
        self.by_coach.add(coach_id, slot)
        self.by_venue.add(venue_id, slot)

    def take(self, source: Any) -> None:
        # The studio's clock decides, not the distance in hours.
        local = clock.local(source.starts_at)
        starts_at = (local.replace(tzinfo=None) + self.shift).replace(tzinfo=clock.STUDIO_ZONE).astimezone(UTC)
        ends_at = starts_at + timedelta(minutes=source.duration_minutes)
        try:
            self.check(source, starts_at, ends_at)
        except _Skip as skip:
            self.skipped.append(Skipped(source.id, source.name, starts_at, skip.reason, skip.message))
            return
        self.occupy(source.coach_id, source.venue_id, Slot(source.id, source.name, starts_at, ends_at))
        self.copies.append(Copy(source, starts_at, ends_at))

    def check(self, source: Any, starts_at: datetime, ends_at: datetime) -> None:
        there = self.there.get((source.course_id, source.coach_id, source.venue_id, starts_at))
        if there == ScheduleStatus.SCHEDULED:
            raise _Skip("exists", "那一周已有这节课")
        if there is not None:
            raise _Skip("cancelled", "那一周的这节课已取消，如需恢复请单独新建")
        coach, venue = self.coaches[source.coach_id], self.venues[source.venue_id]
        try:
            _check_current(source, coach, venue)
            rules.ahead(starts_at, self.now)
        except Archived as refusal:
            raise _Skip("archived", refusal.message) from None
        except Invalid as refusal:
            raise _Skip("past", refusal.message) from None
        for refusal, table, whose in (
            (CoachBusy, self.by_coach, coach), (VenueBusy, self.by_venue, venue),
        ):  # fmt: skip
            slot = table.clash(whose.id, starts_at, ends_at)
            if slot is not None:
                raise _Skip(refusal.code.lower(), busy(refusal, whose.name, slot).message)


class _Skip(Exception):
    def __init__(self, reason: str, message: str):
        self.reason, self.message = reason, message
        super().__init__(message)
