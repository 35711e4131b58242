"""The student of a booking: locked, so that two bookings of one child cannot pass each other (B2)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from app.db import note_lock
from app.domain.audit.actor import Actor, ActorType
from app.domain.bookings.errors import AlreadyBooked, TimeConflict
from app.domain.bookings.models import Booking
from app.domain.catalog.facts import SessionFacts
from app.domain.catalog.models import CourseSchedule
from app.domain.people.models import Level, Profile, ProfileStatus
from app.errors import NotFound
from app.prepared import Prepared

_p, _l = Profile.__table__, Level.__table__
_b, _s = Booking.__table__, CourseSchedule.__table__


@dataclass(frozen=True, slots=True)
class Student:
    """`rank` is that of a confirmed level, else None (96.25)."""

    id: int
    family_id: int
    name: str
    status: str
    rank: int | None


# The level is a subquery: a join would lock its row as well.
_lock = Prepared(
    sa.select(
        _p.c.id, _p.c.family_id, _p.c.name, _p.c.status,
        sa.select(_l.c.rank).where(_l.c.id == _p.c.level_id, _p.c.level_confirmed).scalar_subquery().label("rank"),
    )
    .where(_p.c.id == sa.bindparam("key"))
    .with_for_update()
)  # fmt: skip

_clashes = Prepared(
    sa.select(_b.c.course_schedule_id)
    .select_from(_b.join(_s, _s.c.id == _b.c.course_schedule_id))
    .where(
        _b.c.live_profile_id == sa.bindparam("profile"),
        _s.c.starts_at < sa.bindparam("ends", type_=_s.c.ends_at.type),
        _s.c.ends_at > sa.bindparam("begins", type_=_s.c.starts_at.type),
    )
)


def lock_any(profile_id: int) -> Student | None:
    """Lock the student's row, whoever's and whatever became of them; None for nobody."""
    note_lock("profiles", profile_id)
    row = _lock.row({"key": profile_id})
    return None if row is None else Student(*row)


def lock(profile_id: int, actor: Actor) -> Student:
    """Lock the student's row. Raises NotFound for nobody, for another family's, and for one who has left."""
    student = lock_any(profile_id)
    if student is None or (actor.type == ActorType.PARENT and student.family_id != actor.family_id):
        raise NotFound("没有这位学员")
    if student.status != ProfileStatus.ACTIVE:
        raise NotFound("该学员档案已停用")
    return student


def check_free(student: Student, session: SessionFacts) -> None:
    """Raises AlreadyBooked, TimeConflict."""
    check_free_at(student.id, session.id, session.starts_at, session.ends_at)


def check_free_at(
    profile_id: int, schedule_id: int, starts_at: datetime, ends_at: datetime, *, but: int | None = None
) -> None:
    """As `check_free`, for a time that the session does not have yet; `but` is a session that does not count."""
    found = {row[0] for row in _clashes({"profile": profile_id, "begins": starts_at, "ends": ends_at}).rows} - {but}
    if schedule_id in found:
        raise AlreadyBooked
    if found:
        raise TimeConflict
