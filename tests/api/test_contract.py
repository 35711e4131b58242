"""The form of every call: envelope, order of checks, strict JSON, keys (96.11–18)."""

from __future__ import annotations

import io
import json
import re
import sqlite3

import pymysql
import pytest
import werkzeug.exceptions
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from werkzeug.test import EnvironBuilder, run_wsgi_app

from app.api.v1.contract import ENDPOINTS, Call
from app.api.v1.openapi import path_of
from app.db import db
from app.domain.audit.models import AuditEntry
from app.domain.people import queries
from app.domain.people.models import Level, Profile
from app.errors import Unauthenticated
from tests.api.conftest import ok, refused

PROTECTED = [spec for spec in ENDPOINTS if spec.signed_in]
WITH_BODY = [spec for spec in ENDPOINTS if spec.body is not None and spec.staff is None]


def address(spec) -> str:
    return re.sub(r"\{\w+\}", "1", path_of(spec)).removeprefix("/api/v1")


@pytest.mark.parametrize("spec", PROTECTED, ids=lambda spec: spec.name)
def test_needs_a_token(client, spec):
    response = client.open(f"/api/v1{address(spec)}", method=spec.method, data=b"not even json")
    refused(response, 401, "UNAUTHENTICATED")
    assert response.headers["WWW-Authenticate"] == "Bearer"


def test_keys_are_honoured_wherever_something_is_done(app):
    """On every POST, PUT and DELETE but sign-in and refresh, and required on the contract's five (95, 96.13)."""
    ignored = {spec.name for spec in ENDPOINTS if spec.method in ("POST", "PUT", "DELETE") and spec.key == "ignored"}
    assert ignored == {"login", "refresh"}
    required = {spec.name for spec in ENDPOINTS if spec.key == "required"}
    assert required == {"request_withdrawal", "make_booking", "create_order", "respond_to_offer", "book_makeup"}


def test_public_calls_are_these(app):
    assert {spec.name for spec in ENDPOINTS if not spec.signed_in} == {"login", "refresh"}


def test_every_route_is_an_endpoint(app):
    """Whatever is routed under /api/v1 came through the decorator, so it has declared who may call it."""
    routed = {
        (method, re.sub(r"<(?:id|number):(\w+)>", r"{\1}", rule.rule))
        for rule in app.url_map.iter_rules()
        if rule.rule.startswith("/api/v1")
        for method in rule.methods - {"HEAD", "OPTIONS"}
    }
    declared = {(spec.method, path_of(spec)) for spec in ENDPOINTS}
    callbacks = {("POST", f"/api/v1/payment/wxpay/{name}") for name in ("callback", "refund-callback")}
    assert routed == declared | callbacks | {("GET", "/api/v1/openapi.json")}


HOSTILE = [
    b"", b"   ", b"null", b"[]", b"[1]", b'"text"', b"1", b"true", b"{", b"{'a':1}", b'{"a":1}}', b'{"a":1,}',
    b"\xff\xfe", b'{"name":"\xff"}', b'{"name":"\xed\xa0\x80"}', b'\xef\xbb\xbf{"name":"x"}',
    b'{"x":NaN}', b'{"x":Infinity}', b'{"x":-Infinity}', b'{"x":1e999}',
    b'{"name":"a","name":"b"}', b'{"x":{"y":1,"y":2}}',
    b'{"name":"a\\u0000b"}', b'{"a\\u0000":1}', b'{"x":["\\u0000"]}', b'{"name":"\\ud800"}', b'{"name":"a\x00"}',
    b'{"x":' + b"9" * 20 + b"}", b'{"x":-' + b"9" * 5000 + b"}",
    b'{"x":' + b"[" * 40 + b"]" * 40 + b"}", b'{"x":' + b"[" * 30000 + b"]" * 30000 + b"}",
    b'{"x":' * 10000, b"code=abc&nickname=x",
]  # fmt: skip


@pytest.mark.parametrize("raw", HOSTILE, ids=lambda raw: repr(raw[:24]))
def test_what_is_no_json_object(parent, raw):
    refused(
        parent.call("POST", "/profiles", data=raw, content_type="application/json"), 422, "VALIDATION_FAILED", "body"
    )
    assert db.session.query(Profile).count() == 0


@pytest.mark.parametrize(
    ("raw", "spec"),
    [
        (raw, spec)
        for raw in (b"", b"[]", b"{", b'{"a":NaN}')
        for spec in WITH_BODY
        if raw or not (spec.body_optional or spec.body_or_query)
    ],
    ids=lambda value: getattr(value, "name", repr(value)),
)
def test_every_body_is_read_strictly(parent, spec, raw):
    refused(parent.call(spec.method, address(spec), data=raw), 422, "VALIDATION_FAILED", "body")


def test_deep_but_allowed_nesting_and_unknown_fields_are_ignored(parent):
    deep = "[" * 30 + "]" * 30
    raw = f'{{"name":"小雨","x":{deep},"n":9223372036854775807,"f":1.5,"t":true}}'
    ok(parent.call("POST", "/profiles", data=raw.encode()), "add_profile")


@pytest.mark.parametrize(
    ("path", "body", "fields"),
    [
        ("/profiles", {}, ["name"]),
        ("/profiles", {"name": None}, ["name"]),
        ("/profiles", {"name": 5}, ["name"]),
        ("/profiles", {"name": ""}, ["name"]),
        ("/profiles", {"name": " \u202e\u200b "}, ["name"]),
        ("/profiles", {"name": "雨" * 65}, ["name"]),
        ("/profiles", {"name": "雨", "birthday": "2018-5-1"}, ["birthday"]),
        ("/profiles", {"name": "雨", "birthday": "2018-02-30"}, ["birthday"]),
        ("/profiles", {"name": "雨", "birthday": "２０１８-05-01"}, ["birthday"]),
        ("/profiles", {"name": "雨", "birthday": "2999-01-01"}, ["birthday"]),
        ("/profiles", {"name": "雨", "birthday": "1800-01-01"}, ["birthday"]),
        ("/profiles", {"name": "雨", "birthday": 20180501}, ["birthday"]),
        ("/profiles", {"name": "雨", "birthday": ["2018-05-01"]}, ["birthday"]),
        ("/profiles", {"name": "雨", "gender": "boy"}, ["gender"]),
        ("/profiles", {"name": "雨", "gender": True}, ["gender"]),
        ("/profiles", {"name": "雨", "level": 1}, ["level"]),
        ("/profiles", {"name": "雨", "level": "没有"}, ["level"]),
        ("/profiles", {"name": "雨", "level": "x" * 33}, ["level"]),
        ("/profiles", {"birthday": "x", "gender": "x"}, ["name", "birthday", "gender"]),
        ("/auth/phone", {"code": 7}, ["code"]),
        ("/auth/phone", {"code": ""}, ["code"]),
        ("/auth/phone", {"code": "x" * 513}, ["code"]),
        ("/auth/refresh", {"refresh_token": None}, ["refresh_token"]),
        ("/auth/login", {"nickname": "x"}, ["code"]),
        ("/auth/login", {"code": True}, ["code"]),
        ("/auth/login", {"code": "x", "nickname": "x" * 65}, ["nickname"]),
        ("/auth/login", {"code": "x", "nickname": 1}, ["nickname"]),
        ("/auth/login", {"code": "x", "consent_version": "有"}, ["consent_version"]),
        ("/me/subscriptions", {"template": "x"}, ["accepted"]),
        ("/me/subscriptions", {"template": "x", "accepted": 1}, ["accepted"]),
        ("/me/subscriptions", {"template": "x", "accepted": "true"}, ["accepted"]),
        ("/me/subscriptions", {"template": "x", "accepted": True}, ["template"]),
    ],
)
def test_wrong_fields_are_named(parent, path, body, fields):
    refused(parent.post(path, body), 422, "VALIDATION_FAILED", *fields)


def test_one_wrong_field_is_said_in_the_message_and_names_it(parent):
    body = refused(parent.post("/profiles", {}), 422, "VALIDATION_FAILED", "name")
    assert body["message"] == "缺少姓名"
    body = refused(parent.post("/profiles", {"name": "{label}" * 20}), 422, "VALIDATION_FAILED", "name")
    assert body["message"] == "姓名最多 64 个字"


@pytest.mark.parametrize(("path", "sentence"), [
    ("/wallet/transactions?type=gift", ("类型只能是 recharge、deduction、adjustment、refund、withdrawal、"
                                          "withdrawal_reversal、transfer_in、transfer_out")),
    ("/waitlist/my?status=", "状态只能是 waiting、offered、confirmed、declined、expired、cancelled"),
    ("/bookings/my?status=BOOKED", "状态只能是 booked、attended、absent、cancelled、on_leave"),
    ("/makeup/my?status=used", "状态只能是 available、booked、done、expired"),
    ("/payment/wxpay/qrcode/x?format=gif", "图片格式只能是 png、svg"),
])  # fmt: skip
def test_an_unknown_value_is_told_the_known_ones(parent, path, sentence):
    assert refused(parent.get(path), 422, "VALIDATION_FAILED", *_named(path))["message"] == sentence


def _named(path: str) -> list[str]:
    return [path.partition("?")[2].partition("=")[0]]


def test_size_comes_before_the_token(client):
    big = b'{"code":"' + b"x" * 70_000 + b'"}'
    refused(client.post("/api/v1/auth/phone", data=big), 413, "BODY_TOO_LARGE")
    refused(client.get("/api/v1/me", data=big), 413, "BODY_TOO_LARGE")


def test_size_without_an_announced_length(client):
    environ = EnvironBuilder(path="/api/v1/auth/login", method="POST").get_environ()
    environ.pop("CONTENT_LENGTH", None)
    chunked = {"HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input_terminated": True}
    environ |= chunked | {"wsgi.input": io.BytesIO(b"x" * 70_000)}
    body, status, _ = run_wsgi_app(client.application.wsgi_app, environ, buffered=True)
    assert status.startswith("413")
    assert json.loads(b"".join(body))["error"] == "BODY_TOO_LARGE"


def test_exactly_the_largest_body_is_read(parent):
    body = json.dumps({"name": "小雨", "pad": ""}).encode()
    padded = body[:-2] + b"x" * (64 * 1024 - len(body)) + body[-2:]
    assert len(padded) == 64 * 1024
    ok(parent.call("POST", "/profiles", data=padded), "add_profile")


def test_fields_come_before_the_key_and_the_key_before_ownership(parent):
    refused(parent.post("/profiles", {}, key="a b"), 422, "VALIDATION_FAILED", "name")
    refused(parent.post("/notifications/999/read", key="a b"), 400, "IDEMPOTENCY_KEY_INVALID")
    refused(parent.patch("/profiles/999", {"name": ""}), 422, "VALIDATION_FAILED", "name")
    refused(parent.patch("/profiles/999", {"level": "没有"}), 422, "VALIDATION_FAILED", "level")
    refused(parent.patch("/profiles/999", {"name": "x"}), 404, "NOT_FOUND")


@pytest.mark.parametrize("key", ["", " ", "a b", "x" * 65, "é", "\t"])
def test_bad_keys(parent, key):
    refused(parent.post("/profiles", {"name": "小雨"}, key=key), 400, "IDEMPOTENCY_KEY_INVALID")


def test_the_same_request_under_a_key_is_done_once(parent):
    first = parent.post("/profiles", {"name": "小雨"}, key="k-1")
    again = parent.post("/profiles", {"name": "小雨"}, key="k-1")
    one, two = first.get_json(), again.get_json()
    assert first.status_code == again.status_code == 201
    assert one.pop("request_id") != two.pop("request_id")
    assert one == two
    assert db.session.query(Profile).count() == 1


def test_white_space_and_order_of_a_body_do_not_make_another_request(parent):
    ok(parent.call("POST", "/profiles", key="k", data=b'{"name":"a","gender":"male"}'), "add_profile")
    ok(parent.call("POST", "/profiles", key="k", data=b'{ "gender": "male", "name": "a" }'), "add_profile")
    assert db.session.query(Profile).count() == 1


def test_another_request_under_a_key_is_refused(parent):
    ok(parent.post("/profiles", {"name": "小雨"}, key="k-1"), "add_profile")
    refused(parent.post("/profiles", {"name": "大雨"}, key="k-1"), 422, "IDEMPOTENCY_KEY_REUSED")
    refused(parent.put("/me/notification-preferences", {}, key="k-1"), 422, "IDEMPOTENCY_KEY_REUSED")
    assert db.session.query(Profile).count() == 1


def test_keys_are_the_callers_own(parent, other):
    one = ok(parent.post("/profiles", {"name": "小雨"}, key="k-1"), "add_profile")
    two = ok(other.post("/profiles", {"name": "小雨"}, key="k-1"), "add_profile")
    assert one["id"] != two["id"]


def test_what_was_refused_may_be_tried_again_under_its_key(parent):
    refused(parent.post("/profiles", {"name": "雨", "level": "L1"}, key="k-1"), 422, "VALIDATION_FAILED", "level")
    db.session.add(Level(name="L1", rank=1))
    db.session.commit()
    assert ok(parent.post("/profiles", {"name": "雨", "level": "L1"}, key="k-1"), "add_profile")["level"] == "L1"


@pytest.mark.parametrize("path", ["/api/v1", "/api/v1/", "/api/v1/nope", "/api/v1/me/", "/api/v1/profiles/x",
                                  "/api/v1/profiles/0", "/api/v1/profiles/1.5", "/api/v1/profiles/-1",
                                  "/api/v1/profiles/" + "9" * 30, "/api/v1/profiles/１", "/api/v1/%00"])  # fmt: skip
def test_unknown_paths(client, path):
    refused(client.patch(path, json={}), 404, "NOT_FOUND")


def test_an_id_past_every_database_is_simply_not_there(parent):
    refused(parent.patch("/profiles/" + "9" * 18, {"name": "x"}), 404, "NOT_FOUND")


def test_unknown_methods(client):
    response = client.delete("/api/v1/me")
    refused(response, 405, "METHOD_NOT_ALLOWED")
    assert {"GET", "PATCH"} <= set(response.headers["Allow"].split(", "))
    refused(client.get("/api/v1/auth/login"), 405, "METHOD_NOT_ALLOWED")


def test_outside_the_api_nothing_is_in_the_envelope(client):
    assert client.get("/api/v10/me").mimetype == "text/html"


def test_what_nobody_foresaw_says_nothing(parent, monkeypatch, caplog):
    def broken(user_id):
        raise RuntimeError("secret detail 13812345678")

    monkeypatch.setattr(queries, "find_user", broken)
    response = parent.get("/me")
    refused(response, 500, "INTERNAL_ERROR")
    assert "secret" not in response.get_data(as_text=True)
    assert "secret detail" in caplog.text


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (OperationalError("q", {}, pymysql.err.OperationalError(2003, "cannot connect")), "UNAVAILABLE"),
        (OperationalError("q", {}, pymysql.err.OperationalError(2013, "lost")), "UNAVAILABLE"),
        (OperationalError("q", {}, sqlite3.OperationalError("unable to open database file")), "UNAVAILABLE"),
        (OperationalError("q", {}, pymysql.err.OperationalError(1205, "lock wait")), "BUSY_TRY_AGAIN"),
        (OperationalError("q", {}, pymysql.err.OperationalError(1969, "max_statement_time")), "BUSY_TRY_AGAIN"),
        (OperationalError("q", {}, sqlite3.OperationalError("database is locked")), "BUSY_TRY_AGAIN"),
        (PoolTimeout("no connection"), "BUSY_TRY_AGAIN"),
    ],
)
def test_a_database_that_is_away_or_busy(parent, monkeypatch, error, code):
    def broken(user_id):
        raise error

    monkeypatch.setattr(queries, "find_user", broken)
    response = parent.get("/me")
    refused(response, 503, code)
    assert int(response.headers["Retry-After"]) >= 1


def test_another_database_error_is_ours(parent, monkeypatch):
    def broken(user_id):
        raise OperationalError("q", {}, sqlite3.OperationalError("no such table: users"))

    monkeypatch.setattr(queries, "find_user", broken)
    refused(parent.get("/me"), 500, "INTERNAL_ERROR")


def test_the_audit_row_carries_the_request(parent):
    response = parent.patch("/me", {"nickname": "新名"}, headers={"User-Agent": "MicroMessenger/8\x01.0"})
    row = db.session.query(AuditEntry).filter_by(action="user.updated").one()
    assert row.request_id == response.get_json()["request_id"]
    assert (row.actor_type, row.actor_id, row.family_id) == ("parent", parent.user_id, parent.family_id)
    assert row.ip == "127.0.0.1"
    assert row.user_agent == "MicroMessenger/8.0"


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (werkzeug.exceptions.BadRequest(), 400, "BAD_REQUEST"),
        (werkzeug.exceptions.ClientDisconnected(), 400, "BAD_REQUEST"),
        (werkzeug.exceptions.RequestEntityTooLarge(), 413, "BODY_TOO_LARGE"),
        (werkzeug.exceptions.InternalServerError(), 500, "INTERNAL_ERROR"),
    ],
)
def test_what_flask_itself_refuses(parent, monkeypatch, error, status, code):
    def broken(user_id):
        raise error

    monkeypatch.setattr(queries, "find_user", broken)
    refused(parent.get("/me"), status, code)


def test_a_call_without_sign_in_has_no_parent(app):
    spec = next(spec for spec in ENDPOINTS if spec.name == "login")
    with pytest.raises(Unauthenticated):
        _ = Call(spec).parent
