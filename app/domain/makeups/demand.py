"""Open credits against the free seats that fit them (M12).

Both are laid beside each other by the slot of the week: a credit counts where its missed class was, since that is when
the child can come. Whether the seats suffice is another question, answered by seating everybody once on paper: the
credit that ends first takes the highest level that it may have, so that lower ones stay for those without a choice.
What would serve the others, openings.py says.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

import sqlalchemy as sa

from app import clock
from app.db import db
from app.domain.bookings.models import Booking
from app.domain.catalog.held import FREE
from app.domain.catalog.models import Course, CourseSchedule, CourseType, ScheduleStatus
from app.domain.credits.models import CreditStatus, MakeupCredit
from app.domain.makeups.session_queries import level_fits
from app.domain.people.models import Level, Profile, ProfileStatus

_k, _p, _l, _b = (model.__table__ for model in (MakeupCredit, Profile, Level, Booking))
_s, _c, _t = (model.__table__ for model in (CourseSchedule, Course, CourseType))

#: seats so far ahead are looked at
AHEAD = timedelta(days=28)


class Slot(NamedTuple):
    """A weekday, 1 to 7, and an hour on the studio's clock."""

    weekday: int
    hour: int

    @classmethod
    def of(cls, moment: datetime) -> Slot:
        at = clock.local(moment)
        return cls(at.isoweekday(), at.hour)


@dataclass(frozen=True, slots=True)
class Owed:
    """An open credit, what it may be used for, and the slot of the class that was missed."""

    id: int
    profile_id: int
    type: str
    level: str | None
    missed: int | None
    own: int | None
    ends_at: datetime
    slot: Slot


@dataclass(slots=True)
class Seats:
    """A coming session with free seats."""

    type: str
    rank: int | None
    starts_at: datetime
    ends_at: datetime
    free: int


@dataclass(slots=True)
class Line:
    """Credits of one type and level: how many, the free seats that fit them, how many find none before they end."""

    type: str
    type_name: str
    level: str | None
    credits: int = 0
    seats: int = 0
    unseated: int = 0


@dataclass(slots=True)
class Cell:
    credits: int = 0
    seats: int = 0

    @property
    def short(self) -> bool:
        return self.credits > self.seats


@dataclass(frozen=True, slots=True)
class Demand:
    """`unseated` find no seat before they end, what ends first at the front."""

    lines: list[Line]
    cells: dict[Slot, Cell]
    unseated: list[Owed]
    #: what openings.py goes on from: the moment, when students have classes, the studio's lowest rank
    now: datetime
    busy: Busy
    lowest: int | None


def demand(*, type: str | None = None, level: str | None = None) -> Demand:
    """Everything about the open credits, of one type's code and one level's name where asked for."""
    now = clock.now()
    everybody = _owed(now)
    owed = [one for one in everybody if type in (None, one.type) and level in (None, one.level)]
    lowest = db.session.scalar(sa.select(sa.func.min(_l.c.rank)))
    seats, busy = _seats(now), Busy(now)
    lines, cells = _beside(owed, seats, lowest)
    # Those who are not asked for want seats all the same.
    asked = {one.id for one in owed}
    unseated = [one for one in _unseated(everybody, seats, busy, lowest) if one.id in asked]
    for one in unseated:
        lines[one.type, one.level].unseated += 1
    ordered = sorted(lines.values(), key=lambda line: (-line.unseated, -line.credits, line.type, line.level or ""))
    return Demand(ordered, cells, unseated, now, busy, lowest)


# ── what is there ───────────────────────────────────────────────────────────────────────────────────


def _owed(now: datetime) -> list[Owed]:
    """Open credits of active students, what ends first at the front."""
    own, missed = _l.alias("own"), _l.alias("missed")
    query = (
        sa.select(
            _k.c.id, _k.c.profile_id, _t.c.code, missed.c.name, missed.c.rank,
            sa.case((_p.c.level_confirmed, own.c.rank)), _k.c.valid_until, _s.c.starts_at,
        )
        .select_from(
            _k.join(_p, _p.c.id == _k.c.profile_id)
            .join(_t, _t.c.id == _k.c.course_type_id)
            .join(_b, _b.c.id == _k.c.booking_id)
            .join(_s, _s.c.id == _b.c.course_schedule_id)
            .outerjoin(own, own.c.id == _p.c.level_id)
            .outerjoin(missed, missed.c.id == _k.c.level_id)
        )
        .where(_k.c.status == CreditStatus.AVAILABLE, _k.c.valid_until > now, _p.c.status == ProfileStatus.ACTIVE)
        .order_by(_k.c.valid_until, _k.c.id)
    )  # fmt: skip
    return [Owed(*row[:-1], Slot.of(row.starts_at)) for row in db.session.execute(query)]


def _seats(now: datetime) -> list[Seats]:
    """Coming sessions with free seats by time; trials are for new students."""
    query = (
        sa.select(_t.c.code, _l.c.rank, _s.c.starts_at, _s.c.ends_at, FREE)
        .select_from(
            _s.join(_c, _c.c.id == _s.c.course_id)
            .join(_t, _t.c.id == _c.c.course_type_id)
            .outerjoin(_l, _l.c.id == _c.c.level_id)
        )
        .where(
            _s.c.starts_at > now, _s.c.starts_at <= now + AHEAD, _s.c.status == ScheduleStatus.SCHEDULED,
            FREE > 0, sa.not_(_t.c.is_trial),
        )
        .order_by(_s.c.starts_at, _s.c.id)
    )  # fmt: skip
    return [Seats(*row) for row in db.session.execute(query)]


class Busy:
    """When students with open credits have classes in the weeks ahead."""

    def __init__(self, now: datetime):
        self._times: dict[int, list[tuple[datetime, datetime]]] = defaultdict(list)
        owing = sa.select(_k.c.profile_id).where(_k.c.status == CreditStatus.AVAILABLE, _k.c.valid_until > now)
        query = (
            sa.select(_b.c.live_profile_id, _s.c.starts_at, _s.c.ends_at)
            .join_from(_b, _s, _s.c.id == _b.c.course_schedule_id)
            .where(_b.c.live_profile_id.in_(owing), _s.c.ends_at > now, _s.c.starts_at <= now + AHEAD)
        )
        for profile_id, starts_at, ends_at in db.session.execute(query):
            self._times[profile_id].append((starts_at, ends_at))

    def take(self, profile_id: int, starts_at: datetime, ends_at: datetime) -> None:
        self._times[profile_id].append((starts_at, ends_at))

    def at(self, profile_id: int, starts_at: datetime, ends_at: datetime) -> bool:
        return any(starts < ends_at and ends > starts_at for starts, ends in self._times.get(profile_id, ()))


# ── side by side ────────────────────────────────────────────────────────────────────────────────────


def _beside(
    owed: list[Owed], seats: list[Seats], lowest: int | None
) -> tuple[dict[tuple[str, str | None], Line], dict[Slot, Cell]]:
    """Credits and the free seats that fit them: by type and level, and by slot of the week."""
    names = dict(db.session.execute(sa.select(_t.c.code, _t.c.name)).all())
    lines: dict[tuple[str, str | None], Line] = {}
    cells: dict[Slot, Cell] = defaultdict(Cell)
    levels: dict[tuple[str, str | None], set[tuple[int | None, int | None]]] = defaultdict(set)
    for one in owed:
        key = one.type, one.level
        lines.setdefault(key, Line(one.type, names[one.type], one.level)).credits += 1
        cells[one.slot].credits += 1
        levels[key].add((one.missed, one.own))
    for session in seats:
        fitting = [
            key
            for key, ranks in levels.items()
            if key[0] == session.type and any(level_fits(session.rank, *pair, lowest) for pair in ranks)
        ]
        for key in fitting:
            lines[key].seats += session.free
        if fitting:
            cells[Slot.of(session.starts_at)].seats += session.free
    return lines, dict(cells)


def _unseated(owed: list[Owed], seats: list[Seats], busy: Busy, lowest: int | None) -> Iterator[Owed]:
    """Those who find no seat when everybody is seated once. Takes the seats, and the students' time with them."""
    groups: dict[tuple[str, int | None], list[Seats]] = defaultdict(list)
    for session in seats:
        groups[session.type, session.rank].append(session)
    # A class for every level comes last: who has no level of their own has nothing else.
    order = sorted(groups, key=lambda key: -1 if key[1] is None else key[1], reverse=True)
    for one in owed:
        fitting = (
            groups[key] for key in order if key[0] == one.type and level_fits(key[1], one.missed, one.own, lowest)
        )
        if not any(_seat(one, sessions, busy) for sessions in fitting):
            yield one


def _seat(one: Owed, sessions: list[Seats], busy: Busy) -> bool:
    """In the first of these sessions that has a seat while the student is free; one without seats is dropped."""
    for place, session in enumerate(sessions):
        if session.starts_at >= one.ends_at:
            return False
        if not busy.at(one.profile_id, session.starts_at, session.ends_at):
            busy.take(one.profile_id, session.starts_at, session.ends_at)
            session.free -= 1
            if session.free == 0:
                del sessions[place]
            return True
    return False
