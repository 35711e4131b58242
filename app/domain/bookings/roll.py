"""The class roll (C5): who has a seat in a session, who gave one up, and what may be marked now."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

import sqlalchemy as sa

from app import clock
from app.db import db
from app.domain.bookings import rules
from app.domain.bookings.models import LIVE, Booking, BookingStatus
from app.domain.catalog.models import ScheduleStatus
from app.domain.catalog.queries import SessionCard
from app.domain.people.models import Family, Level, Profile, Staff

_b, _p, _f, _l = Booking.__table__, Profile.__table__, Family.__table__, Level.__table__


@dataclass(frozen=True, slots=True)
class RollLine:
    """One booking of the session. `price` in yuan; `level` None where the student has none.

    `can_mark`, `can_leave` and `can_cancel` are what time and state allow, whoever asks.
    """

    booking_id: int
    profile_id: int
    student: str
    level: str | None
    level_confirmed: bool
    family_id: int
    family: str
    kind: str
    source: str
    status: str
    price: Decimal
    booked_at: datetime
    override_reason: str | None
    marked_at: datetime | None
    marked_by: str | None
    ended_at: datetime | None
    end_reason: str | None
    can_mark: bool
    can_leave: bool
    can_cancel: bool

    @property
    def marked(self) -> bool:
        return self.status in (BookingStatus.ATTENDED, BookingStatus.ABSENT)


@dataclass(frozen=True, slots=True)
class Roll:
    """`lines` have a seat, in the order in which they booked; `ended` gave it up. `opens_at` is when marking begins,
    `closed` says that the class's day is over: marks stay, missing ones may still be made."""

    lines: list[RollLine]
    ended: list[RollLine]
    opens_at: datetime
    open: bool
    closed: bool

    def count(self, status: str) -> int:
        return sum(line.status == status for line in self.lines)

    @property
    def attended(self) -> int:
        return self.count(BookingStatus.ATTENDED)

    @property
    def absent(self) -> int:
        return self.count(BookingStatus.ABSENT)

    @property
    def unmarked(self) -> int:
        return self.count(BookingStatus.BOOKED)

    def line(self, booking_id: int) -> RollLine | None:
        return next((line for line in (*self.lines, *self.ended) if line.booking_id == booking_id), None)


def of_session(session: SessionCard) -> Roll:
    """The roll of this session, in one query."""
    query = (
        sa.select(
            _b, _p.c.name.label("student"), _l.c.name.label("level"), _p.c.level_confirmed,
            _f.c.name.label("family"), Staff.display_name.label("marker"),
        )
        .select_from(
            _b.join(_p, _p.c.id == _b.c.profile_id)
            .join(_f, _f.c.id == _b.c.family_id)
            .outerjoin(_l, _l.c.id == _p.c.level_id)
            .outerjoin(Staff, Staff.id == _b.c.marked_by)
        )
        .where(_b.c.course_schedule_id == session.id)
        .order_by(_b.c.id)
    )  # fmt: skip
    now = clock.now()
    on = session.status != ScheduleStatus.CANCELLED
    is_open = on and rules.roll_is_open(now, session.starts_at)
    closed = rules.day_is_over(now, session.starts_at)
    lines, ended = [], []
    for row in db.session.execute(query):
        live = row.status in LIVE
        line = RollLine(
            booking_id=row.id, profile_id=row.profile_id, student=row.student, level=row.level,
            level_confirmed=row.level_confirmed, family_id=row.family_id, family=row.family, kind=row.kind,
            source=row.source, status=row.status, price=row.price, booked_at=row.created_at,
            override_reason=row.override_reason, marked_at=row.marked_at, marked_by=row.marker, ended_at=row.ended_at,
            end_reason=row.end_reason,
            can_mark=live and is_open and not (closed and row.status != BookingStatus.BOOKED),
            can_leave=on and rules.can_leave(row.status, row.kind, now, session.starts_at),
            can_cancel=on and row.status == BookingStatus.BOOKED,
        )  # fmt: skip
        (lines if live else ended).append(line)
    return Roll(lines, ended, session.starts_at - rules.ROLL_OPENS, is_open, closed)


def unmarked(schedule_ids: Collection[int]) -> dict[int, int]:
    """How many students of each of these sessions nobody has marked; sessions with none are left out."""
    if not schedule_ids:
        return {}
    query = (
        sa.select(_b.c.course_schedule_id, sa.func.count())
        .where(_b.c.course_schedule_id.in_(schedule_ids), _b.c.status == BookingStatus.BOOKED)
        .group_by(_b.c.course_schedule_id)
    )
    return dict(map(tuple, db.session.execute(query)))
