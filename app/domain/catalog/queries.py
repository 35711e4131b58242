"""Reading sessions: for the staff's calendar, for parents' lists, and what could be had instead of a full one."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from app import clock
from app.db import db
from app.domain.catalog.held import FREE, HELD, KEPT, WAITING
from app.domain.catalog.models import Coach, Course, CourseSchedule, CourseType, ScheduleStatus, Venue
from app.domain.people.models import Level

_s, _c, _t = CourseSchedule.__table__, Course.__table__, CourseType.__table__
_h, _v, _l = Coach.__table__, Venue.__table__, Level.__table__

#: how far ahead an alternative to a full session is looked for
ALTERNATIVES_WITHIN = timedelta(days=21)
#: more than a day of one type and level ever holds, so that the nearest of a day are among them
_LOOKED_AT = 200


@dataclass(frozen=True, slots=True)
class SessionCard:
    """One session with its names and seats. `status` is `finished` once its end has passed (C6); `price` in yuan."""

    id: int
    course_id: int
    course_name: str
    course_type: str
    type_name: str
    is_trial: bool
    level: str | None
    coach_id: int
    coach_name: str
    venue_id: int
    venue_name: str
    starts_at: datetime
    ends_at: datetime
    price: Decimal
    status: str
    capacity: int
    booked: int
    held: int
    kept: int
    #: how many wait, by their rows
    waitlist_count: int
    waitlist_capacity: int
    version: int

    @property
    def duration_minutes(self) -> int:
        """The session's own length; its course may be another one since."""
        return (self.ends_at - self.starts_at) // timedelta(minutes=1)

    @property
    def available(self) -> int:
        """Seats that anybody may take (96.21)."""
        return self.capacity - self.booked - self.held - self.kept


_COLUMNS = (
    _s.c.id, _c.c.id.label("course_id"), _c.c.name.label("course_name"), _t.c.code.label("course_type"),
    _t.c.name.label("type_name"), _t.c.is_trial, _l.c.name.label("level"), _h.c.id.label("coach_id"),
    _h.c.name.label("coach_name"), _v.c.id.label("venue_id"), _v.c.name.label("venue_name"), _s.c.starts_at,
    _s.c.ends_at, _c.c.price, _s.c.status, _s.c.capacity, _s.c.booked, HELD.label("held"),
    KEPT.label("kept"), WAITING.label("waitlist_count"),
    sa.func.coalesce(_s.c.waitlist_capacity, _c.c.waitlist_capacity, _t.c.waitlist_capacity).label(
        "waitlist_capacity"
    ),
    _s.c.version,
)  # fmt: skip
_FROM = (
    _s.join(_c, _c.c.id == _s.c.course_id)
    .join(_t, _t.c.id == _c.c.course_type_id)
    .join(_h, _h.c.id == _s.c.coach_id)
    .join(_v, _v.c.id == _s.c.venue_id)
    .outerjoin(_l, _l.c.id == _c.c.level_id)
)
_NAMES = [field.name for field in fields(SessionCard)]
# Built once: putting a statement of this size together takes longer than running it.
_by_ids = sa.select(*_COLUMNS).select_from(_FROM).where(_s.c.id.in_(sa.bindparam("ids", expanding=True)))
_missed = (
    sa.select(_s.c.starts_at, _c.c.course_type_id, _c.c.level_id)
    .select_from(_s.join(_c, _c.c.id == _s.c.course_id))
    .where(_s.c.id == sa.bindparam("missed"))
)
_instead = (
    sa.select(_s.c.id, _s.c.starts_at, _s.c.ends_at)
    .select_from(_s.join(_c, _c.c.id == _s.c.course_id))
    .where(
        _s.c.status == ScheduleStatus.SCHEDULED,
        _s.c.starts_at > sa.bindparam("after"),
        _s.c.starts_at < sa.bindparam("before"),
        _s.c.id != sa.bindparam("missed"),
        FREE > 0,
        _c.c.course_type_id == sa.bindparam("course_type"),
        _c.c.level_id.is_not_distinct_from(sa.bindparam("level")),
    )
    .order_by(_s.c.starts_at, _s.c.id)
    .limit(_LOOKED_AT)
)


def select() -> sa.Select:
    """All columns of a card, unfiltered and unordered."""
    return sa.select(*_COLUMNS).select_from(_FROM)


def card(row: Any) -> SessionCard:
    """A card from a row of `select`, whatever else the row carries."""
    values = {name: getattr(row, name) for name in _NAMES}
    if values["status"] == ScheduleStatus.SCHEDULED and values["ends_at"] <= clock.now():
        values["status"] = ScheduleStatus.FINISHED
    return SessionCard(**values)


def session_card(schedule_id: int) -> SessionCard | None:
    return session_cards([schedule_id]).get(schedule_id)


def session_cards(schedule_ids: list[int]) -> dict[int, SessionCard]:
    """The cards of these sessions, by id."""
    return {row.id: card(row) for row in db.session.execute(_by_ids, {"ids": schedule_ids})}


def between(
    starts_from: datetime,
    starts_before: datetime,
    *,
    type: str | None = None,
    level: str | None = None,
    venue_id: int | None = None,
    coach_id: int | None = None,
) -> list[SessionCard]:
    """Every session that begins in the half-open interval, cancelled ones too: the staff's calendar."""
    query = select().where(_s.c.starts_at >= starts_from, _s.c.starts_at < starts_before)
    query = _filtered(query, type=type, level=level, venue_id=venue_id, coach_id=coach_id)
    return [card(row) for row in db.session.execute(query.order_by(_s.c.starts_at, _s.c.id))]


def _filtered(
    query: sa.Select, *, type: str | None, level: str | None, venue_id: int | None, coach_id: int | None
) -> sa.Select:
    for column, value in ((_t.c.code, type), (_l.c.name, level), (_s.c.venue_id, venue_id), (_s.c.coach_id, coach_id)):
        if value is not None:
            query = query.where(column == value)
    return query


# ── for parents ─────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Position:
    """Where a list goes on: after the session of this id, which starts then."""

    starts_at: datetime
    id: int


def coming(
    *,
    starts_from: datetime,
    starts_before: datetime | None = None,
    available: bool | None = None,
    after: Position | None = None,
    limit: int = 20,
    type: str | None = None,
    level: str | None = None,
    venue_id: int | None = None,
    coach_id: int | None = None,
) -> list[SessionCard]:
    """Sessions that are on, by time (C3); one more than `limit` when there are more. `available` True asks for free
    seats, False for full ones."""
    # The page is chosen first and its names are joined afterwards: MariaDB begins with the small tables otherwise,
    # reads all sessions that are to come and sorts them, for twenty.
    page = sa.select(_s.c.id).where(_s.c.status == ScheduleStatus.SCHEDULED, _s.c.starts_at >= starts_from)
    if type is not None or level is not None:
        page = page.select_from(_FROM)
    if starts_before is not None:
        page = page.where(_s.c.starts_at < starts_before)
    if available is not None:
        page = page.where(FREE > 0 if available else FREE <= 0)
    if after is not None:
        later = _s.c.starts_at > after.starts_at
        # The first condition says nothing new to us, and to the database where in the index to begin.
        page = page.where(
            _s.c.starts_at >= after.starts_at,
            sa.or_(later, sa.and_(_s.c.starts_at == after.starts_at, _s.c.id > after.id)),
        )
    page = _filtered(page, type=type, level=level, venue_id=venue_id, coach_id=coach_id)
    chosen = page.order_by(_s.c.starts_at, _s.c.id).limit(limit + 1).subquery("page")
    query = sa.select(*_COLUMNS).select_from(_FROM.join(chosen, chosen.c.id == _s.c.id))
    return [card(row) for row in db.session.execute(query.order_by(_s.c.starts_at, _s.c.id))]


def alternatives(
    schedule_id: int, *, busy: Collection[tuple[datetime, datetime]] = (), limit: int = 3
) -> list[SessionCard]:
    """What could be booked instead of this session: same type and level, a free seat, soonest day first and on a day
    nearest to its time (B2). `busy` are the times at which the student is elsewhere."""
    missed = db.session.execute(_missed, {"missed": schedule_id}).first()
    if missed is None:
        return []
    now = clock.now()
    asked = {"missed": schedule_id, "after": now, "before": max(now, missed.starts_at) + ALTERNATIVES_WITHIN,
             "course_type": missed.course_type_id, "level": missed.level_id}  # fmt: skip
    wanted = clock.local(missed.starts_at)

    def nearness(candidate: Any) -> tuple:
        begins = clock.local(candidate.starts_at)
        apart = abs((begins.hour - wanted.hour) * 60 + begins.minute - wanted.minute)
        return begins.date(), apart, candidate.id

    found = db.session.execute(_instead, asked).all()
    possible = (one for one in found if not any(one.starts_at < ends and one.ends_at > begins for begins, ends in busy))
    chosen = [one.id for one in sorted(possible, key=nearness)[:limit]]
    # A rush asks for this hundreds of times a second: names and figures are read for those that are shown.
    cards = session_cards(chosen) if chosen else {}
    return [cards[one] for one in chosen if one in cards]
