"""What a person does about a payment without a seat, and about what only needs a sentence (O19)."""

from __future__ import annotations

from datetime import timedelta

import pytest
import sqlalchemy as sa

from app import clock
from app.db import db
from app.domain.bookings import cancel, place
from app.domain.bookings.errors import ScheduleNotFound, ScheduleStarted, SeatFull, TimeConflict
from app.domain.bookings.models import Booking
from app.domain.cases.models import CaseKind, MoneyCase
from app.domain.desk.errors import OwnFamily
from app.domain.orders import offline, resolve
from app.domain.orders.errors import NotATrialClass, OrderNotFound
from app.domain.outbox.models import Notification
from app.errors import Forbidden, Invalid, InvalidState, NotFound, StepUpRequired
from tests.domain.orders import steps
from tests.domain.orders.refunds import Paid, approved, paid_trial, say, sent
from tests.factories import make_family, make_session
from tests.portal import actor_of, make_staff


@pytest.fixture
def finance(app):
    return make_staff("finance")


@pytest.fixture
def manager(app):
    return make_staff("manager")


@pytest.fixture
def full(app):
    """A session of one seat, and the order that paid after its hold had lapsed and another had taken the seat."""
    session, late, quick = steps.trial_session(capacity=1), make_family(), make_family()
    order_id = steps.order(late, session)
    attempt = steps.begin(late, order_id)
    with clock.travel(by=timedelta(minutes=20)):
        other = steps.order(quick, session)
        assert steps.pay(quick, other).booking_id
        paid = steps.payment(attempt.out_trade_no, number="4200000777")
        done = steps.settle.settle(payment=paid, account=steps.ACCOUNT, source="query", actor=steps.WECHAT)
    assert done.booking_id is None
    assert steps.open_cases() == [CaseKind.UNSEATED]
    return late, session, order_id, other


def reseat(staff, order_id, schedule_id=None, *, proof_age=0.0):
    return resolve.reseat(order_id=order_id, schedule_id=schedule_id, actor=actor_of(staff, proof_age=proof_age))


def test_in_another_trial_class(full, finance):
    family, session, order_id, _ = full
    with pytest.raises(SeatFull):
        reseat(finance, order_id)
    later = steps.trial_session(starts_in=timedelta(days=3))
    booking_id = reseat(finance, order_id, later)
    booking = db.session.get(Booking, booking_id)
    assert (booking.kind, booking.source, booking.order_id, booking.user_id) == (
        "trial", "wechat_pay", order_id, family.user_id,
    )  # fmt: skip
    order = steps.row(order_id)
    assert (order.booking_id, order.course_schedule_id) == (booking_id, later)
    assert (steps.seats(session), steps.seats(later)) == ((1, 0), (1, 0))
    assert steps.open_cases() == []
    case = db.session.query(MoneyCase).one()
    assert (case.settled_as, case.settled_by) == ("reseated", finance.id)
    told = sa.select(sa.func.count()).where(Notification.type == "booking_made", Notification.family_id == family.id)
    assert db.session.scalar(told) == 1
    with pytest.raises(InvalidState):
        reseat(finance, order_id, later)


def test_in_its_own_class_once_a_seat_is_free_again(full, finance):
    _, session, order_id, other = full
    cancel.cancel(
        booking_id=steps.row(other).booking_id, actor=actor_of(finance), reason="家长不来"
    )  # fmt: skip
    assert reseat(finance, order_id)
    assert steps.seats(session) == (1, 0)


def test_not_where_the_rules_of_a_class_refuse(full, finance):
    family, session, order_id, _ = full
    with pytest.raises(NotATrialClass):
        reseat(finance, order_id, make_session())
    with pytest.raises(ScheduleStarted):
        reseat(finance, order_id, steps.trial_session(starts_in=timedelta(minutes=-5)))
    when = {"starts_at": clock.now() + timedelta(days=5)}
    place.book(
        schedule_id=make_session(**when), profile_id=family.profile_ids[0], actor=actor_of(finance)
    )  # fmt: skip
    with pytest.raises(TimeConflict):
        reseat(finance, order_id, steps.trial_session(**when))
    with pytest.raises(ScheduleNotFound):
        reseat(finance, order_id, 999999)
    with pytest.raises(OrderNotFound):
        reseat(finance, "0" * 32)
    assert steps.row(order_id).booking_id is None


def test_not_by_anybody_and_not_while_it_is_given_back(full, finance, manager):
    family, session, order_id, _ = full
    later = steps.trial_session()
    for who, error in (
        (make_staff("front_desk"), Forbidden),
        (make_staff("auditor"), Forbidden),
        (make_staff("manager", family_id=family.id), OwnFamily),
    ):
        with pytest.raises(error):
            reseat(who, order_id, later)
    with pytest.raises(StepUpRequired):
        reseat(finance, order_id, later, proof_age=3600)
    approved(Paid(family, session, order_id, finance, manager))
    with pytest.raises(InvalidState):
        reseat(finance, order_id, later)


def test_an_order_with_a_seat_needs_none(app):
    paid = paid_trial()
    with pytest.raises(InvalidState):
        reseat(paid.finance, paid.order_id, steps.trial_session())


def test_an_offline_payment_without_a_seat_is_seated_by_staff(full, finance, manager):
    family, session, _, _ = full
    other = make_family()
    room = steps.trial_session(capacity=1)
    order_id = steps.order(other, room)
    entry = offline.ask(order_id=order_id, method="cash", note="现金", actor=actor_of(finance))
    with clock.travel(by=timedelta(minutes=20)):
        third = make_family()
        steps.pay(third, steps.order(third, room))
        offline.approve(offline_id=entry, actor=actor_of(manager, proof_age=0.0))
    assert steps.row(order_id).booking_id is None
    booking_id = reseat(finance, order_id, steps.trial_session(starts_in=timedelta(days=4)))
    assert db.session.get(Booking, booking_id).source == "staff"


# ── a sentence ──────────────────────────────────────────────────────────────────────────────────────


def case_id(kind: str) -> int:
    db.session.rollback()
    return db.session.scalar(sa.select(MoneyCase.id).where(MoneyCase.kind == kind, MoneyCase.status == "open"))


def settle(staff, case: int, note: str = "已在商户平台核对，金额无误", **more):
    resolve.settle_with_note(case_id=case, note=note, actor=actor_of(staff, **more))


def test_what_nobody_knows_is_settled_by_a_sentence_once(finance):
    say("e" * 32, "SUCCESS")
    case = case_id(CaseKind.UNKNOWN_REFUND)
    with pytest.raises(Invalid):
        settle(finance, case, "  ")
    with pytest.raises(Forbidden):
        settle(make_staff("front_desk"), case)
    with pytest.raises(StepUpRequired):
        settle(finance, case, proof_age=3600)
    settle(finance, case)
    row = db.session.get(MoneyCase, case, populate_existing=True)
    assert (row.status, row.settled_as, row.settle_note) == ("settled", "note", "已在商户平台核对，金额无误")
    with pytest.raises(InvalidState):
        settle(finance, case)
    with pytest.raises(NotFound):
        settle(finance, 999999)


def test_a_payment_without_a_seat_is_not_talked_away(full, finance):
    with pytest.raises(InvalidState):
        settle(finance, case_id(CaseKind.UNSEATED))
    assert steps.open_cases() == [CaseKind.UNSEATED]


def test_a_failed_refund_only_once_it_is_closed(app):
    paid = paid_trial()
    refund_no = sent(paid)
    say(refund_no, "ABNORMAL")
    with pytest.raises(InvalidState):
        settle(paid.finance, case_id(CaseKind.REFUND_ABNORMAL))
    closed = paid_trial()
    say(sent(closed), "CLOSED")
    settle(closed.finance, case_id(CaseKind.REFUND_FAILED), "已充值，另行申请退款")
    assert steps.open_cases() == [CaseKind.REFUND_ABNORMAL]
    with pytest.raises(OwnFamily):
        settle(make_staff("manager", family_id=paid.family.id), case_id(CaseKind.REFUND_ABNORMAL))
