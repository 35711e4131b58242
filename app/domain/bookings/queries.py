"""Reading bookings: one, a family's list, and what a session is to a family."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any

import sqlalchemy as sa

from app import clock
from app.column_types import UTCDateTime
from app.db import db
from app.domain.bookings import rules
from app.domain.bookings.models import LIVE, Booking
from app.domain.catalog import queries as catalog
from app.domain.catalog.models import CourseSchedule
from app.domain.catalog.queries import SessionCard
from app.domain.orders.models import PaymentOrder
from app.domain.people.models import Profile
from app.domain.policy import service as policy
from app.domain.seats.models import ReservationStatus, SeatReservation
from app.domain.waitlist.models import WaitlistEntry, WaitlistOffer

_b, _p = Booking.__table__, Profile.__table__
_s = CourseSchedule.__table__
_r, _o = SeatReservation.__table__, PaymentOrder.__table__
_w, _offers = WaitlistEntry.__table__, WaitlistOffer.__table__


_elsewhere = (
    sa.select(_s.c.starts_at, _s.c.ends_at)
    .join_from(_b, _s, _s.c.id == _b.c.course_schedule_id)
    .where(_b.c.live_profile_id == sa.bindparam("profile"), _s.c.ends_at > sa.bindparam("now"))
)


class MyState(StrEnum):
    """What a session is to a family; the first that applies (96.21). Holds and waits come before `full`."""

    BOOKED = "booked"
    HELD = "held"
    OFFERED = "offered"
    WAITING = "waiting"
    FULL = "full"
    NONE = "none"


_FIRST = list(MyState)


@dataclass(frozen=True, slots=True)
class BookingView:
    """A booking with its session. `price` in yuan; `cancel_until` is the last moment, inclusive (96.36)."""

    id: int
    kind: str
    status: str
    source: str
    price: Decimal
    schedule: SessionCard
    profile_id: int
    profile_name: str
    family_id: int
    order_id: str | None
    created_at: datetime
    can_cancel: bool
    can_leave: bool
    cancel_until: datetime

    @property
    def status_text(self) -> str:
        return rules.STATUS_TEXTS[self.status]


def booking(booking_id: int, *, family_id: int) -> BookingView | None:
    """One booking of this family."""
    found = _views(_select().where(_b.c.id == booking_id, _b.c.family_id == family_id))
    return found[0] if found else None


def several(booking_ids: Collection[int]) -> dict[int, BookingView]:
    """These bookings, by id."""
    return {one.id: one for one in _views(_select().where(_b.c.id.in_(booking_ids)))} if booking_ids else {}


def of_family(
    family_id: int, *, status: str | None = None, before: int | None = None, limit: int = 20
) -> list[BookingView]:
    """A family's bookings, newest first; one more than `limit` when there are more. `before` is the last id seen."""
    query = _select().where(_b.c.family_id == family_id)
    if status is not None:
        query = query.where(_b.c.status == status)
    if before is not None:
        query = query.where(_b.c.id < before)
    return _views(query.order_by(_b.c.id.desc()).limit(limit + 1))


def _select() -> sa.Select:
    return sa.select(_b, _p.c.name.label("profile_name")).join_from(_b, _p, _p.c.id == _b.c.profile_id)


def _views(query: sa.Select) -> list[BookingView]:
    rows = list(db.session.execute(query))
    cards = catalog.session_cards(list({row.course_schedule_id for row in rows})) if rows else {}
    now = clock.now()
    # A policy is a query of its own here: once for each kind that is there, not for each row.
    cutoffs = {kind: policy.get(rules.cutoff_policy(kind)) for kind in {row.kind for row in rows}}
    return [_view(row, cards[row.course_schedule_id], now, cutoffs[row.kind]) for row in rows]


def _view(row: Any, session: SessionCard, now: datetime, cutoff: timedelta) -> BookingView:
    free = row.free_cancel
    return BookingView(
        id=row.id, kind=row.kind, status=row.status, source=row.source, price=row.price, schedule=session,
        profile_id=row.profile_id, profile_name=row.profile_name, family_id=row.family_id, order_id=row.order_id,
        created_at=row.created_at,
        can_cancel=rules.can_cancel(row.status, row.kind, now, session.starts_at, cutoff, free=free),
        can_leave=rules.can_leave(row.status, row.kind, now, session.starts_at),
        cancel_until=rules.cancel_until(session.starts_at, cutoff, free=free),
    )  # fmt: skip


def my_states(
    sessions: Collection[SessionCard], *, family_id: int, profile_id: int | None = None
) -> dict[int, MyState]:
    """What each session is to the family, or to one of its students, in one query."""
    asked = {"asked": [one.id for one in sessions], "family": family_id, "now": clock.now(), "profile": profile_id}
    mine: dict[int, str] = {}
    for schedule_id, state in db.session.execute(_STATES[profile_id is not None], asked) if sessions else ():
        mine[schedule_id] = min(mine.get(schedule_id, state), state, key=_FIRST.index)
    return {one.id: _state(one, mine) for one in sessions}


def _states(*, one_student: bool) -> sa.CompoundSelect:
    """What sessions are to a family, or to one student of it."""
    asked, now = sa.bindparam("asked", expanding=True), sa.bindparam("now", type_=UTCDateTime())
    booked = sa.select(_b.c.course_schedule_id, sa.literal(MyState.BOOKED.value).label("state")).where(
        _b.c.course_schedule_id.in_(asked), _b.c.family_id == sa.bindparam("family"), _b.c.status.in_(LIVE)
    )
    held = (
        sa.select(_r.c.course_schedule_id, sa.literal(MyState.HELD.value))
        .join_from(_r, _o, _o.c.id == _r.c.order_id)
        .where(
            _r.c.course_schedule_id.in_(asked), _r.c.status == ReservationStatus.TEMPORARY, _r.c.expires_at > now,
            _o.c.family_id == sa.bindparam("family"),
        )
    )  # fmt: skip
    offered = sa.exists(sa.select(sa.literal(1)).where(_offers.c.live_entry_id == _w.c.id, _offers.c.ends_at > now))
    waiting = sa.select(
        _w.c.course_schedule_id,
        sa.case((offered, sa.literal(MyState.OFFERED.value)), else_=sa.literal(MyState.WAITING.value)),
    ).where(
        _w.c.course_schedule_id.in_(asked), _w.c.family_id == sa.bindparam("family"), _w.c.live_profile_id.is_not(None)
    )
    if one_student:
        booked = booked.where(_b.c.profile_id == sa.bindparam("profile"))
        held = held.where(_o.c.profile_id == sa.bindparam("profile"))
        waiting = waiting.where(_w.c.profile_id == sa.bindparam("profile"))
    return booked.union_all(held, waiting)


#: by whether it is asked about one student
_STATES = {one: _states(one_student=one) for one in (False, True)}


def alternatives(schedule_id: int, *, profile_id: int) -> list[SessionCard]:
    """Up to three sessions that this student could book instead of a full one (B2), none of them at a time at which
    the student has another class."""
    found = db.session.execute(_elsewhere, {"profile": profile_id, "now": clock.now()})
    busy = [(row.starts_at, row.ends_at) for row in found]
    return catalog.alternatives(schedule_id, busy=busy)


def _state(session: SessionCard, mine: dict[int, str]) -> MyState:
    if session.id in mine:
        return MyState(mine[session.id])
    return MyState.FULL if session.available <= 0 else MyState.NONE
