"""Whatever bytes come: callbacks, bills, amounts and sheets are refused in words, never by another error (S14).

Short in the suite; `make security` runs each for DESK_FUZZ_EXAMPLES examples.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from werkzeug.datastructures import Headers

from app import money, sheets
from app.domain.desk import bulk_sheet
from app.errors import Invalid
from app.gateways.wechat_bill import BadBill, read_bill
from app.gateways.wechat_pay_notify import NotifyRejected, read_notification
from sandbox.pay_callbacks import headers_for, seal
from sandbox.pay_state import PayAccount
from tests.conftest import make_settings, pay_folder

EXAMPLES = int(os.environ.get("DESK_FUZZ_EXAMPLES", "40"))
fuzzed = settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
    derandomize=EXAMPLES < 100,
)

BILL_HEAD = (
    "交易时间,公众账号ID,商户号,微信订单号,商户订单号,用户标识,交易类型,交易状态,货币种类,订单金额,微信退款单号,"
    "商户退款单号,申请退款金额,退款状态,商品名称,手续费"
)
BILL = (
    f"\ufeff{BILL_HEAD}\r\n"
    "`2026-11-20 10:00:00,`wx1,`19,`42,`a,`o,`JSAPI,`SUCCESS,`CNY,`200.00,`0,`0,`0.00,`,`体验课,`1.20\r\n"
    "总交易单数,应结订单总金额,退款总金额,充值券退款总金额,手续费总金额,订单总金额,申请退款总金额\r\n"
    "`1,`200.00,`0.00,`0.00,`1.20,`200.00,`0.00\r\n"
).encode()


@st.composite
def mangled(draw, whole: bytes) -> bytes:
    """A true file with some bytes changed, cut out or put in."""
    data = bytearray(whole)
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, max(len(data) - 1, 0)))
        how, piece = draw(st.sampled_from(["set", "cut", "put"])), draw(st.binary(max_size=8))
        data[at : at + (len(piece) if how != "put" else 0)] = b"" if how == "cut" else piece
    return bytes(data)


@fuzzed
@given(st.one_of(st.text("0123456789.-+eE, \u00a0０１٣٫，NaIinf_x", max_size=24),
                 st.integers(), st.floats(), st.none()))  # fmt: skip
def test_amounts(typed):
    try:
        amount = money.parse(typed)
    except Invalid:
        return
    assert money.plain(amount) == f"{Decimal(typed):.2f}"
    assert Decimal("0") <= amount <= money.MAX_AMOUNT
    assert typed.isascii()


def test_the_true_bill_is_read():
    assert read_bill(BILL).rows[0].paid == Decimal("200.00")


@fuzzed
@given(st.one_of(mangled(BILL), st.binary(max_size=400)))
def test_bills(data):
    try:
        bill = read_bill(data)
    except BadBill:
        return
    assert all(row.paid.is_finite() for row in bill.rows)


@fuzzed
@given(st.one_of(mangled(",".join(bulk_sheet.COLUMNS).encode() + b"\n1,,,5.00,,,,,x\n"), st.binary(max_size=400),
                 st.binary(max_size=200).map(lambda tail: sheets.ZIP + tail)))  # fmt: skip
def test_sheets(data):
    try:
        sheet = sheets.read(data, bulk_sheet.COLUMNS, max_rows=50)
    except sheets.BadSheet:
        return
    bulk_sheet.gather(sheet.rows)


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    account = PayAccount.read(pay_folder())
    body = seal(account, "TRANSACTION.SUCCESS", {"appid": "wx1"}, "transaction", "EV-1")
    keys = make_settings("sqlite:////nowhere/x.db", tmp_path_factory.mktemp("fuzz"))
    return keys, headers_for(account, body), body


@fuzzed
@given(data=st.data())
def test_callbacks(told, data):
    """One byte of body or headers that is another: refused, and nothing but NotifyRejected comes out."""
    keys, headers, body = told
    name = data.draw(st.sampled_from([*headers, "body"]))
    changed = dict(headers)
    if name == "body":
        body = data.draw(mangled(body))
    else:
        changed[name] = data.draw(st.text("09azAZ+/= ,;:_-\u00e9", max_size=60))
    if (changed, body) == (headers, told[2]):
        return
    with pytest.raises(NotifyRejected):
        read_notification(keys, Headers(changed), body, now=datetime.now(UTC), max_age=timedelta(minutes=5),
                          seen=lambda *_: False)  # fmt: skip
