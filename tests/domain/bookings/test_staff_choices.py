"""What the desk is shown before it books: never another answer than booking itself gives."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest

from app import clock
from app.db import db, transaction
from app.domain.bookings import place, staff_choices
from app.domain.ledger import control
from app.domain.people.models import Profile
from app.errors import DomainError
from tests.factories import make_course, make_family, make_level, make_session, parent_actor
from tests.portal import actor_of, make_staff

pytestmark = pytest.mark.usefixtures("app")


@pytest.fixture
def front():
    return actor_of(make_staff("front_desk"))


def pupil_of(family):
    return staff_choices.pupils(family.id)[0]


def set_level(family, name: str, *, confirmed: bool = True) -> None:
    level_id = make_level(name, int(name[1:]))
    with transaction():
        student = db.session.get(Profile, family.profile_ids[0])
        student.level_id, student.level_confirmed = level_id, confirmed


def shown(family, schedule_id) -> str | None:
    plan = staff_choices.plan(pupil_of(family), schedule_id, family_id=family.id)
    refused = plan.refusal or plan.unpaid
    return refused.code if refused else None


def answered(family, schedule_id, actor) -> str | None:
    try:
        place.book(schedule_id=schedule_id, profile_id=family.profile_ids[0], actor=actor)
    except DomainError as refused:
        return refused.code
    return None


SESSIONS = {
    "free": {},
    "full": {"capacity": 1, "held": 1},
    "kept": {"capacity": 1, "kept": 1},
    "started": {"starts_in": timedelta(minutes=-1)},
    "cancelled": {"status": "cancelled"},
}
CODES = {"full": "SEAT_FULL", "kept": "SEAT_FULL", "started": "SCHEDULE_STARTED", "cancelled": "SCHEDULE_CANCELLED"}


@pytest.mark.parametrize("name", SESSIONS)
def test_the_session(front, name):
    family, session = make_family(balance="500.00"), make_session(**SESSIONS[name])
    assert shown(family, session) == answered(family, session, front) == CODES.get(name)


@pytest.mark.parametrize("level", ["L1", "L2", "L3"])
@pytest.mark.parametrize(("own", "confirmed"), [("L2", True), ("L2", False), (None, False)])
def test_the_level(front, level, own, confirmed):
    for name in ("L1", "L2", "L3"):
        make_level(name, int(name[1:]))
    family, session = make_family(balance="500.00"), make_session(make_course(level=level))
    if own:
        set_level(family, own, confirmed=confirmed)
    allowed = level <= (own if confirmed else "L1")
    assert shown(family, session) == answered(family, session, front) == (None if allowed else "LEVEL_NOT_ALLOWED")


def test_the_students_other_classes(front):
    family, session = make_family(balance="900.00"), make_session()
    starts_at = staff_choices.plan(pupil_of(family), session, family_id=family.id).session.starts_at
    assert answered(family, session, front) is None
    assert shown(family, session) == answered(family, session, front) == "ALREADY_BOOKED"
    overlapping = make_session(starts_at=starts_at + timedelta(minutes=59))
    assert shown(family, overlapping) == answered(family, overlapping, front) == "TIME_CONFLICT"
    next_one = make_session(starts_at=starts_at + timedelta(minutes=60))
    assert shown(family, next_one) == answered(family, next_one, front) is None


@pytest.mark.parametrize(
    ("balance", "price", "code"),
    [
        ("0.00", "200.00", None),
        ("-400.00", "600.00", None),
        ("-400.01", "600.00", "OVERDRAFT_LIMIT_EXCEEDED"),
        ("-599.99", "200.00", None),
        ("-600.00", "200.00", "ARREARS_BLOCKED"),
        ("-600.00", "0.00", "ARREARS_BLOCKED"),
        ("-599.99", "0.00", None),
    ],
)
def test_the_money(front, balance, price, code):
    family, session = make_family(balance=balance), make_session(make_course(price=price))
    plan = staff_choices.plan(pupil_of(family), session, family_id=family.id)
    assert plan.after == Decimal(balance) - Decimal(price)
    assert shown(family, session) == answered(family, session, front) == code


def test_wallets_that_are_frozen_closed_or_let_through(front):
    manager = actor_of(make_staff("manager"))
    frozen, closed, owing = make_family(balance="500.00"), make_family(), make_family(balance="-700.00")
    control.freeze(family_id=frozen.id, reason="核对", actor=manager)
    control.close(family_id=closed.id, reason="退会", actor=manager)
    control.grant_bypass(family_id=owing.id, until=clock.today(), reason="下周充值", actor=manager)
    session, free = make_session(), make_session(make_course(price="0.00"))
    assert shown(frozen, session) == answered(frozen, session, front) == "WALLET_FROZEN"
    assert shown(closed, free) == answered(closed, free, front) == "WALLET_CLOSED"
    assert shown(owing, session) == answered(owing, session, front) is None
    with clock.travel(by=timedelta(days=1)):
        assert shown(owing, make_session()) == "ARREARS_BLOCKED"


def test_a_trial_is_not_for_the_wallet(front):
    family, session = make_family(balance="500.00"), make_session(make_course(type_code="trial", is_trial=True))
    assert shown(family, session) == answered(family, session, front) == "TRIAL_NEEDS_PAYMENT"


def test_a_seat_may_be_added_once():
    manager, session = actor_of(make_staff("manager")), make_session(capacity=1, held=1)
    one, two = make_family(balance="500.00"), make_family(balance="500.00")
    assert staff_choices.plan(pupil_of(one), session, family_id=one.id).seat_may_be_added
    place.book(schedule_id=session, profile_id=one.profile_ids[0], actor=manager, override_reason="兄弟同班")
    plan = staff_choices.plan(pupil_of(two), session, family_id=two.id)
    assert (plan.full, plan.seat_may_be_added) == (True, False)
    assert not staff_choices.plan(pupil_of(two), make_session(), family_id=two.id).seat_may_be_added


def test_alternatives_leave_out_where_the_student_is():
    course = make_course(type_code="vip")
    family, full = make_family(balance="900.00"), make_session(course, capacity=1, held=1)
    good = make_session(course, starts_in=timedelta(days=3))
    busy = make_session(course, starts_in=timedelta(days=4))
    place.book(schedule_id=busy, profile_id=family.profile_ids[0], actor=parent_actor(family))
    plan = staff_choices.plan(pupil_of(family), full, family_id=family.id)
    assert [one.id for one in plan.alternatives] == [good]


def test_no_such_session_and_who_may_be_booked_for():
    family = make_family(students=("张小明", "张小红"))
    with transaction():
        db.session.get(Profile, family.profile_ids[1]).status = "left"
    (pupil,) = staff_choices.pupils(family.id)
    assert (pupil.id, pupil.level) == (family.profile_ids[0], None)
    assert staff_choices.plan(pupil, 999_999, family_id=family.id) is None
