"""The bill settles what callbacks and questions did not (I-25), and is compared with what we have (W24): over real HTTP
against the stand-in."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest

from app import clock
from app.domain.orders import attempts, queries
from app.domain.orders import refunds as asking
from app.domain.orders.errors import PaymentUnavailable
from app.domain.orders.models import PaymentSource, PaymentTransaction, TradeType
from app.domain.reconcile import queries as differences
from app.flows import bills, payments, refunds
from tasks import schedule
from tests.domain.orders.steps import WECHAT, open_cases, order, seats, trial_session
from tests.factories import make_family, parent_actor
from tests.portal import actor_of, make_staff


def paid(wechat_pay, session: int) -> str:
    family = make_family()
    order_id = order(family, session)
    payments.prepay(order_id=order_id, trade_type=TradeType.JSAPI, actor=parent_actor(family))
    wechat_pay.pay(order_id)
    return order_id


def settled_today() -> bills.Taken:
    return bills.reconcile_day(clock.today(), WECHAT).taken


def differing() -> list[tuple[str, str]]:
    return sorted((row.kind, row.key) for row in differences.open_ones())


def test_what_nobody_told_is_settled_by_the_bill_and_only_once(wechat_pay):
    session = trial_session(capacity=20)
    orders = [paid(wechat_pay, session) for _ in range(10)]
    payments.ask(orders[0], actor=WECHAT)  # one is known already
    first = settled_today()
    assert (first.payments, first.known, first.settled, first.on_board) == (10, 1, 9, 0)
    assert {queries.order(one).status for one in orders} == {"paid"}
    assert seats(session) == (10, 0)
    again = settled_today()
    assert (again.known, again.settled) == (10, 0)
    sources = {row.source for row in PaymentTransaction.query.all()}
    assert sources == {PaymentSource.QUERY, PaymentSource.BILL}


def test_what_fits_no_order_is_on_the_board(wechat_pay):
    order_id = paid(wechat_pay, trial_session())
    wechat_pay.state.pay.orders[order_id].out_trade_no = "f" * 32
    done = settled_today()
    assert (done.settled, done.on_board) == (0, 1)
    assert open_cases() == ["unknown_payment"]
    ((kind, key),) = differing()
    assert (kind, key) == ("payment_missing_here", wechat_pay.state.pay.orders[order_id].transaction_id)


def test_a_day_without_payments(wechat_pay):
    assert settled_today() == bills.Taken(0, 0, 0, 0)


def test_no_bill_no_change(wechat_pay):
    order_id = paid(wechat_pay, trial_session())
    wechat_pay.set_fault("wxpay", down="error")
    with pytest.raises(PaymentUnavailable):
        bills.reconcile_day(clock.today(), WECHAT)
    assert queries.order(order_id).status == "pending"
    assert attempts.unsettled(order_id) == [order_id]


def test_a_bill_that_is_still_being_made_is_asked_for_again_later(wechat_pay):
    order_id = paid(wechat_pay, trial_session())
    wechat_pay.set_fault("wxpay", bill_creating=True)
    with pytest.raises(bills.BillMissing) as early:
        bills.reconcile_day(clock.today(), WECHAT)
    assert (early.value.code, early.value.retry_after) == ("BILL_NOT_READY", 1800)
    assert queries.order(order_id).status == "pending"
    wechat_pay.set_fault("wxpay", bill_creating=False)
    assert settled_today().settled == 1
    assert queries.order(order_id).status == "paid"


def test_the_job_asks_for_it_again_later_that_day(wechat_pay):
    """The first try at 10:21 finds none; the next of the same day settles what is in it."""
    order_id = paid(wechat_pay, trial_session())
    job = schedule.BY_NAME["reconcile_day"]
    tomorrow = clock.day_bounds(clock.today() + timedelta(days=1))[0]
    early, next_try = tomorrow + timedelta(hours=10, minutes=21), tomorrow + timedelta(hours=11, minutes=21)
    wechat_pay.set_fault("wxpay", bill_creating=True)
    with clock.travel(to=early), pytest.raises(bills.BillMissing):
        schedule.run(job, "test")
    assert not schedule.is_due(job, next_try - timedelta(minutes=1), early, early)
    assert schedule.is_due(job, next_try, early, early)
    wechat_pay.set_fault("wxpay", bill_creating=False)
    with clock.travel(to=next_try):
        assert schedule.run(job, "test") == (True, "账单 1 笔，补记 1 笔，差异 0 项")
        assert schedule.run(job, "test") == (True, "账单已核对")
    assert queries.order(order_id).status == "paid"


def test_a_refund_in_the_bill_and_in_the_books(wechat_pay):
    order_id = paid(wechat_pay, trial_session())
    payments.ask(order_id, actor=WECHAT)
    finance, manager = make_staff("finance"), make_staff("manager")
    refund_no = asking.ask(
        order_id=order_id, amount=Decimal("50.00"), reason="改期", refund_to="original", frees_seat=False,
        actor=actor_of(finance),
    )  # fmt: skip
    asking.approve(refund_no=refund_no, actor=actor_of(manager))
    assert refunds.run_due() == 1
    assert bills.reconcile_day(clock.today(), WECHAT).outcome.found == 0
    wechat_pay.state.pay.refunds[refund_no].refund -= 1
    bills.reconcile_day(clock.today(), WECHAT)
    assert differing() == [("refund_amount", refund_no)]
    del wechat_pay.state.pay.refunds[refund_no]
    bills.reconcile_day(clock.today(), WECHAT)
    assert differing() == [("refund_missing_there", refund_no)]


def test_a_day_that_was_left_out_is_taken_with_the_next(wechat_pay):
    """Two days without a scheduler: both bills are compared, and none from before the first."""
    today = clock.today()
    with clock.travel(to=clock.day_bounds(today)[0] + timedelta(hours=11)):
        assert [day for day, _ in bills.reconcile_due(WECHAT)] == [today - timedelta(days=1)]
    with clock.travel(to=clock.day_bounds(today)[0] + timedelta(days=3, hours=11)):
        assert [day for day, _ in bills.reconcile_due(WECHAT)] == [today + timedelta(days=n) for n in range(3)]
        assert bills.reconcile_due(WECHAT) == []


def test_by_command(wechat_pay, app):
    order_id = paid(wechat_pay, trial_session())
    run = app.test_cli_runner().invoke
    said = run(args=["reconcile", "run", "--date", clock.today().isoformat()])
    assert (said.exit_code, "补记 1" in said.output) == (0, True), said.output
    assert queries.order(order_id).status == "paid"
    yesterday = run(args=["reconcile", "run"])
    assert (yesterday.exit_code, "账单付款 0 笔" in yesterday.output) == (0, True), yesterday.output
    wechat_pay.state.pay.orders[order_id].total += 100
    differs = run(args=["reconcile", "run", "--date", clock.today().isoformat()])
    assert (differs.exit_code, "未处理的差异 1 项" in differs.output) == (1, True), differs.output
    assert "付款金额不一致" in differs.output
    assert "微信账单 ¥201.00，系统 ¥200.00" in differs.output
    assert run(args=["reconcile", "run", "--date", "2026-02-30"]).exit_code == 2


def test_the_command_without_a_bill_looks_at_the_books_and_fails(wechat_pay, app):
    wechat_pay.set_fault("wxpay", bill_creating=True)
    said = app.test_cli_runner().invoke(args=["reconcile", "run"])
    assert (said.exit_code, "账本：差异 0 项" in said.output, "微信还没有出" in said.output) == (1, True, True)
