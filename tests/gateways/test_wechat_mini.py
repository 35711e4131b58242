"""The mini program's client against the sandbox, over real HTTP."""

from __future__ import annotations

import threading

import pytest
import redis

from app.db import transaction
from app.gateways import wechat_mini
from app.gateways.errors import Kind, Permanent, RateLimited, Temporary, UnknownOutcome
from app.gateways.wechat_mini import BadRecipient, CodeRefused, NoConsent, TemplateWrong, TokenStorage, WeChatMini
from sandbox.testing import running_sandbox

OPENID = "openid-gateway-0001"
TOKEN_PATH = "/cgi-bin/stable_token"
SEND_PATH = "/cgi-bin/message/subscribe/send"
DATA = {"thing1": "少儿体操启蒙课", "time2": "2026年11月20日 19:00", "thing3": "小雨", "thing4": "一号馆",
        "thing5": "请提前10分钟到馆"}  # fmt: skip


@pytest.fixture(scope="module")
def server():
    with running_sandbox() as running:
        yield running


@pytest.fixture
def sandbox(server):
    server.reset()
    return server


@pytest.fixture
def client(sandbox):
    return WeChatMini(sandbox.url, "wxsandbox0000000001", "sandbox-secret")


def template(sandbox, type: str = "booking_made") -> str:
    sandbox.consent(OPENID, type, 5)
    return f"sandbox-tmpl-{type}"


def count(sandbox, path: str) -> int:
    return len(sandbox.calls(path))


# ── sign-in and phone ───────────────────────────────────────────────────────────────────────────────


def test_who_signs_in_needs_no_token(sandbox, client):
    identity = client.code_to_session(sandbox.code_for(OPENID))
    assert (identity.openid, identity.unionid) == (OPENID, f"union-{OPENID}")
    assert count(sandbox, TOKEN_PATH) == 0
    assert not hasattr(identity, "session_key")


def test_a_code_is_refused(sandbox, client):
    code = sandbox.code_for(OPENID)
    client.code_to_session(code)
    for bad in (code, "made up", "", "&secret=1", "码"):
        with pytest.raises(CodeRefused) as caught:
            client.code_to_session(bad)
        assert caught.value.kind == Kind.PERMANENT


def test_a_wrong_account_is_no_wrong_code(sandbox):
    with pytest.raises(Permanent) as caught:
        WeChatMini(sandbox.url, "wxsandbox0000000001", "wrong").code_to_session(sandbox.code_for(OPENID))
    assert not isinstance(caught.value, CodeRefused)
    assert caught.value.code == "40125"


def test_phone_number(sandbox, client):
    assert client.get_phone_number(sandbox.phone_code_for(OPENID, "13712341234")) == "13712341234"
    with pytest.raises(CodeRefused):
        client.get_phone_number("made up")


@pytest.mark.parametrize(
    ("fault", "error", "code"),
    [
        ({"down": "error"}, Temporary, "http_500"),
        ({"down": "reset"}, UnknownOutcome, "connection_lost"),
        ({"busy": True}, Temporary, "-1"),
        ({"rate_limited": True}, RateLimited, "45011"),
        ({"risk": True}, CodeRefused, "40226"),
    ],
)
def test_sign_in_with_faults(sandbox, client, fault, error, code):
    sandbox.set_fault("wechat", **fault)
    with pytest.raises(error) as caught:
        client.code_to_session(sandbox.code_for(OPENID))
    assert caught.value.code == code


# ── messages ────────────────────────────────────────────────────────────────────────────────────────


def test_a_message_arrives(sandbox, client):
    message_id = client.send_subscribe_message(OPENID, template(sandbox), DATA, "pages/bookings/index")
    arrived = sandbox.messages(OPENID)[0]
    assert message_id.isdigit()
    assert arrived["data"] == DATA
    assert arrived["page"] == "pages/bookings/index"


def test_refusals_by_errcode(sandbox, client):
    known = template(sandbox)
    with pytest.raises(BadRecipient, match="40003"):
        client.send_subscribe_message("nobody-known-here", known, DATA)
    with pytest.raises(TemplateWrong, match="40037"):
        client.send_subscribe_message(OPENID, "no such template", DATA)
    with pytest.raises(TemplateWrong, match=r"47003.*thing1"):
        client.send_subscribe_message(OPENID, known, DATA | {"thing1": "长" * 21})
    with pytest.raises(TemplateWrong, match="41030"):
        client.send_subscribe_message(OPENID, known, DATA, "nowhere/at/all")
    with pytest.raises(TemplateWrong, match="40097"):
        client.send_subscribe_message(OPENID, known, DATA, miniprogram_state="other")
    sandbox.consent(OPENID, "booking_made", 0)
    with pytest.raises(NoConsent, match="43101"):
        client.send_subscribe_message(OPENID, known, DATA)
    sandbox.set_fault("wechat", rate_limited=True)
    with pytest.raises(RateLimited, match="45009") as caught:
        client.send_subscribe_message(OPENID, known, DATA)
    assert caught.value.retry_after > 60
    assert sandbox.messages(OPENID) == []


def test_templates(client):
    assert {t["priTmplId"] for t in client.list_templates()} >= {"sandbox-tmpl-low_balance"}


# ── the token ───────────────────────────────────────────────────────────────────────────────────────


def test_one_token_for_many_calls(sandbox, client):
    for _ in range(3):
        client.list_templates()
    assert count(sandbox, TOKEN_PATH) == 1


def test_an_expired_token_is_renewed_and_the_call_made_once_more(sandbox, client):
    known = template(sandbox)
    client.list_templates()
    sandbox.expire_tokens()
    client.send_subscribe_message(OPENID, known, DATA)
    assert count(sandbox, SEND_PATH) == 2
    assert count(sandbox, TOKEN_PATH) == 2
    assert len(sandbox.messages(OPENID)) == 1


def test_a_token_that_stays_refused_ends(sandbox, client):
    known = template(sandbox)
    sandbox.set_fault("wechat", token_invalid=True, path=SEND_PATH)
    with pytest.raises(Temporary, match="40001"):
        client.send_subscribe_message(OPENID, known, DATA)
    assert count(sandbox, SEND_PATH) == 2
    # The same token was handed out again, so it was forced once; the second failure forces nothing.
    assert count(sandbox, TOKEN_PATH) == 3
    with pytest.raises(Temporary, match="40001"):
        client.send_subscribe_message(OPENID, known, DATA)
    assert count(sandbox, TOKEN_PATH) == 4


def test_threads_renew_once(sandbox, client):
    client.list_templates()
    sandbox.expire_tokens()
    errors = []

    def ask():
        try:
            client.list_templates()
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert count(sandbox, TOKEN_PATH) == 2


class FakeRedis(dict):
    """What the storage asks of Redis, in memory; the outside of this test."""

    def __init__(self):
        super().__init__()
        self.broken = False
        self.asked = 0

    def _check(self):
        self.asked += 1
        if self.broken:
            raise redis.ConnectionError("away")

    def get(self, key):
        self._check()
        return super().get(key)

    def set(self, key, value, ex=None, nx=False):
        self._check()
        if nx and key in self:
            return None
        self[key] = value if isinstance(value, bytes) else str(value).encode()
        return True

    def delete(self, key):
        self._check()
        self.pop(key, None)


def test_processes_share_the_token(sandbox):
    shared = FakeRedis()
    one, two = (
        WeChatMini(sandbox.url, "wxsandbox0000000001", "sandbox-secret", TokenStorage(lambda: shared)) for _ in range(2)
    )
    one.list_templates()
    two.list_templates()
    assert count(sandbox, TOKEN_PATH) == 1
    sandbox.expire_tokens()
    one.list_templates()
    two.list_templates()
    assert count(sandbox, TOKEN_PATH) == 2


def test_without_redis_the_process_keeps_its_own(sandbox):
    shared = FakeRedis()
    shared.broken = True
    client = WeChatMini(sandbox.url, "wxsandbox0000000001", "sandbox-secret", TokenStorage(lambda: shared))
    client.list_templates()
    client.list_templates()
    assert count(sandbox, TOKEN_PATH) == 1
    assert shared.asked == 1, "a dead Redis is not asked again for a while"


def test_storage():
    shared = FakeRedis()
    storage = TokenStorage(lambda: shared)
    storage.set("t", "abc", 60)
    assert storage.get("t") == "abc"
    assert storage.claim("c", 60) is True
    assert storage.claim("c", 60) is False
    storage.delete("t")
    assert storage.get("t", "gone") == "gone"
    alone = TokenStorage()
    assert alone.claim("c", 60) is True
    assert alone.claim("c", 60) is False
    alone.set("t", "abc", 0.0001)
    shared.clear()
    assert storage.get("nothing") is None


# ── what must never happen ──────────────────────────────────────────────────────────────────────────


def test_nothing_is_called_inside_a_transaction(app, sandbox, client):
    code = sandbox.code_for(OPENID)
    calls = (
        lambda: client.code_to_session(code),
        lambda: client.get_phone_number("x"),
        lambda: client.send_subscribe_message(OPENID, "x", DATA),
        client.list_templates,
        client.fetch_access_token,
    )
    for call in calls:
        with transaction(), pytest.raises(RuntimeError, match="inside a database transaction"):
            call()
    assert sandbox.calls() == []


def test_errors_carry_no_secret(sandbox, client, caplog):
    caplog.set_level("DEBUG")
    client.list_templates()
    token = client.session.get(client.access_token_key)
    for fault in ({"down": "reset"}, {"down": "error"}, {"token_invalid": True, "down": ""}):
        sandbox.set_fault("wechat", **fault)
        for call in (lambda: client.code_to_session("code-123"), client.list_templates):
            with pytest.raises((Temporary, UnknownOutcome, Permanent)) as caught:
                call()
            error = caught.value
            told = f"{error!r} {error} {error.__context__!r} {error.__cause__!r} {vars(error)}"
            for secret in ("sandbox-secret", token, "code-123"):
                assert secret not in told
    logged = caplog.text + "".join(str(vars(record)) for record in caplog.records)
    assert "sandbox-secret" not in logged
    assert token not in logged


def test_one_client_per_account(app):
    settings = app.extensions["desk.settings"]
    assert wechat_mini.from_settings(settings) is wechat_mini.from_settings(settings)
