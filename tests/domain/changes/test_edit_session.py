"""Changing a session that families have booked (C6)."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
import sqlalchemy as sa

from app import clock
from app.db import db, execute, transaction
from app.domain.bookings import cancel, errors, place
from app.domain.bookings.models import Booking
from app.domain.catalog.errors import Archived, CoachBusy, CoachNotFound, VenueBusy, VenueNotFound
from app.domain.catalog.models import Coach, CourseSchedule
from app.domain.changes import edit_session as changes
from app.domain.changes.errors import CapacityTooLow, SessionMoved, StudentsBusy
from app.domain.offers import join
from app.domain.orders import checkout
from app.domain.outbox.models import Notification
from app.errors import Forbidden, Invalid, InvalidState
from tests.factories import make_course, make_family, make_session, parent_actor
from tests.portal import actor_of, make_staff

pytestmark = pytest.mark.usefixtures("app")


def session_of(schedule_id) -> CourseSchedule:
    return db.session.get(CourseSchedule, schedule_id, populate_existing=True)


def edit(schedule_id, actor=None, **changed):
    now = session_of(schedule_id)
    asked = {name: getattr(now, name) for name in
             ("version", "coach_id", "venue_id", "starts_at", "capacity", "waitlist_capacity")}  # fmt: skip
    db.session.rollback()
    actor = actor or actor_of(make_staff("manager"))
    return changes.edit_session(schedule_id=schedule_id, actor=actor, **asked | changed)


def book(schedule_id, family):
    return place.book(schedule_id=schedule_id, profile_id=family.profile_ids[0], actor=parent_actor(family)).booking_id


def told(family) -> list[str]:
    mine = (Notification.family_id == family.id, Notification.type == "class_changed")
    return list(db.session.scalars(sa.select(Notification.text).where(*mine)))


def test_moving_tells_all_and_lets_them_cancel_until_the_start():
    family, schedule_id = make_family(balance="500.00"), make_session()
    booking_id = book(schedule_id, family)
    starts_at = clock.now() + timedelta(hours=2)
    done = edit(schedule_id, starts_at=starts_at)
    assert (done.moved, done.told) == (True, 1)
    session = session_of(schedule_id)
    assert (session.starts_at, session.ends_at - starts_at, session.version) == (starts_at, timedelta(hours=1), 2)
    assert "原时间" in told(family)[0]
    assert db.session.get(Booking, booking_id, populate_existing=True).free_cancel is True
    assert cancel.cancel(booking_id=booking_id, actor=parent_actor(family)).refund == 200


def test_another_room_is_told_and_another_capacity_is_not():
    family, schedule_id = make_family(balance="500.00"), make_session()
    other = make_session(starts_in=timedelta(days=9))
    booking_id = book(schedule_id, family)
    assert edit(schedule_id, capacity=9, waitlist_capacity=3).told == 0
    elsewhere = session_of(other)
    done = edit(schedule_id, venue_id=elsewhere.venue_id, coach_id=elsewhere.coach_id)
    assert (done.moved, done.told) == (False, 1)
    assert "场馆改为" in told(family)[0]
    assert "教练改为" in told(family)[0]
    session = session_of(schedule_id)
    assert (session.capacity, session.waitlist_capacity, session.version) == (9, 3, 3)
    assert db.session.get(Booking, booking_id).free_cancel is False


def test_who_waits_and_who_has_not_paid_yet_hear_of_it_too():
    seated, waiting = make_family(balance="500.00"), make_family(balance="500.00")
    schedule_id = make_session(capacity=1)
    book(schedule_id, seated)
    join.join(schedule_id=schedule_id, profile_id=waiting.profile_ids[0], actor=parent_actor(waiting))
    trial = make_session(make_course("体验", type_code="trial", is_trial=True), starts_in=timedelta(days=5))
    ordering = make_family()
    checkout.create(schedule_id=trial, profile_id=ordering.profile_ids[0], actor=parent_actor(ordering))
    for one in (schedule_id, trial):
        edit(one, starts_at=session_of(one).starts_at + timedelta(hours=3))
    (words,), (unpaid,) = told(waiting), told(ordering)
    assert ("候补的" in words, "原时间" in words, "退出候补" in words) == (True, True, True)
    assert ("待支付的" in unpaid, "原时间" in unpaid, "取消订单" in unpaid) == (True, True, True)
    edit(schedule_id, capacity=2)
    assert len(told(waiting)) == 1  # nobody hears of a seat more


def test_capacity_does_not_go_below_what_is_taken():
    schedule_id = make_session(capacity=6, booked=2, held=1, kept=1)
    with pytest.raises(CapacityTooLow) as refusal:
        edit(schedule_id, capacity=3)
    assert refusal.value.data == {"taken": 4, "capacity": 3}
    edit(schedule_id, capacity=4)
    for wrong in (0, 1000):
        with pytest.raises(Invalid):
            edit(schedule_id, capacity=wrong)


def test_coach_and_venue_are_in_one_place_at_a_time():
    at = clock.now() + timedelta(days=2)
    first, second = make_session(starts_at=at), make_session(starts_at=at + timedelta(minutes=30))
    busy = session_of(first)
    with pytest.raises(CoachBusy):
        edit(second, coach_id=busy.coach_id)
    with pytest.raises(VenueBusy):
        edit(second, venue_id=busy.venue_id)
    edit(second, coach_id=busy.coach_id, starts_at=at + timedelta(hours=1))


def test_students_with_another_class_are_named():
    family, at = make_family(balance="900.00", students=("王小红",)), clock.now() + timedelta(days=2)
    first, second = make_session(starts_at=at), make_session(starts_at=at + timedelta(hours=3))
    book(first, family)
    book(second, family)
    with pytest.raises(StudentsBusy, match="王小红在新的时间已有其他课程"):
        edit(second, starts_at=at + timedelta(minutes=30))
    assert session_of(second).version == 1
    edit(second, starts_at=at + timedelta(hours=2))  # its own old time is no clash


def test_many_clashes_are_summed_up():
    at = clock.now() + timedelta(days=2)
    first, second = make_session(starts_at=at, capacity=9), make_session(starts_at=at + timedelta(hours=3), capacity=9)
    for number in range(6):
        family = make_family(balance="900.00", students=(f"学员{number}",))
        book(first, family)
        book(second, family)
    with pytest.raises(StudentsBusy, match="等 6 人"):
        edit(second, starts_at=at)


def test_stale_past_and_foreign():
    schedule_id = make_session()
    edit(schedule_id, capacity=7)
    with pytest.raises(SessionMoved):
        edit(schedule_id, version=1)
    with pytest.raises(Invalid):
        edit(schedule_id, starts_at=clock.now() - timedelta(hours=1))
    for columns in ({"status": "cancelled"}, {"starts_in": timedelta(minutes=-5)}):
        with pytest.raises(InvalidState):
            edit(make_session(**columns), capacity=9)
    with pytest.raises(CoachNotFound):
        edit(schedule_id, coach_id=999_999)
    with pytest.raises(VenueNotFound):
        edit(schedule_id, venue_id=999_999)
    session = session_of(schedule_id)
    db.session.rollback()
    with pytest.raises(errors.ScheduleNotFound):
        changes.edit_session(
            schedule_id=999_999, version=1, coach_id=session.coach_id, venue_id=session.venue_id,
            starts_at=session.starts_at, capacity=6, waitlist_capacity=None, actor=actor_of(make_staff("manager")),
        )  # fmt: skip
    with pytest.raises(Forbidden):
        edit(schedule_id, actor=actor_of(make_staff("front_desk")), capacity=9)


def test_an_archived_coach_stays_but_takes_no_new_class():
    schedule_id, other = make_session(), make_session(starts_in=timedelta(days=9))
    with transaction():
        for one in (schedule_id, other):
            db.session.get(Coach, session_of(one).coach_id).archived_at = clock.now()
    edit(schedule_id, starts_at=clock.now() + timedelta(days=3))
    with pytest.raises(Archived):
        edit(schedule_id, coach_id=session_of(other).coach_id)


def test_who_books_between_the_look_and_the_lock_makes_it_begin_anew(monkeypatch):
    family, schedule_id = make_family(balance="500.00"), make_session()
    lock_rows = changes.lock_rows

    def books_meanwhile(model, ids):
        execute(
            Booking.__table__.insert().values(
                course_schedule_id=schedule_id, profile_id=family.profile_ids[0], family_id=family.id, kind="regular",
                source="wallet", status="booked", price=Decimal("200.00"), free_cancel=False, created_at=clock.now(),
            )
        )  # fmt: skip
        return lock_rows(model, ids)

    monkeypatch.setattr(changes, "lock_rows", books_meanwhile)
    with pytest.raises(SessionMoved, match="刚刚有人预约"):
        edit(schedule_id, capacity=9)
    assert session_of(schedule_id).capacity == 6
