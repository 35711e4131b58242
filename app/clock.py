"""The one function that tells the time (R2), so that tests can move it.

Deadlines are judged by the database's clock: `app.db.db_now()`, which adds the same shift.
"""

from __future__ import annotations

from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from datetime import time as time_of_day
from zoneinfo import ZoneInfo

STUDIO_ZONE = ZoneInfo("Asia/Shanghai")

_shift = timedelta(0)
_frozen: datetime | None = None


def now() -> datetime:
    """The present moment as an aware UTC datetime with microseconds."""
    if _frozen is not None:
        return _frozen
    return datetime.now(UTC) + _shift


def shifted(moment: datetime) -> datetime:
    """Apply a test's freeze or shift to a moment that another clock (the database's) told."""
    return _frozen if _frozen is not None else moment + _shift


def local(moment: datetime) -> datetime:
    """The same moment on the studio's wall clock (Asia/Shanghai)."""
    return moment.astimezone(STUDIO_ZONE)


def today() -> date:
    """The studio's calendar day."""
    return local(now()).date()


def day_bounds(day: date) -> tuple[datetime, datetime]:
    """First moment of a studio day and of the next one, in UTC: a half-open interval."""
    start = datetime.combine(day, time_of_day.min, STUDIO_ZONE)
    end = datetime.combine(day + timedelta(days=1), time_of_day.min, STUDIO_ZONE)
    return start.astimezone(UTC), end.astimezone(UTC)


@contextmanager
def travel(*, to: datetime | None = None, by: timedelta | None = None):
    """For tests: stand still at `to`, or let time run on shifted `by`."""
    global _shift, _frozen
    before = (_shift, _frozen)
    if to is not None:
        _frozen = to
    if by is not None:
        if _frozen is not None:
            _frozen += by
        else:
            _shift += by
    try:
        yield
    finally:
        _shift, _frozen = before
