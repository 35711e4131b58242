"""How full the coming classes are, and what became of seats that came free (Z11)."""

from __future__ import annotations

from datetime import timedelta

import sqlalchemy as sa

from app import clock
from app.db import db
from app.domain.catalog.models import CourseSchedule, ScheduleStatus
from app.domain.reports.payments import Span
from app.domain.waitlist.models import ReleaseStatus, SeatRelease, WaitlistEntry

AHEAD = timedelta(days=7)

_s, _f, _e = CourseSchedule.__table__, SeatRelease.__table__, WaitlistEntry.__table__


def coming_seats() -> dict[str, int]:
    """`capacity`, and of it `booked`, `held` by unpaid orders, `kept` for those who wait: classes of the next seven
    days."""
    now = clock.now()
    states = ("capacity", "booked", "held", "kept")
    query = sa.select(*(sa.func.coalesce(sa.func.sum(_s.c[state]), 0) for state in states)).where(
        _s.c.starts_at >= now, _s.c.starts_at < now + AHEAD, _s.c.status != ScheduleStatus.CANCELLED
    )
    return dict(zip(states, map(int, db.session.execute(query).one()), strict=True))


def freed_seats(span: Span) -> dict[str, int]:
    """Seats that came free in these days while somebody waited: `filled` again, `returned` to all, `kept` still."""
    start, end = span.bounds
    query = (
        sa.select(_f.c.status, sa.func.count()).where(_f.c.freed_at >= start, _f.c.freed_at < end).group_by(_f.c.status)
    )
    found = dict(db.session.execute(query).all())
    return {str(status): found.get(status, 0) for status in ReleaseStatus}


def waiting() -> int:
    """Students in all queues."""
    query = sa.select(sa.func.count()).select_from(_e).where(_e.c.live_profile_id.is_not(None))
    return db.session.scalar(query) or 0
