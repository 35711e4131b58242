"""课时补偿: the minutes that students can still use, what ends first on top (M9, U17)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import sqlalchemy as sa

from app import clock
from app.db import db
from app.domain.credits import minutes
from app.domain.credits.models import CompensationLot
from app.domain.people.models import Family, Profile
from app.paging import Listing, Page, capped_count, keyset_by_time, whole

_lots, _p, _f = CompensationLot.__table__, Profile.__table__, Family.__table__


@dataclass(frozen=True, slots=True)
class Left:
    """Minutes that can be used, and how many students have them."""

    minutes: int
    students: int


def select(ending: int | None = None) -> sa.Select:
    """Lots with something left, of all or of those that end within `ending` days, unordered."""
    now = clock.now()
    query = (
        sa.select(
            _lots.c.id, _lots.c.profile_id, _lots.c.minutes, _lots.c.minutes_left, _lots.c.earned_at,
            _lots.c.expires_at, _lots.c.family_id, _p.c.name.label("student"), _f.c.name.label("family_name"),
        )
        .join(_p, _p.c.id == _lots.c.profile_id)
        .join(_f, _f.c.id == _lots.c.family_id)
        .where(*minutes.usable(now))
    )  # fmt: skip
    return query if ending is None else query.where(_lots.c.expires_at <= now + timedelta(days=ending))


def page(ending: int | None = None, *, before: str | None = None, after: str | None = None) -> Page:
    """One page of them; `before` and `after` as in `paging.keyset_by_time`."""
    return keyset_by_time(select(ending), _lots.c.expires_at, _lots.c.id, before=before, after=after)


def every(ending: int | None = None) -> Listing:
    """All of them, for an export."""
    return whole(select(ending), _lots.c.id, oldest_first=True)


def count(ending: int | None = None) -> int:
    """How many lots, capped."""
    return capped_count(select(ending))


def left(ending: int | None = None) -> Left:
    """The sum of them."""
    query = select(ending).with_only_columns(
        sa.func.coalesce(sa.func.sum(_lots.c.minutes_left), 0), sa.func.count(_lots.c.profile_id.distinct())
    )
    return Left(*(int(value) for value in db.session.execute(query).one()))
