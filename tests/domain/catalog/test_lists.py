"""What the desk's pages list of the catalog, and what copying a week would do."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal

import pytest
import sqlalchemy as sa

from app import clock
from app.db import db
from app.domain.audit.actor import system
from app.domain.catalog import courses, lists, sessions
from app.domain.catalog.models import CourseSchedule
from app.domain.changes.cancel_session import cancel_session
from app.errors import Invalid
from tests.factories import make_course, make_session
from tests.portal import actor_of, make_staff

BOSS = system("test")


def test_courses_by_type_and_level_with_what_is_still_to_come(app):
    upper = make_course("竞技", level="L2", price="260.00", minutes=90)
    lower = make_course("启蒙", level="L1")
    everybody = make_course("亲子")
    make_session(lower)
    make_session(lower, starts_in=timedelta(days=-1))
    cancelled = make_session(lower)
    cancel_session(schedule_id=cancelled, reason="检修", actor=BOSS)
    courses.archive_course(course_id=everybody, actor=BOSS)
    found = lists.courses()
    assert [line.id for line in found] == [lower, upper, everybody]
    assert [line.coming for line in found] == [1, 0, 0]
    line = found[1]
    assert (line.level, line.duration_minutes, line.price, line.version) == ("L2", 90, Decimal("260.00"), 1)
    assert (line.waitlist_capacity, line.is_trial, line.archived_at) == (None, False, None)
    assert found[2].archived_at is not None


def test_coaches_and_venues_with_the_archived_last(app):
    first, second = courses.create_coach(name="甲", actor=BOSS), courses.create_coach(name="乙", actor=BOSS)
    courses.archive_coach(coach_id=first, actor=BOSS)
    venue = courses.create_venue(name="一号馆", actor=BOSS)
    sessions.create(
        course_id=make_course(), coach_id=second, venue_id=venue, starts_at=clock.now() + timedelta(days=1),
        capacity=6, actor=BOSS,
    )  # fmt: skip
    assert [(line.id, line.coming, line.archived_at is None) for line in lists.coaches()] == [
        (second, 1, True), (first, 0, False),
    ]  # fmt: skip
    assert [(line.name, line.coming) for line in lists.venues()] == [("一号馆", 1)]


def test_types_count_their_courses(app):
    make_course(type_code="vip")
    make_course(type_code="vip")
    courses.create_course_type(code="trial", name="体验课", is_trial=True, actor=BOSS)
    found = [(line.code, line.courses, line.is_trial) for line in lists.types()]
    assert found == [("vip", 2, False), ("trial", 0, True)]


def test_a_sessions_own_fields(app):
    manager = make_staff("manager")
    session = make_session(waitlist_capacity=3)
    assert lists.own_fields(session) == lists.OwnFields(3, 0, None, None, None)
    cancel_session(schedule_id=session, reason="教练生病", actor=actor_of(manager))
    own = lists.own_fields(session)
    assert (own.cancel_reason, own.cancelled_by, own.cancelled_at is None) == ("教练生病", manager.display_name, False)
    assert lists.own_fields(10**9) is None


# ── what copying would do ───────────────────────────────────────────────────────────────────────────


def monday(ahead: int) -> date:
    today = clock.today()
    return today - timedelta(days=today.weekday()) + timedelta(weeks=ahead)


@pytest.fixture
def week(app) -> date:
    """Three sessions of the week after this one; the second is in the way of nothing, the third was cancelled."""
    begins = clock.day_bounds(monday(1))[0] + timedelta(hours=16)
    made = [make_session(starts_at=begins + timedelta(days=n), override_seats=n, capacity=6 + n) for n in range(3)]
    cancel_session(schedule_id=made[2], reason="检修", actor=BOSS)
    return monday(1)


def test_the_plan_is_what_copying_then_does(week):
    target = week + timedelta(weeks=1)
    before = db.session.scalar(sa.select(sa.func.count()).select_from(CourseSchedule))
    plan = sessions.plan_copy(from_monday=week, to_monday=target)
    assert [copy.capacity for copy in plan.copies] == [6, 6]
    assert [clock.local(copy.starts_at).date() for copy in plan.copies] == [target, target + timedelta(days=1)]
    assert plan.skipped == ()
    assert db.session.scalar(sa.select(sa.func.count()).select_from(CourseSchedule)) == before
    copied = sessions.copy_week(from_monday=week, to_monday=target, actor=BOSS)
    found = [db.session.get(CourseSchedule, key) for key in copied.made]
    assert [(row.starts_at, row.capacity) for row in found] == [(c.starts_at, c.capacity) for c in plan.copies]


def test_the_plan_names_what_is_there_already(week):
    target = week + timedelta(weeks=1)
    sessions.copy_week(from_monday=week, to_monday=target, actor=BOSS)
    plan = sessions.plan_copy(from_monday=week, to_monday=target)
    assert plan.copies == ()
    assert [one.reason for one in plan.skipped] == ["exists", "exists"]
    past = sessions.plan_copy(from_monday=week, to_monday=week - timedelta(weeks=3))
    assert [one.reason for one in past.skipped] == ["past", "past"]


def test_a_plan_for_the_same_week_is_none(week):
    with pytest.raises(Invalid, match="请选择另一周"):
        sessions.plan_copy(from_monday=week, to_monday=week)
