"""Which classes a credit can be used for, and how each compares with the missed one (M2, M9, M13).

The courses that fit are few, so they are found first; sessions are then read along the index of course and time.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, datetime, time

import sqlalchemy as sa

from app import clock
from app.db import db
from app.domain.bookings.errors import LevelNotAllowed
from app.domain.bookings.models import Booking
from app.domain.catalog import queries as catalog
from app.domain.catalog.held import FREE
from app.domain.catalog.models import Course, CourseSchedule, CourseType, ScheduleStatus
from app.domain.catalog.queries import SessionCard
from app.domain.credits import minutes
from app.domain.credits import rules as credit_rules
from app.domain.credits.models import CreditStatus, MakeupCredit
from app.domain.credits.rules import Exchange
from app.domain.makeups import rules
from app.domain.people.models import Level, Profile
from app.domain.policy import service as policy
from app.domain.waitlist import rules as waitlist_rules
from app.domain.waitlist.models import WaitlistEntry
from app.wall_clock import studio_minute, studio_weekday

_k, _p, _l, _c = MakeupCredit.__table__, Profile.__table__, Level.__table__, Course.__table__
_s, _b, _t, _w = CourseSchedule.__table__, Booking.__table__, CourseType.__table__, WaitlistEntry.__table__

#: a class this near to the missed one's time of day counts as the same time (M9), in minutes
SAME_TIME = 60


@dataclass(frozen=True, slots=True)
class Filters:
    """What the parent asks for; days and times on the studio's clock, `weekday` 1 to 7, all inclusive. `free` leaves
    full classes out."""

    date_from: date | None = None
    date_to: date | None = None
    time_from: time | None = None
    time_to: time | None = None
    venue_id: int | None = None
    coach_id: int | None = None
    weekday: int | None = None
    free: bool = False


@dataclass(frozen=True, slots=True)
class Position:
    """Where a list goes on: after this session, among those of the missed class's level or below it (96.67)."""

    lower: bool
    starts_at: datetime
    id: int


@dataclass(frozen=True, slots=True)
class Missed:
    """The credit with the class that was missed; `session` is that class as it is today."""

    credit_id: int
    profile_id: int
    family_id: int
    status: str
    valid_until: datetime
    minutes: int
    course_type_id: int
    level_id: int | None
    rank: int | None
    student_rank: int | None
    session: SessionCard


@dataclass(frozen=True, slots=True)
class Match:
    """A class beside the missed one. `exchange` says what its length means in minutes."""

    session: SessionCard
    lower: bool
    exchange: Exchange
    differences: dict[str, str]
    blocked_by: str | None
    can_join_waitlist: bool

    @property
    def text(self) -> str:
        return "，".join(self.differences.values())

    @property
    def position(self) -> Position:
        return Position(self.lower, self.session.starts_at, self.session.id)


def missed(credit_id: int, *, family_id: int | None = None) -> Missed | None:
    """A credit with the class it stands for; of this family, where one is given."""
    rank = sa.select(_l.c.rank).where(_l.c.id == _k.c.level_id).scalar_subquery()
    own = sa.select(_l.c.rank).where(_l.c.id == _p.c.level_id, _p.c.level_confirmed).scalar_subquery()
    query = (
        sa.select(
            _k.c.id, _k.c.profile_id, _k.c.family_id, _k.c.status, _k.c.valid_until, _k.c.minutes,
            _k.c.course_type_id, _k.c.level_id, rank.label("rank"), own.label("own"), _b.c.course_schedule_id,
        )
        .select_from(_k.join(_p, _p.c.id == _k.c.profile_id).join(_b, _b.c.id == _k.c.booking_id))
        .where(_k.c.id == credit_id)
    )  # fmt: skip
    row = db.session.execute(query if family_id is None else query.where(_k.c.family_id == family_id)).first()
    return None if row is None else Missed(*row[:-1], catalog.session_card(row.course_schedule_id))


def available(one: Missed, filters: Filters, *, after: Position | None = None, limit: int = 20) -> list[Match]:
    """Classes that the credit can be used for: the same level first, then lower ones, each by time; full ones too
    (96.67). One more than `limit` when there are more; none for a credit that cannot be used any more."""
    same, lower = _courses(one)
    wanted = _conditions(one, filters)
    ids: list[int] = []
    for group, courses in ((False, same), (True, lower)):
        if wanted is None or not courses or len(ids) > limit or (after is not None and after.lower > group):
            continue
        query = sa.select(_s.c.id).where(_s.c.course_id.in_(courses), *wanted)
        if after is not None and after.lower == group:
            later = sa.or_(_s.c.starts_at > after.starts_at, _s.c.id > after.id)
            query = query.where(_s.c.starts_at >= after.starts_at, later)
        ids += db.session.scalars(query.order_by(_s.c.starts_at, _s.c.id).limit(limit + 1 - len(ids)))
    return _matches(one, ids, same)


def best(one: Missed, filters: Filters, *, limit: int = 20) -> list[Match]:
    """For the desk: the same coach and time of day first, then the missed class's level, then by time (M9)."""
    same, lower = _courses(one)
    wanted = _conditions(one, filters)
    if wanted is None or not (same or lower):
        return []
    at = clock.local(one.session.starts_at)
    apart = sa.func.abs(studio_minute(_s.c.starts_at) - (at.hour * 60 + at.minute))
    alike = sa.case((_s.c.coach_id == one.session.coach_id, 1), else_=0) + sa.case((apart <= SAME_TIME, 1), else_=0)
    query = sa.select(_s.c.id).where(_s.c.course_id.in_(same + lower), *wanted)
    level = sa.case((_s.c.course_id.in_(same), 0), else_=1)
    ids = db.session.scalars(query.order_by(alike.desc(), level, _s.c.starts_at, _s.c.id).limit(limit + 1))
    return _matches(one, list(ids), same)


def _courses(one: Missed) -> tuple[list[int], list[int]]:
    """Courses of the missed one's type that the student may take: of its level, and below it."""
    lowest = db.session.scalar(sa.select(sa.func.min(_l.c.rank)))
    query = (
        sa.select(_c.c.id, _l.c.rank)
        .select_from(_c.outerjoin(_l, _l.c.id == _c.c.level_id).join(_t, _t.c.id == _c.c.course_type_id))
        .where(_c.c.course_type_id == one.course_type_id, sa.not_(_t.c.is_trial))
    )
    same, lower = [], []
    for course_id, rank in db.session.execute(query):
        try:
            rules.check_level(rank, one.rank, one.student_rank, lowest)
        except LevelNotAllowed:
            continue
        (same if rank == one.rank else lower).append(course_id)
    return same, lower


def _conditions(one: Missed, filters: Filters) -> list[sa.ColumnElement[bool]] | None:
    """What a session must be; None where no session can be it."""
    now = clock.now()
    first, last = now, one.valid_until
    if filters.date_from is not None:
        first = max(first, clock.day_bounds(filters.date_from)[0])
    if filters.date_to is not None:
        last = min(last, clock.day_bounds(filters.date_to)[1])
    if one.status != CreditStatus.AVAILABLE or first >= last:
        return None
    wanted = [_s.c.status == ScheduleStatus.SCHEDULED, _s.c.starts_at > now, _s.c.starts_at >= first,
              _s.c.starts_at < last]  # fmt: skip
    if filters.free:
        wanted.append(FREE > 0)
    for column, value in ((_s.c.venue_id, filters.venue_id), (_s.c.coach_id, filters.coach_id)):
        if value is not None:
            wanted.append(column == value)
    if filters.weekday is not None:
        wanted.append(studio_weekday(_s.c.starts_at) == filters.weekday)
    for moment, compare in ((filters.time_from, "ge"), (filters.time_to, "le")):
        if moment is not None:
            minute = moment.hour * 60 + moment.minute
            at = studio_minute(_s.c.starts_at)
            wanted.append(at >= minute if compare == "ge" else at <= minute)
    busy = [sa.and_(_s.c.starts_at < ends, _s.c.ends_at > starts) for starts, ends in busy_times([one.profile_id], now)]
    return [*wanted, *(sa.not_(time) for time in busy)]


def busy_times(profile_ids: Collection[int], now: datetime) -> list[tuple[datetime, datetime]]:
    """When these students have classes from now on."""
    query = (
        sa.select(_s.c.starts_at, _s.c.ends_at)
        .join_from(_b, _s, _s.c.id == _b.c.course_schedule_id)
        .where(_b.c.live_profile_id.in_(profile_ids), _s.c.ends_at > now)
    )
    return [tuple(row) for row in db.session.execute(query)]


def _matches(one: Missed, ids: list[int], same: list[int]) -> list[Match]:
    if not ids:
        return []
    now, cards = clock.now(), catalog.session_cards(ids)
    unit, balance = policy.get("compensation_unit"), minutes.available(one.profile_id, now)
    waits = sa.select(_w.c.course_schedule_id).where(_w.c.live_profile_id == one.profile_id)
    waiting = set(db.session.scalars(waits))
    before, quiet = policy.get("waitlist_cutoff"), policy.get("waitlist_quiet_hours")
    found = []
    for session in (cards[key] for key in ids):
        exchange = credit_rules.exchange(one.minutes, session.duration_minutes, unit)
        blocked = "NOT_ENOUGH_COMPENSATION" if exchange.needed > balance else None
        full = session.available <= 0
        found.append(
            Match(
                session,
                session.course_id not in same,
                exchange,
                compare(one, session, exchange.difference),
                "SEAT_FULL" if full else blocked,
                can_join_waitlist=full
                and blocked is None
                and session.id not in waiting
                and session.waitlist_count < session.waitlist_capacity
                and now < waitlist_rules.cutoff_at(session.starts_at, before, quiet),
            )
        )
    return found


def compare(one: Missed, session: SessionCard, difference: int) -> dict[str, str]:
    """How the class differs from the missed one, in words (M2)."""
    before = one.session
    less, more = credit_rules.spoken(abs(difference)), credit_rules.spoken(difference)
    return {
        "level": "级别相同" if session.level == before.level else f"级别较低（{session.level or '不限级别'}）",
        "type": "类型相同",
        "coach": "教练相同" if session.coach_id == before.coach_id else f"教练不同（{session.coach_name}）",
        "venue": "场地相同" if session.venue_id == before.venue_id else f"场地不同（{session.venue_name}）",
        "minutes": "时长相同" if difference == 0 else f"少{less}" if difference < 0 else f"多{more}",
    }


def fitting(credit_id: int, schedule_ids: Collection[int]) -> set[int]:
    """Those of these sessions that the credit can be used for, full or not."""
    one = missed(credit_id)
    wanted = None if one is None else _conditions(one, Filters())
    if wanted is None:
        return set()
    same, lower = _courses(one)
    query = sa.select(_s.c.id).where(_s.c.id.in_(schedule_ids), _s.c.course_id.in_(same + lower), *wanted)
    return set(db.session.scalars(query))
