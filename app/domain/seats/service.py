"""The seats of a session: the only writer of its counters (Z3, C4). Building blocks, each one guarded write.

A count that is read and then written oversells under READ COMMITTED and under snapshots alike; a write whose WHERE
is the rule does not, on any of the databases. The CHECK on the table stands behind it.
"""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa

from app.db import execute, note_lock, require_transaction
from app.domain.catalog.models import CourseSchedule, ScheduleStatus
from app.prepared import Prepared

_sessions = CourseSchedule.__table__
_free = _sessions.c.capacity - _sessions.c.booked - _sessions.c.held - _sessions.c.kept

_take = Prepared(
    _sessions.update()
    .where(
        _sessions.c.id == sa.bindparam("schedule_key"),
        _sessions.c.status == ScheduleStatus.SCHEDULED,
        # The rules were checked against this time: a session that moved meanwhile is looked at again.
        _sessions.c.starts_at == sa.bindparam("starts_seen"),
        _free > 0,
    )
    .values(booked=_sessions.c.booked + 1)
)
_give_back = Prepared(
    _sessions.update()
    .where(_sessions.c.id == sa.bindparam("schedule_key"), _sessions.c.booked > 0)
    .values(booked=_sessions.c.booked - 1)
)


def take(schedule_id: int, *, starts_at: datetime) -> bool:
    """Take one free seat of a session that is still on and still starts at `starts_at`; False if it could not be."""
    note_lock("course_schedules")
    taken = _take({"schedule_key": schedule_id, "starts_seen": starts_at}).rowcount == 1
    _forget(schedule_id)
    return taken


def give_back(schedule_id: int) -> None:
    """A booked seat is free again. The caller holds the session's row, locked before the booking's (R6).

    Raises RuntimeError where none was booked: the counters and the bookings differ.
    """
    if _give_back({"schedule_key": schedule_id}).rowcount != 1:
        raise RuntimeError(f"session {schedule_id} has no booked seat to give back")
    _forget(schedule_id)


def add_override(schedule_id: int, *, most: int) -> bool:
    """Raise the capacity by one seat for one student, `most` times per session (B8, 96.37); False at the end."""
    note_lock("course_schedules")
    raised = execute(
        _sessions.update()
        .where(_sessions.c.id == schedule_id, _sessions.c.override_seats < most)
        .values(capacity=_sessions.c.capacity + 1, override_seats=_sessions.c.override_seats + 1)
    )
    _forget(schedule_id)
    return raised.rowcount == 1


def _forget(schedule_id: int) -> None:
    """Whoever has loaded the session as an object reads it anew: these statements go past the session."""
    session = require_transaction().session
    loaded = session.identity_map.get(sa.orm.util.identity_key(CourseSchedule, schedule_id))
    if loaded is not None:
        session.expire(loaded)
