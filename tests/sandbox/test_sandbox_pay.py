"""The stand-in of WeChat Pay: what the payer does, what the merchant is told and how often, who is turned away."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from datetime import timedelta

import pytest
import requests
from flask import Flask, request
from werkzeug.serving import make_server

from app import clock
from app.gateways import wechat_pay
from app.gateways.wechat_pay_notify import NotifyRejected, read_notification
from app.ids import new_hex
from sandbox.testing import running_sandbox
from tests.conftest import make_settings, pay_folder

OPENID = "demo-parent-01"


class Merchant:
    """Takes callbacks as the app does, and answers what it is told to."""

    def __init__(self):
        self.answers: list[int] = []
        self.taken: list[tuple[dict, bytes]] = []
        self.url = ""
        self._came = threading.Condition()

    def take(self):
        with self._came:
            self.taken.append((dict(request.headers), request.get_data()))
            self._came.notify_all()
            return "", self.answers.pop(0) if self.answers else 204

    def wait(self, count: int) -> list[tuple[dict, bytes]]:
        with self._came:
            assert self._came.wait_for(lambda: len(self.taken) >= count, timeout=5), len(self.taken)
            return list(self.taken)


@contextmanager
def serving(merchant: Merchant):
    app = Flask(__name__)
    app.add_url_rule("/callback", view_func=merchant.take, methods=["POST"])
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    merchant.url = f"http://127.0.0.1:{server.server_port}/callback"
    try:
        yield merchant
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def merchant():
    with serving(Merchant()) as running:
        yield running


@pytest.fixture(scope="module")
def server():
    with running_sandbox(pay_keys=pay_folder()) as running:
        running.state.pay.speed = 3000.0  # 15 seconds in five milliseconds
        yield running


@pytest.fixture
def sandbox(server):
    server.reset()
    return server


@pytest.fixture
def settings(sandbox, tmp_path):
    return make_settings("sqlite:////nowhere/x.db", tmp_path, DESK_WXPAY_API_URL=sandbox.url)


@pytest.fixture
def client(settings):
    return wechat_pay.from_settings(settings)


@pytest.fixture
def placed(client, merchant):
    """An order of OPENID's and what `wx.requestPayment` gets."""
    number = new_hex()
    prepay_id = client.prepay_jsapi(
        out_trade_no=number, description="体验课", total_fen=20000, openid=OPENID,
        time_expire=clock.now() + timedelta(minutes=15), notify_url=merchant.url,
    )  # fmt: skip
    return number, client.sign_pay(prepay_id)


def tap(sandbox, params, openid=OPENID, **more):
    answer = requests.post(f"{sandbox.url}/phone/{openid}/pay", json={**params, "action": "pay", **more}, timeout=5)
    assert answer.status_code == 200
    return answer.json()


def read(settings, taken, **changed):
    headers, body = taken
    options = {"now": clock.now(), "max_age": timedelta(minutes=5), "seen": lambda *_: False} | changed
    return read_notification(settings, headers, body, **options)


# ── the payer ───────────────────────────────────────────────────────────────────────────────────────


def test_the_payer_says_yes_and_the_merchant_is_told(sandbox, settings, client, merchant, placed):
    number, params = placed
    assert tap(sandbox, params)["errMsg"] == "requestPayment:ok"
    told = read(settings, merchant.wait(1)[0])
    trade = client.query(out_trade_no=number)
    assert (told.event_type, told.resource.transaction_id) == ("TRANSACTION.SUCCESS", trade.transaction_id)
    assert (trade.trade_state, trade.total_fen, trade.openid) == ("SUCCESS", 20000, OPENID)
    assert trade.transaction_id.startswith("4200")
    assert len(trade.transaction_id) == 28


def test_a_payment_is_taken_once(sandbox, merchant, placed):
    tap(sandbox, placed[1])
    again = tap(sandbox, placed[1])
    assert again == {"errMsg": "requestPayment:fail", "reason": "该订单已支付"}


def test_late_money_comes_after_the_seconds_that_were_set(sandbox, client, merchant, placed):
    number, params = placed
    sandbox.set_fault("wxpay", late_after=0.3)
    begun = time.monotonic()
    assert tap(sandbox, params, action="pay_late")["reason"] == "支付处理中"
    assert client.query(out_trade_no=number).trade_state == "NOTPAY"
    merchant.wait(1)
    assert 0.3 <= time.monotonic() - begun < 4
    assert client.query(out_trade_no=number).trade_state == "SUCCESS"


def test_the_control_page_lists_orders_refunds_and_callbacks(sandbox, client, merchant, placed):
    number, params = placed
    tap(sandbox, params)
    merchant.wait(1)
    paid = client.query(out_trade_no=number)
    client.refund(
        transaction_id=paid.transaction_id, refund_no="R1", refund_fen=8050, total_fen=20000, reason="<b>病假</b>",
        notify_url=merchant.url,
    )  # fmt: skip
    page = requests.get(sandbox.url, timeout=5).text
    for words in (number, "转入退款", "¥200.00", "¥80.50", "&lt;b&gt;病假&lt;/b&gt;", "处理中", "支付成功"):
        assert words in page
    assert "<b>病假" not in page
    # The list of calls by name does not grow with every order.
    assert "GET /v3/pay/transactions/out-trade-no/…</code> × 1" in page


@pytest.mark.parametrize("name", ["appId", "timeStamp", "nonceStr", "package", "paySign", "signType"])
def test_what_the_merchant_did_not_sign_is_refused(sandbox, client, placed, name):
    number, params = placed
    for bad in ("other", "", 1, None):
        assert tap(sandbox, {**params, name: bad})["reason"] == "支付签名验证失败"
    assert client.query(out_trade_no=number).trade_state == "NOTPAY"


def test_nobody_pays_in_anothers_name(sandbox, client, placed):
    number, params = placed
    assert tap(sandbox, params, "demo-parent-02")["reason"] == "下单账号与支付账号不一致"
    assert client.query(out_trade_no=number).trade_state == "NOTPAY"


def test_a_closed_order_is_not_paid(sandbox, client, placed):
    number, params = placed
    client.close(number)
    assert tap(sandbox, params)["reason"] == "订单已关闭"


def test_a_late_payment_beats_the_last_moment_and_the_closing(sandbox, settings, client, merchant, placed):
    number, params = placed
    sandbox.state.pay.order(number).time_expire = time.time() - 2
    assert tap(sandbox, params)["reason"] == "订单已过期，请返回商户重新下单"
    assert tap(sandbox, params, action="pay_late")["reason"] == "支付处理中"
    client.close(number)
    assert read(settings, merchant.wait(1)[0]).resource.out_trade_no == number
    assert client.query(out_trade_no=number).trade_state == "SUCCESS"


def test_a_code_is_scanned_until_the_next_one_is_made(sandbox, client, merchant):
    asked = {
        "out_trade_no": new_hex(), "description": "体验课", "total_fen": 20000, "notify_url": merchant.url,
        "time_expire": clock.now() + timedelta(minutes=15),
    }  # fmt: skip
    old, new = client.prepay_native(**asked), client.prepay_native(**asked)

    def scan(code_url):
        body = {"code_url": code_url, "openid": OPENID}
        return requests.post(f"{sandbox.url}/_control/pay/scan", json=body, timeout=5)

    assert scan(old).status_code == 400
    assert scan(new).json()["paid"] is True
    merchant.wait(1)


# ── telling the merchant ────────────────────────────────────────────────────────────────────────────


def test_it_is_told_again_until_it_answers_well(sandbox, settings, merchant, placed):
    merchant.answers = [500, 401, 302]
    tap(sandbox, placed[1])
    taken = merchant.wait(4)
    assert len({read(settings, one).id for one in taken}) == 1
    time.sleep(0.1)
    assert len(merchant.taken) == 4
    shown = requests.get(f"{sandbox.url}/_control/pay", timeout=5).json()
    assert [one["status"] for one in shown["callbacks"]] == [500, 401, 302, 204]


def test_nothing_is_told_while_callbacks_are_lost(sandbox, client, merchant, placed):
    sandbox.set_fault("wxpay", drop_callbacks=True)
    tap(sandbox, placed[1])
    time.sleep(0.1)
    assert merchant.taken == []
    assert client.query(out_trade_no=placed[0]).trade_state == "SUCCESS"


def test_several_at_once(sandbox, settings, merchant, placed):
    sandbox.set_fault("wxpay", duplicate_callbacks=4)
    tap(sandbox, placed[1])
    assert {read(settings, one).resource.out_trade_no for one in merchant.wait(5)} == {placed[0]}


@pytest.mark.parametrize(
    ("switch", "reason"),
    [
        ("wrong_signature", "bad_signature"), ("stale_callbacks", "stale"), ("other_serial", "unknown_serial"),
        ("probe_first", "probe"),
    ],
)  # fmt: skip
def test_callbacks_that_must_not_be_believed(sandbox, settings, merchant, placed, switch, reason):
    sandbox.set_fault("wxpay", **{switch: True})
    tap(sandbox, placed[1])
    with pytest.raises(NotifyRejected) as caught:
        read(settings, merchant.wait(1)[0])
    assert (caught.value.status, caught.value.reason) == (401, reason)


def test_another_amount_than_was_asked(sandbox, settings, client, merchant, placed):
    sandbox.set_fault("wxpay", wrong_amount=True)
    tap(sandbox, placed[1])
    assert read(settings, merchant.wait(1)[0]).resource.total_fen == 20001
    assert client.query(out_trade_no=placed[0]).total_fen == 20000


@pytest.mark.parametrize("result", ["SUCCESS", "ABNORMAL", "CLOSED"])
def test_a_refund_ends_as_the_switch_says(sandbox, settings, client, merchant, placed, result):
    sandbox.set_fault("wxpay", refund_delay=0.05, refund_result=result)
    sandbox.pay(placed[0], tell=False)
    asked = {
        "refund_no": "refund-1", "transaction_id": client.query(out_trade_no=placed[0]).transaction_id,
        "refund_fen": 20000, "total_fen": 20000, "reason": "请假", "notify_url": merchant.url,
    }  # fmt: skip
    assert client.refund(**asked).status == "PROCESSING"
    told = read(settings, merchant.wait(1)[0])
    assert (told.event_type, told.resource.status) == (f"REFUND.{result}", result)
    assert client.refund(**asked).status == client.query_refund("refund-1").status == result


def test_a_question_at_the_moment_of_the_end_does_not_swallow_the_callback(sandbox, settings, client, merchant, placed):
    sandbox.pay(placed[0], tell=False)
    asked = {
        "refund_no": "refund-1", "transaction_id": client.query(out_trade_no=placed[0]).transaction_id,
        "refund_fen": 19999, "total_fen": 20000, "reason": "请假", "notify_url": merchant.url,
    }  # fmt: skip
    state = sandbox.state.pay
    body = {
        "out_refund_no": "refund-0",
        "transaction_id": asked["transaction_id"],
        "amount": {"refund": 1, "total": 20000},
    }
    made = state.refund(body, 1000.0, delay=5.0, result="SUCCESS")
    assert [state.find_refund("refund-0", moment).status for moment in (1004.0, 1005.0)] == ["PROCESSING", "SUCCESS"]
    assert (state.take_ended(1005.1), state.take_ended(1005.2)) == ([made], [])
    sandbox.set_fault("wxpay", refund_delay=0.0)  # it has ended before its timer fires
    client.refund(**asked)
    assert client.query_refund("refund-1").status == "SUCCESS"
    assert [read(settings, one).resource.refund_no for one in merchant.wait(1)] == ["refund-1"]


# ── who is turned away ──────────────────────────────────────────────────────────────────────────────


def test_whoever_does_not_sign_gets_nothing(sandbox):
    url = f"{sandbox.url}/v3/pay/transactions/out-trade-no/abcdef?mchid=1900000001"
    for authorization in ("", "Bearer x", 'WECHATPAY2-SHA256-RSA2048 mchid="1900000001"'):
        answer = requests.get(url, headers={"Authorization": authorization}, timeout=5)
        assert (answer.status_code, answer.json()["code"]) == (401, "SIGN_ERROR")


def test_without_keys_the_stand_in_says_so():
    with running_sandbox() as bare:
        names = ("mchid", "nonce_str", "signature", "timestamp", "serial_no")
        form = "WECHATPAY2-SHA256-RSA2048 " + ",".join(f'{name}="1"' for name in names)
        answer = requests.get(f"{bare.url}/v3/bill/tradebill", headers={"Authorization": form}, timeout=5)
        assert answer.status_code == 500
        assert "--pay-keys" in answer.json()["message"]
