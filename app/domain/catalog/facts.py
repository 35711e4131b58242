"""What the rules of a booking need to know of a session, in one statement."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

import sqlalchemy as sa

from app import clock
from app.domain.catalog.held import HELD_AT, KEPT_AT, WAITING
from app.domain.catalog.models import Course, CourseSchedule, CourseType, Venue
from app.domain.people.models import Level
from app.prepared import Prepared

_s, _c, _t = CourseSchedule.__table__, Course.__table__, CourseType.__table__
_v, _l = Venue.__table__, Level.__table__


@dataclass(frozen=True, slots=True)
class SessionFacts:
    """`price` in yuan is today's; `course_rank` is None for a course of every level."""

    id: int
    status: str
    starts_at: datetime
    ends_at: datetime
    capacity: int
    taken: int
    override_seats: int
    waitlist_capacity: int
    #: how many wait, by their rows
    waiting: int
    waitlist_policy: str
    course_name: str
    course_type_id: int
    level_id: int | None
    price: Decimal
    is_trial: bool
    venue_name: str
    course_rank: int | None
    lowest_rank: int | None

    @property
    def minutes(self) -> int:
        """The session's own length; its course may be another one since."""
        return (self.ends_at - self.starts_at) // timedelta(minutes=1)

    @property
    def full(self) -> bool:
        return self.taken >= self.capacity


_facts = Prepared(
    sa.select(
        _s.c.id, _s.c.status, _s.c.starts_at, _s.c.ends_at, _s.c.capacity,
        (_s.c.booked + HELD_AT + KEPT_AT).label("taken"), _s.c.override_seats,
        sa.func.coalesce(_s.c.waitlist_capacity, _c.c.waitlist_capacity, _t.c.waitlist_capacity).label("waits"),
        WAITING.label("waiting"), _t.c.waitlist_policy,
        _c.c.name, _c.c.course_type_id, _c.c.level_id, _c.c.price, _t.c.is_trial,
        _v.c.name.label("venue"),
        sa.select(_l.c.rank).where(_l.c.id == _c.c.level_id).scalar_subquery().label("course_rank"),
        sa.select(sa.func.min(_l.c.rank)).scalar_subquery().label("lowest_rank"),
    )
    .select_from(
        _s.join(_c, _c.c.id == _s.c.course_id)
        .join(_t, _t.c.id == _c.c.course_type_id)
        .join(_v, _v.c.id == _s.c.venue_id)
    )
    .where(_s.c.id == sa.bindparam("key"))
)  # fmt: skip


def of_session(schedule_id: int) -> SessionFacts | None:
    """The session as the last commit left it; inside a transaction only."""
    row = _facts.row({"key": schedule_id, "now": clock.now()})
    return None if row is None else SessionFacts(*row)
