"""Reading credits with the classes they stand for and were used for (M2), and compensation minutes (M8)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from app import clock
from app.db import db
from app.domain.bookings import queries as bookings
from app.domain.bookings.models import LIVE, Booking, BookingKind
from app.domain.bookings.queries import BookingView
from app.domain.catalog import queries as catalog
from app.domain.catalog.models import CourseSchedule
from app.domain.catalog.queries import SessionCard
from app.domain.credits import rules
from app.domain.credits.models import CompensationHistory, CompensationLot, CreditStatus, MakeupCredit
from app.domain.credits.rules import Shown
from app.domain.people.models import Profile

_k, _b, _s = MakeupCredit.__table__, Booking.__table__, CourseSchedule.__table__
_lots, _h, _p = CompensationLot.__table__, CompensationHistory.__table__, Profile.__table__


@dataclass(frozen=True, slots=True)
class CreditView:
    """A credit as it is at this moment. `makeup` is the booking that it was used for."""

    id: int
    status: Shown
    original_booking_id: int
    original_schedule: SessionCard
    left_at: datetime
    valid_until: datetime
    course_type: str
    level: str | None
    minutes: int
    profile_id: int
    profile_name: str
    family_id: int
    makeup: BookingView | None

    @property
    def status_text(self) -> str:
        return rules.SHOWN_TEXTS[self.status]


@dataclass(frozen=True, slots=True)
class HistoryRow:
    """One change of a student's minutes, signed (96.71); `session` is the class of the booking that caused it."""

    id: int
    kind: str
    minutes: int
    at: datetime
    session: SessionCard | None
    note: str

    @property
    def kind_text(self) -> str:
        return rules.HISTORY_TEXTS[self.kind]


def credit(credit_id: int) -> CreditView | None:
    """One credit, whoever's."""
    found = _views(_select().where(_k.c.id == credit_id))
    return found[0] if found else None


def of_family(
    family_id: int, *, shown: Shown | None = None, profile_id: int | None = None, before: int | None = None,
    limit: int = 20,
) -> list[CreditView]:  # fmt: skip
    """A family's credits, newest first; one more than `limit` when there are more. `before` is the last id seen."""
    query = _select().where(_k.c.family_id == family_id)
    if shown is not None:
        query = query.where(is_shown(shown, clock.now()))
    if profile_id is not None:
        query = query.where(_k.c.profile_id == profile_id)
    if before is not None:
        query = query.where(_k.c.id < before)
    return _views(query.order_by(_k.c.id.desc()).limit(limit + 1))


def is_shown(shown: Shown, now: datetime) -> sa.ColumnElement[bool]:
    """The condition of a state (96.65) on a row of `makeup_credits`: rules.shown, in SQL."""
    if shown == Shown.AVAILABLE:
        return sa.and_(_k.c.status == CreditStatus.AVAILABLE, _k.c.valid_until > now)
    if shown == Shown.EXPIRED:
        lapsed = sa.and_(_k.c.status == CreditStatus.AVAILABLE, _k.c.valid_until <= now)
        return sa.or_(_k.c.status.in_((CreditStatus.EXPIRED, CreditStatus.VOID)), lapsed)
    ahead = (
        sa.select(sa.literal(1))
        .select_from(_b.join(_s, _s.c.id == _b.c.course_schedule_id))
        .where(_b.c.credit_id == _k.c.id, _b.c.status.in_(LIVE), _s.c.ends_at > now)
        .correlate(_k)
        .exists()
    )
    return sa.and_(_k.c.status == CreditStatus.USED, ahead if shown == Shown.BOOKED else sa.not_(ahead))


def _select() -> sa.Select:
    return sa.select(_k, _b.c.course_schedule_id, _p.c.name.label("profile_name")).select_from(
        _k.join(_b, _b.c.id == _k.c.booking_id).join(_p, _p.c.id == _k.c.profile_id)
    )


def _views(query: sa.Select) -> list[CreditView]:
    rows = list(db.session.execute(query))
    sessions = catalog.session_cards(list({row.course_schedule_id for row in rows})) if rows else {}
    used = [row.id for row in rows if row.status == CreditStatus.USED]
    makeups = sa.select(_b.c.credit_id, _b.c.id).where(_b.c.credit_id.in_(used), _b.c.status.in_(LIVE))
    booked = dict(db.session.execute(makeups).all()) if used else {}
    views, now = bookings.several(list(booked.values())), clock.now()
    return [_view(row, sessions[row.course_schedule_id], views.get(booked.get(row.id)), now) for row in rows]


def _view(row: Any, session: SessionCard, makeup: BookingView | None, now: datetime) -> CreditView:
    return CreditView(
        id=row.id, status=rules.shown(row.status, row.valid_until, now, makeup.schedule.ends_at if makeup else None),
        original_booking_id=row.booking_id, original_schedule=session, left_at=row.created_at,
        valid_until=row.valid_until, course_type=session.course_type, level=session.level, minutes=row.minutes,
        profile_id=row.profile_id, profile_name=row.profile_name, family_id=row.family_id, makeup=makeup,
    )  # fmt: skip


def credit_of(booking_id: int, *, family_id: int) -> int | None:
    """The credit that this family's makeup was booked with; None for what is no makeup of theirs."""
    query = sa.select(_b.c.credit_id).where(_b.c.id == booking_id, _b.c.family_id == family_id)
    return db.session.scalar(query.where(_b.c.kind == BookingKind.MAKEUP))


# ── minutes ─────────────────────────────────────────────────────────────────────────────────────────


def lots(profile_id: int) -> list[CompensationLot]:
    """The student's lots that can be used now, the one that ends first at the front."""
    query = sa.select(CompensationLot).where(_lots.c.profile_id == profile_id, _lots.c.minutes_left > 0)
    return rules.open_lots(db.session.scalars(query), clock.now())


def family_minutes(family_id: int) -> int:
    """Minutes that the family's students could use now, together."""
    query = sa.select(sa.func.coalesce(sa.func.sum(_lots.c.minutes_left), 0))
    return int(db.session.scalar(query.where(_lots.c.family_id == family_id, _lots.c.expires_at > clock.now())))


def history(profile_id: int, *, before: int | None = None, limit: int = 20) -> list[HistoryRow]:
    """A student's changes, newest first; one more than `limit` when there are more."""
    query = (
        sa.select(_h, _b.c.course_schedule_id)
        .select_from(_h.outerjoin(_b, _b.c.id == _h.c.booking_id))
        .where(_h.c.profile_id == profile_id)
    )
    if before is not None:
        query = query.where(_h.c.id < before)
    rows = list(db.session.execute(query.order_by(_h.c.id.desc()).limit(limit + 1)))
    sessions = catalog.session_cards(list({row.course_schedule_id for row in rows if row.course_schedule_id}))
    return [
        HistoryRow(row.id, row.kind, row.minutes, row.created_at, sessions.get(row.course_schedule_id), row.note)
        for row in rows
    ]
