"""订单发货管理 over real HTTP: off by default, said once, tried again, given up in sight (O20)."""

from __future__ import annotations

import dataclasses
from datetime import timedelta

import pytest

from app import clock
from app.db import db, transaction
from app.domain.orders.shipping import PAUSES
from app.domain.policy.models import PolicyValue
from app.flows import payments, shipping
from tests.domain.orders.steps import order, row, trial_session
from tests.factories import make_family, parent_actor

UPLOAD = "/wxa/sec/order/upload_shipping_info"


@pytest.fixture
def wechat(wechat_pay, app, monkeypatch):
    before = app.extensions["desk.settings"]
    settings = dataclasses.replace(before, wechat_api_url=wechat_pay.url, wechat_secret=wechat_pay.state.secret)
    monkeypatch.setitem(app.extensions, "desk.settings", settings)
    return wechat_pay


def switch_on() -> None:
    with transaction():
        db.session.add(PolicyValue(name="shipping_info", value="on", updated_at=clock.now(), updated_by="店长"))


def paid(wechat, trade_type: str = "JSAPI") -> str:
    family = make_family()
    order_id = order(family, trial_session())
    payments.prepay(order_id=order_id, trade_type=trade_type, actor=parent_actor(family))
    wechat.pay(order_id)
    payments.confirm(order_id=order_id, family_id=family.id, actor=parent_actor(family))
    return order_id


def test_off_by_default(wechat):
    order_id = paid(wechat)
    assert shipping.report_due() == 0
    assert row(order_id).shipping_status is None


def test_a_trial_paid_in_the_mini_program_is_said_once(wechat):
    switch_on()
    order_id, by_code = paid(wechat), paid(wechat, "NATIVE")
    assert row(by_code).shipping_status is None
    assert shipping.report_due() == 1
    assert wechat.state.pay.order(order_id).shipped
    assert (row(order_id).shipping_status, row(order_id).shipping_error) == ("sent", None)
    with clock.travel(to=clock.now() + timedelta(days=2)):
        assert shipping.report_due() == 0


def test_an_answer_that_was_lost_is_no_second_delivery(wechat):
    switch_on()
    order_id = paid(wechat)
    wechat.state.pay.order(order_id).shipped = True  # WeChat took it and nobody heard
    assert shipping.report_due() == 1
    assert row(order_id).shipping_status == "sent"


def test_it_is_tried_again_and_then_given_up_in_sight(wechat):
    switch_on()
    order_id = paid(wechat)
    wechat.set_fault("wechat", down="error", path=UPLOAD)
    now = clock.now()
    for number in range(len(PAUSES) + 1):
        with clock.travel(to=now + timedelta(days=number)):
            assert row(order_id).shipping_status == "due"
            assert shipping.report_due() == 0
            assert shipping.report_due() == 0, "not at once again"
    found = row(order_id)
    assert (found.shipping_status, found.shipping_tries) == ("failed", len(PAUSES) + 1)
    assert "http_500" in found.shipping_error


def test_what_wechat_refuses_is_not_tried_again(wechat):
    switch_on()
    order_id = paid(wechat)
    wechat.state.pay.order(order_id).payer = "somebody-else"
    assert shipping.report_due() == 0
    assert row(order_id).shipping_status == "failed"
    assert "10060019" in row(order_id).shipping_error
