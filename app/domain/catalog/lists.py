"""What the desk's pages list and offer of the catalog: types, courses, coaches, venues, and a session's own fields."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

import sqlalchemy as sa

from app import clock
from app.db import db
from app.domain.catalog.models import Coach, Course, CourseSchedule, CourseType, ScheduleStatus, Venue
from app.domain.people.models import Level, Staff

_s, _c, _t, _l = CourseSchedule.__table__, Course.__table__, CourseType.__table__, Level.__table__


@dataclass(frozen=True, slots=True)
class TypeLine:
    id: int
    code: str
    name: str
    waitlist_capacity: int
    is_trial: bool
    courses: int
    waitlist_policy: str


@dataclass(frozen=True, slots=True)
class CourseLine:
    """`price` in yuan; `waitlist_capacity` is the course's own, None where the type decides. `coming` counts the
    sessions still ahead."""

    id: int
    name: str
    type_id: int
    type_name: str
    is_trial: bool
    level_id: int | None
    level: str | None
    duration_minutes: int
    price: Decimal
    waitlist_capacity: int | None
    version: int
    archived_at: datetime | None
    coming: int


@dataclass(frozen=True, slots=True)
class NamedLine:
    """A coach or a venue, with the number of sessions still ahead."""

    id: int
    name: str
    archived_at: datetime | None
    coming: int


def types() -> list[TypeLine]:
    """All course types in the order in which they were made."""
    count = sa.select(sa.func.count()).where(_c.c.course_type_id == _t.c.id).scalar_subquery()
    query = sa.select(_t.c.id, _t.c.code, _t.c.name, _t.c.waitlist_capacity, _t.c.is_trial, count, _t.c.waitlist_policy)
    return [TypeLine(*row) for row in db.session.execute(query.order_by(_t.c.id))]


def courses() -> list[CourseLine]:
    """All courses by type, level and name, the archived ones last."""
    ahead = _ahead(_s.c.course_id)
    query = (
        sa.select(
            _c.c.id, _c.c.name, _t.c.id, _t.c.name, _t.c.is_trial, _c.c.level_id, _l.c.name, _c.c.duration_minutes,
            _c.c.price, _c.c.waitlist_capacity, _c.c.version, _c.c.archived_at,
        )
        .select_from(_c.join(_t, _t.c.id == _c.c.course_type_id).outerjoin(_l, _l.c.id == _c.c.level_id))
        .order_by(_c.c.archived_at.is_not(None), _t.c.id, sa.func.coalesce(_l.c.rank, 0), _c.c.name, _c.c.id)
    )  # fmt: skip
    return [CourseLine(*row, ahead.get(row[0], 0)) for row in db.session.execute(query)]


def coaches() -> list[NamedLine]:
    """All coaches by name, the archived ones last."""
    return _named(Coach, _ahead(_s.c.coach_id))


def venues() -> list[NamedLine]:
    """All venues by name, the archived ones last."""
    return _named(Venue, _ahead(_s.c.venue_id))


def _named(model: type, ahead: dict[int, int]) -> list[NamedLine]:
    query = sa.select(model.id, model.name, model.archived_at)
    rows = db.session.execute(query.order_by(model.archived_at.is_not(None), model.name, model.id))
    return [NamedLine(*row, ahead.get(row.id, 0)) for row in rows]


def _ahead(column: sa.Column) -> dict[int, int]:
    """How many sessions are still to come, for each value of the column."""
    query = (
        sa.select(column, sa.func.count())
        .where(_s.c.status == ScheduleStatus.SCHEDULED, _s.c.starts_at > clock.now())
        .group_by(column)
    )
    return dict(map(tuple, db.session.execute(query)))


@dataclass(frozen=True, slots=True)
class OwnFields:
    """What a session holds itself and its card does not show: `waitlist_capacity` is None where the course decides."""

    waitlist_capacity: int | None
    override_seats: int
    cancelled_at: datetime | None
    cancel_reason: str | None
    cancelled_by: str | None


def own_fields(schedule_id: int) -> OwnFields | None:
    query = (
        sa.select(
            _s.c.waitlist_capacity, _s.c.override_seats, _s.c.cancelled_at, _s.c.cancel_reason, Staff.display_name
        )
        .outerjoin_from(_s, Staff, Staff.id == _s.c.cancelled_by)
        .where(_s.c.id == schedule_id)
    )
    row = db.session.execute(query).first()
    return None if row is None else OwnFields(*row)
