"""Sessions as the desk sees them for makeups (M9): those with free seats, and the credits that fit one of them."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache

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
from app.domain.credits.models import CompensationLot, MakeupCredit, MakeupRequest
from app.domain.credits.rules import Exchange
from app.domain.makeups import rules
from app.domain.makeups.desk_queries import PER_PAGE, is_open
from app.domain.people.models import Family, Level, Profile, ProfileStatus
from app.domain.policy import service as policy
from app.wall_clock import studio_minute, studio_weekday

_k, _p, _f, _l, _b = (model.__table__ for model in (MakeupCredit, Profile, Family, Level, Booking))
_s, _c, _t = (model.__table__ for model in (CourseSchedule, Course, CourseType))
_r, _lots = MakeupRequest.__table__, CompensationLot.__table__

#: students shown beside one session
FITTING_SHOWN = 60

# ── sessions with free seats ────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class SessionFilter:
    """Sessions asked for; `weekday` 1 to 7, `hour` on the studio's clock."""

    type: str | None = None
    level: str | None = None
    weekday: int | None = None
    hour: int | None = None


@dataclass(frozen=True, slots=True)
class Offer:
    """A session with free seats, and how many open credits its type, level and time allow. Whether those students are
    free then is asked when the session is chosen."""

    session: SessionCard
    fits: int


def offers(asked: SessionFilter, *, after: int | None = None, limit: int = PER_PAGE) -> tuple[list[Offer], int | None]:
    """The coming sessions with free seats by time, from behind the session `after`, and where the next page begins."""
    now = clock.now()
    # The ids first, along the index of time: the names of a few sessions are cheap, those of all are not.
    query = (
        sa.select(_s.c.id)
        .select_from(
            _s.join(_c, _c.c.id == _s.c.course_id)
            .join(_t, _t.c.id == _c.c.course_type_id)
            .outerjoin(_l, _l.c.id == _c.c.level_id)
        )
        .where(_s.c.starts_at > now, _s.c.status == ScheduleStatus.SCHEDULED, FREE > 0, sa.not_(_t.c.is_trial))
        .order_by(_s.c.starts_at, _s.c.id)
        .limit(limit + 1)
    )
    if asked.type:
        query = query.where(_t.c.code == asked.type)
    if asked.level:
        query = query.where(_l.c.name == asked.level)
    if asked.weekday is not None:
        query = query.where(studio_weekday(_s.c.starts_at) == asked.weekday)
    if asked.hour is not None:
        minute = studio_minute(_s.c.starts_at)
        query = query.where(minute >= asked.hour * 60, minute < asked.hour * 60 + 60)
    last = None if after is None else db.session.execute(sa.select(_s.c.starts_at).where(_s.c.id == after)).scalar()
    if last is not None:
        query = query.where(_s.c.starts_at >= last, sa.or_(_s.c.starts_at > last, _s.c.id > after))
    ids = list(db.session.scalars(query))
    known = catalog.session_cards(ids) if ids else {}
    cards = [known[schedule_id] for schedule_id in ids]
    ends = _ends_by_group(now) if cards else {}
    ranks, lowest = level_ranks()
    found = [Offer(one, _fits(one, ends, ranks, lowest)) for one in cards[:limit]]
    return found, found[-1].session.id if len(cards) > limit else None


def level_ranks() -> tuple[dict[str, int], int | None]:
    """Level → rank, and the lowest rank."""
    ranks = {row.name: row.rank for row in db.session.execute(sa.select(_l.c.name, _l.c.rank))}
    return ranks, min(ranks.values(), default=None)


def _ends_by_group(now: datetime) -> dict[tuple[str, int | None, int | None], list[datetime]]:
    """(type, missed rank, own rank) → when the open credits end, sorted."""
    own, missed = _l.alias("own"), _l.alias("missed")
    query = (
        sa.select(_t.c.code, missed.c.rank, sa.case((_p.c.level_confirmed, own.c.rank)), _k.c.valid_until)
        .select_from(
            _k.join(_t, _t.c.id == _k.c.course_type_id)
            .join(_p, _p.c.id == _k.c.profile_id)
            .outerjoin(own, own.c.id == _p.c.level_id)
            .outerjoin(missed, missed.c.id == _k.c.level_id)
        )
        .where(*is_open(now), _p.c.status == ProfileStatus.ACTIVE)
        .order_by(_k.c.valid_until)
    )
    groups: dict[tuple[str, int | None, int | None], list[datetime]] = {}
    for code, missed_rank, own_rank, end in db.session.execute(query):
        groups.setdefault((code, missed_rank, own_rank), []).append(end)
    return groups


def _fits(session: SessionCard, ends: dict, ranks: dict[str, int], lowest: int | None) -> int:
    offered = ranks.get(session.level) if session.level else None
    return sum(
        len(found) - bisect_right(found, session.starts_at)
        for (code, missed, own), found in ends.items()
        if code == session.course_type and level_fits(offered, missed, own, lowest)
    )


@lru_cache(maxsize=4096)
def level_fits(offered: int | None, missed: int | None, own: int | None, lowest: int | None) -> bool:
    """rules.check_level as a question; ranks."""
    try:
        rules.check_level(offered, missed, own, lowest)
    except LevelNotAllowed:
        return False
    return True


# ── several students onto one session ───────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Fitting:
    """A credit that can be used for a session. `exchange` says what the session's length means in minutes, `balance` is
    the student's minutes, `asked` whether the parent asked the desk to arrange it."""

    credit_id: int
    profile_id: int
    family_id: int
    student: str
    family_name: str
    level: str | None
    valid_until: datetime
    minutes: int
    exchange: Exchange
    balance: int
    asked: bool

    @property
    def affordable(self) -> bool:
        return self.balance >= self.exchange.needed


def fitting_credits(session: SessionCard, *, limit: int = FITTING_SHOWN) -> tuple[list[Fitting], int]:
    """The open credits that fit this session, the soonest end first, and how many there are in all: each student once,
    with a credit of the session's length where there is one, else with the one that ends first. None fits a trial, or a
    session that is not ahead."""
    now = clock.now()
    if session.is_trial or session.status != ScheduleStatus.SCHEDULED or session.starts_at <= now:
        return [], 0
    ranks, lowest = level_ranks()
    offered = ranks.get(session.level) if session.level else None
    unit = policy.get("compensation_unit")
    seen: dict[int, Fitting] = {}
    for row in db.session.execute(_candidates(session, now)):
        if not level_fits(offered, row.missed_rank, row.rank, lowest):
            continue
        exchange = credit_rules.exchange(row.minutes, session.duration_minutes, unit)
        known = seen.get(row.profile_id)
        if known is not None and (known.exchange.difference == 0 or exchange.difference != 0):
            continue
        seen[row.profile_id] = Fitting(
            row.id, row.profile_id, row.family_id, row.student, row.family_name, row.level, row.valid_until,
            row.minutes, exchange, 0, row.asked,
        )  # fmt: skip
    found = sorted(seen.values(), key=lambda one: (one.valid_until, one.credit_id))
    balances = minutes_of([one.profile_id for one in found[:limit]], now)
    return [replace(one, balance=balances.get(one.profile_id, 0)) for one in found[:limit]], len(found)


def _candidates(session: SessionCard, now: datetime) -> sa.Select:
    """Open credits of the session's type that outlive its beginning, of active students who are free then."""
    own, missed = _l.alias("own"), _l.alias("missed")
    other = _s.alias("other")
    busy = (
        sa.select(sa.literal(1))
        .select_from(_b.join(other, other.c.id == _b.c.course_schedule_id))
        .where(
            _b.c.live_profile_id == _k.c.profile_id, other.c.starts_at < session.ends_at,
            other.c.ends_at > session.starts_at,
        )
        .correlate(_k)
        .exists()
    )  # fmt: skip
    return (
        sa.select(
            _k.c.id, _k.c.profile_id, _k.c.family_id, _k.c.minutes, _k.c.valid_until, _p.c.name.label("student"),
            _f.c.name.label("family_name"), missed.c.name.label("level"), missed.c.rank.label("missed_rank"),
            sa.case((_p.c.level_confirmed, own.c.rank)).label("rank"), _r.c.id.is_not(None).label("asked"),
        )
        .select_from(
            _k.join(_p, _p.c.id == _k.c.profile_id)
            .join(_f, _f.c.id == _k.c.family_id)
            .join(_t, _t.c.id == _k.c.course_type_id)
            .outerjoin(own, own.c.id == _p.c.level_id)
            .outerjoin(missed, missed.c.id == _k.c.level_id)
            .outerjoin(_r, _r.c.live_credit_id == _k.c.id)
        )
        .where(
            *is_open(now), _k.c.valid_until > session.starts_at, _t.c.code == session.course_type,
            _p.c.status == ProfileStatus.ACTIVE, sa.not_(busy),
        )
        .order_by(_k.c.valid_until, _k.c.id)
    )  # fmt: skip


def minutes_of(profile_ids: Collection[int], now: datetime) -> dict[int, int]:
    """Student → minutes that could be used now; who has none is left out."""
    query = (
        sa.select(_lots.c.profile_id, sa.func.sum(_lots.c.minutes_left))
        .where(_lots.c.profile_id.in_(profile_ids), *minutes.usable(now))
        .group_by(_lots.c.profile_id)
    )
    return {profile_id: int(left) for profile_id, left in db.session.execute(query)}
