from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import pytest

from app.api.v1 import tokens
from app.api.v1.contract import ENDPOINTS
from app.domain.audit.actor import Actor
from app.domain.people import parent_sessions, registration
from sandbox.testing import running_sandbox
from tests.conftest import pay_folder

NOBODY = Actor(type="parent", id=None, name="未登录")


@dataclass
class Parent:
    """A signed-in parent on the test client."""

    client: Any
    user_id: int
    family_id: int
    session_id: str
    refresh_token: str
    token: str

    def call(self, method: str, path: str, key: str | None = None, **kwargs: Any):
        headers = {"Authorization": f"Bearer {self.token}"} | kwargs.pop("headers", {})
        if key is not None:
            headers["Idempotency-Key"] = key
        return self.client.open(f"/api/v1{path}", method=method, headers=headers, **kwargs)

    def get(self, path: str, **kwargs: Any):
        return self.call("GET", path, **kwargs)

    def post(self, path: str, body: Any = None, **kwargs: Any):
        return self.call("POST", path, json=body, **kwargs) if body is not None else self.call("POST", path, **kwargs)

    def put(self, path: str, body: Any, **kwargs: Any):
        return self.call("PUT", path, json=body, **kwargs)

    def patch(self, path: str, body: Any, **kwargs: Any):
        return self.call("PATCH", path, json=body, **kwargs)

    def delete(self, path: str, body: Any, **kwargs: Any):
        return self.call("DELETE", path, json=body, **kwargs)

    @property
    def actor(self) -> Actor:
        return Actor(type="parent", id=self.user_id, name="家长", family_id=self.family_id)


def sign_in(client, openid: str, nickname: str | None = None) -> Parent:
    made = registration.register_user(openid=openid, nickname=nickname, actor=NOBODY)
    session = parent_sessions.open_session(user_id=made.user_id, actor=NOBODY)
    token = tokens.issue(user_id=made.user_id, session_id=session.id, seconds=session.access_seconds)
    return Parent(client, made.user_id, made.family_id, session.id, session.refresh_token, token)


@pytest.fixture
def parent(client):
    return sign_in(client, "openid-test-parent-0001", "小雨妈妈")


@pytest.fixture
def other(client):
    return sign_in(client, "openid-test-parent-0002", "乐乐爸爸")


@pytest.fixture(scope="module")
def sandbox_server():
    with running_sandbox(pay_keys=pay_folder()) as running:
        yield running


@pytest.fixture
def sandbox(app, sandbox_server, monkeypatch):
    """The stand-in of WeChat over real HTTP, and the application pointed at it."""
    sandbox_server.reset()
    before = app.extensions["desk.settings"]
    settings = dataclasses.replace(
        before, wechat_api_url=sandbox_server.url, wxpay=dataclasses.replace(before.wxpay, api_url=sandbox_server.url)
    )
    monkeypatch.setitem(app.extensions, "desk.settings", settings)
    return sandbox_server


def ok(response, name: str, status: int | None = None, *, message: str = "操作成功") -> Any:
    """The data of a success, after checking envelope and fields against the call's own model."""
    spec = next(spec for spec in ENDPOINTS if spec.name == name)
    body = response.get_json()
    assert response.status_code == (status or spec.status), body
    assert set(body) == {"code", "message", "data", "request_id"}
    assert body["code"] == response.status_code
    assert body["message"] == message
    assert len(body["request_id"]) >= 8
    assert response.headers["Cache-Control"] == "no-store"
    shape = spec.data.model_validate(body["data"])
    assert shape.model_dump(mode="json") == body["data"], "a field is missing or written otherwise"
    return body["data"]


def refused(response, status: int, code: str, *fields: str) -> dict:
    """The body of a refusal, after checking the envelope and the fields that it names."""
    body = response.get_json()
    assert (response.status_code, body.get("error")) == (status, code), body
    assert body["code"] == status
    assert set(body) == {"code", "message", "data", "request_id", "error"} | ({"errors"} if fields else set())
    assert set(body.get("errors", {})) == set(fields)
    texts = [body["message"], *(text for texts in body.get("errors", {}).values() for text in texts)]
    assert all(any("一" <= char <= "鿿" for char in text) for text in texts), texts
    return body
