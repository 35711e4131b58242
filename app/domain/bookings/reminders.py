"""The evening before a class its family is reminded, with what it owes (B10)."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from decimal import Decimal

import sqlalchemy as sa

from app import clock, money
from app.db import db, db_now, lock_rows, transactional
from app.domain.bookings.models import Booking, BookingStatus
from app.domain.catalog.models import Course, CourseSchedule, ScheduleStatus, Venue
from app.domain.ledger.models import Wallet
from app.domain.outbox import service as outbox
from app.domain.people.models import Profile
from app.domain.policy import service as policy
from app.money import ZERO

#: bookings of one transaction
BATCH = 100

_bookings, _sessions = Booking.__table__, CourseSchedule.__table__


def remind() -> int:
    """Remind of tomorrow's classes once it is time this evening; returns how many bookings were told.

    A booking made after that time has its own message of today, and a late scheduler catches up until midnight.
    """
    evening = _evening()
    if evening is None:
        return 0
    total = 0
    while ids := _due(*evening):
        total += _remind(ids=ids, day=evening[0])
    return total


def waiting() -> int:
    """How many bookings should have been told of by now and were not: 0 soon after each run."""
    evening = _evening()
    if evening is None:
        return 0
    return db.session.scalar(_query(*evening).with_only_columns(sa.func.count())) or 0


def due_since() -> datetime | None:
    """The hour of this evening from which on they are due; None before it."""
    evening = _evening()
    return evening[1] if evening else None


def _evening() -> tuple[date, datetime] | None:
    """Tomorrow, and since when its reminders are due; None before that hour."""
    now = db_now()
    here = clock.local(now)
    since = datetime.combine(here.date(), policy.get("class_reminder_at"), clock.STUDIO_ZONE)
    return (here.date() + timedelta(days=1), since) if now >= since else None


def _due(day: date, since: datetime) -> list[int]:
    found = list(db.session.scalars(_query(day, since).order_by(_bookings.c.id).limit(BATCH)))
    db.session.rollback()
    return found


def _query(day: date, since: datetime) -> sa.Select:
    """Bookings of that day's classes, made before `since`, that nobody was reminded of."""
    start, end = clock.day_bounds(day)
    return (
        sa.select(_bookings.c.id)
        .join(_sessions, _sessions.c.id == _bookings.c.course_schedule_id)
        .where(
            _sessions.c.starts_at >= start,
            _sessions.c.starts_at < end,
            _sessions.c.status == ScheduleStatus.SCHEDULED,
            _bookings.c.status == BookingStatus.BOOKED,
            _bookings.c.created_at < since,
            sa.or_(_bookings.c.reminded_for.is_(None), _bookings.c.reminded_for != day),
        )
    )


@transactional
def _remind(*, ids: list[int], day: date) -> int:
    """Tell of these bookings, unless they ended or were told of since we looked."""
    live = [b.id for b in lock_rows(Booking, ids) if b.status == BookingStatus.BOOKED and b.reminded_for != day]
    rows = _facts(live, day)
    told = [row.id for row in rows]
    db.session.execute(_bookings.update().where(_bookings.c.id.in_(told)).values(reminded_for=day))
    owing = _owing({row.family_id for row in rows})
    for row in rows:
        _tell(row, day, owing.get(row.family_id))
    for family_id, owed in sorted(owing.items()):
        outbox.tell_family(
            family_id,
            "arrears",
            {"owed": money.plain(owed), "time": clock.now().isoformat(), "occasion": "before_class"},
            dedupe=f"before:{day:%Y%m%d}:{family_id}",
        )
    return len(rows)


def _facts(ids: list[int], day: date) -> list[sa.Row]:
    """What the messages say, of all of these in one statement, without those whose class was moved meanwhile."""
    start, end = clock.day_bounds(day)
    query = (
        sa.select(
            _bookings.c.id,
            _bookings.c.family_id,
            _bookings.c.user_id,
            _sessions.c.starts_at,
            Course.name.label("course"),
            Venue.name.label("venue"),
            Profile.name.label("student"),
        )
        .join(_sessions, _sessions.c.id == _bookings.c.course_schedule_id)
        .join(Course, Course.id == _sessions.c.course_id)
        .join(Venue, Venue.id == _sessions.c.venue_id)
        .join(Profile, Profile.id == _bookings.c.profile_id)
        .where(_bookings.c.id.in_(ids), _sessions.c.starts_at >= start, _sessions.c.starts_at < end)
        .order_by(_sessions.c.starts_at, _bookings.c.id)
    )
    return list(db.session.execute(query))


def _owing(family_ids: set[int]) -> dict[int, Decimal]:
    """Which of these families owe, and how much in yuan (positive)."""
    query = sa.select(Wallet.family_id, Wallet.balance).where(Wallet.family_id.in_(family_ids), Wallet.balance < ZERO)
    return {row.family_id: -row.balance for row in db.session.execute(query)}


def _tell(row: sa.Row, day: date, owed: Decimal | None) -> None:
    facts = {
        "course": row.course,
        "starts_at": row.starts_at.isoformat(),
        "student": row.student,
        "venue": row.venue,
        "booking_id": row.id,
    }
    if owed is not None:
        facts |= {"occasion": "owing", "owed": money.plain(owed)}
    outbox.tell_family(
        row.family_id, "class_reminder", facts, dedupe=f"booking{row.id}:{day:%Y%m%d}", user_id=row.user_id
    )
