"""The rows behind each figure of how families book, cancel and ask for seats, and what a page shows of them (U18)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

import sqlalchemy as sa

from app.db import db
from app.domain.bookings.models import Booking, BookingKind, BookingStatus
from app.domain.catalog.models import Course, CourseSchedule, CourseType, ScheduleStatus
from app.domain.people.models import Family, Profile
from app.domain.reports.payments import Span
from app.domain.seats.models import SeatRefusal
from app.domain.waitlist.models import WaitlistEntry
from app.row_by_row import has_row
from app.wall_clock import seconds_between, studio_minute, studio_weekday

_b, _e, _r = Booking.__table__, WaitlistEntry.__table__, SeatRefusal.__table__
_s, _c, _t = CourseSchedule.__table__, Course.__table__, CourseType.__table__
_p, _f = Profile.__table__, Family.__table__
#: the formal booking that followed a trial
_next = _b.alias("following")

#: rows that a figure shows on a page
ROWS_SHOWN = 500


class Figure(StrEnum):
    #: bookings made in these days
    MADE = "made"
    #: bookings of the classes of these days, and what became of them
    PLACES = "places"
    CANCELLED = "cancelled"
    LEAVE = "leave"
    ABSENT = "absent"
    #: classes of these days, and who wanted to be in them
    CLASSES = "classes"
    BOOKED = "booked"
    WAITED = "waited"
    REFUSED = "refused"
    #: trials attended in these days, and those whose student booked a regular class afterwards
    TRIALS = "trials"
    CONVERTED = "converted"


ENDED = (Figure.CANCELLED, Figure.LEAVE)
DEMAND = (Figure.BOOKED, Figure.WAITED, Figure.REFUSED)
_STATUS = {
    Figure.CANCELLED: BookingStatus.CANCELLED, Figure.LEAVE: BookingStatus.ON_LEAVE,
    Figure.ABSENT: BookingStatus.ABSENT,
}  # fmt: skip

HOUR, DAY = 3600, 86400
#: seconds before the class, each band without its end; the first is what happened after it had begun
BANDS: tuple[tuple[int | None, int | None], ...] = (
    (None, 0), (0, 2 * HOUR), (2 * HOUR, 6 * HOUR), (6 * HOUR, DAY), (DAY, 3 * DAY), (3 * DAY, 7 * DAY),
    (7 * DAY, None),
)  # fmt: skip


class Who(StrEnum):
    """Who ended a booking."""

    PARENT = "parent"
    STAFF = "staff"
    SESSION = "session"


@dataclass(frozen=True, slots=True)
class Asked:
    """Which rows of a figure. `band` is a place in BANDS; `why` the words of an end, empty for none; `weekday` 1
    (Monday) to 7, `hour` of the class's start in the studio. None is every one."""

    span: Span
    type_id: int | None = None
    band: int | None = None
    who: Who | None = None
    why: str | None = None
    weekday: int | None = None
    hour: int | None = None


on_weekday, at_hour = studio_weekday(_s.c.starts_at), studio_minute(_s.c.starts_at) // 60
ended_by = sa.case(
    (_b.c.ended_by.is_not(None), Who.STAFF), (_s.c.status == ScheduleStatus.CANCELLED, Who.SESSION), else_=Who.PARENT
)
_classes = _s.join(_c, _c.c.id == _s.c.course_id)


def select(figure: Figure, asked: Asked) -> sa.Select:
    """The rows of a figure, with `id`, `at` and what `behind` names."""
    if figure in (Figure.TRIALS, Figure.CONVERTED):
        query = _trials(figure, asked)
    elif figure == Figure.CLASSES:
        query = _sessions(asked)
    else:
        query = _students(figure, asked) if figure in DEMAND else _bookings(figure, asked)
    if asked.type_id is not None:
        query = query.where(_c.c.course_type_id == asked.type_id)
    return _in_cell(query, asked)


def _of_days(column: sa.Column, asked: Asked) -> sa.ColumnElement[bool]:
    start, end = asked.span.bounds
    return sa.and_(column >= start, column < end)


def _in_cell(query: sa.Select, asked: Asked) -> sa.Select:
    if asked.weekday is not None:
        query = query.where(on_weekday == asked.weekday)
    return query if asked.hour is None else query.where(at_hour == asked.hour)


def _in_band(seconds: sa.ColumnElement, band: int) -> sa.ColumnElement[bool]:
    low, high = BANDS[band]
    bounds = ([] if low is None else [seconds >= low]) + ([] if high is None else [seconds < high])
    return sa.and_(*bounds)


def _bookings(figure: Figure, asked: Asked) -> sa.Select:
    """Bookings by the day they were made, or by the day of their class; `seconds` is how long before it."""
    moment = _b.c.ended_at if figure in ENDED else _b.c.created_at
    seconds = seconds_between(moment, _s.c.starts_at)
    query = sa.select(
        _b.c.id, moment.label("at"), _s.c.id.label("schedule_id"), _c.c.name.label("course_name"), _s.c.starts_at,
        _b.c.family_id, _b.c.profile_id, _b.c.status, seconds.label("seconds"), ended_by.label("who"),
        _b.c.end_reason.label("note"),
    ).select_from(_classes.join(_b, _b.c.course_schedule_id == _s.c.id))  # fmt: skip
    query = query.where(_of_days(_b.c.created_at if figure == Figure.MADE else _s.c.starts_at, asked))
    if figure in _STATUS:
        query = query.where(_b.c.status == _STATUS[figure])
    if asked.band is not None:
        query = query.where(_in_band(seconds, asked.band))
    if asked.who is not None:
        query = query.where(ended_by == asked.who)
    if asked.why is not None:
        query = query.where(sa.func.coalesce(_b.c.end_reason, "") == asked.why)
    return query


def _held(asked: Asked) -> sa.ColumnElement[bool]:
    """Classes that were not cancelled: a cancelled one had no seats to ask for."""
    return sa.and_(_of_days(_s.c.starts_at, asked), _s.c.status == ScheduleStatus.SCHEDULED)


def _sessions(asked: Asked) -> sa.Select:
    return (
        sa.select(
            _s.c.id, _s.c.starts_at.label("at"), _s.c.id.label("schedule_id"), _c.c.name.label("course_name"),
            _s.c.starts_at, sa.null().label("family_id"), sa.null().label("profile_id"), _s.c.status, _s.c.capacity,
        ).select_from(_classes).where(_held(asked))
    )  # fmt: skip


def _students(figure: Figure, asked: Asked) -> sa.Select:
    """Students by class, each in one figure: who booked it, else who waited for it, else who was refused."""
    table, moment = {
        Figure.BOOKED: (_b, _b.c.created_at), Figure.WAITED: (_e, _e.c.joined_at),
        Figure.REFUSED: (_r, _r.c.refused_at),
    }[figure]  # fmt: skip
    firmer = {Figure.BOOKED: (), Figure.WAITED: (_b,), Figure.REFUSED: (_b, _e)}[figure]
    query = (
        sa.select(
            sa.func.min(table.c.id).label("id"), sa.func.min(moment).label("at"), _s.c.id.label("schedule_id"),
            _c.c.name.label("course_name"), _s.c.starts_at, _p.c.family_id, table.c.profile_id,
            sa.null().label("status"),
        )
        .select_from(
            _classes.join(table, table.c.course_schedule_id == _s.c.id).join(_p, _p.c.id == table.c.profile_id)
        )
        .where(_held(asked))
        .group_by(_s.c.id, _c.c.name, _s.c.starts_at, _p.c.family_id, table.c.profile_id)
    )  # fmt: skip
    for other in firmer:
        same = sa.and_(other.c.course_schedule_id == _s.c.id, other.c.profile_id == table.c.profile_id)
        query = query.where(~has_row(other.c.id, same, beside=(_s, table)))
    return query


def _trials(figure: Figure, asked: Asked) -> sa.Select:
    """Trials attended in these days, each with the student's first regular booking since it began, until now.

    A booking that was cancelled later was made all the same; one of a brother or sister is not the student's.
    """
    following = (
        sa.select(sa.func.min(_next.c.created_at))
        .where(_next.c.profile_id == _b.c.profile_id, _next.c.kind == BookingKind.REGULAR,
               _next.c.created_at >= _s.c.starts_at)
        .correlate(_b, _s)
        .scalar_subquery()
    )  # fmt: skip
    query = (
        sa.select(
            _b.c.id, _s.c.starts_at.label("at"), _s.c.id.label("schedule_id"), _c.c.name.label("course_name"),
            _s.c.starts_at, _b.c.family_id, _b.c.profile_id, _b.c.status, following.label("followed_at"),
        )
        .select_from(_classes.join(_b, _b.c.course_schedule_id == _s.c.id))
        .where(_of_days(_s.c.starts_at, asked), _b.c.kind == BookingKind.TRIAL, _b.c.status == BookingStatus.ATTENDED)
    )  # fmt: skip
    return query.where(following.is_not(None)) if figure == Figure.CONVERTED else query


# ── dressed ─────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Behind:
    """One row: a booking, a class, or a student who wanted one. `seconds` is from `at` to the class, `followed_at` the
    first regular booking after a trial; `note` is why a booking ended, in somebody's words."""

    id: int
    at: datetime | None
    schedule_id: int
    course_name: str
    starts_at: datetime
    family_id: int | None
    student: str | None
    family_name: str | None
    status: str | None
    seconds: int | None
    who: str | None
    note: str | None
    followed_at: datetime | None
    capacity: int | None


def behind(figure: Figure, asked: Asked, limit: int | None = ROWS_SHOWN) -> list[Behind]:
    """The rows that a figure counts, the latest class first, no more than `limit`."""
    query = select(figure, asked)
    query = query.order_by(_s.c.starts_at.desc(), query.selected_columns.id.desc()).limit(limit)
    rows = [row._mapping for row in db.session.execute(query)]
    students = _names(_p, {row["profile_id"] for row in rows})
    families = _names(_f, {row["family_id"] for row in rows})
    return [
        Behind(
            row["id"], row["at"], row["schedule_id"], row["course_name"], row["starts_at"], row["family_id"],
            students.get(row["profile_id"]), families.get(row["family_id"]), row["status"], row.get("seconds"),
            row.get("who"), row.get("note"), row.get("followed_at"), row.get("capacity"),
        )
        for row in rows
    ]  # fmt: skip


def _names(table: sa.Table, ids: set) -> dict[int, str]:
    wanted = sorted(ids - {None})
    found: dict[int, str] = {}
    for start in range(0, len(wanted), 1000):
        part = sa.select(table.c.id, table.c.name).where(table.c.id.in_(wanted[start : start + 1000]))
        found.update((row.id, row.name) for row in db.session.execute(part))
    return found
