"""One look before a booking is begun, for the rush on a class that is full already.

Two hundred parents who want six seats are a hundred and ninety-four refusals. Each of them would claim its key, lock
its student, read and roll all of it back, only to say what one statement can tell. The look answers that one case, a
full class and nothing else that could refuse or replay; whatever else it sees, the transaction decides as if nobody
had looked. It takes no lock and makes no promise: a seat is only ever sold by the guarded write (Z3).
"""

from __future__ import annotations

from datetime import timedelta

import sqlalchemy as sa

from app import clock
from app.db import KeptRequest, RequestKey
from app.domain.audit.actor import Actor, ActorType
from app.domain.bookings import rules
from app.domain.bookings.errors import LevelNotAllowed
from app.domain.bookings.models import Booking
from app.domain.catalog.held import HELD_AT, KEPT_AT, WAITING
from app.domain.catalog.models import Course, CourseSchedule, CourseType, ScheduleStatus
from app.domain.people.models import Level, Profile, ProfileStatus
from app.domain.policy.models import PolicyValue
from app.domain.policy.rollout import ALL
from app.domain.policy.switches import Capability
from app.single_read import SingleRead

#: this near to its start the database's clock decides (Z13)
NEAR = timedelta(minutes=5)

_s, _c, _t = CourseSchedule.__table__, Course.__table__, CourseType.__table__
_p, _l, _b, _k = Profile.__table__, Level.__table__, Booking.__table__, KeptRequest.__table__
_other = _s.alias("other")

_student = _p.c.id == sa.bindparam("profile")
_elsewhere = (
    sa.select(sa.literal(1))
    .select_from(_b.join(_other, _other.c.id == _b.c.course_schedule_id))
    .where(
        _b.c.live_profile_id == sa.bindparam("profile"),
        _other.c.starts_at < _s.c.ends_at,
        _other.c.ends_at > _s.c.starts_at,
    )
    .correlate(_s)
)
_kept = sa.select(sa.literal(1)).where(_k.c.scope == sa.bindparam("scope"), _k.c.key == sa.bindparam("key"))
# Where booking is not open to all, the transaction asks for whom it is.
_switched = sa.select(sa.literal(1)).where(
    PolicyValue.__table__.c.name == Capability.BOOKING, PolicyValue.__table__.c.value != ALL
)
_look = SingleRead(
    sa.select(
        _s.c.starts_at,
        sa.func.coalesce(_s.c.waitlist_capacity, _c.c.waitlist_capacity, _t.c.waitlist_capacity).label("waits"),
        WAITING.label("waiting"),
        sa.select(_p.c.family_id)
        .where(_student, _p.c.status == ProfileStatus.ACTIVE)
        .scalar_subquery()
        .label("family"),
        sa.select(_l.c.rank).where(_l.c.id == _c.c.level_id).correlate(_c).scalar_subquery().label("course_rank"),
        sa.select(_l.c.rank)
        .select_from(_l.join(_p, _p.c.level_id == _l.c.id))
        .where(_student, _p.c.level_confirmed)
        .scalar_subquery()
        .label("student_rank"),
        sa.select(sa.func.min(_l.c.rank)).scalar_subquery().label("lowest_rank"),
    )
    .select_from(_s.join(_c, _c.c.id == _s.c.course_id).join(_t, _t.c.id == _c.c.course_type_id))
    .where(
        _s.c.id == sa.bindparam("schedule"),
        _s.c.status == ScheduleStatus.SCHEDULED,
        _s.c.booked + HELD_AT + KEPT_AT >= _s.c.capacity,
        ~_t.c.is_trial,
        ~sa.exists(_elsewhere),
        ~sa.exists(_kept),
        ~sa.exists(_switched),
    )
)


def only_full(
    schedule_id: int, profile_id: int, actor: Actor, request_key: RequestKey | None
) -> tuple[int, int] | None:
    """How many wait, and how many may, where a parent's booking can only be refused because the class is full; None
    where it may succeed, be refused for another reason, or be a repetition. Outside a transaction."""
    if actor.type != ActorType.PARENT:
        return None
    scope, key = (request_key.scope, request_key.key) if request_key is not None else ("", "")
    now = clock.now()
    row = _look.row({"schedule": schedule_id, "profile": profile_id, "scope": scope, "key": key, "now": now})
    if row is None or row.family != actor.family_id or row.starts_at <= now + NEAR:
        return None
    try:
        rules.check_level(row.course_rank, row.student_rank, row.lowest_rank)
    except LevelNotAllowed:
        return None
    return row.waiting, row.waits
