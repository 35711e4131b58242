"""The callback corpus: what does not verify is refused without a word to anybody (O9, S6, I-21)."""

from __future__ import annotations

import dataclasses
import json
import time
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st
from werkzeug.datastructures import Headers

from app.gateways.wechat_pay_notify import NotifyRejected, read_notification
from sandbox.pay_callbacks import headers_for, seal
from sandbox.pay_state import PayAccount
from tests.conftest import make_settings, pay_folder

PAID = {
    "appid": "wx1", "mchid": "1900000001", "out_trade_no": "a" * 32, "transaction_id": "4200001", "trade_type": "JSAPI",
    "trade_state": "SUCCESS", "trade_state_desc": "支付成功", "bank_type": "OTHERS", "attach": "",
    "success_time": "2026-11-20T19:00:00+08:00", "payer": {"openid": "o1"},
    "amount": {"total": 20000, "payer_total": 20000, "currency": "CNY", "payer_currency": "CNY"},
}  # fmt: skip


@pytest.fixture(scope="module")
def account():
    return PayAccount.read(pay_folder())


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    return make_settings("sqlite:////nowhere/x.db", tmp_path_factory.mktemp("notify"))


def take(settings, headers, body, *, seen=lambda *_: False):
    headers = headers if isinstance(headers, Headers) else Headers(headers)
    return read_notification(
        settings, headers, body, now=datetime.now(UTC), max_age=timedelta(minutes=5), seen=seen
    )  # fmt: skip


def paid(account, plain=PAID, event="TRANSACTION.SUCCESS", kind="transaction"):
    body = seal(account, event, plain, kind, "EV-1")
    return headers_for(account, body), body


def test_a_true_one_is_read(account, settings):
    found = take(settings, *paid(account))
    assert (found.id, found.event_type) == ("EV-1", "TRANSACTION.SUCCESS")
    assert (found.resource.total_fen, found.resource.openid, found.resource.trade_state) == (20000, "o1", "SUCCESS")
    assert found.resource.success_time == datetime(2026, 11, 20, 11, tzinfo=UTC)
    assert found.plain == PAID


def test_a_refunds_too(account, settings):
    plain = {"mchid": "1", "out_trade_no": "a" * 32, "transaction_id": "42", "out_refund_no": "r1", "refund_id": "50",
             "refund_status": "ABNORMAL", "user_received_account": "零钱",
             "amount": {"total": 20000, "refund": 100, "payer_total": 20000, "payer_refund": 100}}  # fmt: skip
    found = take(settings, *paid(account, plain, "REFUND.ABNORMAL", "refund"))
    assert (found.resource.refund_no, found.resource.status, found.resource.refund_fen) == ("r1", "ABNORMAL", 100)


def test_two_keys_are_good_at_once(account, settings):
    ids = settings.wxpay.public_keys[0]
    both = dataclasses.replace(
        settings, wxpay=dataclasses.replace(settings.wxpay, public_keys=(("PUB_KEY_ID_NEW", ids[1]), ids))
    )
    headers, body = paid(account)
    assert take(both, headers, body)
    assert take(both, headers | {"Wechatpay-Serial": "PUB_KEY_ID_NEW"}, body)


def changed(name, value):
    return lambda headers, body: (headers | {name: value}, body)


def without(name):
    return lambda headers, body: ({k: v for k, v in headers.items() if k != name}, body)


def flipped(at):
    def flip(headers, body):
        spot = at % len(body)
        return headers, body[:spot] + bytes([body[spot] ^ 1]) + body[spot + 1 :]

    return flip


def doubled(name):
    def double(headers, body):
        two = Headers(headers)
        two.add(name, headers[name])
        return two, body

    return double


CORPUS = {
    "no headers at all": (lambda headers, body: ({}, body), 401, "missing_header"),
    "no signature": (without("Wechatpay-Signature"), 401, "missing_header"),
    "no timestamp": (without("Wechatpay-Timestamp"), 401, "missing_header"),
    "no nonce": (without("Wechatpay-Nonce"), 401, "missing_header"),
    "no serial": (without("Wechatpay-Serial"), 401, "missing_header"),
    "no signature type": (without("Wechatpay-Signature-Type"), 401, "missing_header"),
    "empty signature": (changed("Wechatpay-Signature", ""), 401, "missing_header"),
    "two signatures": (doubled("Wechatpay-Signature"), 401, "missing_header"),
    "two timestamps": (doubled("Wechatpay-Timestamp"), 401, "missing_header"),
    "another type": (changed("Wechatpay-Signature-Type", "WECHATPAY2-SM2-WITH-SM3"), 401, "signature_type"),
    "unknown key id": (changed("Wechatpay-Serial", "PUB_KEY_ID_0"), 401, "unknown_serial"),
    "unknown hex serial": (changed("Wechatpay-Serial", "5157F09EFDC096DE15EBE81A47057A72"), 401, "unknown_serial"),
    "probe": (changed("Wechatpay-Signature", "WECHATPAY/SIGNTEST/abc"), 401, "probe"),
    "no Base64": (changed("Wechatpay-Signature", "!!!"), 401, "bad_signature"),
    "signature of nothing": (changed("Wechatpay-Signature", "AAAA"), 401, "bad_signature"),
    "five minutes and a second old": (lambda h, b: (h | {"Wechatpay-Timestamp": str(int(time.time()) - 302)}, b), 401,
                                      "stale"),
    "from the future": (lambda h, b: (h | {"Wechatpay-Timestamp": str(int(time.time()) + 303)}, b), 401, "stale"),
    "a second later than signed": (lambda h, b: (h | {"Wechatpay-Timestamp": str(int(h["Wechatpay-Timestamp"]) + 1)},
                                                 b), 401, "bad_signature"),
    "no number as timestamp": (changed("Wechatpay-Timestamp", "soon"), 401, "stale"),
    "a huge timestamp": (changed("Wechatpay-Timestamp", "9" * 300), 401, "stale"),
    "full-width digits": (changed("Wechatpay-Timestamp", "１７００００００００"), 401, "stale"),
    "another nonce": (changed("Wechatpay-Nonce", "x"), 401, "bad_signature"),
    "first byte flipped": (flipped(0), 401, "bad_signature"),
    "middle byte flipped": (flipped(300), 401, "bad_signature"),
    "last byte flipped": (flipped(-1), 401, "bad_signature"),
    "written anew": (lambda h, b: (h, json.dumps(json.loads(b)).encode()), 401, "bad_signature"),
    "empty body": (lambda h, b: (h, b""), 401, "bad_signature"),
    "a byte too many": (lambda h, b: (h, b + b" "), 401, "bad_signature"),
    "larger than 64 KB": (lambda h, b: (h, b"x" * (64 * 1024 + 1)), 413, "too_large"),
}  # fmt: skip


@pytest.mark.parametrize("name", CORPUS)
def test_what_is_not_wechats(account, settings, name):
    change, status, reason = CORPUS[name]
    headers, body = change(*paid(account))
    asked = []
    with pytest.raises(NotifyRejected) as refusal:
        take(settings, headers, body, seen=lambda *pair: asked.append(pair) or False)
    assert (refusal.value.status, refusal.value.reason) == (status, reason)
    assert asked == [], "the database is asked for nobody's sake"


def signed(account, body: bytes):
    return headers_for(account, body), body


def resealed(account, **resource):
    envelope = json.loads(seal(account, "TRANSACTION.SUCCESS", PAID, "transaction"))
    envelope["resource"] |= resource
    return signed(account, json.dumps(envelope).encode())


RUBBISH = {
    "not JSON": b"hello",
    "not UTF-8": b"\xff\xfe",
    "a list": b"[]",
    "a number": b"1",
    "deep": b"[" * 5000,
    "no fields": b"{}",
    "fields of other types": b'{"id": 1, "event_type": [], "resource": {}}',
    "no resource": b'{"id": "a", "event_type": "TRANSACTION.SUCCESS"}',
    "a long id": json.dumps({"id": "x" * 65, "event_type": "T", "resource": {}}).encode(),
}


@pytest.mark.parametrize("name", RUBBISH)
def test_rubbish_that_is_signed(account, settings, name):
    with pytest.raises(NotifyRejected) as refusal:
        take(settings, *signed(account, RUBBISH[name]))
    assert refusal.value.status == 400


@pytest.mark.parametrize("change", [
    {"ciphertext": "AAAA"}, {"ciphertext": "not base64"}, {"ciphertext": 5}, {"associated_data": "other"},
    {"nonce": "000000000000"}, {"nonce": ""}, {"nonce": "x"}, {"algorithm": "AEAD_AES_128_GCM"}, {"algorithm": None},
])  # fmt: skip
def test_a_resource_that_does_not_open(account, settings, change):
    with pytest.raises(NotifyRejected) as refusal:
        take(settings, *resealed(account, **change))
    assert (refusal.value.status, refusal.value.reason) == (400, "bad_resource")


@pytest.mark.parametrize("plain", [
    {}, {"out_trade_no": 5, "trade_state": "SUCCESS"}, PAID | {"amount": {"total": "20000"}},
    PAID | {"amount": {"total": True}}, PAID | {"success_time": "soon"}, PAID | {"success_time": "2026-11-20T19:00:00"},
    PAID | {"payer": []}, PAID | {"trade_state": None},
])  # fmt: skip
def test_a_trade_that_wechat_does_not_send(account, settings, plain):
    with pytest.raises(NotifyRejected) as refusal:
        take(settings, *paid(account, plain))
    assert refusal.value.status == 400


def test_a_nonce_that_was_used_for_something_else(account, settings):
    with pytest.raises(NotifyRejected) as refusal:
        take(settings, *paid(account), seen=lambda *_: True)
    assert (refusal.value.status, refusal.value.reason) == (401, "replayed")


@examples(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    values=st.lists(st.text(st.characters(codec="latin-1", exclude_characters="\r\n"), max_size=80), min_size=5,
                    max_size=5),
    body=st.binary(max_size=400),
)  # fmt: skip
def test_nothing_else_ever_escapes(settings, values, body):
    names = ("Wechatpay-Timestamp", "Wechatpay-Nonce", "Wechatpay-Signature", "Wechatpay-Serial",
             "Wechatpay-Signature-Type")  # fmt: skip
    with pytest.raises(NotifyRejected):
        take(settings, dict(zip(names, values, strict=True)), body)


@examples(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=st.one_of(
    st.binary(max_size=300),
    st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=20),
                 lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(
                     ["id", "event_type", "resource", "nonce", "ciphertext", "associated_data", "algorithm"]),
                     inner, max_size=5), max_leaves=12).map(lambda found: json.dumps(found).encode()),
))  # fmt: skip
def test_nor_from_what_is_signed(account, settings, body):
    with pytest.raises(NotifyRejected):
        take(settings, *signed(account, body))
