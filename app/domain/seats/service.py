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

_this = _sessions.c.id == sa.bindparam("schedule_key")
_guarded = _sessions.update().where(
    _this,
    _sessions.c.status == ScheduleStatus.SCHEDULED,
    # The rules were checked against this time: a session that moved meanwhile is looked at again.
    _sessions.c.starts_at == sa.bindparam("starts_seen"),
    _free > 0,
)
_take = Prepared(_guarded.values(booked=_sessions.c.booked + 1))
_hold = Prepared(_guarded.values(held=_sessions.c.held + 1))
_give_back = Prepared(_sessions.update().where(_this, _sessions.c.booked > 0).values(booked=_sessions.c.booked - 1))
_confirm = Prepared(
    _sessions.update()
    .where(_this, _sessions.c.held > 0)
    .values(held=_sessions.c.held - 1, booked=_sessions.c.booked + 1)
)
_release = Prepared(
    _sessions.update()
    .where(_this, _sessions.c.held >= sa.bindparam("seats"))
    .values(held=_sessions.c.held - sa.bindparam("seats"))
)

_keep = Prepared(
    _sessions.update()
    .where(_this, _free >= sa.bindparam("seats"))
    .values(kept=_sessions.c.kept + sa.bindparam("seats"))
)
_kept = _sessions.update().where(_this, _sessions.c.kept > 0)
_release_kept = Prepared(_kept.values(kept=_sessions.c.kept - 1))
_book_kept = Prepared(_kept.values(kept=_sessions.c.kept - 1, booked=_sessions.c.booked + 1))
_hold_kept = Prepared(_kept.values(kept=_sessions.c.kept - 1, held=_sessions.c.held + 1))


def take(schedule_id: int, *, starts_at: datetime) -> bool:
    """Take one free seat of a session that is still on and still starts at `starts_at`; False if it could not be."""
    note_lock("course_schedules", schedule_id)
    taken = _take({"schedule_key": schedule_id, "starts_seen": starts_at}).rowcount == 1
    _forget(schedule_id)
    return taken


def hold(schedule_id: int, *, starts_at: datetime) -> bool:
    """Keep one free seat for an unpaid order, as `take` takes one."""
    note_lock("course_schedules", schedule_id)
    kept = _hold({"schedule_key": schedule_id, "starts_seen": starts_at}).rowcount == 1
    _forget(schedule_id)
    return kept


def confirm_held(schedule_id: int) -> None:
    """A held seat is booked: neither taken nor free in between. Raises RuntimeError where none was held."""
    if _confirm({"schedule_key": schedule_id}).rowcount != 1:
        raise RuntimeError(f"session {schedule_id} has no held seat to confirm")
    _forget(schedule_id)


def release_held(schedule_id: int, seats: int = 1) -> None:
    """Held seats are free again. Raises RuntimeError where so many were not held."""
    if _release({"schedule_key": schedule_id, "seats": seats}).rowcount != 1:
        raise RuntimeError(f"session {schedule_id} does not hold {seats} seats")
    _forget(schedule_id)


def keep(schedule_id: int, seats: int) -> None:
    """Free seats are kept for the queue (Q5). Raises RuntimeError where so many were not free."""
    if _keep({"schedule_key": schedule_id, "seats": seats}).rowcount != 1:
        raise RuntimeError(f"session {schedule_id} has no {seats} free seats to keep")
    _forget(schedule_id)


def release_kept(schedule_id: int) -> None:
    """A kept seat is on free sale again. Raises RuntimeError where none was kept, as do the two below."""
    _move_kept(_release_kept, schedule_id)


def book_kept(schedule_id: int) -> None:
    """A kept seat is booked."""
    _move_kept(_book_kept, schedule_id)


def hold_kept(schedule_id: int) -> None:
    """A kept seat is held for an unpaid order."""
    _move_kept(_hold_kept, schedule_id)


def _move_kept(statement: Prepared, schedule_id: int) -> None:
    if statement({"schedule_key": schedule_id}).rowcount != 1:
        raise RuntimeError(f"session {schedule_id} has no kept seat")
    _forget(schedule_id)


def give_back(schedule_id: int) -> None:
    """A booked seat is free again. The caller holds the session's row, locked before the booking's (R6).

    Raises RuntimeError where none was booked: the counters and the bookings differ.
    """
    if _give_back({"schedule_key": schedule_id}).rowcount != 1:
        raise RuntimeError(f"session {schedule_id} has no booked seat to give back")
    _forget(schedule_id)


def add_override(schedule_id: int, *, most: int) -> bool:
    """Raise the capacity by one seat for one student, `most` times per session (B8, 96.37); False at the end."""
    note_lock("course_schedules", schedule_id)
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
