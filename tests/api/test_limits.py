"""Reads are counted in Redis and fail open; money is counted in the database and fails closed (S13, Z6)."""

from __future__ import annotations

import secrets
import time
from dataclasses import replace

import pytest
from flask import Blueprint, Flask

from app import clock
from app import redis as desk_redis
from app.api.v1 import limits
from app.api.v1.errors import BadRequest
from app.db import db
from app.domain.policy.models import PolicyValue
from app.errors import Invalid, TooMany
from tests import databases
from tests.api.conftest import ok, refused


@pytest.fixture
def with_redis(app, monkeypatch, tmp_path):
    url = databases.REDIS_URL if databases.has_redis() else "embedded"
    settings = replace(app.extensions["desk.settings"], redis_url=url, instance_dir=tmp_path)
    monkeypatch.setitem(app.extensions, "desk.settings", settings)
    desk_redis.forget()
    app.extensions.pop("desk.api.read_limiter", None)
    yield desk_redis.client()
    desk_redis.forget()
    app.extensions.pop("desk.api.read_limiter", None)
    desk_redis.stop_embedded(settings)


def allow(most: int) -> None:
    db.session.add(PolicyValue(name="limit_read", value=str(most), updated_at=clock.now(), updated_by="t"))
    db.session.commit()


def test_reads_over_the_limit(parent, other, with_redis):
    for key in with_redis.scan_iter("limit*"):
        with_redis.delete(key)
    allow(3)
    answers = [parent.get("/me") for _ in range(4)]
    if answers[3].status_code == 200:  # the minute turned in between
        answers = [parent.get("/me") for _ in range(4)]
    assert [a.status_code for a in answers[:3]] == [200, 200, 200]
    refused(answers[3], 429, "RATE_LIMITED")
    assert 1 <= int(answers[3].headers["Retry-After"]) <= 60
    ok(other.get("/me"), "get_me")


def test_the_first_read_over_the_limit_is_refused_however_many_processes_serve_it(app, with_redis):
    """Each tells Redis of ten calls at once, until little is left."""
    with app.app_context():
        processes, who, most = [limits._ReadLimiter() for _ in range(4)], f"user:{secrets.token_hex(8)}", 300
        seen = [processes[number % 4].hit(who, most) for number in range(most + 4)]
    assert seen[:most] == [None] * most
    assert all(1 <= wait <= 60 for wait in seen[most:])


def test_far_from_the_limit_redis_is_told_of_ten_calls_at_once(app, with_redis, monkeypatch):
    told = []
    monkeypatch.setattr(limits._ReadLimiter, "_tell", lambda self, who, most, calls: told.append(calls))
    process = limits._ReadLimiter()
    for _ in range(95):
        process.hit("user:1", 300)
    assert told == [10] * 9


def test_without_redis_reads_go_on_and_it_is_not_asked_again_at_once(app, parent, monkeypatch):
    app.extensions.pop("desk.api.read_limiter", None)
    allow(1)
    asked = []
    real = desk_redis.client
    monkeypatch.setattr(desk_redis, "client", lambda: asked.append(1) or real())
    for _ in range(3):
        ok(parent.get("/me"), "get_me")
    assert len(asked) == 1
    app.extensions.pop("desk.api.read_limiter", None)


def test_money_is_counted_without_redis(app):
    user_id = secrets.randbelow(10**9)
    if (left := 60 - time.time() % 60) < 10:  # the window is a minute of the clock
        time.sleep(left)
    for _ in range(30):
        limits.count_money(user_id)
    with pytest.raises(TooMany) as caught:
        limits.count_money(user_id)
    assert caught.value.retry_after >= 1


def test_calls_that_move_money_count_as_money(parent, monkeypatch):
    """A call declared so meets the limit before its fields are looked at."""
    from app.api.v1 import contract
    from app.api.v1.contract import endpoint
    from app.api.v1.schemas import Nothing, SubscriptionBody

    monkeypatch.setattr(contract, "ENDPOINTS", [])
    app, bp = Flask("t"), Blueprint("t", __name__)

    @endpoint(bp, "POST", "/pay", summary="x", data=Nothing, body=SubscriptionBody, key="required", limit="money")
    def pay(call):
        return Nothing()

    app.register_blueprint(bp)
    spec = contract.ENDPOINTS[0]
    counted = []
    monkeypatch.setattr(contract.limits, "count_money", counted.append)
    headers = {"Authorization": f"Bearer {parent.token}"}
    request = parent.client.application.test_request_context
    with request("/pay", method="POST", headers=headers, data=b"{"), pytest.raises(Invalid):
        contract._serve(spec, pay, {})
    assert counted == [parent.user_id]
    body = b'{"template":"x","accepted":true}'
    with (
        request("/pay", method="POST", headers=headers, data=body),
        pytest.raises(BadRequest, match="IDEMPOTENCY_KEY_REQUIRED"),
    ):
        contract._serve(spec, pay, {})
    headers["Idempotency-Key"] = "k"
    with request("/pay", method="POST", headers=headers, data=body):
        assert contract._serve(spec, pay, {}).status_code == 200
    assert len(counted) == 3
