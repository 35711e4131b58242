"""How many seats of a session unpaid orders hold at this moment, and how many are kept for its queue (O7, 96.52).

A hold ends by the clock. The counter on the session is put right by whoever next wants a seat, or by the job; until
then every reader takes away what has lapsed, and counts it as kept where somebody waits.
"""

from __future__ import annotations

import sqlalchemy as sa

from app import clock
from app.column_types import UTCDateTime
from app.domain.catalog.models import CourseSchedule
from app.domain.seats.models import ReservationStatus, SeatReservation
from app.domain.waitlist.models import WaitlistEntry

_s, _r, _w = CourseSchedule.__table__, SeatReservation.__table__, WaitlistEntry.__table__

#: how many wait for a row of `course_schedules`
WAITING = (
    sa.select(sa.func.count())
    .select_from(_w)
    .where(_w.c.course_schedule_id == _s.c.id, _w.c.live_profile_id.is_not(None))
    .correlate(_s)
    .scalar_subquery()
)


def _lapsed(now: sa.BindParameter) -> sa.ScalarSelect[int]:
    return (
        sa.select(sa.func.count())
        .select_from(_r)
        .where(
            _r.c.course_schedule_id == _s.c.id,
            _r.c.status == ReservationStatus.TEMPORARY,
            _r.c.expires_at <= now,
        )
        .correlate(_s)
        .scalar_subquery()
    )


def held_at(now: sa.BindParameter) -> sa.ColumnElement[int]:
    """The held seats of a row of `course_schedules`; the subquery runs only for one that has any."""
    return sa.case((_s.c.held > 0, _s.c.held - _lapsed(now)), else_=0)


def kept_at(now: sa.BindParameter) -> sa.ColumnElement[int]:
    """The seats kept for the queue, those included whose hold has lapsed while somebody waits."""
    return sa.case((sa.and_(_s.c.held > 0, WAITING > 0), _s.c.kept + _lapsed(now)), else_=_s.c.kept)


#: for statements that SQLAlchemy runs: the clock is asked at each execution
_now = sa.bindparam("held_now", callable_=clock.now, type_=UTCDateTime())
HELD, KEPT = held_at(_now), kept_at(_now)
#: for compiled ones (`Prepared`, `SingleRead`): the caller gives `now`
_given = sa.bindparam("now", type_=UTCDateTime())
HELD_AT, KEPT_AT = held_at(_given), kept_at(_given)
FREE = _s.c.capacity - _s.c.booked - HELD - KEPT
