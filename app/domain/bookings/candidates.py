"""Whom the desk may book: the active students of families that a search has found."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import sqlalchemy as sa

from app.db import db
from app.domain.bookings.models import Booking
from app.domain.people.models import Family, Level, Profile, ProfileStatus

_p, _f, _l, _b = Profile.__table__, Family.__table__, Level.__table__, Booking.__table__


@dataclass(frozen=True, slots=True)
class Candidate:
    """`level` is None for a student without one. `booked`: has a seat in the session already."""

    profile_id: int
    name: str
    family_id: int
    family: str
    level: str | None
    level_confirmed: bool
    booked: bool


def of_families(family_ids: Collection[int], schedule_id: int) -> list[Candidate]:
    """Their active students, families in the order given."""
    order = {family_id: place for place, family_id in enumerate(family_ids)}
    found = _candidates(schedule_id, _p.c.family_id.in_(order)) if order else []
    return sorted(found, key=lambda one: (order[one.family_id], one.profile_id))


def one(profile_id: int, schedule_id: int) -> Candidate | None:
    """This student, unless there is none or they have left."""
    found = _candidates(schedule_id, _p.c.id == profile_id)
    return found[0] if found else None


def _candidates(schedule_id: int, which: sa.ColumnElement[bool]) -> list[Candidate]:
    booked = (
        sa.select(sa.literal(1)).where(_b.c.course_schedule_id == schedule_id, _b.c.live_profile_id == _p.c.id).exists()
    )
    query = (
        sa.select(
            _p.c.id, _p.c.name, _f.c.id, _f.c.name, _l.c.name, _p.c.level_confirmed, sa.type_coerce(booked, sa.Boolean)
        )
        .select_from(_p.join(_f, _f.c.id == _p.c.family_id).outerjoin(_l, _l.c.id == _p.c.level_id))
        .where(which, _p.c.status == ProfileStatus.ACTIVE)
    )
    return [Candidate(*row) for row in db.session.execute(query)]
