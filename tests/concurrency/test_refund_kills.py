"""A refund whose process is killed at any statement is refunded exactly once (I-27): real processes, real commits, and
the stand-in over HTTP."""

from __future__ import annotations

import dataclasses
import os
import signal
from datetime import timedelta

import pytest
from flask import current_app

from app import clock
from app.config import WeChatPay
from app.db import db
from app.domain.orders.models import Refund
from app.flows import payments, refunds
from sandbox.testing import running_sandbox
from tests.concurrency import failpoints
from tests.concurrency.failpoints import Failpoint, Fuse
from tests.concurrency.processes import pool
from tests.conftest import pay_folder
from tests.domain.orders import steps
from tests.domain.orders.refunds import Paid, approved, row
from tests.factories import make_family, parent_actor
from tests.portal import make_staff

pytestmark = [pytest.mark.concurrency, pytest.mark.faults]

#: every so many statements of a run one kill
STRIDE = 3


def point_to(app, appid: str, wxpay: WeChatPay) -> None:
    settings = app.extensions["desk.settings"]
    app.extensions["desk.settings"] = dataclasses.replace(settings, wechat_appid=appid, wxpay=wxpay)


def counted(appid: str, wxpay: WeChatPay) -> list[str]:
    """One run of the job that lives; the statements that it sent."""
    point_to(current_app, appid, wxpay)
    fuse = Fuse()
    failpoints.watch(lambda: fuse, db.engine)
    refunds.run_due()
    db.session.remove()
    return fuse.statements


def in_a_child(point: Failpoint) -> int | None:
    """One run of the job in a forked process that dies at the point; the signal that ended it."""
    db.session.remove()
    db.engine.dispose()
    child = os.fork()
    if child == 0:
        fuse = Fuse(point)
        with db.engine.connect():
            pass
        failpoints.watch(lambda: fuse, db.engine)
        refunds.run_due()
        os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WTERMSIG(status) if os.WIFSIGNALED(status) else None


def paid_at(wechat) -> Paid:
    family, session = make_family(), steps.trial_session()
    order_id = steps.order(family, session)
    payments.prepay(order_id=order_id, trade_type="JSAPI", actor=parent_actor(family))
    assert wechat.pay(order_id) == ""
    payments.confirm(order_id=order_id, family_id=family.id, actor=parent_actor(family))
    return Paid(family, session, order_id, make_staff("finance"), make_staff("manager"))


def test_killed_at_any_statement_it_is_refunded_once(live_app):
    with (
        running_sandbox(pay_keys=pay_folder()) as wechat,
        pool(live_app, 1) as members,
        live_app.app_context(),
    ):
        wechat.set_fault("wxpay", drop_callbacks=True, refund_delay=0.0)
        settings = live_app.extensions["desk.settings"]
        wxpay = dataclasses.replace(settings.wxpay, api_url=wechat.url)
        point_to(live_app, wechat.state.appid, wxpay)
        approved(paid_at(wechat))
        statements = members.apply(counted, (wechat.state.appid, wxpay))
        points = [Failpoint("before", number) for number in range(2, len(statements), STRIDE)]
        # A COMMIT that was made is the moment between our row and WeChat.
        points += [Failpoint("after", n) for n, text in enumerate(statements, 1) if text.startswith("COMMIT")]
        states = []
        for point in points:
            refund_no = approved(paid_at(wechat))
            assert members.apply(in_a_child, (point,)) == signal.SIGKILL, str(point)
            states.append((row(refund_no).status, refund_no in wechat.state.pay.refunds))
            for minutes in (2, 4, 6):
                with clock.travel(by=timedelta(minutes=minutes)):
                    refunds.run_due()
            assert row(refund_no).status == "succeeded", str(point)
        # The kills fell before the try was written, between it and WeChat, and after WeChat had it.
        assert {("approved", False), ("processing", False), ("processing", True)} <= set(states)
        at_wechat = wechat.state.pay.refunds
        assert sorted(at_wechat) == sorted(one.refund_no for one in db.session.query(Refund))
        assert {one.refund for one in at_wechat.values()} == {20000}
