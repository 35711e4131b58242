"""What the desk reads of refunds, and what there is not (U5, O14)."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest

from app import clock
from app.db import transaction
from app.domain.bookings import place
from app.domain.bookings.errors import BookingNotFound
from app.domain.orders import desk_refunds, refund_hand, refund_locking, refund_progress, refunds
from app.domain.orders.desk_refunds import RefundFilter
from app.domain.orders.errors import NothingToRefund, OrderNotFound, RefundNotFound
from app.errors import Invalid
from tests.domain.orders import steps
from tests.domain.orders.refunds import approved, paid_trial, sent
from tests.factories import make_course, make_family, make_session, parent_actor
from tests.portal import actor_of, make_staff


@pytest.fixture
def paid(app):
    return paid_trial()


@pytest.fixture
def booking(app) -> int:
    """A class that a wallet paid."""
    family, session = make_family(balance="500.00"), make_session(make_course(price="100.00"))
    return place.book(schedule_id=session, profile_id=family.profile_ids[0], actor=parent_actor(family)).booking_id


def numbers(**asked) -> list[str]:
    return [row.refund_no for row in desk_refunds.refunds(RefundFilter(**asked)).items]


def test_refunds_by_state_way_and_day(paid):
    first, second = approved(paid, "50.00"), approved(paid, "20.00", refund_to="wallet")
    assert numbers() == [second, first]
    assert (numbers(status="approved"), numbers(refund_to="wallet")) == ([first], [second])
    today, day = clock.today(), timedelta(days=1)
    assert numbers(date_from=today, date_to=today) == [second, first]
    assert numbers(date_from=today + day) == numbers(date_to=today - day) == []
    assert [row.refund_no for row in desk_refunds.of_family(paid.family.id)] == [second, first]


def test_a_wallet_s_class_is_named_by_its_course(booking):
    subject = desk_refunds.of_wallet_booking(booking)
    assert (subject.paid, subject.left, subject.ways, subject.seat) == (Decimal("100.00"), Decimal("100.00"),
                                                                       ("wallet",), True)  # fmt: skip
    finance, manager = make_staff("finance"), make_staff("manager")
    refund_no = refunds.ask(
        booking_id=booking, amount=Decimal("30.00"), reason="退", refund_to="wallet", actor=actor_of(finance)
    )
    detail = desk_refunds.detail(refund_no, actor_of(manager))
    assert (detail.item, detail.seat_live, detail.rule) == (subject.item, True, None)
    assert desk_refunds.of_wallet_booking(booking).left == Decimal("70.00")


def test_what_is_not_there(paid, booking):
    manager = actor_of(paid.manager)
    seat = steps.row(paid.order_id).booking_id
    assert desk_refunds.detail("f" * 32, manager) is None
    assert desk_refunds.of_payment(paid.order_id, "4299") is None
    assert desk_refunds.of_payment("f" * 32, None) is None
    assert desk_refunds.of_wallet_booking(seat) is None
    wish = {"amount": Decimal("1.00"), "reason": "退", "refund_to": "wallet", "actor": manager}
    with pytest.raises(OrderNotFound):
        refunds.ask(order_id="f" * 32, **wish)
    with pytest.raises(BookingNotFound):
        refunds.ask(booking_id=999999, **wish)
    with pytest.raises(NothingToRefund):
        refunds.ask(booking_id=seat, **wish)  # an order paid it
    with pytest.raises(NothingToRefund):
        refunds.ask(order_id=paid.order_id, transaction_id="4299", **wish)
    with pytest.raises(RefundNotFound):
        refund_hand.close(refund_no="f" * 32, note="不退了", actor=manager)
    for both in ({}, {"order_id": paid.order_id, "booking_id": booking}):
        with pytest.raises(ValueError, match="order or of a booking"):
            refunds.ask(**both, **wish)


def test_what_was_never_kept_back_is_not_given_free(paid):
    with transaction(), pytest.raises(RuntimeError):
        refund_locking.release(1, Decimal("1.00"))


def test_every_wrong_field_is_said_at_once(paid):
    with pytest.raises(Invalid) as refusal:
        refunds.ask(
            order_id=paid.order_id, amount=Decimal("0.001"), reason="长" * 81, note="长" * 501, refund_to="moon",
            actor=actor_of(paid.finance),
        )  # fmt: skip
    assert set(refusal.value.errors) == {"amount", "reason", "note", "refund_to"}


def test_a_try_and_its_trouble_count_only_while_it_is_on_its_way(paid):
    refund_no = sent(paid)
    refund_hand_state = {"refund_no": refund_no, "actor": steps.WECHAT}
    refund_progress.note_state(word=refund_progress.Word(refund_no, "CLOSED"), actor=steps.WECHAT)
    assert refund_progress.claim(**refund_hand_state) is None
    refund_progress.tried_again(**refund_hand_state)
    refund_progress.could_not_start(code="timeout", text="", permanent=True, **refund_hand_state)
    detail = desk_refunds.detail(refund_no, actor_of(paid.manager))
    assert (detail.row.status, detail.row.attempts, detail.row.error_code) == ("closed", 1, "CLOSED")


def test_wechat_s_word_on_what_went_into_a_wallet_does_not_fit(booking):
    finance, manager = make_staff("finance"), make_staff("manager")
    refund_no = refunds.ask(
        booking_id=booking, amount=Decimal("30.00"), reason="退", refund_to="wallet", actor=actor_of(finance)
    )
    refunds.approve(refund_no=refund_no, actor=actor_of(manager))
    said = refund_progress.note_state(word=refund_progress.Word(refund_no, "SUCCESS"), actor=steps.WECHAT)
    assert (said, steps.open_cases()) == ("mismatch", ["mismatch"])
