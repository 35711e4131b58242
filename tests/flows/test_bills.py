"""The bill settles what callbacks and questions did not (I-25): over real HTTP against the stand-in."""

from __future__ import annotations

from datetime import timedelta

import pytest

from app import clock
from app.domain.orders import attempts, queries
from app.domain.orders.errors import PaymentUnavailable
from app.domain.orders.models import PaymentSource, PaymentTransaction, TradeType
from app.flows import bills, payments
from tasks import schedule
from tests.domain.orders.steps import WECHAT, open_cases, order, seats, trial_session
from tests.factories import make_family, parent_actor


def paid(wechat_pay, session: int) -> str:
    family = make_family()
    order_id = order(family, session)
    payments.prepay(order_id=order_id, trade_type=TradeType.JSAPI, actor=parent_actor(family))
    wechat_pay.pay(order_id)
    return order_id


def test_what_nobody_told_is_settled_by_the_bill_and_only_once(wechat_pay):
    session = trial_session(capacity=20)
    orders = [paid(wechat_pay, session) for _ in range(10)]
    payments.ask(orders[0], actor=WECHAT)  # one is known already
    first = bills.settle_day(clock.today(), WECHAT)
    assert (first.payments, first.known, first.settled, first.on_board) == (10, 1, 9, 0)
    assert {queries.order(one).status for one in orders} == {"paid"}
    assert seats(session) == (10, 0)
    again = bills.settle_day(clock.today(), WECHAT)
    assert (again.known, again.settled) == (10, 0)
    sources = {row.source for row in PaymentTransaction.query.all()}
    assert sources == {PaymentSource.QUERY, PaymentSource.BILL}


def test_what_fits_no_order_is_on_the_board(wechat_pay):
    order_id = paid(wechat_pay, trial_session())
    wechat_pay.state.pay.orders[order_id].out_trade_no = "f" * 32
    done = bills.settle_day(clock.today(), WECHAT)
    assert (done.settled, done.on_board) == (0, 1)
    assert open_cases() == ["unknown_payment"]


def test_a_day_without_payments(wechat_pay):
    assert bills.settle_day(clock.today(), WECHAT) == bills.Taken(0, 0, 0, 0)


def test_no_bill_no_change(wechat_pay):
    order_id = paid(wechat_pay, trial_session())
    wechat_pay.set_fault("wxpay", down="error")
    with pytest.raises(PaymentUnavailable):
        bills.settle_day(clock.today(), WECHAT)
    assert queries.order(order_id).status == "pending"
    assert attempts.unsettled(order_id) == [order_id]


def test_a_bill_that_is_still_being_made_is_asked_for_again_later(wechat_pay):
    order_id = paid(wechat_pay, trial_session())
    wechat_pay.set_fault("wxpay", bill_creating=True)
    with pytest.raises(bills.BillMissing) as early:
        bills.settle_day(clock.today(), WECHAT)
    assert (early.value.code, early.value.retry_after) == ("BILL_NOT_READY", 1800)
    assert queries.order(order_id).status == "pending"
    wechat_pay.set_fault("wxpay", bill_creating=False)
    assert bills.settle_day(clock.today(), WECHAT).settled == 1
    assert queries.order(order_id).status == "paid"


def test_the_job_asks_for_it_again_later_that_day(wechat_pay):
    """The first try at 10:21 finds none; the next of the same day settles what is in it."""
    order_id = paid(wechat_pay, trial_session())
    job = schedule.BY_NAME["bill_settle"]
    tomorrow = clock.day_bounds(clock.today() + timedelta(days=1))[0]
    early, next_try = tomorrow + timedelta(hours=10, minutes=21), tomorrow + timedelta(hours=11, minutes=21)
    wechat_pay.set_fault("wxpay", bill_creating=True)
    with clock.travel(to=early), pytest.raises(bills.BillMissing):
        schedule.run(job, "test")
    assert not schedule.is_due(job, next_try - timedelta(minutes=1), early, early)
    assert schedule.is_due(job, next_try, early, early)
    wechat_pay.set_fault("wxpay", bill_creating=False)
    with clock.travel(to=next_try):
        assert schedule.run(job, "test") == (True, "账单 1 笔，补记 1 笔")
    assert queries.order(order_id).status == "paid"


def test_by_command(wechat_pay, app):
    order_id = paid(wechat_pay, trial_session())
    said = app.test_cli_runner().invoke(args=["reconcile", "run", "--date", clock.today().isoformat()])
    assert (said.exit_code, "补记 1" in said.output) == (0, True), said.output
    assert queries.order(order_id).status == "paid"
    yesterday = app.test_cli_runner().invoke(args=["reconcile", "run"])
    assert "账单付款 0 笔" in yesterday.output
