"""Messages from the outbox to the parent's phone and the groups, over real HTTP: what arrives, and what if not."""

from __future__ import annotations

import dataclasses
from datetime import timedelta

import pytest

from app import clock, config
from app.db import transaction
from app.domain.outbox import service
from app.domain.outbox.models import Status
from app.flows import delivery, template_check
from app.flows.delivery import deliver, outcome_of
from app.gateways import http, wechat_mini
from app.gateways.errors import Permanent, RateLimited, Temporary, UnknownOutcome
from sandbox.testing import running_sandbox
from tests.domain.outbox.families import make_family, remaining, rows

FACTS = {
    "course": "启蒙课",
    "amount": "200.00",
    "result": "支付成功",
    "time": "2026-11-20T11:00:00+00:00",
    "remark": "好",
}
SEND = "/cgi-bin/message/subscribe/send"


@pytest.fixture(scope="module")
def running():
    with running_sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(running, app, monkeypatch):
    """The sandbox, with the test's application pointed at it."""
    running.reset()
    wechat_mini._clients.clear()
    settings = app.extensions["desk.settings"]
    bots = {group: config.FeishuBot(running.hook_url(group), f"sandbox-{group}") for group in config.FEISHU_GROUPS}
    changed = dataclasses.replace(settings, wechat_api_url=running.url, feishu=bots)
    monkeypatch.setitem(app.extensions, "desk.settings", changed)
    return running


def tell(kind: str = "payment_result", *, at_wechat: int = 1, ours: int = 1, sandbox=None) -> tuple[int, int, str]:
    """A message that waits: its id, the parent, the openid."""
    family, [user] = make_family(consents={kind: ours} if ours else None)
    with transaction():
        [row_id] = service.tell_family(family, kind, FACTS, dedupe="1")
    openid = rows(id=row_id)[0].recipient
    if sandbox is not None:
        sandbox.consent(openid, kind, at_wechat)
    return row_id, user, openid


def row(row_id: int):
    return rows(id=row_id)[0]


def test_a_message_arrives_with_its_words(sandbox):
    row_id, user, openid = tell(sandbox=sandbox)
    assert deliver(row_id) == Status.SENT
    [message] = sandbox.messages(openid)
    assert message["type"] == "payment_result"
    assert message["data"]["amount2"] == "¥200.00"
    assert message["page"] == "pages/order/detail"
    assert row(row_id).provider_message_id
    assert remaining(user, "payment_result") == 0
    assert deliver(row_id) is None
    assert len(sandbox.messages(openid)) == 1


def test_43101_is_one_attempt_and_then_in_app(sandbox):
    row_id, user, openid = tell(at_wechat=0, ours=3, sandbox=sandbox)
    assert deliver(row_id) == Status.FAILED
    assert len(sandbox.calls(SEND)) == 1
    assert (row(row_id).error_code, row(row_id).attempts) == ("43101", 1)
    assert "没有授权" in row(row_id).error
    assert remaining(user, "payment_result") == 0
    [in_app] = rows(follows_id=row_id)
    assert in_app.user_id == user
    assert in_app.text == "启蒙课的订单支付成功，金额 ¥200.00。好"


def test_a_bad_openid_is_one_attempt(sandbox):
    row_id, user, _openid = tell()  # the sandbox has never seen this parent
    assert deliver(row_id) == Status.FAILED
    assert row(row_id).error_code == "40003"
    assert remaining(user, "payment_result") == 1
    assert len(rows(follows_id=row_id)) == 1


def test_a_wrong_template_is_one_attempt_and_tells_the_group(sandbox, app, monkeypatch):
    settings = app.extensions["desk.settings"]
    templates = {**settings.templates, "payment_result": "sandbox-tmpl-arrears"}
    monkeypatch.setitem(app.extensions, "desk.settings", dataclasses.replace(settings, templates=templates))
    row_id, _, openid = tell(sandbox=sandbox)
    sandbox.consent(openid, "arrears", 1)
    assert deliver(row_id) == Status.FAILED
    assert row(row_id).error_code == "47003"
    assert "amount1" in row(row_id).error
    [alert] = rows(type="staff.message_failed")
    deliver(alert.id)
    assert sandbox.cards("system")[0]["title"] == "消息模板有误"


def test_a_refused_token_is_renewed_within_one_try(sandbox):
    first, _, openid = tell(sandbox=sandbox)
    deliver(first)
    sandbox.expire_tokens()
    second, _, other = tell(sandbox=sandbox)
    assert deliver(second) == Status.SENT
    assert row(second).attempts == 1
    assert len(sandbox.messages(other)) == 1


def test_a_token_that_stays_refused_waits(sandbox):
    row_id, _, openid = tell(sandbox=sandbox)
    sandbox.set_fault("wechat", token_invalid=True)
    assert deliver(row_id) == Status.PENDING
    assert (row(row_id).error_code, row(row_id).attempts) == ("40001", 1)
    assert len(sandbox.calls(SEND)) == 2
    sandbox.clear_faults()
    with clock.travel(by=timedelta(seconds=4)):
        assert deliver(row_id) == Status.SENT


@pytest.mark.parametrize(
    ("fault", "code"), [({"down": "error"}, "http_500"), ({"down": "reset"}, "connection_lost"), ({"busy": True}, "-1")]
)
def test_what_passes_is_tried_again_and_arrives_once(sandbox, fault, code):
    row_id, user, openid = tell(sandbox=sandbox)
    sandbox.set_fault("wechat", path=SEND, times=1, **fault)
    assert deliver(row_id) == Status.PENDING
    assert row(row_id).error_code == code
    assert remaining(user, "payment_result") == 1
    assert deliver(row_id) is None  # not before its time
    with clock.travel(by=timedelta(seconds=4)):
        assert deliver(row_id) == Status.SENT
    assert len(sandbox.messages(openid)) == 1
    assert [entry["result"] for entry in row(row_id).history] == ["temporary", "sent"]


def test_slow_is_unknown_and_no_duplicate_of_what_is_not_vital(sandbox, monkeypatch):
    monkeypatch.setattr(http, "READ", 0.3)
    row_id, user, openid = tell("low_balance", at_wechat=5, ours=5, sandbox=sandbox)
    sandbox.set_fault("wechat", path=SEND, slow=1.0, times=1)
    with clock.travel(to=clock.now().replace(hour=4)):
        assert deliver(row_id) in (Status.FAILED, None)
    if row(row_id).status == Status.PENDING:  # written in the quiet hours
        with clock.travel(to=row(row_id).next_attempt_at):
            assert deliver(row_id) == Status.FAILED
    assert row(row_id).error_code == "timeout"
    assert "不能确认" in row(row_id).error
    assert len(rows(follows_id=row_id, channel="in_app")) == 1
    assert deliver(row_id) is None


def test_a_used_up_quota_pauses_all(sandbox):
    first, _, _ = tell(sandbox=sandbox)
    second, _, openid = tell(sandbox=sandbox)
    sandbox.set_fault("wechat", path=SEND, rate_limited=True, times=1)
    assert deliver(first) == Status.PENDING
    assert (row(first).error_code, row(first).attempts) == ("45009", 0)
    assert deliver(second) is None
    assert len(sandbox.calls(SEND)) == 1
    with clock.travel(by=timedelta(hours=2)):
        assert deliver(second) == Status.SENT


def test_what_does_not_exist(sandbox):
    assert deliver(987654321) is None


# ── cards ───────────────────────────────────────────────────────────────────────────────────────────


def card(number: int, group: str = "money") -> int:
    content = {"title": f"第 {number} 笔", "colour": "green", "lines": [["金额", "+¥1.00"]]}
    with transaction():
        return service.tell_staff(group, "staff.test", content, dedupe=f"c{number}")


def test_a_few_cards_go_one_by_one(sandbox):
    ids = [card(n) for n in range(3)]
    assert deliver(ids[0]) == Status.SENT
    assert [c["title"] for c in sandbox.cards("money")] == ["第 0 笔", "第 1 笔", "第 2 笔"]
    assert [r.status for r in rows(channel="feishu")] == [Status.SENT] * 3


def test_a_flood_is_collected_and_none_is_lost(sandbox):
    ids = [card(n) for n in range(60)]
    for row_id in ids:
        deliver(row_id)
    for second in range(1, 5):
        with clock.travel(by=timedelta(seconds=second)):
            delivery.collect_cards()
    shown = "\n".join(c["title"] + c["text"] for c in sandbox.cards("money"))
    assert all(f"第 {n} 笔" in shown for n in range(60))
    assert len(sandbox.calls("/open-apis/bot/v2/hook/money")) <= 6
    assert {r.status for r in rows(channel="feishu")} == {Status.SENT}


def test_a_limited_bot_is_waited_for(sandbox):
    sandbox.set_fault("feishu", rate_limited=True, times=1)
    row_id = card(1)
    assert deliver(row_id) == Status.PENDING
    assert (row(row_id).error_code, row(row_id).attempts) == ("11232", 0)
    assert delivery.collect_cards() == 0
    with clock.travel(by=timedelta(seconds=30)):
        assert delivery.collect_cards() == 1
    assert len(sandbox.cards("money")) == 1


def test_a_group_without_a_bot_fails_with_an_explanation(sandbox, app, monkeypatch):
    settings = app.extensions["desk.settings"]
    bots = {**settings.feishu, "money": config.FeishuBot("", "")}
    monkeypatch.setitem(app.extensions, "desk.settings", dataclasses.replace(settings, feishu=bots))
    row_id = card(1)
    assert deliver(row_id) == Status.FAILED
    assert row(row_id).error == "没有设置飞书机器人地址"


# ── errors as outcomes ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("error", "result"),
    [
        (Temporary("x", "cannot_connect"), "temporary"),
        (Temporary("x", "http_503"), "temporary"),
        (UnknownOutcome("x", "connection_lost"), "temporary"),
        (UnknownOutcome("x", "not_json"), "temporary"),
        (UnknownOutcome("x", "timeout"), "unknown"),
        (RateLimited("x", "11232", retry_after=7), "paused"),
        (Permanent("x", "99999"), "refused"),
        (wechat_mini.NoConsent("x", "43101"), "refused"),
    ],
)
def test_every_error_has_an_outcome_and_words(error, result):
    outcome = outcome_of(error)
    assert outcome.result == result
    assert outcome.error
    assert outcome.no_consent == (error.code == "43101")


# ── templates ───────────────────────────────────────────────────────────────────────────────────────


def test_our_templates_agree_with_wechats(sandbox):
    assert template_check.differences() == []


def test_differences_are_named(sandbox, app, monkeypatch):
    settings = app.extensions["desk.settings"]
    templates = {**settings.templates, "arrears": "nobody", "low_balance": "sandbox-tmpl-balance_changed"}
    monkeypatch.setitem(app.extensions, "desk.settings", dataclasses.replace(settings, templates=templates))
    found = {d.type: d for d in template_check.differences()}
    assert set(found) == {"arrears", "low_balance"}
    assert "没有这个模板" in found["arrears"].problem
    assert "amount1" in found["low_balance"].problem
    assert "DESK_TEMPLATE_ARREARS" in found["arrears"].remedy
