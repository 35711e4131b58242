"""Open credits against free seats, and what to open for those who find none (M12)."""

from __future__ import annotations

from datetime import timedelta

import pytest

from app import clock
from app.db import db, transaction
from app.domain.bookings.models import Booking
from app.domain.catalog.models import Coach, CourseSchedule, Venue
from app.domain.credits.models import MakeupCredit
from app.domain.makeups import demand, openings
from app.domain.makeups.demand import Slot
from tests.domain.makeups.steps import Away
from tests.domain.makeups.test_desk_queries import DAY, ends_in, level, make_level_id
from tests.factories import make_course, make_level, make_session

pytestmark = pytest.mark.usefixtures("app")


def full(*schedule_ids: int) -> None:
    """No seats are left there."""
    with transaction():
        for schedule_id in schedule_ids:
            row = db.session.get(CourseSchedule, schedule_id)
            row.held, row.kept, row.booked = 0, 0, row.capacity


def everything_full() -> None:
    full(*[row.id for row in db.session.query(CourseSchedule.id).filter(CourseSchedule.starts_at > clock.now())])


def missed_at(one: Away, number: int = 0) -> CourseSchedule:
    credit = db.session.get(MakeupCredit, one.credits[number])
    return db.session.get(CourseSchedule, db.session.get(Booking, credit.booking_id).course_schedule_id)


def test_nothing_owed_is_nothing_to_show():
    make_session()
    found = demand.demand()
    assert (found.lines, found.cells, found.unseated, openings.propose(found)) == ([], {}, [], [])


def test_credits_stand_at_the_hour_that_was_missed_and_seats_where_they_are():
    make_level("L1", 1), make_level("L2", 2)
    one = level(Away(), "L2")
    with transaction():
        db.session.get(MakeupCredit, one.credits[0]).level_id = make_level_id("L2")
    everything_full()
    lower = one.session(level="L1", capacity=3, starts_in=5 * DAY)
    one.session(level="L1", capacity=9, starts_in=40 * DAY)
    one.session(capacity=9, type_code="vip")
    one.session(capacity=9, type_code="trial", is_trial=True)
    found = demand.demand()
    [line] = found.lines
    assert (line.type, line.level, line.credits, line.seats, line.unseated) == ("regular", "L2", 1, 3, 0)
    mine, seats = Slot.of(missed_at(one).starts_at), Slot.of(db.session.get(CourseSchedule, lower).starts_at)
    assert {slot: (cell.credits, cell.seats) for slot, cell in found.cells.items()} == {mine: (1, 0), seats: (0, 3)}
    assert found.cells[mine].short
    assert not found.cells[seats].short
    assert demand.demand(level="L1").lines == demand.demand(type="vip").lines == []


def test_one_seat_seats_one_and_the_higher_level_leaves_the_lower_one():
    make_level("L1", 1), make_level("L2", 2)
    low, high, spare = level(Away(), "L1"), level(Away(), "L2"), level(Away(), "L2")
    with transaction():
        for one, name in ((low, "L1"), (high, "L2"), (spare, "L2")):
            db.session.get(MakeupCredit, one.credits[0]).level_id = make_level_id(name)
    for one, days in ((high, 10), (low, 20), (spare, 30)):
        ends_in(one, days)
    everything_full()
    one.session(level="L1", capacity=1, starts_in=5 * DAY)
    one.session(level="L2", capacity=1, starts_in=6 * DAY)
    found = demand.demand()
    assert [credit.id for credit in found.unseated] == spare.credits
    assert {line.level: line.unseated for line in found.lines} == {"L1": 0, "L2": 1}
    assert [credit.id for credit in demand.demand(level="L2").unseated] == spare.credits
    assert demand.demand(level="L1").unseated == [], "the others' wants count where only some are asked for"


def test_a_seat_after_the_end_or_during_another_class_is_none():
    one, busy = Away(), Away(60, 60)
    ends_in(one, 3)
    everything_full()
    start = clock.now() + 8 * DAY
    one.session(starts_at=start, capacity=2)  # after the end of the one, during a class of the other
    with transaction():
        db.session.get(MakeupCredit, busy.credits[0]).valid_until = clock.now() + 60 * DAY
    other = make_session(make_course(), starts_at=start + timedelta(minutes=30), capacity=1)
    busy.book(other)
    assert {credit.profile_id for credit in demand.demand().unseated} == {one.profile_id, busy.profile_id}


def test_what_to_open_serves_each_student_once_at_an_hour_with_coach_and_venue():
    for _ in range(4):
        Away()
    Away(60, 60)  # two credits, one child
    with transaction():
        for row in db.session.query(CourseSchedule):
            row.capacity = row.booked = 2
    found = demand.demand()
    assert len(found.unseated) == 6
    proposals = openings.propose(found)
    assert [(one.serves, one.capacity) for one in proposals] == [(2, 2), (2, 2), (1, 2)]
    assert proposals[0].usual == 2, "of moments that serve as many, the one at which these children had a class"
    for one in proposals:
        assert clock.now() < one.starts_at < clock.now() + openings.AHEAD + DAY
        ends_at = one.starts_at + timedelta(minutes=one.minutes)
        for held in db.session.query(CourseSchedule):
            if held.starts_at < ends_at and held.ends_at > one.starts_at:
                assert held.coach_id != one.coach_id
                assert held.venue_id != one.venue_id


def test_no_coach_stands_in_two_places():
    for days in (4, 5, 6):
        Away().session(starts_in=days * DAY)
    with transaction():
        keep = db.session.query(Coach).order_by(Coach.id).first().id
        for row in db.session.query(Coach):
            row.archived_at = None if row.id == keep else clock.now()
        for row in db.session.query(CourseSchedule):
            row.capacity = row.booked = 1
    proposals = openings.propose(demand.demand())
    assert {one.coach_id for one in proposals} == {keep}
    assert len({one.starts_at for one in proposals}) == len(proposals) == 3


def test_nobody_to_teach_is_nothing_to_propose():
    Away()
    everything_full()
    with transaction():
        for row in db.session.query(Coach):
            row.archived_at = clock.now()
    assert openings.propose(demand.demand()) == []
    with transaction():
        for row in db.session.query(Coach):
            row.archived_at = None
        for row in db.session.query(Venue):
            row.archived_at = clock.now()
    found = demand.demand()
    assert len(found.unseated) == 1
    assert openings.propose(found) == []
