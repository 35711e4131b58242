"""How long a queue has to be, told for each course type from its own last 90 days (Q20).

For every length the queues of these days are played again with no more places than that: who joined while all places
were taken is turned away, everything else is as it was. A seat counts as filled if the student who had it would have
been let in. What the studio wants to know is the shortest queue that loses no more than one seat in twenty.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

import sqlalchemy as sa

from app import clock
from app.db import db
from app.domain.catalog.models import Course, CourseSchedule, CourseType
from app.domain.reports.waitlist import was_offered
from app.domain.waitlist.models import EntryStatus, ReleaseStatus, SeatRelease, WaitlistEntry

BACK = timedelta(days=90)
#: with fewer seats it would be a guess
LEAST = 20
#: of the seats that a queue can fill
GOAL = Decimal("0.95")

_e, _r = WaitlistEntry.__table__, SeatRelease.__table__
_s, _c, _t = CourseSchedule.__table__, Course.__table__, CourseType.__table__


@dataclass(frozen=True, slots=True)
class Wait:
    """One entry as history has it. `idle`: it expired and was never offered a seat."""

    id: int
    joined_at: datetime
    ended_at: datetime | None
    idle: bool


@dataclass(frozen=True, slots=True)
class Freed:
    """One freed seat. `entry_id` filled it; `crowded`: nobody did, though every place of the queue was taken."""

    entry_id: int | None
    crowded: bool


@dataclass(frozen=True, slots=True)
class Length:
    """What a queue of `places` would have come to."""

    places: int
    filled: int
    idle: int
    turned_away: int


@dataclass(frozen=True, slots=True)
class Advice:
    """`n` seats that a queue could have filled: those filled, and those lost while the queue was full. `unwanted` ones
    nobody took though there were places. `best` is None where no length that was tried reaches the goal."""

    type_id: int
    name: str
    current: int
    n: int
    unwanted: int
    idle: int
    lengths: list[Length]
    best: Length | None

    @property
    def enough(self) -> bool:
        return self.n >= LEAST

    def share(self, length: Length) -> Decimal | None:
        return Decimal(length.filled) / self.n if self.n else None

    @property
    def now(self) -> Length | None:
        """What the present length would have come to; as the longest one tried where nobody waited so far back."""
        if not self.lengths:
            return None
        return next((one for one in self.lengths if one.places == self.current), self.lengths[-1])


def advise(now: datetime | None = None) -> list[Advice]:
    """One advice per course type with a queue in these days, in the order of the types."""
    since = (now or clock.now()) - BACK
    waits, seats = _waits(since), _seats(since)
    found = []
    for row in db.session.execute(sa.select(_t.c.id, _t.c.name, _t.c.waitlist_capacity).order_by(_t.c.id)):
        queues = waits.get(row.id, {})
        if queues:
            freed = [_freed(one, queues.get(one.course_schedule_id, [])) for one in seats.get(row.id, ())]
            found.append(advice(row.id, row.name, row.waitlist_capacity, queues.values(), freed))
    return found


def advice(type_id: int, name: str, current: int, queues: Iterable[list[Wait]], freed: list[Freed]) -> Advice:
    """Pure: the shortest queue that would have filled 95 % of what any queue could."""
    queues = list(queues)
    filled = [one.entry_id for one in freed if one.entry_id is not None]
    crowded = sum(1 for one in freed if one.crowded)
    n = len(filled) + crowded
    lengths = []
    for places in range(1, max([_longest(queue) for queue in queues] or [0]) + 1):
        admitted = {wait.id for queue in queues for wait in _admitted(queue, places)}
        lengths.append(
            Length(
                places,
                filled=sum(1 for entry_id in filled if entry_id in admitted),
                idle=sum(1 for queue in queues for wait in queue if wait.idle and wait.id in admitted),
                turned_away=sum(len(queue) for queue in queues) - len(admitted),
            )
        )
    best = next((one for one in lengths if n and Decimal(one.filled) >= GOAL * n), None)
    idle = sum(1 for queue in queues for wait in queue if wait.idle)
    return Advice(type_id, name, current, n, len(freed) - n, idle, lengths, best)


def _admitted(queue: list[Wait], places: int) -> list[Wait]:
    """Who gets in, in the order of joining, while fewer than `places` of those let in still wait."""
    inside: list[Wait] = []
    for wait in sorted(queue, key=lambda one: (one.joined_at, one.id)):
        if _waiting(inside, wait.joined_at) < places:
            inside.append(wait)
    return inside


def _longest(queue: list[Wait]) -> int:
    return max((_waiting(queue, wait.joined_at) for wait in queue), default=0)


def _waiting(waits: Iterable[Wait], moment: datetime) -> int:
    return sum(1 for one in waits if one.joined_at <= moment and (one.ended_at is None or one.ended_at > moment))


# ── reading ─────────────────────────────────────────────────────────────────────────────────────────


def _waits(since: datetime) -> dict[int, dict[int, list[Wait]]]:
    """Course type → session → its queue, of entries that joined since then."""
    query = (
        sa.select(
            _e.c.id, _e.c.course_schedule_id, _e.c.joined_at, _e.c.ended_at, _c.c.course_type_id,
            sa.type_coerce(sa.and_(_e.c.status == EntryStatus.EXPIRED, ~was_offered()), sa.Boolean).label("idle"),
        )
        .select_from(_e.join(_s, _s.c.id == _e.c.course_schedule_id).join(_c, _c.c.id == _s.c.course_id))
        .where(_e.c.joined_at >= since)
    )  # fmt: skip
    found: dict[int, dict[int, list[Wait]]] = defaultdict(lambda: defaultdict(list))
    for row in db.session.execute(query):
        wait = Wait(row.id, row.joined_at, row.ended_at, bool(row.idle))
        found[row.course_type_id][row.course_schedule_id].append(wait)
    return found


def _seats(since: datetime) -> dict[int, list[sa.Row]]:
    """Course type → seats freed since then and ended; a cancelled class tells nothing about the queue's length."""
    places = sa.func.coalesce(_s.c.waitlist_capacity, _c.c.waitlist_capacity, _t.c.waitlist_capacity)
    query = (
        sa.select(_r.c.course_schedule_id, _r.c.entry_id, _r.c.freed_at, _c.c.course_type_id, places.label("places"))
        .select_from(
            _r.join(_s, _s.c.id == _r.c.course_schedule_id)
            .join(_c, _c.c.id == _s.c.course_id)
            .join(_t, _t.c.id == _c.c.course_type_id)
        )
        .where(
            _r.c.freed_at >= since,
            _r.c.status != ReleaseStatus.KEPT,
            sa.or_(_r.c.end_reason.is_(None), _r.c.end_reason != "session_cancelled"),
        )
    )
    found: dict[int, list[sa.Row]] = defaultdict(list)
    for row in db.session.execute(query):
        found[row.course_type_id].append(row)
    return found


def _freed(row: sa.Row, queue: list[Wait]) -> Freed:
    return Freed(row.entry_id, row.entry_id is None and _waiting(queue, row.freed_at) >= row.places)
