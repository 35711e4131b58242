"""Freed seats without a queue beside the students whose credits end soon, against data made by hand (Q21)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from app import clock
from app.db import db, transaction
from app.domain.bookings.models import Booking
from app.domain.catalog.models import Course
from app.domain.credits.models import MakeupCredit
from app.domain.people.models import Level, Profile
from app.domain.reports.spare import spare
from app.domain.waitlist.models import WaitlistEntry
from tests.domain.waitlist.counted import add
from tests.factories import make_course, make_family, make_level, make_session

NOW = datetime(2026, 11, 18, 4, 0, tzinfo=UTC)
DAY, HOUR = timedelta(days=1), timedelta(hours=1)


@pytest.fixture(autouse=True)
def noon(app):
    with clock.travel(to=NOW):
        make_level("L1", 1)
        make_level("L2", 2)
        make_level("L3", 3)
        yield


def booking(session: int, family, status: str, *, ended: datetime | None = NOW - HOUR) -> int:
    return add(
        Booking(
            course_schedule_id=session,
            profile_id=family.profile_ids[0],
            family_id=family.id,
            kind="regular",
            source="wallet",
            status=status,
            price=Decimal("200.00"),
            created_at=NOW - 5 * DAY,
            ended_at=None if status == "booked" else ended,
        )  # fmt: skip
    )


def given_up(course: int | None = None, *, starts_in: timedelta = DAY, status: str = "cancelled", **more) -> int:
    """A class with a seat that was given up."""
    session = make_session(course, starts_in=starts_in)
    booking(session, make_family(), status, **more)
    return session


def credit(course: int, *, ends_in: timedelta = 5 * DAY, level: str | None = None, own: str | None = None,
           status: str = "available", minutes: int = 60):  # fmt: skip
    """A family whose student has an open credit of this course's type."""
    family = make_family()
    missed = booking(make_session(course, starts_in=-DAY), family, "on_leave")
    ids = {row.name: row.id for row in Level.query}
    row = db.session.get(Course, course)
    add(
        MakeupCredit(
            family_id=family.id,
            profile_id=family.profile_ids[0],
            booking_id=missed,
            minutes=minutes,
            course_type_id=row.course_type_id,
            level_id=ids.get(level),
            price=Decimal("200.00"),
            status=status,
            valid_until=NOW + ends_in,
            created_at=NOW - DAY,
            updated_at=NOW,
        )  # fmt: skip
    )
    with transaction():
        student = db.session.get(Profile, family.profile_ids[0])
        student.level_id, student.level_confirmed = ids.get(own), own is not None
    return family


def test_only_classes_ahead_with_a_seat_given_up_lately():
    tomorrow, later = given_up(), given_up(starts_in=2 * DAY, status="on_leave")
    given_up(starts_in=4 * DAY)
    given_up(ended=NOW - 8 * DAY)
    make_session(starts_in=DAY)
    full = given_up()
    cancelled = given_up()
    with transaction():
        db.session.execute(db.text("UPDATE course_schedules SET booked = capacity WHERE id = :id"), {"id": full})
        db.session.execute(
            db.text("UPDATE course_schedules SET status = 'cancelled' WHERE id = :id"), {"id": cancelled}
        )
    assert [(one.session.id, one.freed) for one in spare()] == [(tomorrow, 1), (later, 1)]


def test_who_fits_and_who_does_not():
    course, other = make_course(level="L2"), make_course(type_code="vip")
    given_up(course)
    soon = credit(course, ends_in=2 * DAY, level="L2", own="L2", minutes=45)
    late = credit(course, ends_in=13 * DAY, level="L3", own="L3", minutes=90)
    for unfit in (
        {"ends_in": 15 * DAY, "level": "L2", "own": "L2"},  # does not end soon
        {"ends_in": HOUR, "level": "L2", "own": "L2"},  # ends before the class
        {"level": "L1", "own": "L2"},  # missed a lower class
        {"level": "L2", "own": "L1"},  # may not take this level
        {"level": "L2", "own": None},  # no confirmed level
        {"level": "L2", "own": "L2", "status": "used"},
    ):
        credit(course, **unfit)
    credit(other, own="L3")
    busy = credit(course, level="L2", own="L2")
    booking(make_session(starts_in=DAY), busy, "booked")
    [found] = spare()
    assert [(fit.family_id, fit.exchange.difference) for fit in found.fits] == [(soon.id, 15), (late.id, -30)]


def test_no_more_than_a_page_shows_and_nobody_waits_there():
    course = make_course()
    given_up(course)
    for _ in range(10):
        credit(course)
    [found] = spare()
    assert (len(found.fits), found.more) == (8, 2)
    assert WaitlistEntry.query.count() == 0
