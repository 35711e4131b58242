"""WeChat Pay over real HTTP against the stand-in, with real signatures both ways (O8, O16, 90 S6)."""

from __future__ import annotations

import dataclasses
import json
from datetime import timedelta

import pytest

from app import clock
from app.gateways import wechat_pay
from app.gateways.errors import Permanent, RateLimited, Temporary, UnknownOutcome
from app.gateways.wechat_pay import CloseOutcome, NotConfigured, NotEnough, OrderClosed, OrderPaid
from app.ids import new_hex
from sandbox.testing import running_sandbox
from tests.conftest import make_settings, pay_folder


@pytest.fixture(scope="module")
def server():
    with running_sandbox(pay_keys=pay_folder()) as running:
        yield running


@pytest.fixture
def settings(server, tmp_path):
    server.reset()
    return make_settings(
        "sqlite:////nowhere/x.db", tmp_path, DESK_WXPAY_API_URL=server.url, DESK_WECHAT_APPID=server.state.appid
    )


@pytest.fixture
def client(settings):
    return wechat_pay.from_settings(settings)


def order(number: str | None = None, **changed):
    return {
        "out_trade_no": number or new_hex(), "description": "体验课：启蒙，体操", "total_fen": 20000,
        "time_expire": clock.now() + timedelta(minutes=15), "notify_url": "http://127.0.0.1:9/callback",
    } | changed  # fmt: skip


def native(client, **changed) -> str:
    asked = order(**changed)
    assert client.prepay_native(**asked).startswith("weixin://wxpay/bizpayurl")
    return asked["out_trade_no"]


def paid(server, client) -> str:
    number = native(client)
    assert server.pay(number, tell=False) == ""
    return number


def test_jsapi_gives_a_prepay_id_and_its_signature(server, client):
    asked = order()
    prepay_id = client.prepay_jsapi(openid="openid-1", **asked)
    first, second = client.sign_pay(prepay_id), client.sign_pay(prepay_id)
    assert first["package"] == f"prepay_id={prepay_id}"
    assert (first["signType"], first["appId"]) == ("RSA", server.state.appid)
    assert first["nonceStr"] != second["nonceStr"]
    # The same once more is the same order with a fresh prepay; other parameters are refused (96.38).
    assert client.prepay_jsapi(openid="openid-1", **asked) != prepay_id
    with pytest.raises(Permanent) as refusal:
        client.prepay_jsapi(openid="openid-1", **asked | {"total_fen": 1})
    assert refusal.value.code == "INVALID_REQUEST"


def test_a_payment_is_found_by_both_numbers(server, client):
    number = paid(server, client)
    trade = client.query(out_trade_no=number)
    assert (trade.trade_state, trade.total_fen, trade.currency, trade.openid) == ("SUCCESS", 20000, "CNY", "a-payer")
    assert trade.mchid == client._account.mchid
    assert abs(trade.success_time - clock.now()) < timedelta(seconds=5)
    assert client.query(transaction_id=trade.transaction_id) == trade
    assert client.query(out_trade_no=native(client)).trade_state == "NOTPAY"
    assert client.query(out_trade_no=new_hex()) is None


def test_closing(server, client):
    number = native(client)
    assert client.close(number) == CloseOutcome.CLOSED
    assert client.close(number) == CloseOutcome.CLOSED
    assert client.query(out_trade_no=number).trade_state == "CLOSED"
    assert client.close(paid(server, client)) == CloseOutcome.PAID
    assert client.close(new_hex()) == CloseOutcome.UNKNOWN_ORDER


def test_a_number_that_ended_starts_nothing(server, client):
    closed, done = order(), order()
    client.prepay_native(**closed)
    client.close(closed["out_trade_no"])
    with pytest.raises(OrderClosed):
        client.prepay_native(**closed)
    client.prepay_native(**done)
    server.pay(done["out_trade_no"], tell=False)
    with pytest.raises(OrderPaid):
        client.prepay_native(**done)


def test_a_time_that_is_too_near(client):
    with pytest.raises(Permanent) as refusal:
        native(client, time_expire=clock.now() + timedelta(seconds=30))
    assert refusal.value.code == "PARAM_ERROR"


def refund(server, client, amount=20000, number=None, transaction_id=None):
    trade_id = transaction_id or client.query(out_trade_no=paid(server, client)).transaction_id
    asked = {"refund_no": number or new_hex(), "transaction_id": trade_id, "refund_fen": amount, "total_fen": 20000,
             "reason": "未上课", "notify_url": "http://127.0.0.1:9/refund"}  # fmt: skip
    return asked, client.refund(**asked)


def test_a_refund_is_accepted_then_done_and_the_same_number_refunds_once(server, client):
    server.set_fault("wxpay", refund_delay=0.0)
    asked, state = refund(server, client, 12000)
    assert (state.status, state.refund_fen, state.refund_no) == ("PROCESSING", 12000, asked["refund_no"])
    again = client.refund(**asked)
    assert again.refund_id == state.refund_id
    done = client.query_refund(asked["refund_no"])
    assert (done.status, done.total_fen) == ("SUCCESS", 20000)
    assert done.success_time is not None
    with pytest.raises(Permanent):
        refund(server, client, 8001, transaction_id=asked["transaction_id"])
    refund(server, client, 8000, transaction_id=asked["transaction_id"])
    assert client.query_refund(new_hex()) is None


@pytest.mark.parametrize("result", ["ABNORMAL", "CLOSED"])
def test_a_refund_that_ends_badly(server, client, result):
    server.set_fault("wxpay", refund_result=result, refund_delay=0.0)
    asked, _ = refund(server, client)
    assert client.query_refund(asked["refund_no"]).status == result


def test_an_empty_account(server, client):
    server.set_fault("wxpay", not_enough=True)
    with pytest.raises(NotEnough):
        refund(server, client)


# ── what can go wrong ───────────────────────────────────────────────────────────────────────────────


def test_what_is_missing_is_named(settings):
    bare = dataclasses.replace(settings, wxpay=dataclasses.replace(settings.wxpay, apiv3_key="", public_keys=()))
    with pytest.raises(NotConfigured) as refusal:
        wechat_pay.from_settings(bare)
    assert "DESK_WXPAY_APIV3_KEY" in refusal.value.detail
    assert "DESK_WXPAY_PUBLIC_KEY_ID" in refusal.value.detail


def test_an_answer_that_wechat_did_not_sign_is_no_answer(server, client):
    server.set_fault("wxpay", wrong_signature=True)
    with pytest.raises(UnknownOutcome) as failure:
        client.prepay_native(**order())
    assert failure.value.code == "bad_signature"


@pytest.mark.parametrize("fault", ["wrong_signature", "unsigned"])
def test_a_no_that_wechat_did_not_sign_is_no_no(server, client, fault):
    """Else whoever stands between could say that an order was never paid, and its seat would be sold again."""
    number, closed = paid(server, client), order()
    asked, _ = refund(server, client, 8000)
    client.prepay_native(**closed)
    client.close(closed["out_trade_no"])
    server.set_fault("wxpay", **{fault: True})
    for said_no in (
        lambda: client.query(out_trade_no=new_hex()),
        lambda: client.query_refund(new_hex()),
        lambda: client.close(number),
        lambda: client.close(new_hex()),
        lambda: client.prepay_native(**closed),
        lambda: client.refund(**asked | {"refund_fen": 1}),
    ):
        with pytest.raises(UnknownOutcome) as failure:
            said_no()
        assert failure.value.code == "bad_signature"


class _Proxy:
    """An answer that somebody between us and WeChat made up."""

    def __init__(self, status: int, code: str):
        self.status_code, self.headers = status, {}
        self.content = json.dumps({"code": code, "message": "made up"}).encode()

    def json(self):
        return json.loads(self.content)


@pytest.mark.parametrize(
    ("status", "code", "kind", "expected"),
    [
        (302, "", UnknownOutcome, "bad_signature"),
        (400, "ORDER_PAID", UnknownOutcome, "bad_signature"),
        (404, "ORDER_NOT_EXIST", UnknownOutcome, "bad_signature"),
        # WeChat may not know whose key to sign with: believed as far as that it does not know us, no further.
        (401, "SIGN_ERROR", Permanent, "SIGN_ERROR"),
        (401, "ORDER_NOT_EXIST", Permanent, "http_401"),
        (401, "ORDER_CLOSED", Permanent, "http_401"),
        (429, "", RateLimited, "http_429"),
        (502, "ORDER_NOT_EXIST", Temporary, "ORDER_NOT_EXIST"),
    ],
)
def test_what_a_proxy_says_decides_nothing(client, monkeypatch, status, code, kind, expected):
    monkeypatch.setattr(wechat_pay.http, "request", lambda *_, **__: _Proxy(status, code))
    with pytest.raises(kind) as failure:
        client.query(out_trade_no=new_hex())
    assert failure.value.code == expected
    if status < 500:
        with pytest.raises(kind) as failure:
            client.close(new_hex())
        assert failure.value.code == expected


def test_too_many_calls_need_no_signature_to_be_too_many(server, client):
    server.set_fault("wxpay", rate_limited=True, unsigned=True)
    with pytest.raises(RateLimited):
        client.query(out_trade_no=new_hex())


def test_our_own_signature_is_looked_at(server, settings):
    stranger = dataclasses.replace(settings, wxpay=dataclasses.replace(settings.wxpay, cert_serial="ABC"))
    with pytest.raises(Permanent) as refusal:
        wechat_pay.from_settings(stranger).query(out_trade_no=new_hex())
    assert refusal.value.code == "SIGN_ERROR"


def test_too_many_calls(server, client):
    server.set_fault("wxpay", rate_limited=True)
    with pytest.raises(RateLimited) as pause:
        client.query(out_trade_no=new_hex())
    assert pause.value.retry_after == 5


def test_a_broken_provider_changed_nothing_by_a_question_and_maybe_something_by_an_order(server, client):
    server.set_fault("wxpay", down="error")
    with pytest.raises(Temporary):
        client.query(out_trade_no=new_hex())
    with pytest.raises(UnknownOutcome):
        client.prepay_native(**order())
    with pytest.raises(UnknownOutcome):
        client.refund(refund_no=new_hex(), transaction_id="4200", refund_fen=1, total_fen=1, reason="x", notify_url="u")


def test_a_cut_connection_leaves_the_outcome_open_and_the_same_call_settles_it(server, client):
    server.set_fault("wxpay", down="reset", times=1)
    asked = order()
    with pytest.raises(UnknownOutcome):
        client.prepay_native(**asked)
    assert client.prepay_native(**asked)


def test_nothing_secret_is_said(server, client, caplog):
    caplog.set_level("DEBUG")
    server.set_fault("wxpay", down="reset")
    with pytest.raises(UnknownOutcome) as failure:
        client.prepay_jsapi(openid="openid-secret", **order())
    said = caplog.text + repr(failure.value) + repr(client._account)
    assert "openid-secret" not in said
    assert "signature=" not in said
    assert "PRIVATE KEY" not in said
    assert client._account.apiv3_key not in said


def test_a_bill_comes_from_wechats_own_host_only(client):
    with pytest.raises(Permanent) as refusal:
        client.fetch_signed("http://elsewhere.example/v3/billdownload/file?token=x", "wxpay.bill")
    assert refusal.value.code == "foreign_host"
