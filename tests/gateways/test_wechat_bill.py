"""The day's bill: fetched from the sandbox with real signatures, and read from text as WeChat writes it."""

from __future__ import annotations

import dataclasses
import gzip
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from app import clock
from app.gateways import wechat_pay
from app.gateways.errors import Permanent, Temporary
from app.gateways.wechat_bill import BadBill, BillNotReady, read_bill, trade_bill
from app.ids import new_hex
from sandbox.testing import running_sandbox
from tests.conftest import make_settings, pay_folder

NOTIFY = "http://127.0.0.1:9/callback"

HEADER = (
    "交易时间,公众账号ID,商户号,特约商户号,设备号,微信订单号,商户订单号,用户标识,交易类型,交易状态,付款银行,货币种类,应结订单金额,代金券金额,"
    "微信退款单号,商户退款单号,退款金额,充值券退款金额,退款类型,退款状态,商品名称,商户数据包,手续费,费率,订单金额,申请退款金额,费率备注"
)
SUMMARY = "总交易单数,应结订单总金额,退款总金额,充值券退款总金额,手续费总金额,订单总金额,申请退款总金额"


def line(
    name: str = "体验课", state: str = "SUCCESS", paid: str = "200.00", back: str = "0.00", refund: str = "0"
) -> str:
    cells = [
        "2026-11-20 15:01:02", "wx1", "1900000001", "0", "", "4200001", "a" * 32, "openid-1", "JSAPI", state, "OTHERS",
        "CNY", paid, "0.00", refund, refund, back, "0.00", "", "", name, "", "1.20000", "0.60%", paid, back, "",
    ]  # fmt: skip
    return ",".join(f"`{cell}" for cell in cells)


def text(*lines: str, count: int | None = None) -> bytes:
    total = f"`{len(lines) if count is None else count},`200.00,`0.00,`0.00,`1.20000,`200.00,`0.00"
    return "\r\n".join([HEADER, *lines, SUMMARY, total, ""]).encode()


@pytest.fixture(scope="module")
def server():
    with running_sandbox(pay_keys=pay_folder()) as running:
        yield running


@pytest.fixture
def sandbox(server):
    server.reset()
    return server


@pytest.fixture
def client(sandbox, tmp_path):
    settings = make_settings("sqlite:////nowhere/x.db", tmp_path, DESK_WXPAY_API_URL=sandbox.url)
    return wechat_pay.from_settings(settings)


def paid(sandbox, client, description: str = "体验课") -> str:
    number = new_hex()
    client.prepay_jsapi(
        out_trade_no=number, description=description, total_fen=20000, openid="openid-1",
        time_expire=clock.now() + timedelta(minutes=15), notify_url=NOTIFY,
    )  # fmt: skip
    assert sandbox.pay(number, tell=False) == ""
    return number


def test_a_day_with_a_payment_and_a_refund(sandbox, client):
    number = paid(sandbox, client, "体验课,周六`上午")
    trade = client.query(out_trade_no=number)
    client.refund(
        refund_no="refund-1", transaction_id=trade.transaction_id, refund_fen=5050, total_fen=20000, reason="请假",
        notify_url=NOTIFY,
    )  # fmt: skip
    bill = read_bill(trade_bill(client, clock.today()))
    taken, back = sorted(bill.rows, key=lambda row: row.trade_state, reverse=True)
    assert (taken.trade_state, taken.paid, taken.out_trade_no, taken.openid) == (
        "SUCCESS", Decimal("200.00"), number, "openid-1",
    )  # fmt: skip
    assert (back.refund_no, back.refunded, back.transaction_id) == ("refund-1", Decimal("50.50"), trade.transaction_id)
    assert taken.refund_no is None
    assert abs(taken.at - datetime.now(UTC)) < timedelta(minutes=5)
    assert bill.summary["申请退款总金额"] == Decimal("50.50")


@pytest.mark.parametrize(
    "promised",
    [{}, {"download_url": 1, "hash_value": "a", "hash_type": "SHA1"},
     {"download_url": "u", "hash_value": "a", "hash_type": "MD5"}],
)  # fmt: skip
def test_a_promise_that_is_none(client, monkeypatch, promised):
    monkeypatch.setattr(client, "get_signed", lambda *_: promised)
    with pytest.raises(Temporary) as failure:
        trade_bill(client, clock.today())
    assert failure.value.code == "bad_answer"


def test_a_bill_that_is_still_being_made(sandbox, client):
    sandbox.set_fault("wxpay", bill_creating=True)
    with pytest.raises(BillNotReady) as failure:
        trade_bill(client, clock.today())
    assert (failure.value.code, failure.value.retry_after) == ("STATEMENT_CREATING", 1800)


def test_a_bill_that_is_refused(client):
    account = dataclasses.replace(client._account, cert_serial="ABC")
    with pytest.raises(Permanent) as failure:
        trade_bill(wechat_pay.WeChatPayClient(account, "wx1"), clock.today())
    assert failure.value.code == "SIGN_ERROR"


def test_a_day_without_payments_has_no_bill(client):
    assert trade_bill(client, clock.today() - timedelta(days=3)) is None


def test_a_file_that_is_not_the_promised_one(sandbox, client, monkeypatch):
    paid(sandbox, client)
    keep = sandbox.state.pay.keep_bill
    for data, code in ((b"no gzip", "not_gzip"), (gzip.compress(b"other"), "bad_hash")):
        monkeypatch.setattr(sandbox.state.pay, "keep_bill", lambda _data, other=data: keep(other))
        with pytest.raises(Temporary) as caught:
            trade_bill(client, clock.today())
        assert caught.value.code == code


@pytest.mark.parametrize("name", ["体验课", "体验课,上午", "a,`b", ",`,`,`", '"x"', "`"])
def test_whatever_the_goods_are_called(name):
    [row] = read_bill(text(line(name))).rows
    assert (row.paid, row.fee, row.refunded) == (Decimal("200.00"), Decimal("1.20000"), Decimal(0))
    assert row.at == datetime(2026, 11, 20, 7, 1, 2, tzinfo=UTC)


@pytest.mark.parametrize(
    "bad",
    [
        b"", b"\xff\xfe", b"a\nb\nc", HEADER.encode(), text(line(), count=2), text(line(paid="NaN")),
        text(line(paid="much")), text("`2026-11-20 15:01:02,`wx1"), text(line().replace("2026-11-20", "yesterday")),
        text(line()).replace("订单金额".encode(), "别的".encode()), text(line()[1:]),
        "\n".join([HEADER, line(), line()]).encode(),
    ],
)  # fmt: skip
def test_what_is_no_bill(bad):
    with pytest.raises(BadBill):
        read_bill(bad)


def test_a_mark_at_the_beginning_does_no_harm():
    assert len(read_bill(b"\xef\xbb\xbf" + text(line(), line())).rows) == 2
