"""Orders and WeChat Pay together, over real HTTP against the stand-in: started, paid, cancelled, late, and WeChat away
(O3–O12, O21–O23, 96.38–51)."""

from __future__ import annotations

import dataclasses
from datetime import timedelta

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from app import clock
from app.db import db, transaction
from app.domain.orders import attempts, checkout, ending, queries
from app.domain.orders.errors import OrderNotFound, OrderNotPayable, PaymentUnavailable
from app.domain.orders.models import PaymentAttempt
from app.flows import outbound, payment_jobs, payments, sweep
from app.flows.twins import past_a_twin
from tests.domain.orders.steps import WECHAT, open_cases, order, row, seats, trial_session
from tests.factories import make_family, parent_actor


def start(family, order_id, trade_type="JSAPI"):
    return payments.prepay(order_id=order_id, trade_type=trade_type, actor=parent_actor(family))


def cancel(family, order_id, result="cancelled", reason=None):
    return payments.cancel(
        order_id=order_id, result=result, reason=reason, family_id=family.id, actor=parent_actor(family)
    )


def calls(wechat_pay, ending: str) -> int:
    return sum(call["path"].endswith(ending) for call in wechat_pay.calls())


def test_paying_from_the_phone(wechat_pay):
    family, session = make_family(), trial_session()
    order_id = order(family, session)
    begun = start(family, order_id)
    assert set(begun.pay_params) == {"appId", "timeStamp", "nonceStr", "package", "signType", "paySign"}
    at_wechat = wechat_pay.state.pay.order(order_id)
    assert (at_wechat.total, at_wechat.openid) == (20000, row(order_id) and _openid(family))
    assert wechat_pay.pay(order_id) == ""
    view = payments.confirm(order_id=order_id, family_id=family.id, actor=parent_actor(family))
    assert (view.status, view.seat_status) == ("paid", "confirmed")
    assert seats(session) == (1, 0)


def _openid(family) -> str:
    return db.session.execute(sa.text("SELECT openid FROM users WHERE id = :id"), {"id": family.user_id}).scalar_one()


def test_asked_again_it_is_the_same_prepay_freshly_signed(wechat_pay):
    family = make_family()
    order_id = order(family, trial_session())
    first, second = start(family, order_id), start(family, order_id)
    assert first.pay_params["package"] == second.pay_params["package"]
    assert first.pay_params["nonceStr"] != second.pay_params["nonceStr"]
    assert calls(wechat_pay, "/jsapi") == 1


def test_another_trade_type_closes_the_first_at_wechat(wechat_pay):
    family = make_family()
    order_id = order(family, trial_session())
    start(family, order_id)
    by_code = start(family, order_id, "NATIVE")
    assert by_code.code_url.startswith("weixin://")
    assert wechat_pay.state.pay.order(order_id).state == "CLOSED"
    states = {a.trade_type: a.status for a in db.session.query(PaymentAttempt)}
    assert states == {"JSAPI": "closed", "NATIVE": "open"}


def test_the_first_was_paid_after_all(wechat_pay):
    family, session = make_family(), trial_session()
    order_id = order(family, session)
    start(family, order_id)
    wechat_pay.pay(order_id)
    with pytest.raises(OrderNotPayable):
        start(family, order_id, "NATIVE")
    assert queries.order(order_id).status == "paid"
    assert seats(session) == (1, 0)


def test_a_new_hold_is_a_new_number(wechat_pay):
    family, session = make_family(), trial_session()
    order_id = order(family, session)
    start(family, order_id)
    with clock.travel(to=clock.now() + timedelta(minutes=16)):
        with pytest.raises(OrderNotPayable):
            start(family, order_id)
        checkout.reserve(order_id=order_id, actor=parent_actor(family))
        start(family, order_id)
    numbers = db.session.scalars(sa.select(PaymentAttempt.out_trade_no).order_by(PaymentAttempt.id)).all()
    assert numbers[0] == order_id
    assert len(numbers) == 2
    assert wechat_pay.state.pay.order(order_id).state == "CLOSED"


def test_wechat_away_keeps_the_hold_and_the_number(wechat_pay):
    family, session = make_family(), trial_session()
    order_id = order(family, session)
    wechat_pay.set_fault("wxpay", down="error", times=1)
    with pytest.raises(PaymentUnavailable) as away:
        start(family, order_id)
    assert away.value.retry_after == 5
    assert seats(session) == (0, 1)
    assert db.session.query(PaymentAttempt).one().start_result in ("http_500", "SYSTEM_ERROR")
    assert start(family, order_id).pay_params
    assert db.session.query(PaymentAttempt).one().start_result == "ok"


def test_without_credentials_it_says_so(wechat_pay, app, monkeypatch):
    before = app.extensions["desk.settings"]
    bare = dataclasses.replace(before, wxpay=dataclasses.replace(before.wxpay, apiv3_key=""))
    monkeypatch.setitem(app.extensions, "desk.settings", bare)
    family = make_family()
    order_id = order(family, trial_session())
    with pytest.raises(PaymentUnavailable, match="没有开通"):
        start(family, order_id)
    # A phone's report needs nobody: the seat is free at once.
    assert cancel(family, order_id).status == "cancelled"


# ── the phone's report ──────────────────────────────────────────────────────────────────────────────


def test_cancelling_closes_at_wechat_and_frees_the_seat_in_one_call(wechat_pay):
    family, session = make_family(), trial_session()
    order_id = order(family, session)
    start(family, order_id)
    view = cancel(family, order_id, reason="用户取消支付")
    assert (view.status, view.closing, view.seat_status) == ("cancelled", False, "released")
    assert wechat_pay.state.pay.order(order_id).state == "CLOSED"
    assert seats(session) == (0, 0)
    assert cancel(family, order_id).status == "cancelled"
    with pytest.raises(OrderNotFound):
        payments.cancel(
            order_id=order_id, result="cancelled", reason=None, family_id=make_family().id, actor=parent_actor(family)
        )


def test_cancelling_what_was_paid_meanwhile_is_paying_it(wechat_pay):
    family, session = make_family(), trial_session()
    order_id = order(family, session)
    start(family, order_id)
    wechat_pay.pay(order_id)
    view = cancel(family, order_id)
    assert (view.status, view.seat_status) == ("paid", "confirmed")
    assert cancel(family, order_id).status == "paid"


@pytest.mark.parametrize("paid", [True, False])
def test_cancelling_while_wechat_is_away(wechat_pay, paid):
    family, session = make_family(), trial_session(capacity=1)
    order_id = order(family, session)
    start(family, order_id)
    wechat_pay.set_fault("wxpay", down="error")
    view = cancel(family, order_id)
    assert (view.status, view.closing, view.next_action) == ("cancelled", True, "wait")
    assert seats(session) == (0, 0)
    wechat_pay.set_fault("wxpay", down="", drop_callbacks=True)
    if paid:
        wechat_pay.pay(order_id)
    assert payment_jobs.query_due() == 1
    view = queries.order(order_id)
    if paid:
        # A payment that slipped through is a late one: a seat was free.
        assert (view.status, view.seat_status) == ("paid", "confirmed")
    else:
        assert (view.status, view.closing, view.next_action) == ("cancelled", False, "none")
        assert wechat_pay.state.pay.order(order_id).state == "CLOSED"


def test_a_try_that_failed_leaves_the_order(wechat_pay):
    family, session = make_family(), trial_session()
    order_id = order(family, session)
    start(family, order_id)
    view = cancel(family, order_id, "failed", "余额不足")
    assert (view.status, view.next_action, view.seat_status) == ("pending", "reserve", "released")
    assert wechat_pay.state.pay.order(order_id).state == "CLOSED"
    checkout.reserve(order_id=order_id, actor=parent_actor(family))
    start(family, order_id)
    number = queries.order(order_id).open_trade_no
    assert number != order_id
    wechat_pay.pay(number)
    assert payments.confirm(order_id=order_id, family_id=family.id, actor=parent_actor(family)).booking_id


# ── asking ──────────────────────────────────────────────────────────────────────────────────────────


def test_reading_asks_at_most_every_five_seconds_and_never_fails(wechat_pay):
    family = make_family()
    order_id = order(family, trial_session())
    payments.read(order_id, family_id=family.id)
    assert calls(wechat_pay, order_id) == 0, "nothing was started, so there is nothing to ask"
    start(family, order_id)
    for _ in range(3):
        payments.read(order_id, family_id=family.id)
    assert calls(wechat_pay, order_id) == 1
    wechat_pay.set_fault("wxpay", down="error")
    with clock.travel(to=clock.now() + timedelta(seconds=6)):
        assert payments.read(order_id, family_id=family.id).status == "pending"
        assert outbound.resting()
    outbound.note_answer()
    with pytest.raises(OrderNotFound):
        payments.read(order_id, family_id=make_family().id)


def test_reading_settles_what_was_paid(wechat_pay):
    family = make_family()
    order_id = order(family, trial_session())
    start(family, order_id)
    wechat_pay.pay(order_id)
    assert payments.read(order_id, family_id=family.id).status == "paid"


def test_confirm_while_wechat_is_away(wechat_pay):
    family, session = make_family(), trial_session()
    order_id = order(family, session)
    start(family, order_id)
    wechat_pay.set_fault("wxpay", down="error")
    with pytest.raises(PaymentUnavailable):
        payments.confirm(order_id=order_id, family_id=family.id, actor=parent_actor(family))
    assert seats(session) == (0, 1)


def test_by_hand_from_the_orders_page(wechat_pay):
    family = make_family()
    order_id = order(family, trial_session())
    start(family, order_id)
    assert payments.ask_now(order_id, WECHAT).status == "pending"
    wechat_pay.pay(order_id)
    assert payments.ask_now(order_id, WECHAT).status == "paid"
    with pytest.raises(OrderNotFound):
        payments.ask_now("0" * 32, WECHAT)


def test_by_wechats_own_number(wechat_pay):
    family = make_family()
    order_id = order(family, trial_session())
    start(family, order_id)
    assert payments.ask_by_transaction("4200000000", WECHAT) is None
    wechat_pay.pay(order_id)
    assert payments.ask_by_transaction(wechat_pay.state.pay.order(order_id).transaction_id, WECHAT) == order_id
    assert queries.order(order_id).status == "paid"


# ── the jobs ────────────────────────────────────────────────────────────────────────────────────────


def test_two_hundred_payments_that_nobody_told_us_of(wechat_pay):
    session = trial_session(capacity=200)
    paid = []
    for _ in range(20):
        family = make_family()
        paid.append(order(family, session))
        start(family, paid[-1])
        wechat_pay.pay(paid[-1])
    with clock.travel(to=clock.now() + timedelta(seconds=16)):
        assert payment_jobs.query_due() == 20
    assert {queries.order(one).status for one in paid} == {"paid"}
    assert seats(session) == (20, 0)


def test_an_order_expires_after_wechat_was_asked(wechat_pay):
    session = trial_session()
    families = [make_family() for _ in range(3)]
    paid, unpaid, unstarted = (order(family, session) for family in families)
    start(families[0], paid)
    start(families[1], unpaid)
    wechat_pay.pay(paid)
    with clock.travel(to=clock.now() + timedelta(minutes=30, seconds=1)):
        assert payment_jobs.expire_orders() == 3
        assert [queries.order(one).status for one in (paid, unpaid, unstarted)] == ["paid", "expired", "expired"]
        assert payment_jobs.retire_holds() == 0
    assert seats(session) == (1, 0)
    assert wechat_pay.state.pay.order(unpaid).state == "CLOSED"


def test_an_order_expires_although_wechat_is_away(wechat_pay):
    family = make_family()
    order_id = order(family, trial_session())
    start(family, order_id)
    wechat_pay.set_fault("wxpay", down="error")
    with clock.travel(to=clock.now() + timedelta(minutes=31)):
        payment_jobs.expire_orders()
        view = queries.order(order_id)
        assert (view.status, view.closing) == ("expired", True)
        wechat_pay.set_fault("wxpay", down="", drop_callbacks=True)
        payment_jobs.query_due()
        assert not queries.order(order_id).closing


def test_money_that_arrives_after_the_close(wechat_pay):
    """WeChat said closed and it was not: the payer was under way (O4, O6)."""
    family, session = make_family(), trial_session(capacity=1)
    order_id = order(family, session)
    start(family, order_id)
    wechat_pay.state.pay.order(order_id).under_way = True
    view = cancel(family, order_id)
    assert view.closing, "a close is believed only once a question says so"
    order(make_family(), session)  # the seat is gone
    wechat_pay.pay(order_id)
    payment_jobs.query_due()
    assert queries.order(order_id).seat_status == "unseated"
    assert open_cases() == ["unseated"]


def test_a_sweep_leaves_wechat_alone_after_three_failures(wechat_pay):
    for _ in range(5):
        family = make_family()
        start(family, order(family, trial_session()))
    wechat_pay.set_fault("wxpay", down="error")
    before = len(wechat_pay.calls())
    with clock.travel(to=clock.now() + timedelta(seconds=16)):
        assert payment_jobs.query_due() == 0
    assert len(wechat_pay.calls()) - before == 3


def test_an_attempt_is_closed_once_nobody_can_pay_it(wechat_pay):
    family = make_family()
    order_id = order(family, trial_session())
    start(family, order_id)
    with clock.travel(to=clock.now() + timedelta(minutes=15, seconds=2)):
        payment_jobs.query_due()
        assert db.session.query(PaymentAttempt).one().status == "closed"
        assert attempts.unsettled(order_id) == [order_id]
        assert ending.due_orders() == []


# ── what comes between ──────────────────────────────────────────────────────────────────────────────


def test_another_trade_type_waits_until_wechat_has_closed_the_first(wechat_pay):
    family = make_family()
    order_id = order(family, trial_session())
    start(family, order_id)
    wechat_pay.set_fault("wxpay", down="error")
    with pytest.raises(PaymentUnavailable) as pause:
        start(family, order_id, "NATIVE")
    assert pause.value.retry_after == 5
    assert db.session.query(PaymentAttempt).one().status == "open"


def test_a_start_finds_the_number_paid(wechat_pay):
    """The first answer was lost, the payer paid by it, and the phone asks once more."""
    family, session = make_family(), trial_session()
    order_id = order(family, session)
    start(family, order_id)
    forget_prepay()
    wechat_pay.pay(order_id)
    with pytest.raises(OrderNotPayable):
        start(family, order_id)
    assert (queries.order(order_id).status, seats(session)) == ("paid", (1, 0))


def test_a_start_finds_the_number_closed_and_the_next_one_has_another(wechat_pay):
    family = make_family()
    order_id = order(family, trial_session())
    start(family, order_id)
    forget_prepay()
    wechat_pay.state.pay.close(order_id)
    with pytest.raises(PaymentUnavailable) as pause:
        start(family, order_id)
    assert pause.value.retry_after == 1
    assert start(family, order_id).pay_params
    assert [one.status for one in db.session.query(PaymentAttempt).order_by(PaymentAttempt.id)] == ["closed", "open"]


def forget_prepay() -> None:
    with transaction():
        db.session.execute(sa.update(PaymentAttempt).values(prepay_id=None))


def test_a_number_that_wechat_does_not_know_yet_waits(wechat_pay):
    family = make_family()
    order_id = order(family, trial_session())
    attempts.begin(order_id=order_id, trade_type="JSAPI", actor=parent_actor(family))
    assert payments.ask(order_id, actor=WECHAT) == "wait"
    view = cancel(family, order_id)
    assert (view.status, view.closing) == ("cancelled", False)


def test_a_number_that_was_closed_elsewhere_is_closed_here(wechat_pay):
    family = make_family()
    order_id = order(family, trial_session())
    start(family, order_id)
    wechat_pay.state.pay.close(order_id)
    assert payments.ask(order_id, actor=WECHAT) == "closed"
    assert db.session.query(PaymentAttempt).one().status == "closed"


def test_each_confirming_asks_wechat(wechat_pay):
    """The phone may have paid since the last answer (O5)."""
    family = make_family()
    order_id = order(family, trial_session())
    start(family, order_id)
    confirm = {"order_id": order_id, "family_id": family.id, "actor": parent_actor(family)}
    assert [payments.confirm(**confirm).status for _ in range(2)] == ["pending", "pending"]
    assert calls(wechat_pay, f"/{order_id}") == 2


def test_by_wechats_own_number_while_it_is_away(wechat_pay):
    wechat_pay.set_fault("wxpay", down="error")
    with pytest.raises(PaymentUnavailable):
        payments.ask_by_transaction("4200000000000000", WECHAT)


def test_cancelling_without_credentials_frees_the_seat_and_closes_later(wechat_pay, app, monkeypatch):
    family, session = make_family(), trial_session()
    order_id = order(family, session)
    start(family, order_id)
    settings = app.extensions["desk.settings"]
    bare = dataclasses.replace(settings, wxpay=dataclasses.replace(settings.wxpay, mchid=""))
    monkeypatch.setitem(app.extensions, "desk.settings", bare)
    view = cancel(family, order_id)
    assert (view.status, view.closing, seats(session)) == ("cancelled", True, (0, 0))


def test_lapsed_holds_are_marked_and_nonces_forgotten_by_their_jobs(wechat_pay):
    order(make_family(), trial_session())
    with clock.travel(by=timedelta(minutes=16)):
        assert payment_jobs.retire_holds() == 1
        assert payment_jobs.retire_holds() == 0
    assert payment_jobs.forget_nonces() == 0


def test_one_order_s_trouble_is_not_the_others(app):
    done = []

    def work(number: int) -> None:
        if number == 2:
            raise OrderNotFound
        done.append(number)

    assert sweep.each([(1,), (2,), (3,)], work, seconds=5.0) == 2
    assert sweep.each([(4,)], work, seconds=-1.0) == 0
    assert done == [1, 3]


def test_a_twin_s_row_is_seen_by_the_second_try(app):
    tries = []

    def use_case(**asked) -> str:
        tries.append(asked)
        if len(tries) == 1:
            raise IntegrityError("insert", {}, Exception("duplicate"))
        return "repeated"

    assert past_a_twin(use_case, number=1) == "repeated"
    assert tries == [{"number": 1}] * 2
