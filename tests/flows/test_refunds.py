"""Refunds and WeChat Pay together, over real HTTP against the stand-in: sent, asked about, lost on the way, refused
(O15, O16, I-26, I-27)."""

from __future__ import annotations

import dataclasses
import time
from datetime import timedelta

import pytest

from app import clock, config
from app.db import db
from app.domain.cases.models import CaseKind
from app.domain.orders import refund_hand, refund_progress
from app.domain.orders.errors import PaymentUnavailable
from app.domain.orders.models import PaymentNotification
from app.domain.orders.notifications import Received
from app.errors import InvalidState
from app.flows import callbacks, outbound, payments, refunds
from app.gateways import wechat_pay
from app.gateways.wechat_pay_facts import RefundState
from sandbox import pay_callbacks
from sandbox.pay_state import refund_notice
from sandbox.testing import running_sandbox
from tests.conftest import pay_folder
from tests.domain.orders import steps
from tests.domain.orders.refunds import MINUTE, Paid, actions, approved, kept_back, row
from tests.factories import make_family, parent_actor
from tests.portal import actor_of, make_staff


@pytest.fixture(scope="module")
def server():
    with running_sandbox(pay_keys=pay_folder()) as running:
        yield running


@pytest.fixture
def wechat(app, server, monkeypatch):
    """The stand-in, and the application pointed at it. It tells nobody: what is known was asked for."""
    server.reset()
    server.set_fault("wxpay", drop_callbacks=True, refund_delay=0.0)
    before = app.extensions["desk.settings"]
    settings = dataclasses.replace(
        before, wechat_appid=server.state.appid, wxpay=dataclasses.replace(before.wxpay, api_url=server.url)
    )
    monkeypatch.setitem(app.extensions, "desk.settings", settings)
    outbound.note_answer()
    return server


@pytest.fixture
def paid(wechat) -> Paid:
    """A trial that was paid at the stand-in."""
    family, session = make_family(), steps.trial_session()
    order_id = steps.order(family, session)
    payments.prepay(order_id=order_id, trade_type="JSAPI", actor=parent_actor(family))
    assert wechat.pay(order_id) == ""
    payments.confirm(order_id=order_id, family_id=family.id, actor=parent_actor(family))
    return Paid(family, session, order_id, make_staff("finance"), make_staff("manager"))


def at_wechat(wechat) -> list[int]:
    """The refunds there, in fen."""
    return [one.refund for one in wechat.state.pay.refunds.values()]


def later() -> None:
    """One run of the job when the next moment has come."""
    with clock.travel(by=MINUTE):
        refunds.run_due()


def sends(wechat) -> int:
    return sum(call["path"].endswith("/refunds") for call in wechat.calls())


def test_sent_and_done(wechat, paid):
    refund_no = approved(paid, "80.00")
    assert refunds.run_due() == 1
    assert refunds.run_due() == 0
    later()
    done = row(refund_no)
    assert (done.status, done.attempts) == ("succeeded", 1)
    assert done.wechat_refund_id == wechat.state.pay.refunds[refund_no].refund_id
    assert (at_wechat(wechat), sends(wechat)) == ([8000], 1)
    assert actions(refund_no)[-2:] == ["refund.accepted", "refund.succeeded"]


def test_accepted_is_asked_about_until_it_is_done(wechat, paid):
    wechat.set_fault("wxpay", refund_delay=0.4)
    refund_no = approved(paid)
    refunds.run_due()
    assert (row(refund_no).status, row(refund_no).wechat_status) == ("processing", "PROCESSING")
    time.sleep(0.5)
    later()
    assert (row(refund_no).status, at_wechat(wechat)) == ("succeeded", [20000])


def test_an_answer_that_is_lost_refunds_once(wechat, paid):
    """WeChat has done it, and its answer cannot be trusted: it is asked, not sent again."""
    refund_no = approved(paid)
    wechat.set_fault("wxpay", wrong_signature=True)
    refunds.run_due()
    assert (row(refund_no).status, row(refund_no).error_code) == ("processing", "bad_signature")
    wechat.set_fault("wxpay", wrong_signature=False)
    later()
    assert row(refund_no).status == "succeeded"
    assert (at_wechat(wechat), sends(wechat)) == ([20000], 1)


@pytest.mark.parametrize("down", ["error", "reset"])
def test_a_try_that_did_not_arrive_is_sent_again_under_its_number(wechat, paid, down):
    refund_no = approved(paid)
    wechat.set_fault("wxpay", down=down)
    refunds.run_due()
    later()
    assert (row(refund_no).status, at_wechat(wechat)) == ("processing", [])
    wechat.set_fault("wxpay", down="")
    with clock.travel(by=timedelta(minutes=5)):
        refunds.run_due()
        assert at_wechat(wechat) == [20000]
        assert (row(refund_no).attempts, actions(refund_no).count("refund.submitted")) == (2, 2)
    with clock.travel(by=timedelta(minutes=10)):
        refunds.run_due()
    assert (row(refund_no).status, at_wechat(wechat)) == ("succeeded", [20000])


def test_a_process_that_died_before_it_sent(wechat, paid):
    refund_no = approved(paid)
    refund_progress.claim(refund_no=refund_no, actor=steps.WECHAT)
    assert refunds.run_due() == 0
    later()
    with clock.travel(by=timedelta(minutes=4)):
        refunds.run_due()
    assert (row(refund_no).status, at_wechat(wechat)) == ("succeeded", [20000])


def test_a_process_that_died_after_it_sent(wechat, paid):
    refund_no = approved(paid)
    claimed = refund_progress.claim(refund_no=refund_no, actor=steps.WECHAT)
    refunds._send(wechat_pay.from_settings(config.current()), claimed)
    later()
    assert (row(refund_no).status, at_wechat(wechat), sends(wechat)) == ("succeeded", [20000], 1)


def test_an_empty_account_fails_it_and_a_retry_goes_through(wechat, paid):
    refund_no = approved(paid)
    wechat.set_fault("wxpay", not_enough=True)
    refunds.run_due()
    assert (row(refund_no).status, row(refund_no).error_code) == ("failed", "NOT_ENOUGH")
    assert steps.open_cases() == [CaseKind.REFUND_FAILED]
    wechat.set_fault("wxpay", not_enough=False)
    refund_hand.retry(refund_no=refund_no, actor=actor_of(paid.finance))
    refunds.run_due()
    later()
    assert (row(refund_no).status, at_wechat(wechat), steps.open_cases()) == ("succeeded", [20000], [])


@pytest.mark.parametrize(
    ("result", "status", "case", "kept"),
    [("ABNORMAL", "failed", CaseKind.REFUND_ABNORMAL, 200), ("CLOSED", "closed", CaseKind.REFUND_FAILED, 0)],
)
def test_other_ends(wechat, paid, result, status, case, kept):
    wechat.set_fault("wxpay", refund_result=result)
    refund_no = approved(paid)
    refunds.run_due()
    later()
    assert (row(refund_no).status, steps.open_cases(), kept_back()) == (status, [case], kept)


def test_a_wrong_key_of_ours_is_no_refusal_of_the_refund(wechat, paid, app, monkeypatch):
    refund_no = approved(paid)
    settings = config.current()
    wrong = dataclasses.replace(settings, wxpay=dataclasses.replace(settings.wxpay, cert_serial="0" * 40))
    with monkeypatch.context() as patch:
        patch.setitem(app.extensions, "desk.settings", wrong)
        refunds.run_due()
    assert (row(refund_no).status, row(refund_no).error_code) == ("processing", "SIGN_ERROR")
    later()
    with clock.travel(by=timedelta(minutes=4)):
        refunds.run_due()
    assert (row(refund_no).status, at_wechat(wechat)) == ("succeeded", [20000])


def test_without_credentials_it_waits(wechat, paid, app, monkeypatch):
    refund_no = approved(paid)
    settings = config.current()
    none = dataclasses.replace(settings, wxpay=dataclasses.replace(settings.wxpay, mchid=""))
    with monkeypatch.context() as patch:
        patch.setitem(app.extensions, "desk.settings", none)
        assert refunds.run_due() == 0
        with pytest.raises(PaymentUnavailable):
            refunds.ask_now(refund_no)
    assert row(refund_no).status == "approved"


def test_two_parts_go_a_minute_apart(wechat, paid):
    first, second = approved(paid, "50.00"), approved(paid, "60.00")
    refunds.run_due()
    assert at_wechat(wechat) == [5000]
    with clock.travel(by=timedelta(minutes=3)):
        refunds.run_due()
    assert sorted(at_wechat(wechat)) == [5000, 6000]
    with clock.travel(by=timedelta(minutes=6)):
        refunds.run_due()
    assert {row(first).status, row(second).status} == {"succeeded"}


# ── callbacks and people ────────────────────────────────────────────────────────────────────────────


def notify(refund_no: str, status: str, number: str = "EV-1", **facts) -> str:
    state = RefundState(refund_no, "5030", status, refund_fen=20000, success_time=clock.now(), **facts)
    received = Received(number, f"REFUND.{status}", {"out_refund_no": refund_no}, "1700000000", number, b"{}")
    return refunds.apply_notification(state, received)


def test_a_callback_before_the_answer_and_again(wechat, paid):
    """WeChat's word may overtake its own answer, and come twice."""
    refund_no = approved(paid)
    refund_progress.claim(refund_no=refund_no, actor=steps.WECHAT)
    assert notify(refund_no, "SUCCESS") == "settled"
    assert notify(refund_no, "SUCCESS") == "repeated"
    assert notify(refund_no, "CLOSED", "EV-2") == "repeated"
    assert (row(refund_no).status, row(refund_no).wechat_refund_id) == ("succeeded", "5030")
    assert db.session.query(PaymentNotification).count() == 2
    assert notify("f" * 32, "SUCCESS", "EV-3") == "unknown"


def test_a_signed_callback_says_how_it_ended(wechat, paid):
    """The whole way in: signature, decryption, our row, the answer to its repetition."""
    wechat.set_fault("wxpay", refund_result="ABNORMAL", refund_delay=60.0)
    refund_no = approved(paid)
    refunds.run_due()
    one, account = wechat.state.pay.refunds[refund_no], wechat.state.pay.account
    one.status, one.ended = "ABNORMAL", time.time()
    body = pay_callbacks.seal(account, "REFUND.ABNORMAL", refund_notice(one, account.mchid), "refund")
    headers = pay_callbacks.headers_for(account, body)
    assert callbacks.receive(headers, body) == "settled"
    assert (row(refund_no).status, steps.open_cases()) == ("failed", [CaseKind.REFUND_ABNORMAL])
    assert callbacks.receive(pay_callbacks.headers_for(account, body), body) == "repeated"
    with pytest.raises(callbacks.CallbackRefused):
        callbacks.receive(pay_callbacks.headers_for(account, body, wrong=True), body)


def test_nobody_pays_by_hand_what_wechat_is_paying(wechat, paid):
    refund_no = approved(paid)
    wechat.set_fault("wxpay", refund_delay=60.0)
    refunds.run_due()
    given = {"note": "转账", "method": "cash"}
    with pytest.raises(InvalidState):
        refunds.pay_out(refund_no=refund_no, actor=actor_of(paid.manager), **given)
    # Even where our row says that it failed: WeChat is asked first.
    lost = approved(steps_paid(wechat))
    wechat.set_fault("wxpay", refund_delay=60.0)
    refunds.run_due()
    refund_progress.could_not_start(refund_no=lost, code="X", text="", permanent=True, actor=steps.WECHAT)
    with pytest.raises(InvalidState):
        refunds.close(refund_no=lost, note="不退了", actor=actor_of(paid.manager))
    assert row(lost).status == "processing"


def test_by_hand_after_wechat_could_not(wechat, paid):
    wechat.set_fault("wxpay", refund_result="ABNORMAL")
    refund_no = approved(paid)
    refunds.run_due()
    later()
    assert refunds.ask_now(refund_no) == "ABNORMAL"
    refunds.pay_out(refund_no=refund_no, method="cash", note="当面退现金", actor=actor_of(paid.manager))
    assert (row(refund_no).status, steps.open_cases()) == ("succeeded", [])


def test_while_wechat_is_away_nothing_is_paid_by_hand(wechat, paid):
    wechat.set_fault("wxpay", not_enough=True)
    refund_no = approved(paid)
    refunds.run_due()
    wechat.set_fault("wxpay", down="error")
    with pytest.raises(PaymentUnavailable):
        refunds.close(refund_no=refund_no, note="不退了", actor=actor_of(paid.manager))
    wechat.set_fault("wxpay", down="")
    refunds.close(refund_no=refund_no, note="不退了", actor=actor_of(paid.manager))
    assert (row(refund_no).status, kept_back()) == ("closed", 0)


def steps_paid(wechat) -> Paid:
    family, session = make_family(), steps.trial_session()
    order_id = steps.order(family, session)
    payments.prepay(order_id=order_id, trade_type="JSAPI", actor=parent_actor(family))
    wechat.pay(order_id)
    payments.confirm(order_id=order_id, family_id=family.id, actor=parent_actor(family))
    return Paid(family, session, order_id, make_staff("finance"), make_staff("manager"))
