"""Freed seats that nobody queues for, and whose credits or minutes end soon and would fit (Q21).

A seat of a queue finds its student by itself. What comes free where nobody waits, or after the cutoff, stays empty
unless the desk asks somebody: best a student whose makeup credit, or whose compensation minutes, are about to end.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa

from app import clock
from app.db import db
from app.domain.bookings import rules
from app.domain.bookings.errors import LevelNotAllowed
from app.domain.bookings.models import Booking, BookingStatus
from app.domain.catalog import queries as catalog
from app.domain.catalog import rules as class_rules
from app.domain.catalog.held import FREE
from app.domain.catalog.models import Course, CourseSchedule, CourseType, ScheduleStatus
from app.domain.catalog.queries import SessionCard
from app.domain.credits import minutes
from app.domain.credits import rules as credit_rules
from app.domain.credits.models import CompensationLot, CreditStatus, MakeupCredit
from app.domain.credits.rules import Exchange
from app.domain.makeups.session_queries import minutes_of
from app.domain.people.models import Family, Level, Profile, ProfileStatus
from app.domain.policy import service as policy

#: classes this far ahead, seats freed this far back, credits and minutes that end this soon
AHEAD, BACK, SOON = timedelta(days=3), timedelta(days=7), timedelta(days=14)
#: that a class may last
_LONGEST = timedelta(minutes=class_rules.MINUTES_MAX)
#: students shown beside one class
MOST = 8

_s, _c, _b = CourseSchedule.__table__, Course.__table__, Booking.__table__
_k, _p, _f, _l = MakeupCredit.__table__, Profile.__table__, Family.__table__, Level.__table__
_lots = CompensationLot.__table__


@dataclass(frozen=True, slots=True)
class Fit:
    """A student with a credit, which ends soon or whose minutes do. `exchange` says what the class's length means in
    minutes; `balance` is what the student has, `ending` of it what ends soon, the first of it at `minutes_end`."""

    credit_id: int
    profile_id: int
    student: str
    family_id: int
    family_name: str
    valid_until: datetime
    exchange: Exchange
    balance: int
    ending: int
    minutes_end: datetime | None

    @property
    def soonest(self) -> datetime:
        """When the first of what would be lost ends."""
        return self.valid_until if self.minutes_end is None else min(self.valid_until, self.minutes_end)


@dataclass(frozen=True, slots=True)
class Spare:
    """A class with `freed` seats given up in the last days and still empty; `fits` by what ends first."""

    session: SessionCard
    freed: int
    fits: list[Fit]
    more: int


def spare() -> list[Spare]:
    """The classes of the next days, soonest first."""
    now = clock.now()
    freed = _freed(now)
    if not freed:
        return []
    sessions = sorted(catalog.session_cards(list(freed)).values(), key=lambda one: (one.starts_at, one.id))
    facts = {row.id: row for row in db.session.execute(_facts(freed))}
    lots = _lots_ending(now)
    credits, busy = _credits(now, lots), _busy(now)
    balances = minutes_of({one.profile_id for one in credits}, now)
    unit = policy.get("compensation_unit")
    found = []
    for session in sessions:
        fits = [
            _fit(one, session, unit, balances, lots) for one in credits if _fits(one, session, facts[session.id], busy)
        ]
        # A student once, with the credit that ends first.
        once = {one.profile_id: one for one in reversed(fits)}.values()
        fits = sorted(once, key=lambda one: (one.soonest, one.credit_id))
        found.append(Spare(session, min(freed[session.id], session.available), fits[:MOST], len(fits[MOST:])))
    return found


def _freed(now: datetime) -> dict[int, int]:
    """Sessions with seats to sell and nobody in a queue that could have them → how many were given up lately."""
    given_up = sa.func.count(_b.c.id)
    query = (
        sa.select(_s.c.id, given_up)
        .join(_b, _b.c.course_schedule_id == _s.c.id)
        .where(
            _s.c.starts_at > now,
            _s.c.starts_at <= now + AHEAD,
            _s.c.status == ScheduleStatus.SCHEDULED,
            FREE > 0,
            _b.c.status.in_((BookingStatus.CANCELLED, BookingStatus.ON_LEAVE)),
            _b.c.ended_at >= now - BACK,
        )
        .group_by(_s.c.id)
    )
    return dict(db.session.execute(query).all())


def _facts(ids: dict[int, int]) -> sa.Select:
    """Type and level of sessions; trials are for new students, not for makeups."""
    lowest = sa.select(sa.func.min(_l.c.rank)).scalar_subquery()
    return (
        sa.select(_s.c.id, _c.c.course_type_id, _l.c.rank, lowest.label("lowest"), CourseType.is_trial)
        .join(_c, _c.c.id == _s.c.course_id)
        .join(CourseType, CourseType.id == _c.c.course_type_id)
        .outerjoin(_l, _l.c.id == _c.c.level_id)
        .where(_s.c.id.in_(ids))
    )


def _lots_ending(now: datetime) -> dict[int, tuple[int, datetime]]:
    """Student → the minutes that end soon, and when the first of them do."""
    query = (
        sa.select(_lots.c.profile_id, sa.func.sum(_lots.c.minutes_left), sa.func.min(_lots.c.expires_at))
        .where(*minutes.usable(now), _lots.c.expires_at <= now + SOON)
        .group_by(_lots.c.profile_id)
    )
    return {profile_id: (int(left), end) for profile_id, left, end in db.session.execute(query)}


def _credits(now: datetime, lots: Collection[int]) -> list[sa.Row]:
    """Open credits that end soon, or whose student's minutes do, with the student's confirmed level; the soonest end
    first."""
    own, missed = _l.alias("own"), _l.alias("missed")
    query = (
        sa.select(
            _k.c.id, _k.c.profile_id, _k.c.family_id, _k.c.course_type_id, _k.c.minutes, _k.c.valid_until,
            _p.c.name.label("student"), _f.c.name.label("family_name"), missed.c.rank.label("missed_rank"),
            sa.case((_p.c.level_confirmed, own.c.rank)).label("rank"),
        )
        .select_from(
            _k.join(_p, _p.c.id == _k.c.profile_id)
            .join(_f, _f.c.id == _k.c.family_id)
            .outerjoin(own, own.c.id == _p.c.level_id)
            .outerjoin(missed, missed.c.id == _k.c.level_id)
        )
        .where(
            _k.c.status == CreditStatus.AVAILABLE, _k.c.valid_until > now,
            sa.or_(_k.c.valid_until <= now + SOON, _k.c.profile_id.in_(lots)), _p.c.status == ProfileStatus.ACTIVE,
        )
        .order_by(_k.c.valid_until, _k.c.id)
    )  # fmt: skip
    return list(db.session.execute(query))


def _busy(now: datetime) -> dict[int, list[tuple[datetime, datetime]]]:
    """Student → when they have classes in the next days."""
    query = (
        sa.select(_b.c.live_profile_id, _s.c.starts_at, _s.c.ends_at)
        .join(_s, _s.c.id == _b.c.course_schedule_id)
        .where(
            _b.c.live_profile_id.is_not(None),
            _s.c.ends_at > now,
            # What still runs began not long ago: without this end all of the past is read.
            _s.c.starts_at > now - _LONGEST,
            _s.c.starts_at <= now + AHEAD,
        )
    )
    found: dict[int, list[tuple[datetime, datetime]]] = defaultdict(list)
    for profile_id, starts_at, ends_at in db.session.execute(query):
        found[profile_id].append((starts_at, ends_at))
    return found


def _fits(credit: sa.Row, session: SessionCard, facts: sa.Row, busy: dict) -> bool:
    """Same type, same or lower level (M2), a class within the credit's time at which the student is free."""
    if facts.is_trial or credit.course_type_id != facts.course_type_id or credit.valid_until <= session.starts_at:
        return False
    if None not in (facts.rank, credit.missed_rank) and facts.rank > credit.missed_rank:
        return False
    try:
        rules.check_level(facts.rank, credit.rank, facts.lowest)
    except LevelNotAllowed:
        return False
    return not any(
        starts < session.ends_at and ends > session.starts_at for starts, ends in busy.get(credit.profile_id, ())
    )


def _fit(
    credit: sa.Row, session: SessionCard, unit: timedelta, balances: dict[int, int],
    lots: dict[int, tuple[int, datetime]],
) -> Fit:  # fmt: skip
    ending, minutes_end = lots.get(credit.profile_id, (0, None))
    return Fit(
        credit.id, credit.profile_id, credit.student, credit.family_id, credit.family_name, credit.valid_until,
        credit_rules.exchange(credit.minutes, session.duration_minutes, unit), balances.get(credit.profile_id, 0),
        ending, minutes_end,
    )  # fmt: skip
