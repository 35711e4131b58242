"""The last 60 days of queues once more under another policy or window, beside what happened (Q20)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from app import clock
from app.domain.waitlist import history, replay
from app.domain.waitlist.models import ReleaseStatus
from app.domain.waitlist.replay_facts import Outcome
from app.ranks import nearest_rank

#: windows that may be asked for, in minutes
WINDOWS = range(10, 61)
#: seats that ended otherwise, shown one by one
SHOWN = 30


@dataclass(frozen=True, slots=True)
class Tally:
    """How the seats ended; `seconds`: from free to filled of those filled, ascending."""

    filled: int
    lost: int
    returned: int
    seconds: tuple[int, ...]

    @property
    def seats(self) -> int:
        return self.filled + self.lost + self.returned

    @property
    def fill_rate(self) -> Decimal | None:
        return Decimal(self.filled) / self.seats if self.seats else None

    @property
    def median(self) -> int | None:
        return nearest_rank(self.seconds, 50)

    @property
    def p90(self) -> int | None:
        return nearest_rank(self.seconds, 90)


@dataclass(frozen=True, slots=True)
class Change:
    """One seat that would have been another's, somebody's, or nobody's."""

    schedule_id: int
    was: Outcome
    would_be: Outcome


@dataclass(frozen=True, slots=True)
class Compared:
    """`agreed` of `was.seats` seats come out of the replay under the rules of then just as they ended: what the
    replay is worth. `by_hand` and `open` queues are not in it."""

    was: Tally
    would_be: Tally
    agreed: int
    queues: int
    by_hand: int
    open: int
    changes: list[Change]


def compare(
    *, policy: str | None, window: int | None, type_id: int | None = None, now: datetime | None = None
) -> Compared:  # fmt: skip
    """`window` in minutes; None leaves a rule as it was at each time."""
    read = history.read(now or clock.now(), type_id)
    minutes = None if window is None else timedelta(minutes=window)
    was, would_be, agreed, changes = [], [], 0, []
    for one in read.histories:
        same = replay.as_it_was(one)
        agreed += sum(1 for a, b in zip(one.outcomes, same, strict=True) if a.same_as(b))
        then = replay.under(one, policy=policy, window=minutes)
        was += one.outcomes
        would_be += then
        changes += [
            Change(one.schedule_id, a, b)
            for a, b in zip(one.outcomes, then, strict=True)
            if (a.status, a.entry_id) != (b.status, b.entry_id)
        ]
    changes.sort(key=lambda change: change.was.freed_at, reverse=True)
    return Compared(_tally(was), _tally(would_be), agreed, len(read.histories), read.by_hand, read.open, changes)


def _tally(outcomes: Iterable[Outcome]) -> Tally:
    ends = list(outcomes)
    filled = [one.seconds for one in ends if one.status == ReleaseStatus.FILLED]
    lost = sum(1 for one in ends if one.status == ReleaseStatus.RETURNED and one.reason == "cutoff")
    return Tally(len(filled), lost, len(ends) - len(filled) - lost, tuple(sorted(filled)))
