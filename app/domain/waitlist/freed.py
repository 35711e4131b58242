"""A seat is free again. Whatever frees one comes here, in the transaction that freed it (C4, Q5)."""

from __future__ import annotations

import sqlalchemy as sa

from app.db import db_now, execute, wake_queue_after_commit
from app.domain.audit.actor import Actor, system
from app.domain.catalog.models import CourseSchedule, ScheduleStatus
from app.domain.policy import service as policy
from app.domain.seats import service as seats
from app.domain.waitlist import queue, rules
from app.domain.waitlist.models import Cause, ReleaseStatus, SeatRelease, WaitlistEntry
from app.domain.waitlist.rules import Step
from app.prepared import Prepared

_s, _e = CourseSchedule.__table__, WaitlistEntry.__table__
_releases = SeatRelease.__table__

_look = Prepared(
    sa.select(
        _s.c.status,
        _s.c.starts_at,
        _s.c.kept,
        sa.select(sa.func.count())
        .where(_e.c.course_schedule_id == _s.c.id, _e.c.live_profile_id.is_not(None))
        .correlate(_s)
        .scalar_subquery()
        .label("waiting"),
    ).where(_s.c.id == sa.bindparam("key"))
)


def seat_freed(
    schedule_id: int,
    cause: Cause,
    *,
    count: int = 1,
    booking_id: int | None = None,
    order_id: int | None = None,
    actor: Actor | None = None,
) -> int:
    """Building block: `count` seats of this session have just become free; its row is ours. Keep them for those who
    wait, and return how many were kept. `order_id` is the row's."""
    status, starts_at, kept, waiting = _look.row({"key": schedule_id})
    if not waiting or status != ScheduleStatus.SCHEDULED:
        return 0
    now, quiet = db_now(), policy.get("waitlist_quiet_hours")
    if now >= rules.cutoff_at(starts_at, policy.get("waitlist_cutoff"), quiet):
        return 0
    actor = actor or system("候补")
    # More seats than people wait: the rest is on sale at once, and its row says why.
    wanted = max(0, min(count, waiting - kept))
    if wanted:
        seats.keep(schedule_id, wanted)
    for number in range(count):
        values = {"course_schedule_id": schedule_id, "cause": cause, "booking_id": booking_id, "order_id": order_id,
                  "freed_at": now, "opened": False, "status": ReleaseStatus.KEPT}  # fmt: skip
        if number >= wanted:
            values |= {"status": ReleaseStatus.RETURNED, "ended_at": now, "end_reason": "no_waiters"}
        release_id = execute(_releases.insert().values(**values)).inserted_primary_key[0]
        queue.step(schedule_id, Step.FREED, actor, now, release_id=release_id, reason=cause)
        if number >= wanted:
            queue.step(schedule_id, Step.RETURNED, actor, now, release_id=release_id, reason="no_waiters")
    if wanted:
        wake_queue_after_commit(schedule_id)
    return wanted
