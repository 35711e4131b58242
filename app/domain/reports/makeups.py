"""What makeups come to, by course type and month (M10): leave rate, credits, days to the makeup, minutes owed.

Months are the studio's. A class belongs to the month in which it starts, a credit to that in which it was made, a
change of minutes to that in which it happened. Minutes are of the type of the class that they come from; those that
staff gave are of none. Each figure is counted from the rows that it leads to.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

import sqlalchemy as sa

from app.db import db
from app.domain.catalog.models import CourseType
from app.domain.reports.makeups_rows import CLASSES, CREDITS, Figure, days_between, select
from app.domain.reports.payments import Span

_t = CourseType.__table__

#: where minutes come from no class
STAFF_GAVE = "员工给予"


@dataclass(frozen=True, slots=True)
class Line:
    """The figures of a type, a month, both, or all: classes and credits as counts, the rest in minutes.

    `days` is how long the makeups held took, from the leave to the class, together.
    """

    values: dict[str, int]
    days: Decimal

    @property
    def leave_rate(self) -> Decimal | None:
        return _rate(self.values[Figure.LEAVE], self.values[Figure.DUE])

    @property
    def used_rate(self) -> Decimal | None:
        return _rate(self.values[Figure.USED], self.values[Figure.GRANTED])

    @property
    def unused_rate(self) -> Decimal | None:
        return _rate(self.values[Figure.UNUSED], self.values[Figure.GRANTED])

    @property
    def mean_days(self) -> Decimal | None:
        return self.days / self.values[Figure.HELD] if self.values[Figure.HELD] else None


@dataclass(frozen=True, slots=True)
class Table:
    """`types` and `months` in the order of the page, `cells` by (type id, first of the month) where anything
    happened. A type of None is minutes that staff gave."""

    total: Line
    types: list[tuple[int | None, str, Line]]
    months: list[tuple[date, Line]]
    cells: dict[tuple[int | None, date], Line]


def _rate(part: int, whole: int) -> Decimal | None:
    return Decimal(part) / whole if whole else None


def months_of(span: Span) -> list[date]:
    """Firsts of months, the newest first; the first and last month may lie in the span only in part."""
    found = [span.last.replace(day=1)]
    while found[-1] > span.first:
        found.append((found[-1] - timedelta(days=1)).replace(day=1))
    return found


def part_of(span: Span, month: date) -> Span:
    """The days of this month that lie in the span."""
    following = (month + timedelta(days=31)).replace(day=1)
    return Span(max(month, span.first), min(following - timedelta(days=1), span.last))


def types() -> list[tuple[int, str]]:
    """Course types that can be made up, for the filter."""
    query = sa.select(_t.c.id, _t.c.name).where(sa.not_(_t.c.is_trial)).order_by(_t.c.id)
    return [(row.id, row.name) for row in db.session.execute(query)]


def table(span: Span, type_id: int | None = None) -> Table:
    """All figures of these days, of one course type or of every."""
    cells: dict[tuple[int | None, date], Line] = {}
    for month in months_of(span):
        for kind, line in _lines(part_of(span, month), type_id).items():
            cells[kind, month] = line
    names = dict(types())
    known = sorted({cell[0] for cell in cells}, key=lambda one: (one is None, one))
    last = months_of(span)[0]
    return Table(
        total=_sum(cells.items(), last),
        types=[
            (one, names.get(one, STAFF_GAVE), _sum(((cell, cells[cell]) for cell in cells if cell[0] == one), last))
            for one in known
        ],
        months=[
            (month, _sum(((cell, cells[cell]) for cell in cells if cell[1] == month), month))
            for month in months_of(span)
        ],
        cells=cells,
    )


def _lines(span: Span, type_id: int | None) -> dict[int | None, Line]:
    """The figures of some days of one month, by type; each is one query over the rows that it leads to."""
    values: dict[int | None, dict[str, int]] = {}
    days: dict[int | None, Decimal] = {}
    for figure in Figure:
        rows = select(figure, span, type_id).subquery()
        counted = sa.func.count() if figure in (*CLASSES, *CREDITS) else sa.func.sum(rows.c.minutes)
        for row in db.session.execute(sa.select(rows.c.type_id, counted.label("value")).group_by(rows.c.type_id)):
            values.setdefault(row.type_id, dict.fromkeys(Figure, 0))[figure] = int(row.value)
        if figure == Figure.HELD:
            for row in db.session.execute(sa.select(rows.c.type_id, rows.c.at, rows.c.makeup_at)):
                days[row.type_id] = days.get(row.type_id, Decimal(0)) + days_between(row.at, row.makeup_at)
    return {one: Line(found, days.get(one, Decimal(0))) for one, found in values.items()}


def _sum(cells: Iterable[tuple[tuple[int | None, date], Line]], last: date) -> Line:
    """Lines together. What is owed stands at the end of the last month and is not added up over months."""
    values, days = dict.fromkeys(Figure, 0), Decimal(0)
    for (_, month), line in cells:
        days += line.days
        for figure, value in line.values.items():
            values[figure] += value if figure != Figure.OWED or month == last else 0
    return Line(values, days)
