"""Sessions to open for those who find no seat (M12): at an hour at which the studio teaches anyway, with a coach and a
venue that are free then."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta

import sqlalchemy as sa

from app import clock
from app.db import db
from app.domain.catalog.models import Coach, Course, CourseSchedule, CourseType, ScheduleStatus, Venue
from app.domain.makeups.demand import Demand, Owed, Slot
from app.domain.makeups.session_queries import level_fits
from app.domain.people.models import Level

_s, _c, _t, _l = (model.__table__ for model in (CourseSchedule, Course, CourseType, Level))
_h, _v = Coach.__table__, Venue.__table__

#: sessions are proposed for the next days, at the hours of the last weeks
AHEAD, HABIT = timedelta(days=14), timedelta(days=28)
#: proposals shown, students without a seat that are looked at for them, a session's seats where a course had none yet
PROPOSALS, LOOKED_AT, CAPACITY = 8, 500, 6


@dataclass(frozen=True, slots=True)
class Proposal:
    """A session to open. `serves` of the credits without a seat could be used for it, no more than its seats; `usual`
    of those students missed a class at this weekday and hour."""

    course_id: int
    course: str
    level: str | None
    type_name: str
    starts_at: datetime
    minutes: int
    coach_id: int
    coach: str
    venue_id: int
    venue: str
    capacity: int
    serves: int
    usual: int


def propose(found: Demand) -> list[Proposal]:
    """What to open, the session that serves most students first."""
    return _Planner(found).proposals() if found.unseated else []


@dataclass(frozen=True, slots=True)
class _CourseFacts:
    id: int
    name: str
    type: str
    type_name: str
    level: str | None
    rank: int | None
    minutes: int


@dataclass(slots=True)
class _Rooms:
    """Who and what is taken when."""

    times: dict[int, list[tuple[datetime, datetime]]] = field(default_factory=lambda: defaultdict(list))

    def free(self, key: int, starts_at: datetime, ends_at: datetime) -> bool:
        return not any(starts < ends_at and ends > starts_at for starts, ends in self.times[key])


class _Planner:
    """Each student counts once, with the credit that ends first."""

    def __init__(self, found: Demand):
        self.now, self.busy, self.lowest = found.now, found.busy, found.lowest
        self.unseated = list({one.profile_id: one for one in reversed(found.unseated)}.values())[::-1][:LOOKED_AT]
        self.coaches, self.venues = _Rooms(), _Rooms()
        self.taught: dict[int, Counter[int]] = defaultdict(Counter)
        self.placed: dict[int, Counter[int]] = defaultdict(Counter)
        self.capacities: dict[int, Counter[int]] = defaultdict(Counter)
        self.hours: set[tuple[int, time]] = set()
        self.names = {table: _names(table) for table in (_h, _v)}
        self._look()

    def proposals(self) -> list[Proposal]:
        """The session that serves most; then, without those students, the next."""
        wishes = self._wishes()
        found: list[Proposal] = []
        while wishes and len(found) < PROPOSALS:
            key = max(wishes, key=lambda one: self._worth(*one, wishes[one]))
            course, starts_at = key
            who = sorted(wishes.pop(key), key=lambda one: (one.slot != Slot.of(starts_at), one.ends_at, one.id))
            proposal = self._propose(course, starts_at, who)
            if proposal is None:
                continue
            found.append(proposal)
            served = set(who[: proposal.serves])
            left = ((other, those - served) for other, those in wishes.items())
            wishes = {other: those for other, those in left if those}
        return found

    def _worth(self, course: _CourseFacts, starts_at: datetime, who: set[Owed]) -> tuple[int, int, float]:
        """More students first, then those whose usual time it is, then the nearer."""
        slot = Slot.of(starts_at)
        usual = sum(one.slot == slot for one in who)
        return min(len(who), self._capacity(course)), usual, -starts_at.timestamp()

    def _look(self) -> None:
        """Who taught what where, at which hours; and who is taken in the days ahead."""
        query = sa.select(
            _s.c.course_id, _s.c.coach_id, _s.c.venue_id, _s.c.starts_at, _s.c.ends_at, _s.c.capacity,
            _s.c.override_seats,
        ).where(
            _s.c.starts_at > self.now - HABIT, _s.c.starts_at <= self.now + AHEAD,
            _s.c.status == ScheduleStatus.SCHEDULED,
        )  # fmt: skip
        for row in db.session.execute(query):
            self.taught[row.course_id][row.coach_id] += 1
            self.placed[row.course_id][row.venue_id] += 1
            self.capacities[row.course_id][row.capacity - row.override_seats] += 1
            at = clock.local(row.starts_at)
            self.hours.add((at.isoweekday(), at.time()))
            if row.ends_at > self.now:
                self.coaches.times[row.coach_id].append((row.starts_at, row.ends_at))
                self.venues.times[row.venue_id].append((row.starts_at, row.ends_at))

    def _wishes(self) -> dict[tuple[_CourseFacts, datetime], set[Owed]]:
        """Course and moment → the credits without a seat that could be used there."""
        courses, moments = self._courses({one.type for one in self.unseated}), list(self._moments())
        found: dict[tuple[_CourseFacts, datetime], set[Owed]] = {}
        for course in courses:
            fitting = [
                one
                for one in self.unseated
                if one.type == course.type and level_fits(course.rank, one.missed, one.own, self.lowest)
            ]
            for starts_at in moments if fitting else ():
                ends_at = starts_at + timedelta(minutes=course.minutes)
                if self._free(course, starts_at) is None:
                    continue
                who = {
                    one
                    for one in fitting
                    if starts_at < one.ends_at and not self.busy.at(one.profile_id, starts_at, ends_at)
                }
                if who:
                    found[course, starts_at] = who
        return found

    def _courses(self, types: Collection[str]) -> list[_CourseFacts]:
        """Of courses alike in type, level and length the one that is taught most."""
        query = (
            sa.select(_c.c.id, _c.c.name, _t.c.code, _t.c.name, _l.c.name, _l.c.rank, _c.c.duration_minutes)
            .select_from(_c.join(_t, _t.c.id == _c.c.course_type_id).outerjoin(_l, _l.c.id == _c.c.level_id))
            .where(_c.c.archived_at.is_(None), sa.not_(_t.c.is_trial), _t.c.code.in_(types))
            .order_by(_c.c.id)
        )
        alike: dict[tuple, _CourseFacts] = {}
        for row in db.session.execute(query):
            one = _CourseFacts(*row)
            known = alike.setdefault((one.type, one.rank, one.minutes), one)
            if self.taught[one.id].total() > self.taught[known.id].total():
                alike[one.type, one.rank, one.minutes] = one
        return list(alike.values())

    def _moments(self) -> Iterator[datetime]:
        """The studio's usual beginnings, from tomorrow on."""
        today = clock.local(self.now).date()
        for offset in range(1, AHEAD.days + 1):
            day: date = today + timedelta(days=offset)
            for weekday, begins in sorted(self.hours):
                if weekday == day.isoweekday():
                    yield datetime.combine(day, begins, clock.STUDIO_ZONE).astimezone(self.now.tzinfo)

    def _capacity(self, course: _CourseFacts) -> int:
        usual = self.capacities[course.id].most_common(1)
        return usual[0][0] if usual else CAPACITY

    def _propose(self, course: _CourseFacts, starts_at: datetime, who: list[Owed]) -> Proposal | None:
        """With a coach and a venue that are free, and taken from then on; None where there is none."""
        found = self._free(course, starts_at)
        if found is None:
            return None
        coach, venue = found
        ends_at = starts_at + timedelta(minutes=course.minutes)
        self.coaches.times[coach].append((starts_at, ends_at))
        self.venues.times[venue].append((starts_at, ends_at))
        capacity, slot = self._capacity(course), Slot.of(starts_at)
        served = who[:capacity]
        return Proposal(
            course.id, course.name, course.level, course.type_name, starts_at, course.minutes, coach,
            self.names[_h][coach], venue, self.names[_v][venue], capacity, len(served),
            sum(one.slot == slot for one in served),
        )  # fmt: skip

    def _free(self, course: _CourseFacts, starts_at: datetime) -> tuple[int, int] | None:
        """Coach and venue that are free then: the ones that had this course most often lately, else any."""
        ends_at = starts_at + timedelta(minutes=course.minutes)
        found = []
        for table, rooms, usual in (
            (_h, self.coaches, self.taught[course.id]), (_v, self.venues, self.placed[course.id]),
        ):  # fmt: skip
            free = [one for one in self.names[table] if rooms.free(one, starts_at, ends_at)]
            if not free:
                return None
            found.append(max(free, key=lambda one, usual=usual: (usual[one], -one)))
        return found[0], found[1]


def _names(table: sa.Table) -> dict[int, str]:
    return dict(db.session.execute(sa.select(table.c.id, table.c.name).where(table.c.archived_at.is_(None))).all())
