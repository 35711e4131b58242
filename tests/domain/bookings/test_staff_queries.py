"""A family's bookings as staff see them: what is ahead, what is past, who did it, and where a refund would go."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest

from app import clock
from app.db import db, transaction
from app.domain.bookings import cancel, late, leave, place, staff_queries
from app.domain.bookings.models import Booking
from app.domain.catalog.models import CourseSchedule
from app.domain.changes import families
from app.domain.people.models import User
from tests.factories import make_course, make_family, make_session, parent_actor
from tests.portal import actor_of, make_staff

pytestmark = pytest.mark.usefixtures("app")


@pytest.fixture
def front():
    return actor_of(make_staff("front_desk"))


def booked(family, actor=None, **session) -> int:
    schedule_id = make_session(make_course(price="10.00"), **session)
    actor = actor or parent_actor(family)
    return place.book(schedule_id=schedule_id, profile_id=family.profile_ids[0], actor=actor).booking_id


def test_ahead_by_time_and_past_by_the_booking():
    family = make_family(balance="500.00")
    later, sooner = booked(family), booked(family, starts_in=timedelta(hours=10))
    given_up = booked(family, starts_in=timedelta(days=3))
    cancel.cancel(booking_id=given_up, actor=parent_actor(family))
    assert [line.id for line in staff_queries.ahead(family.id)] == [sooner, later]
    assert [line.id for line in staff_queries.past(family.id).items] == [given_up]
    with clock.travel(by=timedelta(hours=10, minutes=30)):
        assert sooner in [line.id for line in staff_queries.ahead(family.id)], "it runs"
    with clock.travel(by=timedelta(hours=11)):
        assert [line.id for line in staff_queries.ahead(family.id)] == [later]
        assert [line.id for line in staff_queries.past(family.id).items] == [given_up, sooner]
    assert staff_queries.ahead(make_family().id) == []
    assert staff_queries.past(make_family().id).items == []


def test_who_booked_and_who_ended_it(front):
    family = make_family(balance="500.00")
    by_parent, by_staff = booked(family), booked(family, front, starts_in=timedelta(days=3))
    line = staff_queries.detail(by_parent, front).line
    assert (line.who_booked, line.who_ended) == ("张女士", None)
    with transaction():
        user = db.session.get(User, family.user_id)
        user.nickname, user.real_name = None, None
    cancel.cancel(booking_id=by_parent, actor=parent_actor(family))
    line = staff_queries.detail(by_parent, front).line
    assert (line.who_booked, line.who_ended) == ("家长", "家长")
    assert staff_queries.detail(by_staff, front).line.who_booked == front.name
    with transaction():
        db.session.get(CourseSchedule, db.session.get(Booking, by_parent).course_schedule_id).status = "cancelled"
    assert staff_queries.detail(by_parent, front).line.who_ended == "课次取消"
    cancel.cancel(booking_id=by_staff, actor=front)
    assert staff_queries.detail(by_staff, front).line.who_ended == front.name
    assert staff_queries.detail(999_999, front) is None


def test_what_cancelling_would_do(front):
    family = make_family(balance="500.00")
    ending = staff_queries.detail(booked(family), front).ending
    assert (ending.in_time, ending.paid, ending.payer_id) == (True, Decimal("10.00"), family.id)
    assert (ending.balance, ending.needs_second) == (Decimal("490.00"), True)
    free = place.book(schedule_id=make_session(make_course(price="0.00"), starts_in=timedelta(hours=3)),
                      profile_id=family.profile_ids[0], actor=front).booking_id  # fmt: skip
    ending = staff_queries.detail(free, front).ending
    assert (ending.in_time, ending.paid, ending.balance, ending.needs_second) == (False, None, None, False)
    with transaction():
        db.session.get(Booking, free).free_cancel = True
    assert staff_queries.detail(free, front).ending.in_time, "the studio moved it"


def test_credits_end_and_go(front):
    family = make_family(balance="500.00")
    first, second = booked(family), booked(family, starts_in=timedelta(days=3))
    for booking_id in (first, second):
        leave.take_leave(booking_id=booking_id, actor=front)
    assert [credit.row.booking_id for credit in staff_queries.open_credits(family.id)] == [first, second]
    assert staff_queries.detail(first, front).credit.status == "available"
    with clock.travel(by=timedelta(days=61)):
        assert staff_queries.open_credits(family.id) == []


def test_requests_by_status_and_the_one_that_waits(front):
    family, finance = make_family(balance="500.00"), actor_of(make_staff("finance"))
    booking_id = booked(family, starts_in=timedelta(hours=3))
    first = late.ask(booking_id=booking_id, reason="生病", actor=finance)
    assert staff_queries.detail(booking_id, front).waiting.id == first
    late.withdraw(request_id=first, actor=finance)
    assert staff_queries.detail(booking_id, front).waiting is None
    second = late.ask(booking_id=booking_id, reason="还是生病", actor=finance)
    assert [one.id for one in staff_queries.late_refunds().items] == [second, first]
    assert [one.id for one in staff_queries.late_refunds(status="pending").items] == [second]
    assert [one.id for one in staff_queries.late_refunds(status="withdrawn").items] == [first]
    assert staff_queries.late_refunds(status="approved").items == []
    assert staff_queries.booking_of(second) == booking_id
    assert staff_queries.booking_of(999_999) is None


def test_the_refund_of_a_merged_family_goes_to_where_it_went(front):
    finance = actor_of(make_staff("finance"))
    one, two, three = (make_family(balance="100.00", parent=name) for name in ("张女士", "李女士", "王女士"))
    booking_id = booked(one)
    for source, target in ((one, two), (two, three)):
        families.merge_families(from_family_id=source.id, into_family_id=target.id, reason="一家人", actor=finance)
    ending = staff_queries.detail(booking_id, front).ending
    assert (ending.payer_id, ending.payer_name, ending.balance) == (three.id, "王女士家庭", Decimal("290.00"))
    assert cancel.cancel(booking_id=booking_id, actor=front).balance == Decimal("300.00")
