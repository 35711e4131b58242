"""A week as a table: half hours down, days across; what overlaps stands in one cell, the earlier one on top. Pure.

A table grows its rows with what they hold, so three classes at once stay as readable as one; a cell lasts from the
first half hour that its classes touch to the last. `Row.size` spreads that growth over all of a cell's half hours, so
that the hours beside it stay where they belong; the style sheet has the heights.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import groupby
from math import ceil

from app import clock
from app.domain.catalog.queries import SessionCard

DAYS = 7
_MINUTES = 30
_HOUR = 60 // _MINUTES
_DAY = 24 * _HOUR
#: what one session needs, in steps of the style sheet, and the most that a row is ever asked to grow
_STEPS_EACH = 6.5
STEPS = 12


@dataclass(frozen=True, slots=True)
class Cell:
    """`span` half hours of one day with their sessions; none in a free one."""

    day: date
    span: int
    sessions: list[SessionCard]


@dataclass(frozen=True, slots=True)
class Row:
    """The cells that begin in this half hour. `hour` is set where a full hour begins; `size` is 1 to STEPS."""

    hour: int | None
    size: int
    cells: list[Cell]


def rows(sessions: Iterable[SessionCard], monday: date) -> list[Row]:
    """From the first to the last hour in which something happens; none in an empty week."""
    blocks = {day: _blocks(group) for day, group in by_day(sessions).items()}
    found = [block for day in blocks.values() for block in day]
    if not found:
        return []
    first = min(begins for begins, _, _ in found) // _HOUR * _HOUR
    last = -(-max(ends for _, ends, _ in found) // _HOUR) * _HOUR
    days = [monday + timedelta(days=n) for n in range(DAYS)]
    columns = {day: _column(day, blocks.get(day, []), first, last) for day in days}
    sizes = dict.fromkeys(range(first, last), 1)
    for begins, ends, there in found:
        for at in range(begins, ends):
            sizes[at] = max(sizes[at], min(STEPS, ceil(len(there) * _STEPS_EACH / (ends - begins))))
    return [
        Row(at // _HOUR if at % _HOUR == 0 else None, size, [columns[day][at] for day in days if at in columns[day]])
        for at, size in sizes.items()
    ]


def by_day(sessions: Iterable[SessionCard]) -> dict[date, list[SessionCard]]:
    """Sessions in the order of time, by the studio day on which they begin."""
    ordered = sorted(sessions, key=lambda one: (one.starts_at, one.venue_name, one.id))
    return {day: list(group) for day, group in groupby(ordered, key=lambda one: clock.local(one.starts_at).date())}


def _column(day: date, blocks: list[tuple[int, int, list[SessionCard]]], first: int, last: int) -> dict[int, Cell]:
    """The cells of one day by where they begin; half hours inside of a longer cell have none of their own."""
    cells = {at: Cell(day, 1, []) for at in range(first, last)}
    for begins, ends, sessions in blocks:
        for at in range(begins, ends):
            del cells[at]
        cells[begins] = Cell(day, ends - begins, sessions)
    return cells


def _blocks(sessions: list[SessionCard]) -> list[tuple[int, int, list[SessionCard]]]:
    """(begins, ends, sessions) in half hours; those that share one are one block."""
    blocks: list[tuple[int, int, list[SessionCard]]] = []
    for session in sessions:
        begins, ends = _place(session)
        if blocks and begins < blocks[-1][1]:
            start, end, there = blocks[-1]
            blocks[-1] = (start, max(end, ends), [*there, session])
        else:
            blocks.append((begins, ends, [session]))
    return blocks


def _place(session: SessionCard) -> tuple[int, int]:
    begins, ends = clock.local(session.starts_at), clock.local(session.ends_at)
    first = (begins.hour * 60 + begins.minute) // _MINUTES
    if ends.date() != begins.date():
        return first, _DAY  # past midnight it stands until the end of its own day
    return first, max(first + 1, -(-(ends.hour * 60 + ends.minute) // _MINUTES))
