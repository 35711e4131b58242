"""What the waitlist comes to, by course type and week (Q20): offers, seats filled, time to fill, seats lost.

Weeks are the studio's, from Monday. A seat belongs to the week in which it came free, an offer to that in which it was
made, a wait to that in which it ended. Each figure is counted from the rows that it leads to.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum

import sqlalchemy as sa

from app import clock
from app.db import db
from app.domain.catalog.models import Course, CourseSchedule, CourseType
from app.domain.people.models import Family, Profile
from app.domain.policy import service as policy
from app.domain.reports.payments import Span
from app.domain.waitlist.models import (
    EntryStatus,
    OfferStatus,
    ReleaseStatus,
    SeatRelease,
    WaitlistEntry,
    WaitlistFlow,
    WaitlistOffer,
)
from app.domain.waitlist.rules import Step
from app.ranks import nearest_rank
from app.row_by_row import has_row

_e, _o, _r = WaitlistEntry.__table__, WaitlistOffer.__table__, SeatRelease.__table__
_flows = WaitlistFlow.__table__
_s, _c, _t = CourseSchedule.__table__, Course.__table__, CourseType.__table__
_p, _f = Profile.__table__, Family.__table__

#: rows that a figure shows
ROWS_SHOWN = 500
#: why a seat was given back because its time was over (Q4)
CUTOFF = "cutoff"


class Figure(StrEnum):
    FREED = "freed"
    FILLED = "filled"
    LOST = "lost"
    RETURNED = "returned"
    KEPT = "kept"
    OFFERS = "offers"
    BOOKED = "booked"
    EXPIRED = "expired"
    IDLE = "idle"


SEATS = (Figure.FREED, Figure.FILLED, Figure.LOST, Figure.RETURNED, Figure.KEPT)


@dataclass(frozen=True, slots=True)
class Line:
    """The figures of a type, a week, both, or all. `seconds`: from free to filled of the seats filled, ascending."""

    counts: dict[str, int]
    seconds: Sequence[int]

    @property
    def conversion(self) -> Decimal | None:
        """Offers that became bookings. An open round offers one seat to everybody, so this is far below one."""
        return _rate(self.counts[Figure.BOOKED], self.counts[Figure.OFFERS])

    @property
    def ended(self) -> int:
        """Seats of which it is known how they ended."""
        return self.counts[Figure.FREED] - self.counts[Figure.KEPT]

    @property
    def fill_rate(self) -> Decimal | None:
        return _rate(self.counts[Figure.FILLED], self.ended)

    @property
    def lost_rate(self) -> Decimal | None:
        return _rate(self.counts[Figure.LOST], self.ended)

    @property
    def median(self) -> int | None:
        return nearest_rank(self.seconds, 50)

    @property
    def p90(self) -> int | None:
        return nearest_rank(self.seconds, 90)


@dataclass(frozen=True, slots=True)
class Table:
    """`types` and `weeks` in the order of the page, `cells` by (type id, Monday) where anything happened."""

    total: Line
    types: list[tuple[int, str, Line]]
    weeks: list[tuple[date, Line]]
    cells: dict[tuple[int, date], Line]


def _rate(part: int, whole: int) -> Decimal | None:
    return Decimal(part) / whole if whole else None


def monday(day: date) -> date:
    return day - timedelta(days=day.weekday())


def weeks_of(span: Span) -> list[date]:
    """Mondays, the newest first; the first and last week may lie in the span only in part."""
    found = [monday(span.last)]
    while found[-1] > span.first:
        found.append(found[-1] - timedelta(days=7))
    return found if found[-1] >= monday(span.first) else found[:-1]


def types() -> list[tuple[int, str]]:
    """Course types with a queue in their past, for the filter."""
    query = (
        sa.select(_t.c.id, _t.c.name)
        .where(
            sa.exists().where(
                _c.c.course_type_id == _t.c.id, _s.c.course_id == _c.c.id, _e.c.course_schedule_id == _s.c.id
            )
        )
        .order_by(_t.c.id)
    )
    return [(row.id, row.name) for row in db.session.execute(query)]


# ── the rows behind each figure ─────────────────────────────────────────────────────────────────────


def was_offered() -> sa.ColumnElement[bool]:
    """Whether a place in the queue was ever offered a seat. Offers are forgotten after a time, their steps are not."""
    return sa.or_(
        has_row(_o.c.id, _o.c.entry_id == _e.c.id),
        has_row(_flows.c.id, _flows.c.entry_id == _e.c.id, _flows.c.step == Step.OFFERED),
    )


def offers_kept_since() -> date:
    """The first day of which every offer is still there; of the days before, some or all are forgotten (S12)."""
    return clock.local(clock.now() - policy.get("retention_offers")).date() + timedelta(days=1)


def _source(figure: str) -> tuple[sa.Table, sa.ColumnElement, list]:
    """The table that a figure counts, the moment that says which week a row is of, and what picks the rows."""
    returned = _r.c.status == ReleaseStatus.RETURNED
    at_cutoff = _r.c.end_reason == CUTOFF
    return {
        Figure.FREED: (_r, _r.c.freed_at, []),
        Figure.FILLED: (_r, _r.c.freed_at, [_r.c.status == ReleaseStatus.FILLED]),
        Figure.LOST: (_r, _r.c.freed_at, [returned, at_cutoff]),
        Figure.RETURNED: (_r, _r.c.freed_at, [returned, sa.or_(_r.c.end_reason.is_(None), ~at_cutoff)]),
        Figure.KEPT: (_r, _r.c.freed_at, [_r.c.status == ReleaseStatus.KEPT]),
        Figure.OFFERS: (_o, _o.c.offered_at, []),
        Figure.BOOKED: (_o, _o.c.offered_at, [_o.c.status == OfferStatus.CONFIRMED]),
        Figure.EXPIRED: (_e, _e.c.ended_at, [_e.c.status == EntryStatus.EXPIRED]),
        Figure.IDLE: (_e, _e.c.ended_at, [_e.c.status == EntryStatus.EXPIRED, ~was_offered()]),
    }[figure]


def _select(figure: str, span: Span, type_id: int | None, *columns) -> sa.Select:
    """The rows of a figure with their course type; a seat's and an offer's entry is joined to them."""
    table, moment, picked = _source(figure)
    start, end = span.bounds
    if table is _e:
        source, session = _e, _e.c.course_schedule_id
    elif table is _o:
        source, session = _o.join(_e, _e.c.id == _o.c.entry_id), _e.c.course_schedule_id
    else:
        source, session = _r.outerjoin(_e, _e.c.id == _r.c.entry_id), _r.c.course_schedule_id
    source = source.join(_s, _s.c.id == session).join(_c, _c.c.id == _s.c.course_id)
    query = sa.select(table.c.id, moment.label("at"), _c.c.course_type_id, *columns).select_from(source)
    if type_id is not None:
        query = query.where(_c.c.course_type_id == type_id)
    return query.where(moment >= start, moment < end, *picked)


@dataclass(frozen=True, slots=True)
class Behind:
    """One row behind a figure: the seat, offer or wait, its class, and the student where there is one.

    `seconds` is what it took until it ended. `note` is the code of how a seat or wait ended; an offer has its status.
    """

    id: int
    entry_id: int | None
    at: datetime
    schedule_id: int
    course_name: str
    starts_at: datetime
    family_id: int | None
    student: str | None
    family_name: str | None
    status: str
    note: str | None
    seconds: int | None


def behind(figure: str, span: Span, type_id: int | None = None, limit: int = ROWS_SHOWN) -> list[Behind]:
    """The rows that a figure counts, newest first, no more than a page shows."""
    table, moment, _picked = _source(figure)
    note = sa.null() if table is _o else table.c.end_reason
    query = _select(
        figure, span, type_id, _s.c.id.label("schedule_id"), _c.c.name.label("course_name"), _s.c.starts_at,
        _e.c.id.label("entry_id"), _e.c.family_id, _e.c.profile_id, table.c.status, note.label("note"),
        table.c.ended_at, (_e.c.joined_at if table is _e else moment).label("began_at"),
    ).order_by(moment.desc(), table.c.id.desc())  # fmt: skip
    rows = db.session.execute(query.limit(limit)).all()
    students, families = _names(_p, {row.profile_id for row in rows}), _names(_f, {row.family_id for row in rows})
    return [
        Behind(row.id, row.entry_id, row.at, row.schedule_id, row.course_name, row.starts_at, row.family_id,
               students.get(row.profile_id), families.get(row.family_id), row.status, row.note,
               int((row.ended_at - row.began_at).total_seconds()) if row.ended_at else None)
        for row in rows
    ]  # fmt: skip


def _names(table: sa.Table, ids: set) -> dict[int, str]:
    wanted = ids - {None}
    if not wanted:
        return {}
    return dict(db.session.execute(sa.select(table.c.id, table.c.name).where(table.c.id.in_(wanted))).all())


def conversion(span: Span) -> list[tuple[date, int, int]]:
    """Offers of each week and those of them that became bookings, the oldest week first: one look at all of them."""
    counted = {week: [0, 0] for week in reversed(weeks_of(span))}
    for row in db.session.execute(_select(Figure.OFFERS, span, None, _o.c.status)):
        of_week = counted[monday(clock.local(row.at).date())]
        of_week[0] += 1
        of_week[1] += row.status == OfferStatus.CONFIRMED
    return [(week, offers, booked) for week, (offers, booked) in counted.items()]


# ── the figures ─────────────────────────────────────────────────────────────────────────────────────


def table(span: Span, type_id: int | None = None) -> Table:
    """All figures of these days, of one course type or of every."""
    counted: dict[tuple[int, date], dict[str, int]] = {}
    took: dict[tuple[int, date], list[int]] = {}
    for figure in Figure:
        # How long a seat took belongs to the seats filled; nothing else needs more than its week and type.
        ended = [_r.c.ended_at] if figure == Figure.FILLED else []
        for row in db.session.execute(_select(figure, span, type_id, *ended)):
            cell = (row.course_type_id, monday(clock.local(row.at).date()))
            counts = counted.setdefault(cell, dict.fromkeys(Figure, 0))
            counts[figure] += 1
            if ended:
                took.setdefault(cell, []).append(int((row.ended_at - row.at).total_seconds()))
    cells = {cell: Line(counts, sorted(took.get(cell, ()))) for cell, counts in counted.items()}
    names = dict(types())
    known = sorted({cell[0] for cell in cells})
    return Table(
        total=_sum(cells.values()),
        types=[(one, names.get(one, ""), _sum(cells[cell] for cell in cells if cell[0] == one)) for one in known],
        weeks=[(week, _sum(cells[cell] for cell in cells if cell[1] == week)) for week in weeks_of(span)],
        cells=cells,
    )


def _sum(lines) -> Line:
    lines = list(lines)
    return Line(
        {figure: sum(line.counts[figure] for line in lines) for figure in Figure},
        sorted(second for line in lines for second in line.seconds),
    )
