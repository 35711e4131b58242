"""The class roll and whom the desk may book (C5, B8)."""

from __future__ import annotations

from datetime import timedelta

import pytest

from app import clock
from app.db import db, transaction
from app.domain.bookings import attendance, candidates, leave, place, roll
from app.domain.bookings.rules import Event
from app.domain.catalog import queries
from app.domain.catalog.models import CourseSchedule
from app.domain.people.models import Profile
from tests.factories import make_family, make_level, make_session, parent_actor
from tests.portal import actor_of, make_staff


@pytest.fixture
def clerk(app):
    return actor_of(make_staff("front_desk"))


@pytest.fixture
def family(app):
    return make_family(students=("张小明", "张小红"), balance="2000.00")


def book(session: int, family, which: int = 0) -> int:
    return place.book(schedule_id=session, profile_id=family.profile_ids[which], actor=parent_actor(family)).booking_id


def rolled(session: int) -> roll.Roll:
    return roll.of_session(queries.session_card(session))


def test_who_has_a_seat_and_who_gave_it_up(clerk, family):
    session = make_session()
    first, second = book(session, family), book(session, family, 1)
    leave.take_leave(booking_id=second, actor=clerk, reason="发烧")
    found = rolled(session)
    assert [(line.booking_id, line.student, line.family, line.status) for line in found.lines] == [
        (first, "张小明", "张女士家庭", "booked")
    ]
    assert [(line.student, line.status, line.end_reason) for line in found.ended] == [("张小红", "on_leave", "发烧")]
    assert found.line(second).ended_at is not None
    assert found.line(0) is None


def test_nothing_can_be_marked_days_before(family):
    session = make_session(starts_in=timedelta(days=2))
    booking = book(session, family)
    line = rolled(session).line(booking)
    assert (line.can_mark, line.can_leave, line.can_cancel) == (False, True, True)
    assert not rolled(session).open


def test_marks_are_counted_and_name_who_made_them(clerk, family):
    session = make_session(starts_in=timedelta(hours=1))
    first, second = book(session, family), book(session, family, 1)
    attendance.mark(booking_id=first, event=Event.ATTEND, actor=clerk)
    found = rolled(session)
    assert (found.attended, found.absent, found.unmarked) == (1, 0, 1)
    assert (found.line(first).marked, found.line(first).marked_by) == (True, clerk.name)
    assert not found.line(first).can_cancel
    assert roll.unmarked([session]) == {session: 1}
    attendance.mark(booking_id=second, event=Event.MISS, actor=clerk)
    assert (rolled(session).absent, roll.unmarked([session])) == (1, {})


def test_once_the_day_is_over_marks_stay_and_missing_ones_may_still_be_made(clerk, family):
    session = make_session(starts_in=timedelta(hours=1))
    first, second = book(session, family), book(session, family, 1)
    attendance.mark(booking_id=first, event=Event.ATTEND, actor=clerk)
    with clock.travel(by=timedelta(days=2)):
        found = rolled(session)
        assert found.closed
        assert (found.line(first).can_mark, found.line(second).can_mark) == (False, True)
        assert not found.line(second).can_leave


def test_of_a_cancelled_session_nothing_may_be_done(family):
    session = make_session(starts_in=timedelta(hours=1))
    booking = book(session, family)
    with transaction():
        db.session.get(CourseSchedule, session).status = "cancelled"
    line = rolled(session).line(booking)
    assert (line.can_mark, line.can_leave, line.can_cancel) == (False, False, False)


def test_no_sessions_no_question(app, statements):
    assert roll.unmarked([]) == {}
    assert statements == []


# ── whom to book ────────────────────────────────────────────────────────────────────────────────────


def test_candidates_are_the_active_students_of_the_families_in_their_order(family):
    other = make_family(parent="李先生", students=("李雷", "李梅"))
    session, level = make_session(), make_level("L2", 2)
    with transaction():
        db.session.get(Profile, other.profile_ids[0]).status = "left"
        db.session.get(Profile, other.profile_ids[1]).level_id = level
    book(session, family)
    found = candidates.of_families([other.id, family.id], session)
    assert [(one.name, one.family, one.level, one.level_confirmed, one.booked) for one in found] == [
        ("李梅", "李先生家庭", "L2", False, False),
        ("张小明", "张女士家庭", None, False, True),
        ("张小红", "张女士家庭", None, False, False),
    ]
    assert candidates.of_families([], session) == []


def test_one_candidate(family):
    session = make_session()
    assert candidates.one(family.profile_ids[0], session).name == "张小明"
    with transaction():
        db.session.get(Profile, family.profile_ids[0]).status = "left"
    assert candidates.one(family.profile_ids[0], session) is None
    assert candidates.one(10**9, session) is None
