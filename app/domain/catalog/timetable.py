"""Who and which room is taken when, in memory: for checking many sessions at once. Pure."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any


@dataclass(frozen=True, slots=True)
class Slot:
    """One session's time. `key` says which one: the session's id, or a line of a file."""

    key: Any
    course: str
    starts_at: datetime
    ends_at: datetime


class Timetable:
    """The taken times of coaches or of venues, by whatever names them; half-open, so one may end as the next begins.

    Kept by day: a session lasts a day at the most, so it lies in two of them at the most.
    """

    def __init__(self) -> None:
        self._days: dict[tuple[Any, int], list[Slot]] = defaultdict(list)

    def add(self, whose: Any, slot: Slot) -> None:
        for day in _days(slot.starts_at, slot.ends_at):
            self._days[whose, day].append(slot)

    def clash(self, whose: Any, starts_at: datetime, ends_at: datetime) -> Slot | None:
        """The earliest added one that overlaps, or None."""
        found = [
            slot
            for day in _days(starts_at, ends_at)
            for slot in self._days.get((whose, day), ())
            if slot.starts_at < ends_at and slot.ends_at > starts_at
        ]
        return min(found, key=lambda slot: slot.starts_at, default=None)


def _days(starts_at: datetime, ends_at: datetime) -> range:
    """The UTC days that the half-open time touches."""
    last = max(starts_at, ends_at - timedelta(microseconds=1))
    return range(starts_at.astimezone(UTC).toordinal(), last.astimezone(UTC).toordinal() + 1)
