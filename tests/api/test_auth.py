"""Sign-in, refresh, logout, phone over the contract; WeChat is the sandbox over real HTTP."""

from __future__ import annotations

import dataclasses
from datetime import timedelta
from functools import partial

import jwt
import pytest

from app import clock
from app.api.v1 import tokens
from app.db import KeptRequest, db
from app.domain.audit.models import AuditEntry
from app.domain.ledger.models import Wallet
from app.domain.people.models import Family, User, UserSession
from app.domain.policy.models import PolicyValue
from app.flows import once
from app.gateways import wechat_mini
from tests.api.conftest import Parent, ok, refused, sign_in
from tests.at_once import at_once

OPENID = "openid-api-auth-0001"


def login(client, sandbox, openid: str = OPENID, **body):
    return client.post("/api/v1/auth/login", json={"code": sandbox.code_for(openid), **body})


def as_parent(client, data) -> Parent:
    claims = tokens.read(data["access_token"])
    return Parent(
        client, data["user"]["id"], data["user"]["family_id"], claims.session_id, data["refresh_token"],
        data["access_token"],
    )  # fmt: skip


def renew(client, someone):
    return client.post("/api/v1/auth/refresh", json={"refresh_token": someone.refresh_token})


def test_the_first_sign_in_registers(client, sandbox):
    data = ok(login(client, sandbox, nickname="小雨妈妈👩‍👧", consent_version="2026-09"), "login")
    assert data["expires_in"] == 7200
    assert data["profiles"] == []
    assert data["user"]["nickname"] == "小雨妈妈👩‍👧"
    assert data["user"]["member_status"] == "trial"
    assert data["user"]["phone_masked"] is None
    assert data["wallet"] == {
        "balance": "0.00", "currency": "CNY", "status": "active", "state": "low",
        "state_text": data["wallet"]["state_text"],
        "overdraft_limit": "1000.00", "available": "1000.00", "booking_allowed": True,
        "members": [{"kind": "parent", "id": data["user"]["id"], "name": "小雨妈妈👩‍👧"}],
    }  # fmt: skip
    user = db.session.get(User, data["user"]["id"])
    assert user.unionid == f"union-{OPENID}"
    assert user.consent_version == "2026-09"
    assert user.consent_at is not None
    assert ok(as_parent(client, data).get("/me"), "get_me") == data["user"]


def test_the_second_sign_in_is_the_same_user(client, sandbox):
    one, two = ok(login(client, sandbox), "login"), ok(login(client, sandbox), "login")
    assert one["user"] == two["user"]
    assert one["refresh_token"] != two["refresh_token"]
    assert db.session.query(User).count() == db.session.query(Family).count() == db.session.query(Wallet).count() == 1
    assert db.session.query(UserSession).count() == 2


def test_a_code_is_good_once(client, sandbox):
    code = sandbox.code_for(OPENID)
    ok(client.post("/api/v1/auth/login", json={"code": code}), "login")
    refused(client.post("/api/v1/auth/login", json={"code": code}), 401, "WECHAT_CODE_INVALID")
    refused(client.post("/api/v1/auth/login", json={"code": "made up"}), 401, "WECHAT_CODE_INVALID")


@pytest.mark.parametrize("fault", [{"down": "error"}, {"down": "reset"}, {"busy": True}, {"rate_limited": True}])
def test_wechat_away(client, sandbox, fault):
    sandbox.set_fault("wechat", **fault)
    response = login(client, sandbox)
    refused(response, 503, "WECHAT_UNAVAILABLE")
    assert int(response.headers["Retry-After"]) >= 1
    assert db.session.query(User).count() == 0
    sandbox.clear_faults()
    ok(login(client, sandbox), "login")


def test_wechat_blocks_a_user(client, sandbox):
    sandbox.set_fault("wechat", risk=True)
    refused(login(client, sandbox), 401, "WECHAT_CODE_INVALID")


def test_sign_in_ignores_a_key(client, sandbox):
    headers = {"Idempotency-Key": "bad key"}
    code = sandbox.code_for(OPENID)
    ok(client.post("/api/v1/auth/login", json={"code": code}, headers=headers), "login")


def test_sign_ins_are_counted_per_address_in_the_database(client, sandbox):
    for n in range(10):
        ok(login(client, sandbox, openid=f"openid-many-{n:04}"), "login")
    response = login(client, sandbox, openid="openid-many-9999")
    refused(response, 429, "RATE_LIMITED")
    assert 1 <= int(response.headers["Retry-After"]) <= 60
    with clock.travel(by=timedelta(minutes=2)):
        ok(login(client, sandbox), "login")


def test_limits_can_be_off_in_development(app, client, sandbox, monkeypatch):
    settings = dataclasses.replace(app.extensions["desk.settings"], rate_limits=False)
    monkeypatch.setitem(app.extensions, "desk.settings", settings)
    for n in range(12):
        ok(login(client, sandbox, openid=f"openid-many-{n:04}"), "login")


# ── tokens ──────────────────────────────────────────────────────────────────────────────────────────


def test_refresh_spends_the_old_token(client, sandbox):
    data = ok(login(client, sandbox), "login")
    new = ok(client.post("/api/v1/auth/refresh", json={"refresh_token": data["refresh_token"]}), "refresh")
    assert new["refresh_token"] != data["refresh_token"]
    refused(client.post("/api/v1/auth/refresh", json={"refresh_token": data["refresh_token"]}), 401, "UNAUTHENTICATED")
    ok(client.post("/api/v1/auth/refresh", json={"refresh_token": new["refresh_token"]}), "refresh")


def test_a_refresh_token_is_no_access_token_nor_the_other_way(client, parent):
    parent.token, access = parent.refresh_token, parent.token
    refused(parent.get("/me"), 401, "UNAUTHENTICATED")
    refused(client.post("/api/v1/auth/refresh", json={"refresh_token": access}), 401, "UNAUTHENTICATED")


def test_tokens_lapse(client, parent):
    with clock.travel(by=timedelta(hours=1, minutes=59)):
        ok(parent.get("/me"), "get_me")
    with clock.travel(by=timedelta(hours=2)):
        refused(parent.get("/me"), 401, "UNAUTHENTICATED")
    with clock.travel(by=timedelta(days=30)):
        refused(
            client.post("/api/v1/auth/refresh", json={"refresh_token": parent.refresh_token}), 401, "UNAUTHENTICATED"
        )


def test_lifetimes_are_policy(client, sandbox):
    db.session.add(PolicyValue(name="access_token_ttl", value="90s", updated_at=clock.now(), updated_by="t"))
    db.session.commit()
    data = ok(login(client, sandbox), "login")
    assert data["expires_in"] == 90
    phone = as_parent(client, data)
    with clock.travel(by=timedelta(seconds=91)):
        refused(phone.get("/me"), 401, "UNAUTHENTICATED")


def test_logout_ends_this_sign_in_only(client, sandbox):
    phone_one, phone_two = (as_parent(client, ok(login(client, sandbox), "login")) for _ in range(2))
    refused(phone_one.post("/auth/logout", key="a b"), 400, "IDEMPOTENCY_KEY_INVALID")
    ok(phone_one.post("/profiles", {"name": "小雨"}, key="k"), "add_profile")
    refused(phone_one.post("/auth/logout", key="k"), 422, "IDEMPOTENCY_KEY_REUSED")
    assert ok(phone_one.post("/auth/logout", key="bye"), "logout") == {}
    refused(phone_one.get("/me"), 401, "UNAUTHENTICATED")
    refused(phone_one.post("/auth/logout"), 401, "UNAUTHENTICATED")
    refused(
        client.post("/api/v1/auth/refresh", json={"refresh_token": phone_one.refresh_token}), 401, "UNAUTHENTICATED"
    )
    ok(phone_two.get("/me"), "get_me")
    ok(client.post("/api/v1/auth/refresh", json={"refresh_token": phone_two.refresh_token}), "refresh")


def forged(app, parent, *, key=None, algorithm="HS256", drop=(), **claims) -> str:
    now = int(clock.now().timestamp())
    good = {
        "sub": str(parent.user_id), "sid": parent.session_id, "iat": now, "exp": now + 60,
        "aud": tokens.AUDIENCE, "iss": tokens.ISSUER, "jti": "1",
    }  # fmt: skip
    if key is None and algorithm != "none":
        key = tokens._key(app.extensions["desk.settings"].secret_key)
    return jwt.encode({k: v for k, v in (good | claims).items() if k not in drop}, key, algorithm=algorithm)


def test_the_forger_makes_good_tokens(app, parent):
    parent.token = forged(app, parent)
    ok(parent.get("/me"), "get_me")


@pytest.mark.parametrize(
    "change",
    [
        {"key": b"another key that is long enough to sign"},
        {"algorithm": "none"},
        {"algorithm": "HS512", "key": b"x" * 64},
        {"aud": "staff"},
        {"iss": "somebody"},
        {"exp": 1},
        {"exp": "later"},
        {"sub": "1 OR 1=1"},
        {"sid": 5},
        {"sid": "0" * 32},
        {"drop": ("exp",)},
        {"drop": ("sub",)},
        {"drop": ("sid",)},
        {"drop": ("aud",)},
        {"drop": ("iss",)},
        {"drop": ("jti",)},
        {"drop": ("iat",)},
    ],
    ids=str,
)
def test_forged_tokens(app, parent, change):
    parent.token = forged(app, parent, **change)
    refused(parent.get("/me"), 401, "UNAUTHENTICATED")


def test_a_session_of_another_user_does_not_help(app, parent, other):
    parent.token = forged(app, parent, sub=str(other.user_id))
    refused(parent.get("/me"), 401, "UNAUTHENTICATED")


def test_the_raw_secret_does_not_sign_tokens(app, parent):
    parent.token = forged(app, parent, key=app.extensions["desk.settings"].secret_key.encode())
    refused(parent.get("/me"), 401, "UNAUTHENTICATED")


def test_keys_rotate(app, parent, monkeypatch):
    before = app.extensions["desk.settings"]
    rotated = dataclasses.replace(
        before, secret_key="the new secret key that is long enough", previous_secret_keys=(before.secret_key,)
    )
    monkeypatch.setitem(app.extensions, "desk.settings", rotated)
    ok(parent.get("/me"), "get_me")
    parent.token = tokens.issue(user_id=parent.user_id, session_id=parent.session_id, seconds=60)
    ok(parent.get("/me"), "get_me")
    monkeypatch.setitem(app.extensions, "desk.settings", before)
    refused(parent.get("/me"), 401, "UNAUTHENTICATED")


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer ", "Basic abc", "Token x", "Bearer x.y.z", "Bearer " + "x" * 5000, "bearer é"]
)
def test_odd_headers(client, header):
    refused(client.get("/api/v1/me", headers={"Authorization": header}), 401, "UNAUTHENTICATED")


def test_the_scheme_is_not_case_sensitive(client, parent):
    ok(client.get("/api/v1/me", headers={"Authorization": f"bearer {parent.token}"}), "get_me")


# ── phone ───────────────────────────────────────────────────────────────────────────────────────────


def test_phone_is_bound_and_masked(parent, sandbox):
    code = sandbox.phone_code_for("openid-test-parent-0001", "13712341234")
    assert ok(parent.post("/auth/phone", {"code": code}), "phone")["phone_masked"] == "137****1234"
    stored = db.session.execute(db.text("SELECT phone FROM users")).scalar_one()
    assert b"13712341234" not in bytes(stored)


def test_a_number_belongs_to_one(parent, other, sandbox):
    for someone, expected in ((parent, 200), (other, 409), (parent, 200)):
        code = sandbox.phone_code_for("openid-test-parent-0001", "13712341234")
        response = someone.post("/auth/phone", {"code": code})
        assert response.status_code == expected
    code = sandbox.phone_code_for("openid-test-parent-0001", "13712341234")
    refused(other.post("/auth/phone", {"code": code}), 409, "PHONE_TAKEN")


def test_a_repeated_phone_call_does_not_spend_another_code(parent, sandbox):
    code = sandbox.phone_code_for("openid-test-parent-0001", "13712341234")
    one = ok(parent.post("/auth/phone", {"code": code}, key="p1"), "phone")
    assert ok(parent.post("/auth/phone", {"code": code}, key="p1"), "phone") == one
    refused(parent.post("/auth/phone", {"code": code}), 401, "WECHAT_CODE_INVALID")
    assert db.session.query(AuditEntry).filter_by(action="user.phone_set").count() == 1


def test_while_the_first_still_runs_the_second_is_told_so(parent, sandbox, monkeypatch):
    """The code is good once: WeChat would refuse the second of two at once for the wrong reason (96.13)."""
    monkeypatch.setattr(once, "PATIENCE", 0.1)
    code = sandbox.phone_code_for("openid-test-parent-0001", "13712341234")
    real, seconds = wechat_mini.WeChatMini.get_phone_number, []

    def slow(self, code):
        if not seconds:
            seconds.append(parent.post("/auth/phone", {"code": code}, key="p1"))
        return real(self, code)

    monkeypatch.setattr(wechat_mini.WeChatMini, "get_phone_number", slow)
    first = ok(parent.post("/auth/phone", {"code": code}, key="p1"), "phone")
    refused(seconds[0], 409, "IDEMPOTENCY_IN_PROGRESS")
    assert seconds[0].headers["Retry-After"] == "1"
    assert ok(parent.post("/auth/phone", {"code": code}, key="p1"), "phone") == first
    refused(parent.post("/auth/phone", {"code": code}, key="p2"), 401, "WECHAT_CODE_INVALID")
    assert [one.scope for one in db.session.query(KeptRequest)] == [f"user:{parent.user_id}"]  # no mark is left


def test_who_died_over_it_keeps_nobody_out_for_long(parent, sandbox, monkeypatch):
    monkeypatch.setattr(once, "PATIENCE", 0.1)
    monkeypatch.setattr(once, "_unmark", lambda **mark: None)
    refused(parent.post("/auth/phone", {"code": "bad"}, key="p1"), 401, "WECHAT_CODE_INVALID")
    code = sandbox.phone_code_for("openid-test-parent-0001", "13712341234")
    refused(parent.post("/auth/phone", {"code": code}, key="p1"), 409, "IDEMPOTENCY_IN_PROGRESS")
    with clock.travel(to=clock.now() + timedelta(seconds=31)):
        ok(parent.post("/auth/phone", {"code": code}, key="p1"), "phone")


@pytest.mark.parametrize("keys", [["same"] * 6, [f"own-{number}" for number in range(6)]], ids=["one key", "control"])
def test_six_at_once_over_one_code(live_app, sandbox_server, monkeypatch, keys):
    """Under one key all get the first answer or hear that it still runs; the control shows what WeChat says else."""
    sandbox_server.reset()
    settings = dataclasses.replace(live_app.extensions["desk.settings"], wechat_api_url=sandbox_server.url)
    monkeypatch.setitem(live_app.extensions, "desk.settings", settings)
    code = sandbox_server.phone_code_for("openid-live-000001", "13712341234")
    with live_app.app_context():
        someone = sign_in(live_app.test_client(), "openid-live-000001")
        db.session.remove()
    clients = [dataclasses.replace(someone, client=live_app.test_client()) for _ in keys]
    answers = at_once(
        *(
            partial(client.post, "/auth/phone", {"code": code}, key=key)
            for client, key in zip(clients, keys, strict=True)
        )
    )
    won = [one.json["data"] for one in answers if one.status_code == 200]
    lost = {one.json["error"] for one in answers if one.status_code != 200}
    assert won
    assert all(data == won[0] for data in won)
    assert lost <= ({"IDEMPOTENCY_IN_PROGRESS"} if len(set(keys)) == 1 else {"WECHAT_CODE_INVALID"})
    assert len(won) == 1 or len(set(keys)) == 1


def test_phone_with_wechat_away_or_a_sign_in_code(parent, sandbox):
    code = sandbox.code_for("openid-test-parent-0001")
    refused(parent.post("/auth/phone", {"code": code}), 401, "WECHAT_CODE_INVALID")
    sandbox.set_fault("wechat", down="error")
    refused(parent.post("/auth/phone", {"code": "x"}), 503, "WECHAT_UNAVAILABLE")


def test_nothing_of_it_is_in_the_log_or_the_answer(client, parent, sandbox, caplog):
    caplog.set_level("DEBUG")
    code = sandbox.phone_code_for("openid-test-parent-0001", "13712341234")
    texts = [parent.post("/auth/phone", {"code": code}).get_data(as_text=True)]
    sandbox.set_fault("wechat", down="reset")
    texts.append(login(client, sandbox).get_data(as_text=True))
    texts += [caplog.text, *(str(vars(record)) for record in caplog.records)]
    for text in texts:
        for secret in ("13712341234", "sandbox-secret", "session_key", "access_token="):
            assert secret not in text
