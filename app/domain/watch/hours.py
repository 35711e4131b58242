"""Hours of what was answered how fast: what processes add, and sums over them (Z14)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from app import clock
from app.db import db, execute, transactional
from app.domain.watch.models import ServiceHour, SlowStatement

#: milliseconds of the columns `within_*`
BOUNDS = (50, 100, 200, 500, 1000, 5000)
HOUR = timedelta(hours=1)
#: what is older is of no report any more
KEPT = timedelta(weeks=14)
#: rows of one transaction of forgetting
BATCH = 5000

_h, _slow = ServiceHour.__table__, SlowStatement.__table__
_WITHIN = tuple(f"within_{bound}" for bound in BOUNDS)
_SUMMED = ("total", "failed", "milliseconds", *_WITHIN)


@dataclass(slots=True)
class Counted:
    """So many, those that failed, the milliseconds of all, and how many were answered within each of BOUNDS."""

    total: int = 0
    failed: int = 0
    milliseconds: int = 0
    within: list[int] = field(default_factory=lambda: [0] * len(BOUNDS))

    def __add__(self, other: Counted) -> Counted:
        return Counted(
            self.total + other.total, self.failed + other.failed, self.milliseconds + other.milliseconds,
            [mine + theirs for mine, theirs in zip(self.within, other.within, strict=True)],
        )  # fmt: skip

    def __sub__(self, other: Counted) -> Counted:
        return Counted(
            self.total - other.total, self.failed - other.failed, self.milliseconds - other.milliseconds,
            [mine - theirs for mine, theirs in zip(self.within, other.within, strict=True)],
        )  # fmt: skip

    def __bool__(self) -> bool:
        return self.total > 0

    def quantile(self, share: float) -> float | None:
        """Milliseconds that this share of all stays within, as Prometheus estimates it: straight lines between the
        bounds, and the last bound for what lies beyond. None without any."""
        wanted = self.total * share
        if not self.total:
            return None
        low, before = 0, 0
        for bound, count in zip(BOUNDS, self.within, strict=True):
            if count >= wanted and count > before:
                return low + (bound - low) * (wanted - before) / (count - before)
            low, before = bound, max(before, count)
        return float(BOUNDS[-1])


class Slow(Protocol):
    """A statement that took long: app/slow_statements.py."""

    statement: str
    fingerprint: str
    runs: int
    milliseconds: int
    longest: int


def begin(moment: datetime) -> datetime:
    """The first moment of its hour."""
    return moment.replace(minute=0, second=0, microsecond=0)


@transactional
def add(*, counted: Mapping[tuple[datetime, str, str], Counted], slow: Sequence[Slow]) -> None:
    """Add to the rows, in the order of their keys so that two processes do not wait for each other crosswise."""
    for (hour, kind, name), one in sorted(counted.items(), key=lambda item: item[0]):
        values = {"total": one.total, "failed": one.failed, "milliseconds": one.milliseconds}
        values |= dict(zip(_WITHIN, one.within, strict=True))
        _add(_h, {"hour": hour, "kind": kind, "name": name}, values)
    day, now = clock.today(), clock.now()
    for one in sorted(slow, key=lambda one: one.fingerprint):
        longest = sa.case((_slow.c.longest < one.longest, one.longest), else_=_slow.c.longest)
        _add(
            _slow, {"day": day, "fingerprint": one.fingerprint},
            {"runs": one.runs, "milliseconds": one.milliseconds},
            first={"statement": one.statement, "longest": one.longest, "last_at": now},
            later={"longest": longest, "last_at": now},
        )  # fmt: skip


def _add(table: sa.Table, key: dict, grown: dict, first: dict | None = None, later: dict | None = None) -> None:
    mine = [table.c[name] == value for name, value in key.items()]
    more = table.update().where(*mine).values({name: table.c[name] + by for name, by in grown.items()} | (later or {}))
    if execute(more).rowcount:
        return
    try:
        execute(table.insert().values(key | grown | (first or {})))
    except IntegrityError:  # another process wrote it between our look and our insert
        execute(more)


def sums(first: datetime, before: datetime, kind: str = "http") -> dict[str, Counted]:
    """Name → what was counted in the hours from `first` on and before `before`."""
    query = (
        sa.select(_h.c.name, *(sa.func.sum(_h.c[name]).label(name) for name in _SUMMED))
        .where(_h.c.hour >= first, _h.c.hour < before, _h.c.kind == kind)
        .group_by(_h.c.name)
    )
    return {
        row.name: Counted(int(row.total), int(row.failed), int(row.milliseconds), [int(row[4 + n]) for n in range(6)])
        for row in db.session.execute(query)
    }


def slowest_statements(first, last, limit: int = 10) -> list[sa.Row]:
    """The texts that took most time in these studio days, with runs, milliseconds and the longest run."""
    took = sa.func.sum(_slow.c.milliseconds)
    query = (
        sa.select(
            sa.func.min(_slow.c.statement).label("statement"), sa.func.sum(_slow.c.runs).label("runs"),
            took.label("milliseconds"), sa.func.max(_slow.c.longest).label("longest"),
            sa.type_coerce(sa.func.max(_slow.c.last_at), _slow.c.last_at.type).label("last_at"),
        )
        .where(_slow.c.day >= first, _slow.c.day <= last)
        .group_by(_slow.c.fingerprint)
        .order_by(took.desc())
        .limit(limit)
    )  # fmt: skip
    return list(db.session.execute(query))


def forget() -> int:
    """Delete what no report shows any more; returns how many hours' rows."""
    total = 0
    while done := _forget():
        total += done
        if done < BATCH:
            break
    return total


@transactional
def _forget() -> int:
    before = begin(clock.now() - KEPT)
    execute(_slow.delete().where(_slow.c.day < clock.local(before).date()))
    keys = list(execute(sa.select(_h.c.hour).where(_h.c.hour < before).order_by(_h.c.hour).limit(BATCH)).scalars())
    if not keys:
        return 0
    return execute(_h.delete().where(_h.c.hour <= keys[-1])).rowcount
