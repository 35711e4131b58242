"""How families book, cancel and ask for seats (U18): lead time, ends, demand by hour and weekday, trial → formal.

Days, weekdays and hours are the studio's. Each figure is counted from the rows that it leads to (behaviour_rows.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

import sqlalchemy as sa

from app.db import db
from app.domain.bookings.models import BookingStatus
from app.domain.catalog.models import CourseType
from app.domain.reports.behaviour_rows import BANDS, DEMAND, ENDED, Asked, Figure, Who, select
from app.ranks import nearest_rank
from app.wall_clock import seconds_between, studio_minute, studio_weekday

_t = CourseType.__table__

WEEKDAYS = range(1, 8)


def _rate(part: int, whole: int) -> Decimal | None:
    return Decimal(part) / whole if whole else None


def _counts(figure: Figure, asked: Asked, *keys: str) -> list[sa.Row]:
    """How many rows a figure has, by some of their columns."""
    rows = select(figure, asked).subquery()
    columns = [rows.c[key] for key in keys]
    return list(db.session.execute(sa.select(*columns, sa.func.count().label("rows")).group_by(*columns)))


def types() -> list[tuple[int, str]]:
    """Every course type, for the filter."""
    return [(row.id, row.name) for row in db.session.execute(sa.select(_t.c.id, _t.c.name).order_by(_t.c.id))]


# ── how long before the class ───────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Lead:
    """Seconds from an act to its class, ascending; `bands` counts them as BANDS does."""

    seconds: Sequence[int]
    bands: Sequence[int]

    @property
    def count(self) -> int:
        return len(self.seconds)

    @property
    def median(self) -> int | None:
        return nearest_rank(self.seconds, 50)

    @property
    def p90(self) -> int | None:
        return nearest_rank(self.seconds, 90)

    def share(self, band: int) -> Decimal | None:
        return _rate(self.bands[band], self.count)


def _band(seconds: int) -> int:
    return next(number for number, (_, end) in enumerate(BANDS) if end is None or seconds < end)


def lead(figure: Figure, asked: Asked) -> Lead:
    """How long before their class bookings were made, cancelled or given up. One query, of whole seconds."""
    rows = select(figure, asked).subquery()
    found = db.session.scalars(sa.select(rows.c.seconds).order_by(rows.c.seconds)).all()
    bands = [0] * len(BANDS)
    for seconds in found:
        bands[_band(seconds)] += 1
    return Lead(found, bands)


# ── what became of the bookings of these classes ────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason by one kind of person; `why` is empty where nothing was said."""

    who: Who
    why: str
    cancelled: int
    leave: int


@dataclass(frozen=True, slots=True)
class Ends:
    """Bookings of the classes of these days by what became of them, and why those that ended did."""

    places: int
    absent: int
    cancelled: Lead
    leave: Lead
    reasons: Sequence[Reason]

    @property
    def cancel_rate(self) -> Decimal | None:
        return _rate(self.cancelled.count, self.places)

    @property
    def leave_rate(self) -> Decimal | None:
        return _rate(self.leave.count, self.places)

    @property
    def absent_rate(self) -> Decimal | None:
        return _rate(self.absent, self.places)


def ends(asked: Asked) -> Ends:
    """Shares of the bookings of these classes, how long before the class they ended, and by whom and why."""
    states = {row.status: row.rows for row in _counts(Figure.PLACES, asked, "status")}
    counted: dict[tuple[str, str], dict[Figure, int]] = {}
    for figure in ENDED:
        for row in _counts(figure, asked, "who", "note"):
            # An empty reason and none at all say the same.
            line = counted.setdefault((row.who, row.note or ""), dict.fromkeys(ENDED, 0))
            line[figure] += row.rows
    reasons = [
        Reason(Who(who), why, line[Figure.CANCELLED], line[Figure.LEAVE]) for (who, why), line in counted.items()
    ]
    return Ends(
        sum(states.values()), states.get(BookingStatus.ABSENT, 0), lead(Figure.CANCELLED, asked),
        lead(Figure.LEAVE, asked), sorted(reasons, key=lambda one: (-one.cancelled - one.leave, one.who, one.why)),
    )  # fmt: skip


# ── demand by hour and weekday ──────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Cell:
    """An hour of a weekday, or all: its classes, their seats, and the students who wanted them, each once a class."""

    classes: int = 0
    seats: int = 0
    booked: int = 0
    waited: int = 0
    refused: int = 0

    @property
    def wanted(self) -> int:
        return self.booked + self.waited + self.refused

    @property
    def load(self) -> Decimal | None:
        """Students who wanted a seat for each seat that there was: above one where seats are lacking."""
        return _rate(self.wanted, self.seats)


@dataclass(frozen=True, slots=True)
class Demand:
    """`cells` by (weekday, hour) where there were classes, in the week's order."""

    total: Cell
    cells: dict[tuple[int, int], Cell]

    @property
    def hours(self) -> list[int]:
        """From the first hour with a class to the last."""
        found = [hour for _, hour in self.cells]
        return list(range(min(found), max(found) + 1)) if found else []

    def of(self, weekday: int, hour: int) -> Cell:
        return self.cells.get((weekday, hour), Cell())


def demand(asked: Asked) -> Demand:
    """Who wanted which hour. Classes that were cancelled had no seats and are left out."""
    cells: dict[tuple[int, int], Cell] = {}
    for figure in (Figure.CLASSES, *DEMAND):
        rows = select(figure, asked).subquery()
        weekday, hour = studio_weekday(rows.c.starts_at), studio_minute(rows.c.starts_at) // 60
        sums = [sa.func.count().label("rows")]
        if figure == Figure.CLASSES:
            sums.append(sa.func.sum(rows.c.capacity).label("seats"))
        query = sa.select(weekday.label("weekday"), hour.label("hour"), *sums).group_by(weekday, hour)
        for row in db.session.execute(query):
            place = (int(row.weekday), int(row.hour))
            before = cells.get(place, Cell())
            more = {str(figure): row.rows} | ({"seats": int(row.seats)} if figure == Figure.CLASSES else {})
            cells[place] = replace(before, **more)
    names = ("classes", "seats", *map(str, DEMAND))
    total = Cell(**{name: sum(getattr(cell, name) for cell in cells.values()) for name in names})
    return Demand(total, dict(sorted(cells.items())))


# ── trial → formal ──────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Trials:
    """Trials attended, and those whose student booked a regular class afterwards: `seconds` later, ascending."""

    attended: int
    seconds: Sequence[int]

    @property
    def converted(self) -> int:
        return len(self.seconds)

    @property
    def rate(self) -> Decimal | None:
        return _rate(self.converted, self.attended)

    @property
    def median(self) -> int | None:
        return nearest_rank(self.seconds, 50)


def trials(asked: Asked) -> Trials:
    """What became of the trials of these days until now."""
    attended = select(Figure.TRIALS, asked).subquery()
    rows = select(Figure.CONVERTED, asked).subquery()
    took = seconds_between(rows.c.starts_at, rows.c.followed_at).label("took")
    return Trials(
        db.session.scalar(sa.select(sa.func.count()).select_from(attended)),
        db.session.scalars(sa.select(took).order_by(took)).all(),
    )
