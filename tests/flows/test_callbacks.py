"""Callbacks that verify and settle nothing: kept once, and answered so that WeChat does not send them again (O9)."""

from __future__ import annotations

import pytest

from app.domain.orders.models import PaymentNotification
from app.flows import callbacks
from sandbox import pay_callbacks
from sandbox.pay_state import PayAccount
from tests.conftest import pay_folder

TRADE = {"out_trade_no": "f" * 32, "trade_state": "NOTPAY", "amount": {"total": 20000, "currency": "CNY"}}


@pytest.mark.parametrize(
    ("event", "plain", "kind"),
    [
        ("TRANSACTION.SUCCESS", TRADE, "transaction"),  # says success around what is none
        ("TRANSACTION.SUCCESS", TRADE | {"trade_state": "SUCCESS"}, "transaction"),  # without WeChat's number
        ("MCHTRANSFER.BILL.FINISHED", {"out_bill_no": "x"}, "mch_payment"),
    ],
)
def test_what_settles_nothing_is_kept_once(app, event, plain, kind):
    account = PayAccount.read(pay_folder())
    body = pay_callbacks.seal(account, event, plain, kind, "EV-1")
    said = [callbacks.receive(pay_callbacks.headers_for(account, body), body) for _ in range(2)]
    assert said == ["ignored", "repeated"]
    kept = PaymentNotification.query.one()
    assert (kept.event_type, kept.outcome) == (event, "ignored")
