"""Pages ask the database as often for many rows as for few."""

from __future__ import annotations

from datetime import timedelta

import pytest

from app import clock
from app.domain.bookings import attendance, late, leave, place
from app.domain.bookings.rules import Event
from tests.domain.makeups.steps import Away
from tests.factories import MadeFamily, make_course, make_family, make_session, parent_actor
from tests.portal import Browser, actor_of, make_staff

#: statements of a page with its frame, whose counts of what waits are a statement each
MOST = 40


@pytest.fixture
def manager(app):
    return Browser(app).sign_in("manager")


@pytest.fixture
def count(manager, statements):
    """How many statements a page runs. The first look fills what the process keeps, and is not counted."""

    def of(address: str) -> int:
        manager.get(address)
        statements.clear()
        assert manager.get(address).status_code == 200
        return len(statements)

    return of


def seat(session: int, family: MadeFamily) -> int:
    actor = parent_actor(family)
    return place.book(schedule_id=session, profile_id=family.profile_ids[0], actor=actor).booking_id


def test_the_roll(count):
    def students(number: int) -> None:
        clerk = actor_of(make_staff("front_desk"))
        for n in range(number):
            booking_id = seat(session, make_family(balance="1000.00"))
            if n % 2:
                leave.take_leave(booking_id=booking_id, actor=clerk)

    session = make_session(capacity=40)
    students(3)
    few = count(f"/schedule/{session}")
    students(9)
    assert count(f"/schedule/{session}") == few < MOST
    assert count(f"/schedule/{session}/print") < MOST


def test_the_roll_when_marked(count):
    session = make_session(starts_in=timedelta(hours=1), capacity=40)
    clerk = actor_of(make_staff("front_desk"))

    def students(number: int) -> None:
        for _ in range(number):
            booking_id = seat(session, make_family(balance="1000.00"))
            attendance.mark(booking_id=booking_id, event=Event.ATTEND, actor=clerk)

    students(2)
    few = count(f"/schedule/{session}")
    students(8)
    assert count(f"/schedule/{session}") == few


def test_a_familys_bookings_and_what_it_can_book(count):
    family = make_family(balance="90000.00")

    def classes(number: int, first: int) -> None:
        for n in range(number):
            course = make_course()
            make_session(course, starts_in=timedelta(days=1, hours=first + n))
            booking_id = seat(make_session(course, starts_in=timedelta(days=5, hours=2 * (first + n))), family)
            if n % 2:
                leave.take_leave(booking_id=booking_id, actor=parent_actor(family))

    pages = (f"/families/{family.id}/bookings", f"/families/{family.id}/bookings/new", f"/families/{family.id}")
    classes(3, first=0)
    few = [count(page) for page in pages]
    classes(12, first=3)
    assert [count(page) for page in pages] == few
    assert max(few) < MOST


def test_today_catalog_and_copying(count):
    def classes(number: int) -> None:
        for _ in range(number):
            make_session(make_course(), starts_at=clock.day_bounds(clock.today())[1] - timedelta(hours=1), booked=1)

    pages = ("/", "/catalog", f"/schedule/copy?from={clock.today()}")
    classes(2)
    few = [count(page) for page in pages]
    classes(10)
    assert [count(page) for page in pages] == few
    assert max(few[1:]) < MOST  # the start page asks once a day of its charts


def test_late_refunds_and_arrears(count):
    asks = actor_of(make_staff("finance"))

    def families(number: int) -> None:
        for _ in range(number):
            family = make_family(balance="1000.00")
            booking_id = seat(make_session(starts_in=timedelta(hours=2)), family)
            late.ask(booking_id=booking_id, reason="孩子发烧", actor=asks)
            make_family(balance="-300.00")

    families(2)
    few = [count(page) for page in ("/late-refunds", "/arrears")]
    families(8)
    assert [count(page) for page in ("/late-refunds", "/arrears")] == few
    assert max(few) < MOST


def test_open_credits_and_the_sessions_that_fit_one(count):
    one = Away()
    schedule_id = one.session()
    pages = ("/makeups", "/makeups/sessions", f"/makeups/{one.credits[0]}", f"/makeups/sessions/{schedule_id}")
    few = [count(address) for address in pages]
    for _ in range(6):
        Away().session()
    assert [count(address) for address in pages] == few
    assert max(few) < MOST
    assert count("/makeups/demand") < MOST
