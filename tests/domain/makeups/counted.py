"""Rows of makeups written by hand, for figures that are counted by hand. What the use cases do has its own tests."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal

from app import clock
from app.db import db, transaction
from app.domain.bookings.models import Booking
from app.domain.catalog.models import Course, CourseSchedule
from app.domain.credits.models import CompensationHistory, CompensationLot, CompensationUsage, MakeupCredit
from tests.factories import MadeFamily, make_family


def _add(row) -> int:
    with transaction():
        db.session.add(row)
        db.session.flush()
        return row.id


def booking(schedule_id: int, *, status: str = "booked", kind: str = "regular", family: MadeFamily | None = None,
            at: datetime | None = None, credit: int | None = None) -> int:  # fmt: skip
    """One booking, of a family of its own unless told."""
    family = family or make_family()
    source = {"regular": "wallet", "trial": "wechat_pay", "makeup": "makeup_credit"}[kind]
    return _add(
        Booking(
            course_schedule_id=schedule_id, profile_id=family.profile_ids[0], family_id=family.id, kind=kind,
            source=source, status=status, price=Decimal(0), credit_id=credit, created_at=at or clock.now(),
        )
    )  # fmt: skip


def credit(booking_id: int, *, made: datetime, status: str = "available", ends: timedelta = timedelta(days=60)) -> int:
    """The credit of a booking that was given up, made at a moment."""
    missed = db.session.get(Booking, booking_id)
    course = db.session.get(Course, db.session.get(CourseSchedule, missed.course_schedule_id).course_id)
    return _add(
        MakeupCredit(
            family_id=missed.family_id, profile_id=missed.profile_id, booking_id=booking_id,
            course_type_id=course.course_type_id, minutes=course.duration_minutes, price=Decimal("60.00"),
            status=status, valid_until=made + ends, created_at=made, updated_at=made,
        )
    )  # fmt: skip


def lot(family: MadeFamily, minutes: int, *, at: datetime, booking_id: int | None = None, left: int | None = None,
        ends: timedelta = timedelta(days=14)) -> int:  # fmt: skip
    """Minutes given at a moment, without their history."""
    return _add(
        CompensationLot(
            profile_id=family.profile_ids[0], family_id=family.id, minutes=minutes,
            minutes_left=minutes if left is None else left, booking_id=booking_id, earned_at=at, expires_at=at + ends,
        )
    )  # fmt: skip


def change(lot_id: int, kind: str, minutes: int, *, at: datetime, booking_id: int | None = None, note: str = "") -> int:
    """A row of the history, signed as it is kept."""
    profile_id = db.session.get(CompensationLot, lot_id).profile_id
    return _add(
        CompensationHistory(
            lot_id=lot_id, profile_id=profile_id, kind=kind, minutes=minutes, booking_id=booking_id,
            actor_type="system", note=note, created_at=at,
        )
    )  # fmt: skip


def usage(lot_id: int, booking_id: int, minutes: int, *, at: datetime) -> int:
    return _add(CompensationUsage(lot_id=lot_id, booking_id=booking_id, minutes=minutes, used_at=at))
