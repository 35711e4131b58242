"""Quiet families: no class for some time and none ahead, but money in the wallet or classes behind them (U18).

It is as of now, and has no period: a family is quiet or it is not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

import sqlalchemy as sa

from app import clock
from app.db import db
from app.domain.bookings.models import LIVE, Booking
from app.domain.catalog.models import CourseSchedule
from app.domain.ledger.models import Wallet, WalletStatus
from app.domain.people.models import Family
from app.domain.policy import service as policy
from app.money import ZERO
from app.paging import Listing, Page, keyset, whole

_b, _s, _f, _w = Booking.__table__, CourseSchedule.__table__, Family.__table__, Wallet.__table__


@dataclass(frozen=True, slots=True)
class Quiet:
    """One quiet family. `balance` in yuan; `last_class` is when the last one that it had a seat in began, None where
    it never had one; `bookings` all that it ever made."""

    id: int
    name: str
    balance: Decimal
    last_class: datetime | None
    bookings: int


def _select() -> sa.Select:
    """Families without a seat in any class since so long ago, those ahead included."""
    since = clock.now() - policy.get("quiet_family_after")
    seen = (
        sa.select(_b.c.family_id)
        .join_from(_s, _b, _b.c.course_schedule_id == _s.c.id)
        .where(_s.c.starts_at >= since, _b.c.status.in_(LIVE))
    )
    ever = sa.exists().where(_b.c.family_id == _f.c.id)
    return (
        sa.select(_f.c.id, _f.c.name, _w.c.balance)
        .join_from(_f, _w, _w.c.family_id == _f.c.id)
        .where(
            # One that came in since has had no time to be quiet.
            _f.c.merged_into.is_(None), _f.c.created_at < since, _w.c.status != WalletStatus.CLOSED,
            _f.c.id.not_in(seen), sa.or_(_w.c.balance > ZERO, ever),
        )
    )  # fmt: skip


def count() -> int:
    """How many families are quiet now."""
    return db.session.scalar(sa.select(sa.func.count()).select_from(_select().subquery()))


def page(*, before: int | None = None, after: int | None = None, limit: int = 50) -> Page:
    """One page of them, the newest family first."""
    found = keyset(_select(), _f.c.id, before=before, after=after, limit=limit)
    return Page(_dressed(found.items), found.newer, found.older)


def every() -> Listing:
    """All of them, for an export."""
    return whole(_select(), _f.c.id, dress=_dressed)


def _dressed(rows: Sequence[sa.Row]) -> list[Quiet]:
    ids = [row.id for row in rows]
    seats = sa.case((_b.c.status.in_(LIVE), _s.c.starts_at))
    query = (
        sa.select(_b.c.family_id, sa.func.count().label("bookings"), sa.func.max(seats).label("last_class"))
        .join_from(_b, _s, _s.c.id == _b.c.course_schedule_id)
        .where(_b.c.family_id.in_(ids))
        .group_by(_b.c.family_id)
    )
    past = {row.family_id: row for row in db.session.execute(query)} if ids else {}
    return [
        Quiet(row.id, row.name, row.balance, past[row.id].last_class if row.id in past else None,
              past[row.id].bookings if row.id in past else 0)
        for row in rows
    ]  # fmt: skip
