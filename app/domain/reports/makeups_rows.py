"""The rows behind each figure of makeups: what is counted, and what a page shows of it (M10, U18)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

import sqlalchemy as sa

from app import clock
from app.db import db
from app.domain.bookings.models import LIVE, Booking, BookingKind, BookingStatus
from app.domain.catalog.models import Course, CourseSchedule
from app.domain.credits.models import (
    CompensationHistory,
    CompensationLot,
    CreditStatus,
    HistoryKind,
    MakeupCredit,
)
from app.domain.people.models import Family, Profile
from app.domain.reports.payments import Span

_b, _k, _h, _lots = (
    Booking.__table__, MakeupCredit.__table__, CompensationHistory.__table__, CompensationLot.__table__,
)  # fmt: skip
_s, _c = CourseSchedule.__table__, Course.__table__
_p, _f = Profile.__table__, Family.__table__
#: the makeup that a credit was used for, and its class
_mb, _ms = _b.alias("makeup"), _s.alias("makeup_session")

#: rows that a figure shows
ROWS_SHOWN = 500
#: asked for as a type: minutes that staff gave, which come from no class
OF_NO_TYPE = 0


class Figure(StrEnum):
    #: classes to come to, and those given up
    DUE = "due"
    LEAVE = "leave"
    #: credits, and what became of them
    GRANTED = "granted"
    USED = "used"
    HELD = "held"
    OPEN = "open"
    UNUSED = "unused"
    #: changes of minutes
    EARNED = "earned"
    SPENT = "spent"
    LAPSED = "lapsed"
    ADJUSTED = "adjusted"
    RETURNED = "returned"
    #: minutes that stood at the end of the time
    OWED = "owed"


CLASSES = (Figure.DUE, Figure.LEAVE)
CREDITS = (Figure.GRANTED, Figure.USED, Figure.HELD, Figure.OPEN, Figure.UNUSED)
#: the kind of change, and the sign with which it counts
CHANGES = {
    Figure.EARNED: (HistoryKind.EARNED, 1),
    Figure.SPENT: (HistoryKind.USED, -1),
    Figure.LAPSED: (HistoryKind.EXPIRED, -1),
    Figure.ADJUSTED: (HistoryKind.ADJUSTED, 1),
    Figure.RETURNED: (HistoryKind.RETURNED, 1),
}


def _classes(figure: Figure, span: Span) -> sa.Select:
    """Bookings of classes that start in these days, kept or given up; nobody takes leave from a trial."""
    counted = (BookingStatus.ON_LEAVE,) if figure == Figure.LEAVE else (*LIVE, BookingStatus.ON_LEAVE)
    start, end = span.bounds
    return (
        sa.select(
            _b.c.id, _s.c.starts_at.label("at"), _c.c.course_type_id.label("type_id"), _b.c.course_schedule_id,
            _b.c.family_id, _b.c.profile_id, _b.c.status,
        )
        .select_from(_s.join(_b, _b.c.course_schedule_id == _s.c.id).join(_c, _c.c.id == _s.c.course_id))
        .where(_s.c.starts_at >= start, _s.c.starts_at < end, _b.c.status.in_(counted), _b.c.kind != BookingKind.TRIAL)
    )  # fmt: skip


def _credits(figure: Figure, span: Span) -> sa.Select:
    """Credits made in these days, by what has become of them until now."""
    now = clock.now()
    start, end = span.bounds
    usable = sa.and_(_k.c.status == CreditStatus.AVAILABLE, _k.c.valid_until > now)
    used = _k.c.status == CreditStatus.USED
    picked = {
        Figure.GRANTED: sa.true(),
        Figure.USED: used,
        Figure.HELD: sa.and_(used, _ms.c.starts_at <= now),
        Figure.OPEN: usable,
        Figure.UNUSED: sa.not_(sa.or_(usable, used)),
    }[figure]
    taken = sa.and_(_mb.c.credit_id == _k.c.id, _mb.c.status.in_(LIVE))
    return (
        sa.select(
            _k.c.id, _k.c.created_at.label("at"), _k.c.course_type_id.label("type_id"), _b.c.course_schedule_id,
            _k.c.family_id, _k.c.profile_id, _k.c.status, _k.c.valid_until, _ms.c.starts_at.label("makeup_at"),
            _mb.c.id.label("makeup_id"),
        )
        .select_from(
            _k.join(_b, _b.c.id == _k.c.booking_id)
            .outerjoin(_mb, taken)
            .outerjoin(_ms, _ms.c.id == _mb.c.course_schedule_id)
        )
        .where(_k.c.created_at >= start, _k.c.created_at < end, picked)
    )  # fmt: skip


_of_lots = (
    _lots.outerjoin(_b, _b.c.id == _lots.c.booking_id)
    .outerjoin(_s, _s.c.id == _b.c.course_schedule_id)
    .outerjoin(_c, _c.c.id == _s.c.course_id)
)


def _changes(figure: Figure, span: Span) -> sa.Select:
    start, end = span.bounds
    kind, sign = CHANGES[figure]
    return (
        sa.select(
            _h.c.id, _h.c.created_at.label("at"), _c.c.course_type_id.label("type_id"),
            _b.c.course_schedule_id, _lots.c.family_id, _h.c.profile_id, _h.c.kind.label("status"),
            (_h.c.minutes * sign).label("minutes"), _h.c.note,
        )
        .select_from(_of_lots.join(_h, _h.c.lot_id == _lots.c.id))
        .where(_h.c.created_at >= start, _h.c.created_at < end, _h.c.kind == kind)
    )  # fmt: skip


def _owed(span: Span) -> sa.Select:
    """Lots with minutes that could be used when these days ended, or now; reckoned from their history."""
    end = min(span.bounds[1], clock.now())
    left = sa.func.sum(_h.c.minutes)
    return (
        sa.select(
            _lots.c.id, _lots.c.earned_at.label("at"), _c.c.course_type_id.label("type_id"), _b.c.course_schedule_id,
            _lots.c.family_id, _lots.c.profile_id, sa.literal(None).label("status"), left.label("minutes"),
            _lots.c.expires_at.label("valid_until"),
        )
        .select_from(_of_lots.join(_h, _h.c.lot_id == _lots.c.id))
        .where(_lots.c.expires_at > end, _h.c.created_at <= end)
        .group_by(_lots.c.id, _lots.c.earned_at, _c.c.course_type_id, _b.c.course_schedule_id, _lots.c.family_id,
                  _lots.c.profile_id, _lots.c.expires_at)
        .having(left > 0)
    )  # fmt: skip


def select(figure: Figure, span: Span, type_id: int | None) -> sa.Select:
    """The rows of a figure, of one course type or of every, with `id`, `at` and `type_id`."""
    if figure in CLASSES:
        query = _classes(figure, span)
    elif figure in CREDITS:
        query = _credits(figure, span)
    else:
        query = _owed(span) if figure == Figure.OWED else _changes(figure, span)
    if type_id is None:
        return query
    column = (_k if figure in CREDITS else _c).c.course_type_id
    return query.where(column.is_(None) if type_id == OF_NO_TYPE else column == type_id)


@dataclass(frozen=True, slots=True)
class Behind:
    """One row behind a figure: a booking, a credit, a change of minutes, or a lot that is owed.

    `status` is of the figure's own kind; `course_name` and `starts_at` are of the class that was missed, or that the
    minutes come from. `days` is from leave to makeup.
    """

    id: int
    at: datetime
    schedule_id: int | None
    course_name: str | None
    starts_at: datetime | None
    family_id: int
    student: str
    family_name: str
    status: str | None
    minutes: int | None
    note: str | None
    valid_until: datetime | None
    makeup_id: int | None
    makeup_at: datetime | None

    @property
    def days(self) -> Decimal | None:
        return None if self.makeup_at is None else days_between(self.at, self.makeup_at)


def behind(figure: Figure, span: Span, type_id: int | None = None, limit: int | None = ROWS_SHOWN) -> list[Behind]:
    """The rows that a figure counts, newest first, no more than `limit`."""
    query = select(figure, span, type_id)
    query = query.order_by(sa.literal_column("at").desc(), query.selected_columns.id.desc())
    rows = [row._mapping for row in db.session.execute(query.limit(limit))]
    sessions = _named(_s.join(_c, _c.c.id == _s.c.course_id), _s.c.id, (_c.c.name, _s.c.starts_at),
                      {row["course_schedule_id"] for row in rows})  # fmt: skip
    students = _named(_p, _p.c.id, (_p.c.name,), {row["profile_id"] for row in rows})
    families = _named(_f, _f.c.id, (_f.c.name,), {row["family_id"] for row in rows})
    return [
        Behind(
            row["id"], row["at"], row["course_schedule_id"], *sessions.get(row["course_schedule_id"], (None, None)),
            row["family_id"], *students[row["profile_id"]], *families[row["family_id"]], row["status"],
            _whole(row.get("minutes")), row.get("note"), row.get("valid_until"), row.get("makeup_id"),
            row.get("makeup_at"),
        )
        for row in rows
    ]  # fmt: skip


def _whole(minutes) -> int | None:
    # A SUM comes as Decimal from MySQL.
    return None if minutes is None else int(minutes)


def _named(source: sa.FromClause, key: sa.Column, columns: tuple, ids: set) -> dict[int, tuple]:
    wanted = ids - {None}
    if not wanted:
        return {}
    rows = db.session.execute(sa.select(key, *columns).select_from(source).where(key.in_(wanted)))
    return {row[0]: tuple(row[1:]) for row in rows}


def days_between(since: datetime, until: datetime) -> Decimal:
    """Days with their fraction."""
    return Decimal(int((until - since).total_seconds())) / 86400
