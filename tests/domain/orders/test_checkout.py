"""Ordering a trial: amount, hold, one live trial per person, and what comes back (O1, O2, O5, 96.42–45)."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
import sqlalchemy as sa

from app import clock
from app.db import RequestKey, db, transaction
from app.domain.bookings import place
from app.domain.bookings.errors import (
    AlreadyBooked,
    ScheduleCancelled,
    ScheduleNotFound,
    ScheduleStarted,
    SeatFull,
    TimeConflict,
)
from app.domain.catalog import queries as catalog
from app.domain.catalog.models import CourseSchedule
from app.domain.orders import attempts, checkout, claims, ending, queries
from app.domain.orders.errors import (
    AmountMismatch,
    NotATrialClass,
    OrderExpired,
    OrderNotFound,
    OrderNotPayable,
    TrialAlreadyBooked,
)
from app.domain.orders.models import PaymentAttempt, TrialClaim
from app.domain.orders.rules import Event
from app.domain.people.models import Profile
from app.domain.policy.models import PolicyValue
from app.domain.seats.models import SeatReservation
from app.errors import NotFound, Replayed
from tests.domain.orders.steps import begin, open_cases, order, pay, row, seats, trial_session
from tests.factories import make_course, make_family, make_session, parent_actor

pytestmark = pytest.mark.usefixtures("app")


def test_an_order_holds_a_seat_for_its_time():
    family, session = make_family(), trial_session()
    with clock.travel(to=clock.now()):
        order_id = order(family, session)
        view = queries.order(order_id, family_id=family.id)
        assert (view.status, view.seat_status, view.next_action) == ("pending", "held", "pay")
        assert view.amount == Decimal("200.00")
        assert view.expires_at - view.created_at == timedelta(minutes=30)
        assert view.hold.expires_at - view.created_at == timedelta(minutes=15)
        assert 898 <= view.hold.seconds_left <= 900
    assert seats(session) == (0, 1)
    assert catalog.session_card(session).available == 5


def test_the_hold_lapses_by_the_clock_and_not_by_a_job():
    family, session = make_family(), trial_session(capacity=1)
    order_id = order(family, session)
    assert catalog.session_card(session).available == 0
    with clock.travel(to=clock.now() + timedelta(minutes=15, seconds=1)):
        card = catalog.session_card(session)
        assert (card.held, card.available) == (0, 1)
        view = queries.order(order_id)
        assert (view.status, view.seat_status, view.next_action) == ("pending", "released", "reserve")
        assert (view.hold.status, view.hold.seconds_left) == ("expired", 0)
        # Nothing has marked it, and another parent gets the seat.
        other = order(make_family(), session)
    assert queries.order(other).seat_status == "held" or row(other).status == "pending"
    assert seats(session) == (0, 1)
    states = db.session.scalars(sa.select(SeatReservation.status).order_by(SeatReservation.id)).all()
    assert states == ["expired", "temporary"]


def test_a_lapsed_hold_gives_way_to_a_booking_from_the_wallet():
    family = make_family(balance="500.00")
    session = make_session(make_course(), capacity=1)
    holder = make_family()
    with transaction():
        # A regular class never has holds by itself; here it has one, as the guard treats all alike.
        db.session.execute(sa.update(CourseSchedule).where(CourseSchedule.id == session).values(held=1))
    trial = order(holder, trial_session())
    with transaction():
        db.session.execute(
            sa.update(SeatReservation)
            .where(SeatReservation.order_id == row(trial).id)
            .values(course_schedule_id=session, expires_at=clock.now() - timedelta(seconds=1))
        )
    place.book(schedule_id=session, profile_id=family.profile_ids[0], actor=parent_actor(family))
    assert seats(session) == (1, 0)


@pytest.mark.parametrize("amount", ["199.99", "0.01", "200.01", "-200.00"])
def test_the_amount_is_ours_to_say(amount):
    family, session = make_family(), trial_session()
    with pytest.raises(AmountMismatch) as refusal:
        order(family, session, amount=Decimal(amount))
    assert refusal.value.data == {"amount": "200.00"}
    assert seats(session) == (0, 0)


def test_the_price_of_the_course_does_not_matter():
    family = make_family()
    session = make_session(make_course(type_code="trial", is_trial=True, price="88.00"))
    assert row(order(family, session, amount=Decimal("200.00"))).amount == Decimal("200.00")


def test_only_trials_that_can_be_had():
    family = make_family()
    actor, profile = parent_actor(family), family.profile_ids[0]

    def refused(error, session, student=profile):
        with pytest.raises(error):
            checkout.create(schedule_id=session, profile_id=student, actor=actor)

    refused(ScheduleNotFound, 10**9)
    refused(NotFound, trial_session(), student=make_family().profile_ids[0])
    refused(NotATrialClass, make_session())
    refused(ScheduleCancelled, trial_session(status="cancelled"))
    refused(ScheduleStarted, trial_session(starts_in=timedelta(minutes=-5)))
    refused(SeatFull, trial_session(capacity=1, booked=1))
    assert open_cases() == []
    assert db.session.query(TrialClaim).count() == 0


def test_a_student_who_is_elsewhere_then():
    family = make_family(balance="500.00")
    at = clock.now() + timedelta(days=2)
    place.book(schedule_id=make_session(starts_at=at), profile_id=family.profile_ids[0], actor=parent_actor(family))
    with pytest.raises(TimeConflict):
        order(family, trial_session(starts_at=at + timedelta(minutes=30)))


def test_one_live_trial_per_openid_and_student():
    family = make_family(students=("张小明", "张小红"))
    session, other = trial_session(), trial_session(starts_in=timedelta(days=3))
    first = order(family, session)
    with pytest.raises(TrialAlreadyBooked):
        order(family, other, student=1)  # the same parent
    again = checkout.create(schedule_id=session, profile_id=family.profile_ids[0], actor=parent_actor(family))
    assert (again.order_id, again.created) == (first, False)
    assert seats(session) == (0, 1)
    pay(family, first)
    with pytest.raises(TrialAlreadyBooked):
        order(family, session)
    with pytest.raises(TrialAlreadyBooked):
        order(family, other)


def test_a_student_who_changed_families_has_had_the_trial():
    family, into = make_family(), make_family()
    pay(family, order(family, trial_session()))
    with transaction():
        db.session.get(Profile, family.profile_ids[0]).family_id = into.id
    with pytest.raises(TrialAlreadyBooked):
        checkout.create(
            schedule_id=trial_session(starts_in=timedelta(days=5)), profile_id=family.profile_ids[0],
            actor=parent_actor(into),
        )  # fmt: skip


def test_a_phone_is_a_person_too():
    family, twin = make_family(phone="13800001111"), make_family()
    order(family, trial_session())
    names = claims.identities(family.user_id, twin.profile_ids[0])
    assert [name.split(":")[0] for name in names] == ["openid", "phone", "profile"]
    with transaction():
        assert [one.family_id for one in claims.holders([names[1]])] == [family.id]


@pytest.mark.parametrize("event", [Event.CANCEL, Event.EXPIRE, Event.FAIL])
def test_an_order_that_ended_frees_the_trial(event):
    family, session = make_family(), trial_session()
    order_id = order(family, session)
    later = clock.now() + timedelta(minutes=31)
    with clock.travel(to=later):
        assert ending.end(order_id=order_id, event=event, closing=False, actor=parent_actor(family))
        assert not ending.end(order_id=order_id, event=event, closing=False, actor=parent_actor(family))
        assert order(family, session) != order_id
    assert seats(session) == (0, 1)


def test_an_order_past_its_end_is_no_hindrance_though_nothing_marked_it():
    family, session = make_family(), trial_session(capacity=1)
    first = order(family, session)
    with clock.travel(to=clock.now() + timedelta(minutes=30)):
        assert queries.order(first).status == "expired"
        second = order(family, session)
        assert second != first
        assert ending.end(order_id=first, event=Event.EXPIRE, closing=False, actor=parent_actor(family))
        with transaction():
            (holder,) = claims.holders(claims.identities(family.user_id, family.profile_ids[0]))
        assert holder.order_id == second
    assert seats(session) == (0, 1)


def test_an_order_does_not_outlive_the_start_of_its_class():
    family = make_family()
    session = trial_session(starts_in=timedelta(minutes=10))
    found = row(order(family, session))
    starts = db.session.get(CourseSchedule, session).starts_at
    assert found.expires_at == starts
    assert queries.order(found.order_id).hold.expires_at == starts


def test_the_same_key_gives_the_same_order():
    family, session = make_family(), trial_session()
    key = RequestKey(f"user:{family.user_id}", "k1", "f", present=lambda done: {"order": done.order_id})
    first = order(family, session, request_key=key)
    with pytest.raises(Replayed) as replay:
        order(family, session, request_key=key)
    assert replay.value.answer == {"order": first}


# ── a new hold ──────────────────────────────────────────────────────────────────────────────────────


def test_a_live_hold_is_given_back():
    family = make_family()
    order_id = order(family, trial_session())
    hold = queries.order(order_id).hold
    checkout.reserve(order_id=order_id, actor=parent_actor(family))
    assert queries.order(order_id).hold.reservation_id == hold.reservation_id


def test_a_lapsed_hold_is_taken_anew_within_the_order():
    family, session = make_family(), trial_session(capacity=1)
    order_id = order(family, session)
    with clock.travel(to=clock.now() + timedelta(minutes=16)):
        checkout.reserve(order_id=order_id, actor=parent_actor(family))
        view = queries.order(order_id)
        assert view.seat_status == "held"
        # A hold never outlives its order (96.43).
        assert view.hold.expires_at == view.expires_at
    assert seats(session) == (0, 1)


def test_a_new_hold_needs_a_free_seat():
    family, session = make_family(), trial_session(capacity=1)
    order_id = order(family, session)
    with clock.travel(to=clock.now() + timedelta(minutes=16)):
        order(make_family(), session)
        with pytest.raises(SeatFull):
            checkout.reserve(order_id=order_id, actor=parent_actor(family))
    assert seats(session) == (0, 1)


def test_who_may_not_reserve():
    family, session = make_family(), trial_session()
    order_id, actor = order(family, session), parent_actor(family)
    with pytest.raises(OrderNotFound):
        checkout.reserve(order_id=order_id, actor=parent_actor(make_family()))
    with pytest.raises(OrderNotFound):
        checkout.reserve(order_id="0" * 32, actor=actor)
    with clock.travel(to=clock.now() + timedelta(minutes=30)), pytest.raises(OrderExpired):
        checkout.reserve(order_id=order_id, actor=actor)
    with transaction():
        db.session.get(CourseSchedule, session).status = "cancelled"
    with clock.travel(to=clock.now() + timedelta(minutes=16)), pytest.raises(ScheduleCancelled):
        checkout.reserve(order_id=order_id, actor=actor)
    ending.end(order_id=order_id, event=Event.CANCEL, closing=False, actor=actor)
    with pytest.raises(OrderNotPayable):
        checkout.reserve(order_id=order_id, actor=actor)


# ── attempts ────────────────────────────────────────────────────────────────────────────────────────


def test_the_first_attempt_has_the_orders_number_and_the_holds_end():
    family = make_family()
    order_id = order(family, trial_session())
    found = begin(family, order_id)
    assert found.out_trade_no == order_id
    assert timedelta(0) <= found.time_expire - queries.order(order_id).hold.expires_at < timedelta(seconds=1)
    attempts.note_start(attempt_id=found.id, result="ok", code_url="weixin://x")
    assert begin(family, order_id).code_url == "weixin://x"


def test_another_trade_type_or_hold_is_another_number_once_the_first_is_closed():
    family = make_family()
    order_id = order(family, trial_session())
    begin(family, order_id)
    stands = begin(family, order_id, "JSAPI")
    assert stands.out_trade_no == order_id
    attempts.note_closed(out_trade_no=order_id, actor=parent_actor(family))
    attempts.note_closed(out_trade_no=order_id, actor=parent_actor(family))  # once more is nothing
    second = begin(family, order_id, "JSAPI")
    assert second.out_trade_no != order_id
    assert second.openid.startswith("openid-test-")


def test_an_attempt_is_never_nearer_than_a_minute():
    family = make_family()
    order_id = order(family, trial_session())
    with clock.travel(to=clock.now() + timedelta(minutes=14, seconds=50)):
        assert begin(family, order_id).time_expire >= clock.now() + timedelta(seconds=60)


def test_nothing_is_started_without_a_live_hold():
    family = make_family()
    order_id = order(family, trial_session())
    with clock.travel(to=clock.now() + timedelta(minutes=15)), pytest.raises(OrderNotPayable):
        begin(family, order_id)
    with clock.travel(to=clock.now() + timedelta(minutes=30)), pytest.raises(OrderExpired):
        begin(family, order_id)
    ending.end(order_id=order_id, event=Event.CANCEL, closing=False, actor=parent_actor(family))
    with pytest.raises(OrderNotPayable):
        begin(family, order_id)
    assert db.session.query(PaymentAttempt).count() == 0


def test_questions_come_at_15_30_60_seconds_then_each_minute():
    family = make_family()
    began = clock.now()
    with clock.travel(to=began):
        order_id = order(family, trial_session())
        begin(family, order_id)
    asked = []
    for second in range(0, 200, 5):
        with clock.travel(to=began + timedelta(seconds=second)):
            if attempts.claim_due(limit=10):
                asked.append(second)
    assert asked == [15, 30, 60, 120, 180]


def test_a_question_comes_as_soon_as_nobody_can_pay_any_more():
    """Not a minute later: the seat waits for it."""
    family = make_family()
    order_id = order(family, trial_session())
    ends = begin(family, order_id).time_expire
    for seconds in (300, 200, 100):  # the first three questions have their own moments
        with clock.travel(to=ends - timedelta(seconds=seconds)):
            attempts.claim_due(limit=9)
    with clock.travel(to=ends - timedelta(seconds=20)):
        assert attempts.claim_due(limit=9) == [(order_id, order_id)]
    with clock.travel(to=ends - timedelta(seconds=1)):
        assert attempts.claim_due(limit=9) == []
    with clock.travel(to=ends):
        assert attempts.claim_due(limit=9) == [(order_id, order_id)]


def test_a_reader_asks_at_most_every_five_seconds():
    family = make_family()
    order_id = order(family, trial_session())
    now = clock.now()
    got = []
    for second in (0, 2, 4, 5, 9, 10):
        with clock.travel(to=now + timedelta(seconds=second)):
            got.append(attempts.claim_question(order_id=order_id))
    assert got == [True, False, False, True, False, True]


def test_a_failed_try_leaves_the_order_and_fails_it_at_its_end():
    family, session = make_family(), trial_session()
    order_id, actor = order(family, session), parent_actor(family)
    begin(family, order_id)
    assert ending.report_failed(order_id=order_id, closing=False, actor=actor, reason="余额不足")
    view = queries.order(order_id)
    assert (view.status, view.next_action, view.seat_status) == ("pending", "reserve", "released")
    assert seats(session) == (0, 0)
    with clock.travel(to=clock.now() + timedelta(minutes=31)):
        assert not ending.report_failed(order_id=order_id, closing=False, actor=actor, reason=None)
        ending.end(order_id=order_id, event=Event.EXPIRE, closing=False, actor=actor)
    assert row(order_id).status == "failed"
    assert row(order_id).failure_reason == "余额不足"


def test_expiry_does_not_come_early():
    family = make_family()
    order_id = order(family, trial_session())
    assert not ending.end(order_id=order_id, event=Event.EXPIRE, closing=False, actor=parent_actor(family))
    assert ending.due_orders() == []
    with clock.travel(to=clock.now() + timedelta(minutes=30)):
        assert ending.due_orders() == [(order_id, None)]


def test_while_wechat_has_not_closed_it_the_order_is_closing():
    family = make_family()
    order_id, actor = order(family, trial_session()), parent_actor(family)
    begin(family, order_id)
    ending.end(order_id=order_id, event=Event.CANCEL, closing=True, actor=actor)
    view = queries.order(order_id)
    assert (view.status, view.closing, view.next_action) == ("cancelled", True, "wait")
    assert attempts.claim_due(limit=5) == [(order_id, order_id)]
    attempts.note_closed(out_trade_no=order_id, actor=actor)
    assert not queries.order(order_id).closing


def test_lapsed_holds_are_marked_by_the_job_too():
    session = trial_session()
    for _ in range(3):
        order(make_family(), session)
    with clock.travel(to=clock.now() + timedelta(minutes=15)):
        assert ending.sessions_with_lapsed_holds() == [session]
        assert ending.retire(schedule_id=session) == 3
        assert ending.retire(schedule_id=session) == 0
        assert ending.sessions_with_lapsed_holds() == []
    assert seats(session) == (0, 0)


def test_how_long_is_a_matter_of_policy():
    with transaction():
        db.session.add(PolicyValue(name="hold_ttl", value="5m", updated_at=clock.now(), updated_by="店长"))
    family = make_family()
    order_id = order(family, trial_session())
    view = queries.order(order_id)
    assert view.hold.expires_at - view.created_at == timedelta(minutes=5)


def test_already_in_this_class():
    family = make_family()
    session = trial_session()
    pay(family, order(family, session))
    with transaction():
        db.session.execute(sa.delete(TrialClaim))
    with pytest.raises(AlreadyBooked):
        order(family, session)
