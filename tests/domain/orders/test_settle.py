"""Settling a payment: once, whoever brings it; late, doubled, mismatched (O9, O10, O22, 96.38–47)."""

from __future__ import annotations

import dataclasses
from datetime import timedelta
from decimal import Decimal

import pytest
import sqlalchemy as sa

from app import clock
from app.db import db, transaction
from app.domain.audit.models import AuditEntry
from app.domain.bookings import cancel, place
from app.domain.bookings.models import Booking
from app.domain.cases.models import MoneyCase
from app.domain.catalog.models import CourseSchedule
from app.domain.changes import cancel_session, families
from app.domain.orders import attempts, ending, queries, settle
from app.domain.orders.models import (
    OrderStatus,
    PaymentAttempt,
    PaymentNotification,
    PaymentTransaction,
    TrialClaim,
)
from app.domain.orders.notifications import Received, forget_nonces, keep, seen
from app.domain.orders.payment import Settled
from app.domain.orders.rules import TRADE_STATES, TRANSITIONS, Event, TradeMeaning, meaning, next_status
from app.domain.outbox.models import Notification
from app.errors import InvalidState
from tests.domain.orders.steps import (
    ACCOUNT,
    WECHAT,
    begin,
    open_cases,
    order,
    pay,
    payment,
    row,
    seats,
    trial_session,
)
from tests.factories import make_course, make_family, make_session, parent_actor
from tests.portal import actor_of, make_staff

pytestmark = pytest.mark.usefixtures("app")


@pytest.fixture
def manager_actor(app):
    return actor_of(make_staff("manager"))


def told(family) -> list[str]:
    return sorted(db.session.scalars(sa.select(Notification.type).where(Notification.family_id == family.id)))


def booking_of(order_id: str) -> Booking | None:
    return db.session.query(Booking).filter_by(order_id=order_id).one_or_none()


def received(number: str = "EV-1", body: bytes = b"{}") -> Received:
    return Received(number, "TRANSACTION.SUCCESS", {"amount": {"total": 20000}}, "1700000000", f"nonce-{number}", body)


def test_a_payment_makes_the_booking():
    family, session = make_family(), trial_session()
    order_id = order(family, session)
    done = pay(family, order_id)
    assert done.outcome == "settled"
    view = queries.order(order_id, family_id=family.id)
    assert (view.status, view.seat_status, view.next_action) == ("paid", "confirmed", "none")
    assert view.hold.status == "confirmed"
    booking = booking_of(order_id)
    assert (booking.id, booking.kind, booking.source, booking.price) == (
        done.booking_id, "trial", "wechat_pay", Decimal("200.00"),
    )  # fmt: skip
    assert booking.user_id == family.user_id
    assert seats(session) == (1, 0)
    paid = db.session.query(PaymentTransaction).one()
    assert (paid.total_fee, paid.source, paid.duplicate, paid.late) == (Decimal("200.00"), "query", False, False)
    assert told(family) == ["booking_made", "payment_result"]
    actions = db.session.scalars(sa.select(AuditEntry.action).where(AuditEntry.order_id == order_id)).all()
    assert actions == ["order.created", "payment.started", "order.paid"]


def test_the_same_payment_again_settles_nothing():
    family, session = make_family(), trial_session()
    order_id = order(family, session)
    first = pay(family, order_id, number="42A")
    again = settle.settle(payment=payment(order_id, number="42A"), account=ACCOUNT, source="callback", actor=WECHAT)
    assert (again.outcome, again.booking_id) == ("repeated", first.booking_id)
    assert seats(session) == (1, 0)
    assert db.session.query(PaymentTransaction).count() == 1
    assert told(family) == ["booking_made", "payment_result"]


def test_a_second_payment_of_a_paid_order_books_nothing_and_is_on_the_board():
    family, session = make_family(), trial_session()
    order_id = order(family, session)
    pay(family, order_id, number="42A")
    settle.settle(payment=payment(order_id, number="42B"), account=ACCOUNT, source="callback", actor=WECHAT)
    assert seats(session) == (1, 0)
    assert open_cases() == ["duplicate_payment"]
    assert [p.duplicate for p in db.session.query(PaymentTransaction).order_by(PaymentTransaction.id)] == [False, True]


@pytest.mark.parametrize("changed", [
    {"total": Decimal("199.99")}, {"total": Decimal("0.00")}, {"total": Decimal("999999999.00")},
    {"currency": "USD"}, {"appid": "wx-other"}, {"mchid": "1"},
])  # fmt: skip
def test_what_does_not_match_changes_nothing_but_the_board(changed):
    family, session = make_family(), trial_session()
    order_id = order(family, session)
    done = pay(family, order_id, number="42A", **changed)
    assert done.outcome == "mismatch"
    assert (row(order_id).status, seats(session)) == ("pending", (0, 1))
    assert open_cases() == ["mismatch"]
    assert db.session.query(PaymentTransaction).count() == 0
    # Told once, however often it comes; and the true one still settles (96.47).
    settle.settle(payment=payment(order_id, number="42A", **changed), account=ACCOUNT, source="query", actor=WECHAT)
    assert open_cases() == ["mismatch"]
    true = settle.settle(payment=payment(order_id, number="42C"), account=ACCOUNT, source="callback", actor=WECHAT)
    assert true.booking_id is not None


def test_the_payer_counts_for_jsapi_and_not_for_a_code():
    family, other = make_family(), make_family()
    order_id, by_code = order(family, trial_session()), order(other, trial_session())
    begun = begin(family, order_id, "JSAPI")
    stranger = payment(order_id, number="42A", trade_type="JSAPI", openid="a-stranger")
    assert settle.settle(payment=stranger, account=ACCOUNT, source="query", actor=WECHAT).outcome == "mismatch"
    right = payment(order_id, number="42B", trade_type="JSAPI", openid=begun.openid)
    assert settle.settle(payment=right, account=ACCOUNT, source="query", actor=WECHAT).outcome == "settled"
    assert pay(other, by_code, openid="grandmother").outcome == "settled"


def test_money_for_an_order_that_nobody_knows():
    done = settle.settle(payment=payment("f" * 32), account=ACCOUNT, source="callback", actor=WECHAT)
    assert done == Settled("unknown")
    settle.settle(payment=payment("f" * 32), account=ACCOUNT, source="callback", actor=WECHAT)
    assert open_cases() == ["unknown_payment"]


# ── late ────────────────────────────────────────────────────────────────────────────────────────────


def late(family, session, *, end: Event | None, **changed):
    """Paid sixteen minutes after it was begun, its hold over, or its order ended."""
    order_id = order(family, session)
    begin(family, order_id)
    moment = clock.now() + timedelta(minutes=16 if end is None else 31)
    with clock.travel(to=moment):
        if end is not None:
            ending.end(order_id=order_id, event=end, closing=True, actor=parent_actor(family))
        done = settle.settle(
            payment=payment(order_id, number=f"42{order_id[:20]}", **changed), account=ACCOUNT, source="query",
            actor=WECHAT,
        )  # fmt: skip
        return order_id, done


@pytest.mark.parametrize("end", [None, Event.CANCEL, Event.EXPIRE, Event.FAIL])
def test_a_late_payment_takes_a_free_seat(end):
    family, session = make_family(), trial_session(capacity=1)
    order_id, done = late(family, session, end=end)
    assert done.booking_id is not None
    assert row(order_id).status == OrderStatus.PAID
    assert seats(session) == (1, 0)
    assert db.session.query(PaymentTransaction).one().late
    assert open_cases() == []
    assert db.session.query(TrialClaim).filter_by(order_id=row(order_id).id).count() == 2


@pytest.mark.parametrize("end", [None, Event.CANCEL])
def test_a_late_payment_without_a_seat_is_on_the_board(end):
    family, session = make_family(), trial_session(capacity=1)
    order_id = order(family, session)
    begin(family, order_id)
    if end is not None:
        ending.end(order_id=order_id, event=end, closing=True, actor=parent_actor(family))
    with clock.travel(to=clock.now() + timedelta(minutes=16)):
        order(make_family(), session)
        done = settle.settle(payment=payment(order_id), account=ACCOUNT, source="callback", actor=WECHAT)
    assert done == Settled("settled", order_id, None)
    view = queries.order(order_id)
    assert (view.status, view.seat_status, view.next_action) == ("paid", "unseated", "wait")
    assert open_cases() == ["unseated"]
    assert "这节课已满" in db.session.query(MoneyCase).one().title
    assert told(family) == ["payment_result"]
    assert seats(session)[0] == 0


def test_a_class_that_was_cancelled_or_has_begun_seats_nobody():
    family, session = make_family(), trial_session()
    order_id = order(family, session)
    with transaction():
        db.session.get(CourseSchedule, session).status = "cancelled"
    assert pay(family, order_id).booking_id is None
    assert seats(session) == (0, 0)
    begun = trial_session(starts_in=timedelta(minutes=10))
    other = make_family()
    second = order(other, begun)
    begin(other, second)
    with clock.travel(to=clock.now() + timedelta(minutes=11)):
        done = settle.settle(payment=payment(second, number="42Z"), account=ACCOUNT, source="query", actor=WECHAT)
    assert done.booking_id is None
    assert open_cases() == ["unseated", "unseated"]


def test_who_has_another_trial_by_then_gets_no_second_seat():
    family, session = make_family(), trial_session()
    first = order(family, session)
    begin(family, first)
    ending.end(order_id=first, event=Event.CANCEL, closing=True, actor=parent_actor(family))
    second = order(family, session)
    done = settle.settle(payment=payment(first, number="42F"), account=ACCOUNT, source="callback", actor=WECHAT)
    assert done.booking_id is None
    assert open_cases() == ["unseated"]
    assert pay(family, second).booking_id is not None
    assert seats(session) == (1, 0)


def test_a_student_who_is_in_the_class_already_is_not_put_in_twice():
    family, session = make_family(), trial_session()
    order_id = order(family, session)
    pay(family, order_id)
    with transaction():
        db.session.execute(sa.delete(TrialClaim))
        # The first order's seat stays; somebody lets a second order through.
        db.session.execute(sa.update(Booking).values(course_schedule_id=session))
    with transaction():
        db.session.execute(sa.update(Booking).values(status="cancelled"))
    second = order(family, session)
    with transaction():
        db.session.execute(sa.update(Booking).values(status="booked"))
    assert pay(family, second).booking_id is None
    assert seats(session) == (1, 0)


# ── other numbers of the same order ─────────────────────────────────────────────────────────────────


def test_the_other_attempt_is_closed_once_one_is_paid():
    family = make_family()
    order_id = order(family, trial_session())
    begin(family, order_id)
    attempts.note_closed(out_trade_no=order_id, actor=WECHAT)
    second = begin(family, order_id, "JSAPI")
    # WeChat says that the first was paid after all: it is settled, and nobody shall pay the second.
    done = settle.settle(payment=payment(order_id), account=ACCOUNT, source="query", actor=WECHAT)
    assert done.booking_id is not None
    states = {a.out_trade_no: a.status for a in db.session.query(PaymentAttempt)}
    assert states == {order_id: "paid", second.out_trade_no: "closing"}
    assert attempts.claim_due(limit=5) == [(order_id, second.out_trade_no)]


def test_cancelling_a_paid_order_changes_nothing():
    family = make_family()
    order_id = order(family, trial_session())
    pay(family, order_id)
    assert not ending.end(order_id=order_id, event=Event.CANCEL, closing=False, actor=parent_actor(family))
    assert queries.order(order_id).status == "paid"


def test_a_cancelled_trial_leaves_the_order_paid_and_the_seat_free():
    family, session = make_family(), trial_session()
    order_id = order(family, session)
    done = pay(family, order_id)
    cancelled = cancel.cancel(booking_id=done.booking_id, actor=parent_actor(family))
    assert cancelled.refund == Decimal("0.00")
    view = queries.order(order_id)
    assert (view.status, view.seat_status) == ("paid", "released")
    assert seats(session) == (0, 0)


# ── callbacks kept ──────────────────────────────────────────────────────────────────────────────────


def test_a_callback_is_stored_with_what_it_brought():
    family = make_family()
    order_id = order(family, trial_session())
    begin(family, order_id)
    for outcome in ("settled", "repeated"):
        done = settle.settle(
            payment=payment(order_id), account=ACCOUNT, source="callback", actor=WECHAT, received=received()
        )
        assert done.outcome == outcome
    stored = db.session.query(PaymentNotification).one()
    assert (stored.notification_id, stored.outcome, stored.number) == ("EV-1", "settled", order_id)
    assert stored.resource == {"amount": {"total": 20000}}
    other = settle.settle(
        payment=payment(order_id), account=ACCOUNT, source="callback", actor=WECHAT, received=received("EV-2")
    )
    assert other.outcome == "repeated"
    assert db.session.query(PaymentNotification).count() == 2


def test_what_concerns_nothing_is_kept_once():
    assert keep(received=received(), outcome="ignored")
    assert not keep(received=received(), outcome="ignored")


def test_two_notifications_under_one_nonce_are_both_kept():
    """Their signatures were good; the second one's nonce is taken, and the next body under it is refused."""
    one = received()
    other = dataclasses.replace(one, id="EV-other", body=b"{other}")
    assert keep(received=one, outcome="ignored")
    assert keep(received=other, outcome="ignored")
    assert seen(other.timestamp, other.nonce, other.body)


def test_nonces_are_forgotten_once_their_timestamps_pass_no_more():
    one = received()
    keep(received=one, outcome="ignored")
    assert forget_nonces(older_than=timedelta(days=1)) == 0
    with clock.travel(by=timedelta(days=1, seconds=1)):
        assert forget_nonces(older_than=timedelta(days=1)) == 1
    assert not seen(one.timestamp, one.nonce, b"{another}")


def test_a_number_that_nobody_knows_is_closed_already():
    attempts.note_closed(out_trade_no="f" * 32, actor=WECHAT)


def test_a_student_who_is_elsewhere_by_then_keeps_a_promised_seat():
    """The clash came after the hold, by a class that was moved."""
    family, session = make_family(balance="500.00"), trial_session()
    order_id = order(family, session)
    begun = begin(family, order_id)
    starts, ends = db.session.execute(
        sa.select(CourseSchedule.starts_at, CourseSchedule.ends_at).where(CourseSchedule.id == session)
    ).one()
    elsewhere = make_session(make_course(price="100.00"), starts_in=timedelta(days=5))
    place.book(schedule_id=elsewhere, profile_id=family.profile_ids[0], actor=parent_actor(family))
    with transaction():
        db.session.execute(
            sa.update(CourseSchedule).where(CourseSchedule.id == elsewhere).values(starts_at=starts, ends_at=ends)
        )
    done = settle.settle(payment=payment(begun.out_trade_no), account=ACCOUNT, source="query", actor=WECHAT)
    assert done.booking_id is not None
    assert seats(session) == (1, 0)


def test_a_student_who_is_elsewhere_by_then_gets_no_free_seat():
    family, session = make_family(balance="500.00"), trial_session()
    order_id = order(family, session)
    begun = begin(family, order_id)
    with clock.travel(by=timedelta(minutes=16)):
        place.book(
            schedule_id=make_session(make_course(price="100.00"), starts_in=timedelta(days=2)),
            profile_id=family.profile_ids[0], actor=parent_actor(family),
        )  # fmt: skip
        done = settle.settle(payment=payment(begun.out_trade_no), account=ACCOUNT, source="query", actor=WECHAT)
    assert done.booking_id is None
    assert open_cases() == ["unseated"]


def test_a_nonce_is_good_for_one_body():
    one = received()
    assert not seen(one.timestamp, one.nonce, one.body)
    keep(received=one, outcome="ignored")
    assert not seen(one.timestamp, one.nonce, one.body)
    assert seen(one.timestamp, one.nonce, b"{another}")
    assert not seen("1700000001", one.nonce, b"{another}")


# ── the tables ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("status", OrderStatus)
@pytest.mark.parametrize("event", Event)
def test_every_move_of_an_order(status, event):
    allowed = {("pending", "pay"), ("failed", "pay"), ("cancelled", "pay"), ("expired", "pay"),
               ("pending", "cancel"), ("pending", "fail"), ("pending", "expire")}  # fmt: skip
    if (status, event) in allowed:
        assert next_status(status, event) == TRANSITIONS[status, event]
    else:
        with pytest.raises(InvalidState):
            next_status(status, event)


@pytest.mark.parametrize(("state", "meant"), [
    ("SUCCESS", "paid"), ("REFUND", "paid"), ("NOTPAY", "wait"), ("USERPAYING", "wait"), ("ACCEPT", "wait"),
    ("PAYERROR", "wait"), ("CLOSED", "closed"), ("REVOKED", "closed"), ("SOMETHING_NEW", "wait"), ("", "wait"),
])  # fmt: skip
def test_every_trade_state(state, meant):
    assert meaning(state) == TradeMeaning(meant)
    assert state not in TRADE_STATES or TRADE_STATES[state] == meant


# ── what else moves orders ──────────────────────────────────────────────────────────────────────────


def test_a_cancelled_session_ends_its_unpaid_orders(manager_actor):
    session = trial_session()
    unpaid, paid, begun = make_family(), make_family(), make_family()
    first, second, third = (order(family, session) for family in (unpaid, paid, begun))
    pay(paid, second)
    begin(begun, third)
    cancel_session.cancel_session(schedule_id=session, reason="教练生病", actor=manager_actor)
    assert [queries.order(one).status for one in (first, second, third)] == ["cancelled", "paid", "cancelled"]
    assert not queries.order(first).closing
    assert queries.order(third).closing
    assert seats(session) == (0, 0)
    assert told(unpaid) == ["class_cancelled"]
    # Whether the paid one gets its money back is for a person to say (B11).
    assert open_cases() == ["trial_cancelled"]
    late_payment = settle.settle(payment=payment(third), account=ACCOUNT, source="callback", actor=WECHAT)
    assert late_payment.booking_id is None


def test_orders_follow_a_merge_and_their_student(manager_actor):
    family, into = make_family(), make_family(parent="李女士")
    order_id = order(family, trial_session())
    pay(family, order_id)
    families.merge_families(from_family_id=family.id, into_family_id=into.id, reason="同一家人", actor=manager_actor)
    assert queries.order(order_id, family_id=into.id).seat_status == "confirmed"
    other, third = make_family(), make_family(parent="王女士")
    moving = order(other, trial_session())
    families.move_profile(
        profile_id=other.profile_ids[0], from_family_id=other.id, to_family_id=third.id, reason="转到爸爸家",
        actor=manager_actor,
    )  # fmt: skip
    assert queries.order(moving, family_id=third.id).status == "pending"
