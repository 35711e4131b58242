"""The flow of sign-in: where WeChat is asked, and what stays when it fails."""

from __future__ import annotations

import dataclasses

import pytest

from app.db import RequestKey, db
from app.domain.audit.actor import Actor
from app.domain.audit.models import AuditEntry
from app.domain.people import registration
from app.domain.people.models import User, UserSession
from app.errors import IdempotencyKeyReused, Replayed, TooMany
from app.flows import sign_in
from sandbox.testing import running_sandbox

OPENID = "openid-flow-0001"
NOBODY = Actor(type="parent", id=None, name="未登录", ip="127.0.0.1")


@pytest.fixture(scope="module")
def server():
    with running_sandbox() as running:
        yield running


@pytest.fixture
def sandbox(app, server, monkeypatch):
    server.reset()
    settings = dataclasses.replace(app.extensions["desk.settings"], wechat_api_url=server.url)
    monkeypatch.setitem(app.extensions, "desk.settings", settings)
    return server


def go(sandbox, openid: str = OPENID, **more):
    facts = {"nickname": None, "consent_version": None, "actor": NOBODY} | more
    return sign_in.sign_in(code=sandbox.code_for(openid), **facts)


def test_signing_in_twice(sandbox):
    first, second = go(sandbox, nickname="小雨妈妈"), go(sandbox)
    assert (first.created, second.created) == (True, False)
    assert first.user_id == second.user_id
    assert first.session.id != second.session.id
    actions = [row.action for row in db.session.query(AuditEntry).order_by(AuditEntry.id)]
    assert actions.count("user.registered") == 1
    assert actions.count("user.signed_in") == 2
    row = db.session.query(AuditEntry).filter_by(action="user.signed_in").first()
    assert (row.actor_type, row.actor_id, row.actor_name) == ("parent", first.user_id, f"家长 {first.user_id}")


def test_what_wechat_was_asked_and_said(sandbox):
    go(sandbox, openid="openid-of-a-grandmother-9876")
    row = db.session.query(AuditEntry).filter_by(action="user.signed_in").one()
    assert (row.request, row.answer) == ({"call": "sns/jscode2session"}, {"openid": "…9876", "unionid": True})


def test_nothing_is_kept_when_wechat_refuses_or_is_away(sandbox):
    with pytest.raises(sign_in.WeChatCodeInvalid):
        sign_in.sign_in(code="made up", nickname="x", consent_version=None, actor=NOBODY)
    sandbox.set_fault("wechat", down="error")
    with pytest.raises(sign_in.WeChatUnavailable) as caught:
        go(sandbox)
    assert caught.value.retry_after == 5
    assert db.session.query(User).count() == db.session.query(UserSession).count() == 0


def test_one_account_signs_in_ten_times_a_minute_from_anywhere(sandbox):
    for _ in range(10):
        go(sandbox)
    with pytest.raises(TooMany):
        go(sandbox)
    go(sandbox, openid="openid-flow-0002")


@pytest.fixture
def parent(app):
    made = registration.register_user(openid=OPENID, actor=NOBODY)
    return Actor(type="parent", id=made.user_id, name="家长", family_id=made.family_id)


def key(fingerprint: str = "f") -> RequestKey:
    return RequestKey("user:1", "k", fingerprint, present=lambda card: {"phone": card.phone_masked})


def test_binding_a_phone_is_kept_under_its_key(sandbox, parent):
    code = sandbox.phone_code_for(OPENID, "13712341234")
    card = sign_in.bind_phone(code=code, actor=parent, request_key=key())
    row = db.session.query(AuditEntry).filter_by(action="user.phone_set").one()
    assert (row.request["call"], row.answer) == ("wxa/business/getuserphonenumber", {"phone": True})
    assert card.phone_masked == "137****1234"
    asked = len(sandbox.calls("/wxa/business/getuserphonenumber"))
    with pytest.raises(Replayed) as caught:
        sign_in.bind_phone(code=code, actor=parent, request_key=key())
    assert caught.value.answer == {"phone": "137****1234"}
    with pytest.raises(IdempotencyKeyReused):
        sign_in.bind_phone(code=code, actor=parent, request_key=key("other"))
    assert len(sandbox.calls("/wxa/business/getuserphonenumber")) == asked


def test_a_refused_phone_code_leaves_the_key_free(sandbox, parent):
    with pytest.raises(sign_in.WeChatCodeInvalid):
        sign_in.bind_phone(code="made up", actor=parent, request_key=key())
    code = sandbox.phone_code_for(OPENID, "13712341234")
    assert sign_in.bind_phone(code=code, actor=parent, request_key=key()).phone_masked == "137****1234"
