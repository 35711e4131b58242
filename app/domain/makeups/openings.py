"""Sessions to open for those who find no seat (M12): at an hour at which the studio teaches anyway, with a coach and a
venue that are free then."""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

import sqlalchemy as sa

from app import clock
from app.db import db
from app.domain.catalog.models import Coach, Course, CourseSchedule, CourseType, ScheduleStatus, Venue
from app.domain.makeups.demand import Demand, Slot
from app.domain.makeups.session_queries import level_fits
from app.domain.people.models import Level

_s, _c, _t, _l = (model.__table__ for model in (CourseSchedule, Course, CourseType, Level))
_h, _v = Coach.__table__, Venue.__table__

#: sessions are proposed for the next days, at the hours of the last weeks
AHEAD, HABIT = timedelta(days=14), timedelta(days=28)
#: proposals shown, students without a seat that are looked at for them, a session's seats where a course had none yet
PROPOSALS, LOOKED_AT, CAPACITY = 8, 300, 6


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


class _Rooms:
    """Who or what is taken when, by the studio day."""

    def __init__(self) -> None:
        self._times: dict[tuple[int, date], list[tuple[datetime, datetime]]] = defaultdict(list)

    def take(self, key: int, starts_at: datetime, ends_at: datetime) -> None:
        for day in {clock.local(starts_at).date(), clock.local(ends_at).date()}:
            self._times[key, day].append((starts_at, ends_at))

    def free(self, keys: Iterable[int], starts_at: datetime, ends_at: datetime) -> list[int]:
        day = clock.local(starts_at).date()
        return [
            key
            for key in keys
            if not any(starts < ends_at and ends > starts_at for starts, ends in self._times.get((key, day), ()))
        ]


class _Planner:
    """Each student counts once, with the credit that ends first. Students are known by their place in `unseated`."""

    def __init__(self, found: Demand):
        self.now, self.busy, self.lowest = found.now, found.busy, found.lowest
        self.unseated = list({one.profile_id: one for one in reversed(found.unseated)}.values())[::-1][:LOOKED_AT]
        self.usual: dict[Slot, set[int]] = defaultdict(set)
        for place, one in enumerate(self.unseated):
            self.usual[one.slot].add(place)
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
        # What a session is worth only falls as students are served, so the first one whose worth still holds is the
        # best; the number keeps the courses themselves from being compared.
        heap = [(self._worth(*key, who), number, key) for number, (key, who) in enumerate(wishes.items())]
        heapq.heapify(heap)
        found: list[Proposal] = []
        served: set[int] = set()
        while heap and len(found) < PROPOSALS:
            worth, number, key = heapq.heappop(heap)
            who = wishes[key] - served
            if who and self._worth(*key, who) != worth:
                heapq.heappush(heap, (self._worth(*key, who), number, key))
            elif who and (proposal := self._propose(*key, who, served)) is not None:
                found.append(proposal)
        return found

    def _worth(self, course: _CourseFacts, starts_at: datetime, who: set[int]) -> tuple[int, int, datetime]:
        """More students first, then those whose usual time it is, then the nearer; the smallest is the best."""
        return -min(len(who), self._capacity(course)), -len(who & self.usual[Slot.of(starts_at)]), starts_at

    def _look(self) -> None:
        """Who taught what where, at which hours; and who is taken in the days ahead."""
        query = sa.select(
            _s.c.course_id, _s.c.coach_id, _s.c.venue_id, _s.c.starts_at, _s.c.ends_at, _s.c.capacity,
            _s.c.override_seats,
        ).where(
            _s.c.starts_at > self.now - HABIT, _s.c.starts_at <= self.now + AHEAD + timedelta(days=1),
            _s.c.status == ScheduleStatus.SCHEDULED,
        )  # fmt: skip
        for row in db.session.execute(query):
            self.taught[row.course_id][row.coach_id] += 1
            self.placed[row.course_id][row.venue_id] += 1
            self.capacities[row.course_id][row.capacity - row.override_seats] += 1
            at = clock.local(row.starts_at)
            self.hours.add((at.isoweekday(), at.time()))
            if row.ends_at > self.now:
                self.coaches.take(row.coach_id, row.starts_at, row.ends_at)
                self.venues.take(row.venue_id, row.starts_at, row.ends_at)

    def _wishes(self) -> dict[tuple[_CourseFacts, datetime], set[int]]:
        """Course and moment → the students without a seat who could come."""
        fitting = {
            course: {
                place
                for place, one in enumerate(self.unseated)
                if one.type == course.type and level_fits(course.rank, one.missed, one.own, self.lowest)
            }
            for course in self._courses({one.type for one in self.unseated})
        }
        found: dict[tuple[_CourseFacts, datetime], set[int]] = {}
        for starts_at in self._moments():
            for minutes in {course.minutes for course, places in fitting.items() if places}:
                ends_at = starts_at + timedelta(minutes=minutes)
                if not self.coaches.free(self.names[_h], starts_at, ends_at):
                    continue
                if not self.venues.free(self.names[_v], starts_at, ends_at):
                    continue
                able = self._able(starts_at, ends_at)
                for course, places in fitting.items():
                    if course.minutes == minutes and (who := places & able):
                        found[course, starts_at] = who
        return found

    def _able(self, starts_at: datetime, ends_at: datetime) -> set[int]:
        """Whose credit is still good then, and who has no class."""
        return {
            place
            for place, one in enumerate(self.unseated)
            if starts_at < one.ends_at and not self.busy.at(one.profile_id, starts_at, ends_at)
        }

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

    def _propose(self, course: _CourseFacts, starts_at: datetime, who: set[int], served: set[int]) -> Proposal | None:
        """With a coach and a venue that are free, which are taken from then on as the students are served; None where
        there is none."""
        ends_at = starts_at + timedelta(minutes=course.minutes)
        coach = _best(self.coaches.free(self.names[_h], starts_at, ends_at), self.taught[course.id])
        venue = _best(self.venues.free(self.names[_v], starts_at, ends_at), self.placed[course.id])
        if coach is None or venue is None:
            return None
        self.coaches.take(coach, starts_at, ends_at)
        self.venues.take(venue, starts_at, ends_at)
        capacity, usual = self._capacity(course), self.usual[Slot.of(starts_at)]
        first = sorted(who, key=lambda place: (place not in usual, place))[:capacity]
        served.update(first)
        return Proposal(
            course.id, course.name, course.level, course.type_name, starts_at, course.minutes, coach,
            self.names[_h][coach], venue, self.names[_v][venue], capacity, len(first), len(usual.intersection(first)),
        )  # fmt: skip


def _best(free: list[int], usual: Counter[int]) -> int | None:
    """The one that had this course most often lately, else any."""
    return max(free, key=lambda one: (usual[one], -one), default=None)


def _names(table: sa.Table) -> dict[int, str]:
    return dict(db.session.execute(sa.select(table.c.id, table.c.name).where(table.c.archived_at.is_(None))).all())
