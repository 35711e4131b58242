"""Today's classes for the start page (U1): when, where, with whom, and how full."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from app import clock
from app.db import db
from app.domain.catalog.held import HELD, KEPT
from app.domain.catalog.models import Coach, Course, CourseSchedule, ScheduleStatus, Venue

_s = CourseSchedule.__table__


@dataclass(frozen=True, slots=True)
class Class:
    """One session. `taken` seats are booked, held by an unpaid order, or kept for the waitlist."""

    id: int
    starts_at: datetime
    ends_at: datetime
    course: str
    venue: str
    coach: str
    capacity: int
    taken: int

    @property
    def full(self) -> bool:
        return self.taken >= self.capacity


@dataclass(frozen=True, slots=True)
class Classes:
    """The day's sessions in order of time, and their seats in all."""

    sessions: list[Class]

    @property
    def capacity(self) -> int:
        return sum(session.capacity for session in self.sessions)

    @property
    def taken(self) -> int:
        return sum(session.taken for session in self.sessions)


def classes() -> Classes:
    """Sessions of the studio's today that were not cancelled."""
    start, end = clock.day_bounds(clock.today())
    query = (
        sa.select(
            _s.c.id, _s.c.starts_at, _s.c.ends_at, Course.name, Venue.name, Coach.name, _s.c.capacity,
            (_s.c.booked + HELD + KEPT).label("taken"),
        )
        .join(Course, Course.id == _s.c.course_id)
        .join(Venue, Venue.id == _s.c.venue_id)
        .join(Coach, Coach.id == _s.c.coach_id)
        .where(_s.c.starts_at >= start, _s.c.starts_at < end, _s.c.status == ScheduleStatus.SCHEDULED)
        .order_by(_s.c.starts_at, _s.c.id)
    )  # fmt: skip
    return Classes([Class(*row) for row in db.session.execute(query)])
