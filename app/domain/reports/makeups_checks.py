"""Whether makeups keep their word: bookings that succeed, minutes that are right (Q25).

A call to book a makeup has succeeded if it booked, and failed if it neither booked nor was refused by a rule
(makeups/failures.py). A student's minutes are right if each lot holds the sum of its history, no less than nothing and
no more than it was given, and each use of it has its row there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

import sqlalchemy as sa

from app.db import db
from app.domain.bookings.models import Booking, BookingKind
from app.domain.catalog.models import Course, CourseSchedule
from app.domain.credits.models import CompensationHistory, CompensationLot, CompensationUsage, HistoryKind
from app.domain.makeups.models import MakeupFailure
from app.domain.people.models import Profile
from app.domain.reports.payments import Span
from app.domain.waitlist.models import WaitlistEntry
from app.row_by_row import has_row

#: of the spec: above 99 %, and all
BOOKING_GOAL, MINUTES_GOAL = Decimal("0.99"), Decimal("1")

_b, _x, _w = Booking.__table__, MakeupFailure.__table__, WaitlistEntry.__table__
_lots, _h, _u = CompensationLot.__table__, CompensationHistory.__table__, CompensationUsage.__table__
_s, _c, _p = CourseSchedule.__table__, Course.__table__, Profile.__table__


@dataclass(frozen=True, slots=True)
class Broken:
    """A failed call with its error, or a lot with its minutes `left` beside what its history `said`."""

    at: datetime
    student: str | None
    family_id: int | None
    schedule_id: int | None = None
    course_name: str | None = None
    error: str | None = None
    left: int | None = None
    said: int | None = None


@dataclass(frozen=True, slots=True)
class Check:
    """`goal` is a share of one. A goal of one must be reached, any other exceeded."""

    judged: int
    broken: Sequence[Broken]
    goal: Decimal

    @property
    def kept(self) -> int:
        return self.judged - len(self.broken)

    @property
    def rate(self) -> Decimal | None:
        return Decimal(self.kept) / self.judged if self.judged else None

    @property
    def alarm(self) -> bool:
        return self.rate is not None and (self.rate < self.goal or self.rate == self.goal < 1)


def bookings(span: Span) -> Check:
    """Calls to book a makeup in these days. What the waitlist books is asked for otherwise and counts there."""
    start, end = span.bounds
    waited = sa.exists().where(_w.c.course_schedule_id == _b.c.course_schedule_id, _w.c.booking_id == _b.c.id)
    made = sa.select(sa.func.count()).where(
        _b.c.kind == BookingKind.MAKEUP, _b.c.created_at >= start, _b.c.created_at < end, sa.not_(waited)
    )
    failed = (
        sa.select(_x, _p.c.name.label("student"), _p.c.family_id, _s.c.id.label("schedule_id"),
                  _c.c.name.label("course_name"))
        .select_from(
            _x.outerjoin(_p, _p.c.id == _x.c.profile_id)
            .outerjoin(_s, _s.c.id == _x.c.course_schedule_id)
            .outerjoin(_c, _c.c.id == _s.c.course_id)
        )
        .where(_x.c.failed_at >= start, _x.c.failed_at < end)
        .order_by(_x.c.failed_at.desc(), _x.c.id.desc())
    )  # fmt: skip
    broken = [
        Broken(row.failed_at, row.student, row.family_id, row.schedule_id, row.course_name, row.error)
        for row in db.session.execute(failed)
    ]
    return Check(db.session.scalar(made) + len(broken), broken, BOOKING_GOAL)


def minutes(span: Span) -> Check:
    """The lots that could be used in these days or were changed in them."""
    start, end = span.bounds
    # Joined and not asked for by OR, for which the database would read every lot there ever was.
    judged = sa.union(
        sa.select(_lots.c.id).where(_lots.c.expires_at >= start),
        sa.select(_h.c.lot_id).where(_h.c.created_at >= start, _h.c.created_at < end),
    ).subquery()
    there = _lots.join(judged, judged.c.id == _lots.c.id)
    said = sa.select(sa.func.coalesce(sa.func.sum(_h.c.minutes), 0)).where(_h.c.lot_id == _lots.c.id).scalar_subquery()
    written = sa.and_(
        _h.c.lot_id == _u.c.lot_id, _h.c.booking_id == _u.c.booking_id, _h.c.kind == HistoryKind.USED,
        _h.c.minutes == -_u.c.minutes,
    )  # fmt: skip
    unwritten = has_row(_u.c.id, _u.c.lot_id == _lots.c.id, ~has_row(_h.c.id, written, beside=(_u,)), beside=(_lots,))
    unused = has_row(
        _h.c.id, _h.c.lot_id == _lots.c.id, _h.c.kind == HistoryKind.USED,
        ~has_row(_u.c.id, written, beside=(_h,)), beside=(_lots,),
    )  # fmt: skip
    wrong = sa.or_(
        _lots.c.minutes_left != said, _lots.c.minutes_left < 0, _lots.c.minutes_left > _lots.c.minutes, unwritten,
        unused,
    )  # fmt: skip
    broken = (
        sa.select(_lots.c.earned_at, _lots.c.family_id, _lots.c.minutes_left, said.label("said"), _p.c.name)
        .select_from(there.join(_p, _p.c.id == _lots.c.profile_id))
        .where(_lots.c.earned_at < end, wrong)
        .order_by(_lots.c.earned_at.desc(), _lots.c.id.desc())
    )
    return Check(
        db.session.scalar(sa.select(sa.func.count()).select_from(there).where(_lots.c.earned_at < end)),
        [
            Broken(row.earned_at, row.name, row.family_id, left=row.minutes_left, said=int(row.said))
            for row in db.session.execute(broken)
        ],
        MINUTES_GOAL,
    )


CHECKS: dict[str, Callable[[Span], Check]] = {"bookings": bookings, "minutes": minutes}
