"""What the desk's page 补课安排 lists (M9, M11): open credits with their student, missed class and end.

Open credits are read along the index of state and end, so that a page costs as much with five thousand of them as with
fifty.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from app import clock
from app.db import db
from app.domain.bookings.models import Booking
from app.domain.catalog.models import Coach, Course, CourseSchedule, CourseType
from app.domain.credits import minutes
from app.domain.credits.models import CompensationLot, CreditStatus, MakeupCredit, MakeupRequest, RequestStatus
from app.domain.people.models import Family, Level, Profile, ProfileStatus
from app.domain.policy import service as policy
from app.paging import Listing, Page, capped_count, keyset_by_time

_k, _p, _f, _l, _b = (model.__table__ for model in (MakeupCredit, Profile, Family, Level, Booking))
_s, _c, _t, _h = (model.__table__ for model in (CourseSchedule, Course, CourseType, Coach))
_r, _lots = MakeupRequest.__table__, CompensationLot.__table__

PER_PAGE = 50

# ── the list ────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class CreditFilter:
    """What a person asked for; None means all. `type` is a type's code, `level` a level's name, `ending` days. `text`
    is part of a name; `families` are those that a search found for it besides."""

    text: str | None = None
    families: tuple[int, ...] = ()
    family_id: int | None = None
    type: str | None = None
    level: str | None = None
    ending: int | None = None
    asked: bool = False
    with_minutes: bool = False


@dataclass(frozen=True, slots=True)
class Counts:
    """Open credits: all of them, those the desk was asked to arrange, those that end soon, those whose students have
    compensation minutes."""

    open: int
    asked: int
    ending: int
    with_minutes: int


def _left(now: datetime) -> sa.ScalarSelect[int]:
    """The minutes that the student of a credit could use now."""
    return (
        sa.select(sa.func.coalesce(sa.func.sum(_lots.c.minutes_left), 0))
        .where(_lots.c.profile_id == _k.c.profile_id, _lots.c.expires_at > now)
        .correlate(_k)
        .scalar_subquery()
    )


def is_open(now: datetime) -> tuple[sa.ColumnElement[bool], ...]:
    """A row of `makeup_credits` can still be used."""
    return (_k.c.status == CreditStatus.AVAILABLE, _k.c.valid_until > now)


def _ends_soon(now: datetime) -> sa.ColumnElement[bool]:
    return _k.c.valid_until <= now + policy.get("makeup_credit_reminder")


def select(asked: CreditFilter) -> sa.Select:
    """Id and end of the open credits asked for, unordered. It touches what the filter asks about and nothing else: the
    names of a page are read for its rows alone."""
    now = clock.now()
    query = sa.select(_k.c.id, _k.c.valid_until).where(*is_open(now))
    if asked.text:
        query = query.join(_p, _p.c.id == _k.c.profile_id).join(_f, _f.c.id == _k.c.family_id)
        named = [one.contains(asked.text, autoescape=True) for one in (_p.c.name, _f.c.name)]
        query = query.where(sa.or_(*named, _k.c.family_id.in_(asked.families)))
    if asked.family_id is not None:
        query = query.where(_k.c.family_id == asked.family_id)
    if asked.type:
        query = query.where(_k.c.course_type_id == _one(_t, _t.c.code == asked.type))
    if asked.level:
        query = query.where(_k.c.level_id == _one(_l, _l.c.name == asked.level))
    if asked.ending is not None:
        query = query.where(_k.c.valid_until <= now + timedelta(days=asked.ending))
    if asked.asked:
        query = query.where(_k.c.id.in_(sa.select(_r.c.live_credit_id).where(_r.c.live_credit_id.is_not(None))))
    if asked.with_minutes:
        query = query.where(_k.c.profile_id.in_(_with_minutes(now)))
    return query


def _one(table: sa.Table, condition: sa.ColumnElement[bool]) -> sa.ScalarSelect[int]:
    return sa.select(table.c.id).where(condition).scalar_subquery()


def _with_minutes(now: datetime) -> sa.Select:
    """Students who could use compensation minutes now."""
    return sa.select(_lots.c.profile_id).where(*minutes.usable(now))


def page(asked: CreditFilter, *, before: str | None = None, after: str | None = None, limit: int = PER_PAGE) -> Page:
    """One page, what ends first on top. `before` and `after` are positions that a page gave; others count as none."""
    found = keyset_by_time(select(asked), _k.c.valid_until, _k.c.id, before=before, after=after, limit=limit)
    return replace(found, items=_rows([row.id for row in found.items])) if found.items else found


def _rows(ids: list[int]) -> list[sa.Row]:
    """What a page shows of these credits, in their order."""
    query = (
        sa.select(
            _k.c.id, _k.c.profile_id, _k.c.family_id, _k.c.minutes, _k.c.valid_until, _k.c.created_at,
            _p.c.name.label("student"), _f.c.name.label("family_name"), _t.c.name.label("type_name"),
            _l.c.name.label("level"), _c.c.name.label("course"), _s.c.starts_at.label("missed_at"),
            _h.c.name.label("coach"), _left(clock.now()).label("balance"), _r.c.id.label("request_id"),
            _r.c.asked_at, _r.c.text, _r.c.wishes,
        )
        .select_from(
            _k.join(_p, _p.c.id == _k.c.profile_id)
            .join(_f, _f.c.id == _k.c.family_id)
            .join(_t, _t.c.id == _k.c.course_type_id)
            .join(_b, _b.c.id == _k.c.booking_id)
            .join(_s, _s.c.id == _b.c.course_schedule_id)
            .join(_c, _c.c.id == _s.c.course_id)
            .join(_h, _h.c.id == _s.c.coach_id)
            .outerjoin(_l, _l.c.id == _k.c.level_id)
            .outerjoin(_r, _r.c.live_credit_id == _k.c.id)
        )
        .where(_k.c.id.in_(ids))
        .order_by(_k.c.valid_until, _k.c.id)
    )  # fmt: skip
    return list(db.session.execute(query))


def every(asked: CreditFilter) -> Listing:
    """All of them in the same order, for an export."""

    def pieces() -> Iterator[Sequence[Any]]:
        last: str | None = None
        while True:
            found = page(asked, after=last, limit=1000)
            if found.items:
                yield found.items
            if found.newer is None:
                return
            last = found.newer

    return Listing(pieces, lambda: capped_count(select(asked), cap=2**62))


def count(asked: CreditFilter) -> int:
    """How many a filter finds, capped."""
    return capped_count(select(asked))


def counts() -> Counts:
    """The figures above the list, in one look at the open credits."""
    now = clock.now()
    with_minutes = _k.c.profile_id.in_(_with_minutes(now))
    query = sa.select(
        sa.func.count(), _sum(_k.c.id.in_(sa.select(_r.c.live_credit_id).where(_r.c.live_credit_id.is_not(None)))),
        _sum(_ends_soon(now)), _sum(with_minutes),
    ).where(*is_open(now))  # fmt: skip
    return Counts(*(int(value or 0) for value in db.session.execute(query).one()))


def _sum(condition: sa.ColumnElement[bool]) -> sa.ColumnElement[int]:
    return sa.func.sum(sa.case((condition, 1), else_=0))


#: requests that wait for an answer
ASKED = sa.select(sa.func.count()).select_from(_r).where(_r.c.status == RequestStatus.OPEN)


def ending_count() -> int:
    """Open credits that end within the time in which families are reminded."""
    now = clock.now()
    query = sa.select(sa.func.count()).select_from(_k).where(*is_open(now), _ends_soon(now))
    return db.session.execute(query).scalar_one()


def request_of(credit_id: int) -> MakeupRequest | None:
    """The request for this credit that waits for an answer, else the last one."""
    query = sa.select(MakeupRequest).where(MakeupRequest.credit_id == credit_id).order_by(MakeupRequest.id.desc())
    return db.session.scalar(query.limit(1))


# ── names ───────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Student:
    name: str
    family_id: int
    family: str
    active: bool


def student(profile_id: int) -> Student | None:
    query = (
        sa.select(_p.c.name, _p.c.family_id, _f.c.name, _p.c.status == ProfileStatus.ACTIVE)
        .join_from(_p, _f, _f.c.id == _p.c.family_id)
        .where(_p.c.id == profile_id)
    )
    row = db.session.execute(query).first()
    return None if row is None else Student(row[0], row[1], row[2], bool(row[3]))


def students(credit_ids: Collection[int]) -> dict[int, str]:
    """Credit → its student's name."""
    query = sa.select(_k.c.id, _p.c.name).join_from(_k, _p, _p.c.id == _k.c.profile_id).where(_k.c.id.in_(credit_ids))
    return dict(db.session.execute(query).all())


def family_name(family_id: int) -> str:
    return db.session.scalar(sa.select(_f.c.name).where(_f.c.id == family_id))
