"""Making sessions and copying weeks (C2): who and which room is never in two places at once."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
import sqlalchemy as sa

from app import clock
from app.db import RequestKey, db, transaction
from app.domain.audit.models import AuditEntry
from app.domain.catalog import sessions
from app.domain.catalog.errors import (
    Archived,
    CoachBusy,
    CoachNotFound,
    CourseNotFound,
    VenueBusy,
    VenueNotFound,
)
from app.domain.catalog.models import Coach, Course, CourseSchedule, Venue
from app.errors import Forbidden, Invalid, Replayed
from tests.factories import make_course
from tests.portal import actor_of, make_staff

pytestmark = pytest.mark.usefixtures("app")

#: a Wednesday noon in Shanghai
NOW = datetime(2026, 7, 29, 4, 0, tzinfo=UTC)
MONDAY = date(2026, 8, 3)


@pytest.fixture(autouse=True)
def _now():
    with clock.travel(to=NOW):
        yield


@pytest.fixture
def manager():
    return actor_of(make_staff("manager"))


def make(model, name: str) -> int:
    with transaction():
        row = model(name=name, created_at=clock.now())
        db.session.add(row)
        db.session.flush()
        return row.id


@pytest.fixture
def place(manager):
    """One course, coach and venue, and a short way to put sessions there."""
    ids = {"course_id": make_course(), "coach_id": make(Coach, "江教练"), "venue_id": make(Venue, "一号馆")}

    def put(starts_at: datetime, **more) -> int:
        return sessions.create(**(ids | {"starts_at": starts_at, "capacity": 6, "actor": manager} | more))

    put.ids = ids
    return put


def at(day: date, hour: int, minute: int = 0) -> datetime:
    """A moment on the studio's clock."""
    return datetime(day.year, day.month, day.day, hour, minute, tzinfo=clock.STUDIO_ZONE)


def all_sessions() -> list[CourseSchedule]:
    db.session.rollback()
    return list(db.session.scalars(sa.select(CourseSchedule).order_by(CourseSchedule.starts_at)))


def set_on(model, row_id: int, **values) -> None:
    with transaction():
        for name, value in values.items():
            setattr(db.session.get(model, row_id), name, value)


# ── one session ─────────────────────────────────────────────────────────────────────────────────────


def test_a_session_has_the_courses_minutes_and_leaves_its_trace(place, manager):
    made = place(at(MONDAY, 19), course_id=make_course(minutes=75), waitlist_capacity=3)
    session = db.session.get(CourseSchedule, made)
    assert session.starts_at == at(MONDAY, 19)
    assert session.ends_at == at(MONDAY, 20, 15)
    assert (session.capacity, session.waitlist_capacity, session.status, session.booked) == (6, 3, "scheduled", 0)
    assert session.created_by == manager.id
    row = db.session.scalars(sa.select(AuditEntry).where(AuditEntry.action == "schedule.created")).one()
    assert (row.target_type, row.target_id, row.actor_id) == ("course_schedule", str(made), manager.id)


@pytest.mark.parametrize("role", ["front_desk", "finance", "auditor", "admin"])
def test_only_who_may_edit_the_schedule(place, role):
    actor = actor_of(make_staff(role))
    with pytest.raises(Forbidden):
        place(at(MONDAY, 19), actor=actor)
    with pytest.raises(Forbidden):
        sessions.copy_week(from_monday=MONDAY, to_monday=MONDAY + sessions.WEEK, actor=actor)
    assert not all_sessions()


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"capacity": 0}, "capacity"), ({"capacity": 1000}, "capacity"),
        ({"waitlist_capacity": -1}, "waitlist_capacity"), ({"waitlist_capacity": 100}, "waitlist_capacity"),
        ({"starts_at": NOW}, "starts_at"), ({"starts_at": NOW - timedelta(days=1)}, "starts_at"),
        ({"starts_at": NOW + timedelta(days=800)}, "starts_at"),
    ],
)  # fmt: skip
def test_what_no_session_may_be(place, wrong, field):
    with pytest.raises(Invalid) as refusal:
        place(**({"starts_at": at(MONDAY, 19)} | wrong))
    assert set(refusal.value.errors) == {field}
    assert not all_sessions()


def test_the_next_second_is_not_the_past(place):
    assert place(NOW + timedelta(seconds=1))


@pytest.mark.parametrize(
    ("missing", "refusal"),
    [("course_id", CourseNotFound), ("coach_id", CoachNotFound), ("venue_id", VenueNotFound)],
)
def test_what_is_not_there(place, missing, refusal):
    with pytest.raises(refusal):
        place(at(MONDAY, 19), **{missing: 999_999})


@pytest.mark.parametrize("model", [Course, Coach, Venue])
def test_archived_things_have_no_new_sessions(place, model):
    key = {Course: "course_id", Coach: "coach_id", Venue: "venue_id"}[model]
    set_on(model, place.ids[key], archived_at=clock.now())
    with pytest.raises(Archived, match="停用"):
        place(at(MONDAY, 19))


def test_one_form_sent_twice_makes_one(place):
    key = RequestKey("staff:1", "k", "print", present=lambda made: {"id": made})
    made = place(at(MONDAY, 19), request_key=key)
    with pytest.raises(Replayed) as replay:
        place(at(MONDAY, 19), request_key=key)
    assert replay.value.answer == {"id": made}
    assert len(all_sessions()) == 1


# ── nobody is in two places (C2) ────────────────────────────────────────────────────────────────────

OVERLAPS = [(-30, True), (30, True), (0, True), (59, True), (-59, True), (60, False), (-60, False)]


@pytest.mark.parametrize(("minutes", "clashes"), OVERLAPS)
@pytest.mark.parametrize(("busy", "code"), [("coach_id", "COACH_BUSY"), ("venue_id", "VENUE_BUSY")])
def test_overlaps(place, minutes, clashes, busy, code):
    first = place(at(MONDAY, 19))
    other = {"coach_id": ("venue_id", Venue), "venue_id": ("coach_id", Coach)}[busy]
    free = {other[0]: make(other[1], "另一个")}
    moment = at(MONDAY, 19) + timedelta(minutes=minutes)
    if not clashes:
        assert place(moment, **free)
        return
    with pytest.raises((CoachBusy, VenueBusy)) as refusal:
        place(moment, **free)
    assert refusal.value.code == code
    assert refusal.value.data["schedule_id"] == first
    name = "江教练" if busy == "coach_id" else "一号馆"
    assert f"「{name}」08月03日 19:00–20:00 已有「少儿体操" in refusal.value.message


def test_a_long_class_that_began_the_day_before_is_seen(place):
    place(at(MONDAY, 20), course_id=make_course(minutes=1440))
    with pytest.raises(CoachBusy):
        place(at(MONDAY + timedelta(days=1), 19, 59))
    assert place(at(MONDAY + timedelta(days=1), 20))


def test_a_cancelled_session_takes_nobodys_time(place):
    set_on(CourseSchedule, place(at(MONDAY, 19)), status="cancelled")
    assert place(at(MONDAY, 19))


def test_a_session_does_not_clash_with_itself(place):
    made = place(at(MONDAY, 19))
    with transaction():
        sessions.check_free(place.ids["coach_id"], place.ids["venue_id"], at(MONDAY, 19, 30), at(MONDAY, 20, 30), made)
    with pytest.raises(CoachBusy), transaction():
        sessions.check_free(place.ids["coach_id"], place.ids["venue_id"], at(MONDAY, 19, 30), at(MONDAY, 20, 30))


def test_the_check_is_part_of_somebodys_transaction(place):
    with pytest.raises(RuntimeError):
        sessions.check_free(1, 1, NOW, NOW + timedelta(hours=1))


# ── copying a week ──────────────────────────────────────────────────────────────────────────────────


def copy(manager, weeks: int = 1, from_monday: date = MONDAY, **more) -> sessions.Copied:
    return sessions.copy_week(from_monday=from_monday, to_monday=from_monday + weeks * sessions.WEEK, actor=manager,
                              **more)  # fmt: skip


def test_a_week_is_copied_at_the_same_weekdays_and_times(place, manager):
    moments = [at(MONDAY, 0), at(MONDAY + timedelta(days=2), 19, 30), at(MONDAY + timedelta(days=6), 22, 59)]
    for moment in moments:
        place(moment, waitlist_capacity=2)
    outside = [place(at(MONDAY - timedelta(days=1), 23)), place(at(MONDAY + timedelta(days=7), 12))]
    done = copy(manager, weeks=3)
    assert not done.skipped
    made = [db.session.get(CourseSchedule, row) for row in done.made]
    assert [row.starts_at for row in made] == [moment + timedelta(days=21) for moment in moments]
    assert {(row.capacity, row.waitlist_capacity, row.booked) for row in made} == {(6, 2, 0)}
    assert len(all_sessions()) == 8
    assert not set(outside) & set(done.made)
    row = db.session.scalars(sa.select(AuditEntry).where(AuditEntry.action == "schedule.copied")).one()
    assert row.after == {"from": "2026-08-03", "made": 3, "skipped": 0}


def test_run_again_it_makes_nothing(place, manager):
    place(at(MONDAY, 19))
    assert len(copy(manager).made) == 1
    again = copy(manager)
    assert not again.made
    assert [skip.reason for skip in again.skipped] == ["exists"]
    assert len(all_sessions()) == 2


def test_clashes_are_named_and_the_rest_is_made(place, manager):
    first, second = place(at(MONDAY, 10)), place(at(MONDAY, 14))
    third = place(at(MONDAY, 16), coach_id=make(Coach, "白教练"), venue_id=make(Venue, "三号馆"))
    # Next Monday the coach has another class at 10:30, and the room is taken at 14:30 by somebody else.
    place(at(MONDAY + timedelta(days=7), 10, 30), venue_id=make(Venue, "二号馆"))
    place(at(MONDAY + timedelta(days=7), 14, 30), coach_id=make(Coach, "何教练"))
    done = copy(manager)
    assert [(skip.session_id, skip.reason) for skip in done.skipped] == [(first, "coach_busy"), (second, "venue_busy")]
    assert "「江教练」08月10日 10:30–11:30 已有" in done.skipped[0].message
    assert "「一号馆」08月10日 14:30–15:30 已有" in done.skipped[1].message
    assert done.skipped[0].starts_at == at(MONDAY + timedelta(days=7), 10)
    assert len(done.made) == 1
    assert db.session.get(CourseSchedule, done.made[0]).coach_id == db.session.get(CourseSchedule, third).coach_id


def test_what_is_cancelled_is_not_copied_and_not_made_again(place, manager):
    gone, kept = place(at(MONDAY, 10)), place(at(MONDAY, 14))
    set_on(CourseSchedule, gone, status="cancelled")
    (made,) = copy(manager).made
    set_on(CourseSchedule, made, status="cancelled")
    again = copy(manager)
    assert not again.made
    assert [(skip.session_id, skip.reason) for skip in again.skipped] == [(kept, "cancelled")]


def test_a_cancelled_and_a_new_one_at_the_same_time_count_as_there(place, manager):
    place(at(MONDAY, 10))
    (made,) = copy(manager).made
    set_on(CourseSchedule, made, status="cancelled")
    second = place(at(MONDAY + timedelta(days=7), 10))
    assert [skip.reason for skip in copy(manager).skipped] == ["exists"]
    set_on(CourseSchedule, made, status="scheduled")
    set_on(CourseSchedule, second, status="cancelled")
    assert [skip.reason for skip in copy(manager).skipped] == ["exists"]


def test_archived_coaches_and_the_past_are_skipped(place, manager):
    place(at(MONDAY, 10), coach_id=(leaver := make(Coach, "离职教练")))
    place(at(MONDAY, 14))
    set_on(Coach, leaver, archived_at=clock.now())
    back = copy(manager, weeks=-1)
    assert [skip.reason for skip in back.skipped] == ["archived", "past"]
    assert not back.made


def test_the_copy_has_the_courses_minutes_of_today_and_no_added_seat(place, manager):
    early, late = place(at(MONDAY, 10)), place(at(MONDAY, 11))
    set_on(CourseSchedule, early, capacity=8, override_seats=2)
    set_on(Course, place.ids["course_id"], duration_minutes=90)
    done = copy(manager)
    copied = db.session.get(CourseSchedule, done.made[0])
    assert (copied.ends_at - copied.starts_at, copied.capacity, copied.override_seats) == (timedelta(minutes=90), 6, 0)
    assert [(skip.session_id, skip.reason) for skip in done.skipped] == [(late, "coach_busy")]


def test_a_class_past_midnight_meets_the_week_after(place, manager):
    """The copy of Sunday's last class must not run into Monday's first."""
    place(at(MONDAY + timedelta(days=6), 23, 30))
    place(at(MONDAY + timedelta(days=14), 0, 15))
    assert [skip.reason for skip in copy(manager).skipped] == ["coach_busy"]


@pytest.mark.parametrize(
    ("days", "field"),
    [((0, 0), "to_monday"), ((1, 7), "from_monday"), ((0, 8), "to_monday"), ((0, 7 * 53 * 300), "to_monday")],
)
def test_weeks_that_are_none(manager, days, field):
    with pytest.raises(Invalid) as refusal:
        sessions.copy_week(
            from_monday=MONDAY + timedelta(days=days[0]), to_monday=MONDAY + timedelta(days=days[1]), actor=manager
        )
    assert set(refusal.value.errors) == {field}


def test_an_empty_week_is_copied_to_nothing(manager):
    assert copy(manager) == sessions.Copied((), ())


def test_copying_asks_a_bounded_number_of_questions(place, manager, statements):
    for hour in range(8, 20):
        place(at(MONDAY, hour))
    statements.clear()
    copy(manager)
    assert sum(1 for text in statements if text.lstrip().upper().startswith("SELECT")) < 15
