"""How families book, cancel and ask for seats, against data counted by hand (U18)."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest

from app import clock
from app.db import db, transaction
from app.domain.bookings.models import Booking
from app.domain.catalog.models import Course
from app.domain.reports import behaviour as figures
from app.domain.reports import behaviour_rows as rows
from app.domain.reports import quiet
from app.domain.reports.behaviour import Cell
from app.domain.reports.behaviour_rows import Asked, Figure, Who
from app.domain.reports.payments import Span
from app.domain.seats.models import SeatRefusal
from tests.domain.makeups.counted import booking
from tests.domain.waitlist.counted import add, entry
from tests.factories import make_course, make_family, make_session
from tests.portal import make_staff

pytestmark = pytest.mark.usefixtures("app")

#: Wednesday noon in the studio
NOW = datetime(2026, 11, 18, 4, 0, tzinfo=UTC)
DAY, HOUR, SECOND = timedelta(days=1), timedelta(hours=1), timedelta(seconds=1)
SPAN = Span(date(2026, 11, 1), date(2026, 11, 18))
ASKED = Asked(SPAN)


@pytest.fixture(autouse=True)
def noon(app):
    with clock.travel(to=NOW):
        yield


def ids(figure: Figure, **more) -> list[int]:
    found = rows.behind(figure, Asked(more.pop("span", SPAN), **more))
    assert len({row.id for row in found}) == len(found)
    return sorted(row.id for row in found)


def ended(booking_id: int, at: datetime, *, by: int | None = None, why: str | None = None) -> int:
    with transaction():
        made = db.session.get(Booking, booking_id)
        made.ended_at, made.ended_by, made.end_reason = at, by, why
    return booking_id


def refused(schedule_id: int, profile_id: int) -> int:
    row = SeatRefusal(course_schedule_id=schedule_id, profile_id=profile_id, code="SEAT_FULL", refused_at=NOW)
    return add(row)


# ── lead time ───────────────────────────────────────────────────────────────────────────────────────


def test_lead_time_by_band_at_its_edges():
    start = NOW - DAY
    session = make_session(starts_at=start)
    before = (2 * HOUR, 2 * HOUR - SECOND, 6 * HOUR, 25 * HOUR, 3 * DAY, 7 * DAY)
    made = [booking(session, at=start - one) for one in before]
    after = booking(session, at=start + HOUR)
    elsewhen = booking(session, at=clock.day_bounds(SPAN.first)[0] - SECOND)
    found = figures.lead(Figure.MADE, ASKED)
    # after the start · below 2 h · from 2 h · from 6 h · from a day · from 3 days · from 7 days
    assert list(found.bands) == [1, 1, 1, 1, 1, 1, 1]
    assert (found.count, found.median, found.p90) == (7, 6 * 3600, 7 * 86400)
    assert found.share(0) == Decimal(1) / 7
    assert elsewhen not in ids(Figure.MADE)
    assert ids(Figure.MADE) == sorted([*made, after])
    assert [ids(Figure.MADE, band=band) for band in range(7)] == [
        [after], [made[1]], [made[0]], [made[2]], [made[3]], [made[4]], [made[5]],
    ]  # fmt: skip


def test_a_fraction_of_a_second_makes_no_other_band():
    session = make_session(starts_at=NOW + timedelta(microseconds=1))
    booking(session, at=NOW - 2 * HOUR + timedelta(microseconds=999_999))
    assert figures.lead(Figure.MADE, ASKED).seconds == [7200]


# ── ends ────────────────────────────────────────────────────────────────────────────────────────────


def test_ends_by_time_person_and_words():
    clerk = make_staff("front_desk").id
    start = NOW - DAY
    session, closed = make_session(starts_at=start), make_session(starts_at=start, status="cancelled")
    for status in ("attended", "attended", "absent"):
        booking(session, status=status)
    parent = [ended(booking(session, status="cancelled"), start - one) for one in (HOUR, 4 * DAY)]
    staff = ended(booking(session, status="cancelled"), start + HOUR, by=clerk, why="发烧")
    shut = ended(booking(closed, status="cancelled"), start - DAY, why="教练生病")
    away = ended(booking(session, status="on_leave"), start - 5 * HOUR, by=clerk, why="发烧")
    booking(make_session(starts_at=NOW - 30 * DAY), status="cancelled")
    found = figures.ends(ASKED)
    assert (found.places, found.absent, found.cancelled.count, found.leave.count) == (8, 1, 4, 1)
    assert (found.cancel_rate, found.leave_rate, found.absent_rate) == (Decimal("0.5"), Decimal(1) / 8, Decimal(1) / 8)
    assert list(found.cancelled.bands) == [1, 1, 0, 0, 1, 1, 0]
    assert [(one.who, one.why, one.cancelled, one.leave) for one in found.reasons] == [
        (Who.PARENT, "", 2, 0), (Who.STAFF, "发烧", 1, 1), (Who.SESSION, "教练生病", 1, 0),
    ]  # fmt: skip
    assert ids(Figure.CANCELLED, who=Who.PARENT, why="") == parent
    assert ids(Figure.CANCELLED, who=Who.STAFF, why="发烧") == [staff]
    assert ids(Figure.LEAVE, why="发烧") == [away]
    assert ids(Figure.CANCELLED, who=Who.SESSION) == [shut]
    assert ids(Figure.CANCELLED, band=1) == [parent[0]]
    assert len(ids(Figure.PLACES)) == 8


# ── demand ──────────────────────────────────────────────────────────────────────────────────────────


def test_each_student_asks_for_a_class_once_by_what_they_got():
    # Saturday 14 November, 10:30 and 19:00 in the studio; and Monday at one minute past midnight, Sunday in UTC.
    morning = make_session(starts_at=datetime(2026, 11, 14, 2, 30, tzinfo=UTC), capacity=2)
    evening = make_session(starts_at=datetime(2026, 11, 14, 11, 0, tzinfo=UTC), capacity=4)
    night = make_session(starts_at=datetime(2026, 11, 15, 16, 1, tzinfo=UTC), capacity=5)
    shut = make_session(starts_at=datetime(2026, 11, 14, 2, 30, tzinfo=UTC), status="cancelled")
    twice, waits, gone, other = (make_family() for _ in range(4))
    first = booking(morning, status="cancelled", family=twice)
    booking(morning, family=twice)
    entry(morning, joined=NOW - 9 * DAY, family=twice, status="expired", ended=NOW - 8 * DAY, reason="cutoff")
    waiting = entry(morning, joined=NOW - 9 * DAY, family=waits, status="expired", ended=NOW - 8 * DAY, reason="cutoff")
    for family in (twice, waits, gone):
        refused(morning, family.profile_ids[0])
    turned = refused(morning, other.profile_ids[0])
    seated = booking(evening, family=gone)
    booking(shut)
    found = figures.demand(ASKED)
    assert found.cells == {
        (1, 0): Cell(1, 5), (6, 10): Cell(1, 2, booked=1, waited=1, refused=2), (6, 19): Cell(1, 4, booked=1),
    }  # fmt: skip
    assert found.total == Cell(3, 11, 2, 1, 2)
    assert (found.of(6, 10).wanted, found.of(6, 10).load, found.of(7, 10).load) == (4, Decimal(2), None)
    assert found.hours == list(range(20))
    assert ids(Figure.BOOKED, weekday=6, hour=10) == [first]
    assert ids(Figure.BOOKED, weekday=6, hour=19) == [seated]
    assert ids(Figure.WAITED) == [waiting]
    assert turned in ids(Figure.REFUSED)
    assert len(ids(Figure.REFUSED, weekday=6, hour=10)) == 2
    assert ids(Figure.CLASSES, weekday=1, hour=0) == [night]
    assert ids(Figure.REFUSED, weekday=6, hour=19) == []


def test_one_course_type_alone():
    vip = make_course(type_code="vip")
    here, there = make_session(vip, starts_at=NOW - DAY), make_session(starts_at=NOW - DAY)
    mine, _ = booking(here, at=NOW - 2 * DAY), booking(there, at=NOW - 2 * DAY)
    kind = db.session.get(Course, vip).course_type_id
    asked = Asked(SPAN, kind)
    assert (
        figures.lead(Figure.MADE, asked).count == figures.ends(asked).places == figures.demand(asked).total.booked == 1
    )
    assert ids(Figure.MADE, type_id=kind) == ids(Figure.BOOKED, type_id=kind) == [mine]


# ── trial → formal ──────────────────────────────────────────────────────────────────────────────────


def test_trials_that_became_regular_bookings():
    course = make_course("体验", type_code="trial", is_trial=True)
    trial, regular = make_session(course, starts_at=NOW - 10 * DAY), make_session(starts_at=NOW + DAY)
    came, cancelled_later, before, never, absent, sibling = (make_family(students=("甲", "乙")) for _ in range(6))
    tried = [booking(trial, kind="trial", status="attended", family=one) for one in (came, cancelled_later)]
    for one in (before, never, sibling):
        booking(trial, kind="trial", status="attended", family=one)
    booking(trial, kind="trial", status="absent", family=absent)
    booking(regular, family=came, at=NOW - 8 * DAY)
    booking(regular, family=cancelled_later, at=NOW - 7 * DAY, status="cancelled")
    booking(regular, family=before, at=NOW - 11 * DAY)
    booking(regular, family=absent, at=NOW - 7 * DAY)
    brother = booking(regular, family=sibling, at=NOW - DAY)
    with transaction():
        db.session.get(Booking, brother).profile_id = sibling.profile_ids[1]
    found = figures.trials(ASKED)
    assert (found.attended, found.converted, found.rate) == (5, 2, Decimal("0.4"))
    assert (list(found.seconds), found.median) == ([2 * 86400, 3 * 86400], 2 * 86400)
    assert ids(Figure.CONVERTED) == tried
    assert len(ids(Figure.TRIALS)) == 5
    assert {row.followed_at for row in rows.behind(Figure.CONVERTED, ASKED)} == {NOW - 8 * DAY, NOW - 7 * DAY}


# ── quiet families ──────────────────────────────────────────────────────────────────────────────────


def test_who_is_quiet():
    with clock.travel(to=NOW - 90 * DAY):
        money, past, seen, ahead, nothing, given_up = (
            make_family(balance=balance) for balance in ("50.00", "0.00", "9.00", "9.00", "0.00", "9.00")
        )
    make_family(balance="70.00")  # came today
    old, edge = make_session(starts_at=NOW - 31 * DAY), make_session(starts_at=NOW - 30 * DAY)
    booking(old, family=past, status="attended")
    booking(edge, family=seen, status="attended")
    booking(make_session(starts_at=NOW + DAY), family=ahead)
    booking(make_session(starts_at=NOW - DAY), family=given_up, status="cancelled")
    page = quiet.page()
    assert [one.id for one in page.items] == sorted((money.id, past.id, given_up.id), reverse=True)
    assert quiet.count() == 3
    assert nothing.id not in [one.id for one in page.items]
    found = {one.id: (one.balance, one.last_class, one.bookings) for one in page.items}
    assert found == {
        money.id: (Decimal("50.00"), None, 0), past.id: (Decimal("0.00"), NOW - 31 * DAY, 1),
        given_up.id: (Decimal("9.00"), None, 1),
    }  # fmt: skip
    assert [one.id for piece in quiet.every().pieces() for one in piece] == [one.id for one in page.items]
