"""What WeChat was asked and what it said stands in the audit rows of payments and refunds, without secrets (R7)."""

from __future__ import annotations

import json

import pytest
import sqlalchemy as sa

from app.db import db
from app.domain.audit import actions
from app.domain.audit.actor import system
from app.domain.audit.models import AuditEntry
from app.domain.orders import attempts, refund_progress
from tests.domain.orders import steps
from tests.domain.orders.refunds import paid_trial, say, sent
from tests.factories import make_family

WECHAT = system("微信支付")


def said(order_id: str) -> dict[str, AuditEntry]:
    """The last row of each action of this order that has words of an outside system."""
    db.session.rollback()
    rows = db.session.scalars(sa.select(AuditEntry).where(AuditEntry.order_id == order_id).order_by(AuditEntry.id))
    found = {row.action: row for row in rows if row.request or row.answer}
    assert all(actions.word(name) != name for name in found)
    return found


def written(rows) -> str:
    return json.dumps([[row.request, row.answer, row.before, row.after] for row in rows.values()], ensure_ascii=False)


def test_a_payment_from_asking_to_paid(app):
    family = make_family()
    order_id = steps.order(family, steps.trial_session())
    begun = steps.begin(family, order_id)
    attempts.note_start(attempt_id=begun.id, result="ok", code_url="weixin://secret-code", actor=WECHAT)
    steps.pay(family, order_id, openid="openid-of-a-grandmother-9876")

    rows = said(order_id)
    assert rows["payment.started"].request | {"time_expire": ""} == {
        "call": "pay/transactions/native", "out_trade_no": begun.out_trade_no, "amount": "200.00", "time_expire": "",
    }  # fmt: skip
    assert rows["payment.answered"].answer == {"result": "ok", "prepay_id": False, "code_url": True}
    paid = rows["order.paid"].answer
    assert (paid["trade_state"], paid["total"], paid["openid"]) == ("SUCCESS", "200.00", "…9876")
    assert "grandmother" not in written(rows)
    assert "secret-code" not in written(rows)


def test_a_start_that_wechat_refused_says_why(app):
    family = make_family()
    order_id = steps.order(family, steps.trial_session())
    attempts.note_start(attempt_id=steps.begin(family, order_id).id, result="SYSTEM_ERROR")
    row = said(order_id)["payment.answered"]
    assert (row.error, row.answer["result"]) == ("SYSTEM_ERROR", "SYSTEM_ERROR")


def test_a_payment_that_does_not_fit_keeps_what_was_said(app):
    family = make_family()
    order_id = steps.order(family, steps.trial_session())
    steps.pay(family, order_id, mchid="another")
    row = said(order_id)["payment.mismatched"]
    assert (row.answer["mchid"], "mchid" in row.error) == ("another", True)


@pytest.mark.parametrize(("status", "action"), [("SUCCESS", "succeeded"), ("ABNORMAL", "failed"), ("CLOSED", "closed")])
def test_a_refund_from_asking_to_its_end(app, status, action):
    paid = paid_trial()
    number = sent(paid)
    for word in ("PROCESSING", status):
        say(number, word, account="零钱")

    rows = said(paid.order_id)
    assert rows["refund.submitted"].request["call"] == "refund/domestic/refunds"
    assert rows["refund.submitted"].request["amount"] == rows["refund.submitted"].request["total"] == "200.00"
    assert rows["refund.accepted"].answer["status"] == "PROCESSING"
    assert rows[f"refund.{action}"].answer["status"] == status
    assert rows[f"refund.{action}"].answer["refund_id"] == "50300001"


def test_a_refused_refund_keeps_the_refusal(app):
    paid = paid_trial()
    refund_progress.could_not_start(
        refund_no=sent(paid), code="NOT_ENOUGH", text="余额不足", permanent=True, actor=WECHAT
    )
    assert said(paid.order_id)["refund.failed"].answer == {"code": "NOT_ENOUGH", "message": "余额不足"}
