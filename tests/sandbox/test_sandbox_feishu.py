"""The stand-in of Feishu over HTTP: signature, body, limits, and what the group page makes of hostile cards."""

from __future__ import annotations

import json
import time

import pytest
import requests

from sandbox.feishu import sign
from sandbox.feishu_cards import lark_md, safe_link
from sandbox.testing import running_sandbox

SUCCESS = {"StatusCode": 0, "StatusMessage": "success", "code": 0, "data": {}, "msg": "success"}
TEXT = {"msg_type": "text", "content": {"text": "余额核对完成"}}


@pytest.fixture
def bot():
    with running_sandbox() as sandbox, requests.Session() as session:
        sandbox.http = session
        yield sandbox


def post(bot, body, group="money", timestamp=None, secret=None, signed=True):
    timestamp = str(int(bot.state.now()) if timestamp is None else timestamp)
    if signed:
        body = {"timestamp": timestamp, "sign": sign(timestamp, secret or f"sandbox-{group}"), **body}
    answer = bot.http.post(bot.hook_url(group), json=body, timeout=5)
    assert answer.status_code == 200
    return answer.json()


def card(*elements, colour="red", title="余额调整"):
    head = {"template": colour, "title": {"tag": "plain_text", "content": title}}
    return {"msg_type": "interactive", "card": {"header": head, "elements": list(elements)}}


def md(text):
    return {"tag": "div", "text": {"tag": "lark_md", "content": text}}


def test_the_published_signature_vector():
    assert sign("1599360473", "demo") == "l1N0gAcBjdwBvGm1xMjOF0XSyaLRpR7tuO5dHfhAYc8="


@pytest.mark.parametrize("group", ["money", "waitlist", "system"])
def test_each_group_takes_its_own_messages(bot, group):
    assert post(bot, TEXT, group) == SUCCESS
    assert [c["text"] for c in bot.cards(group)] == ["余额核对完成"]
    assert len(bot.cards()) == 1


def test_wrong_signatures(bot):
    now = int(time.time())
    assert post(bot, TEXT, secret="sandbox-system")["code"] == 19021
    assert post(bot, TEXT, signed=False)["code"] == 19021
    assert post(bot, TEXT, timestamp=now - 3601)["code"] == 19021
    assert post(bot, TEXT, timestamp=now + 3605)["code"] == 19021
    assert post(bot, TEXT, timestamp="²")["code"] == 19021
    assert post(bot, TEXT, timestamp=now - 3500) == SUCCESS
    assert len(bot.cards()) == 1


def test_an_unknown_token(bot):
    assert post(bot, TEXT, "nowhere")["code"] == 19001


@pytest.mark.parametrize(
    "body",
    [
        {}, {"msg_type": "text"}, {"msg_type": "text", "content": {"text": 5}}, {"msg_type": "text", "content": "x"},
        {"msg_type": "image", "content": {"image_key": "x"}}, {"msg_type": "post", "content": {"post": {}}},
        {"msg_type": "post", "content": {"post": {"zh_cn": {"content": ["line"]}}}},
        {"msg_type": "interactive"}, {"msg_type": "interactive", "card": {"elements": ["x"]}},
        {"msg_type": "interactive", "card": {"header": {}}},
    ],
)  # fmt: skip
def test_bad_bodies(bot, body):
    assert post(bot, body)["code"] == 9499
    assert bot.cards() == []


def test_bodies_that_are_no_json_object_or_too_long(bot):
    assert bot.http.post(bot.hook_url("money"), data=b"\xff", timeout=5).json()["code"] == 9499
    assert bot.http.post(bot.hook_url("money"), data="[]", timeout=5).json()["code"] == 9499
    assert bot.http.post(bot.hook_url("money"), data="[" * 15000, timeout=5).json()["code"] == 9499
    assert post(bot, {"msg_type": "text", "content": {"text": "\ud800"}})["code"] == 9499
    long = {"msg_type": "text", "content": {"text": "长" * 20000}}
    assert len(json.dumps(long)) > 20 * 1024
    assert post(bot, long)["code"] == 9499


def test_five_in_a_second_and_a_hundred_in_a_minute(bot):
    start = bot.state.now()
    bot.state.now = lambda: start
    assert [post(bot, TEXT)["code"] for _ in range(6)] == [0] * 5 + [11232]
    assert post(bot, TEXT, "system")["code"] == 0
    for second in range(1, 20):
        bot.state.now = lambda second=second: start + second * 1.01
        assert [post(bot, TEXT)["code"] for _ in range(5)] == [0] * 5
    bot.state.now = lambda: start + 25
    assert post(bot, TEXT)["code"] == 11232
    bot.state.now = lambda: start + 61
    assert post(bot, TEXT)["code"] == 0


def test_the_limits_can_be_switched(bot):
    bot.set_fault("feishu", enforce_limits=False)
    assert {post(bot, TEXT)["code"] for _ in range(12)} == {0}
    bot.set_fault("feishu", rate_limited=True, enforce_limits=True)
    assert post(bot, TEXT, "system")["code"] == 11232


def test_rich_text(bot):
    line = [{"tag": "text", "text": "请看"}, {"tag": "a", "text": "报表", "href": "https://example.com/r"}]
    line.append({"tag": "at", "user_id": "all"})
    assert (
        post(bot, {"msg_type": "post", "content": {"post": {"zh_cn": {"title": "日结", "content": [line]}}}}) == SUCCESS
    )
    assert bot.cards("money")[0]["title"] == "日结"
    assert bot.cards("money")[0]["text"] == "请看报表@所有人"


# -- the page ---------------------------------------------------------------------------------------------


def page_of(bot):
    answer = bot.http.get(f"{bot.url}/groups", timeout=5)
    assert "script-src 'self'" in answer.headers["Content-Security-Policy"]
    return answer.text


def test_a_card_on_the_page(bot):
    button = {
        "tag": "button",
        "type": "primary",
        "text": {"tag": "plain_text", "content": "查看"},
        "url": "http://127.0.0.1/f/1",
    }
    fields = {"tag": "div", "fields": [{"is_short": True, "text": {"tag": "lark_md", "content": "**金额**\n¥500.00"}}]}
    post(
        bot,
        card(
            md("**张女士** 余额 ~~¥1~~ [查看](https://example.com)"),
            fields,
            {"tag": "hr"},
            {"tag": "action", "actions": [button]},
        ),
    )
    page = page_of(bot)
    assert 'class="head head-red">余额调整' in page
    assert "<strong>张女士</strong>" in page
    assert '<a href="https://example.com" target="_blank" rel="noopener noreferrer">查看</a>' in page
    assert '<a class="button primary" href="http://127.0.0.1/f/1"' in page
    assert bot.cards()[0]["text"] == "张女士 余额 ¥1 查看\n金额\n¥500.00\n查看"


def test_newest_last(bot):
    for text in ("第一条", "第二条"):
        post(bot, {"msg_type": "text", "content": {"text": text}})
    page = page_of(bot)
    assert page.index("第一条") < page.index("第二条")


HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'><b>"


@pytest.mark.parametrize(
    "body",
    [
        {"msg_type": "text", "content": {"text": HOSTILE}},
        {"msg_type": "post", "content": {"post": {"zh_cn": {"title": HOSTILE, "content": [[
            {"tag": "text", "text": HOSTILE}, {"tag": "a", "text": HOSTILE, "href": "javascript:alert(1)"},
            {"tag": "at", "user_id": "u", "user_name": HOSTILE}]]}}}},
        card(md(f"**{HOSTILE}** [{HOSTILE}](javascript:alert(1)) <font color='red'>{HOSTILE}</font>"),
             colour='"><script>', title=HOSTILE),
        card({"tag": HOSTILE}, {"tag": "note", "elements": [{"tag": "plain_text", "content": HOSTILE}]},
             {"tag": "markdown", "content": HOSTILE}, {"tag": "action", "actions": [
                 {"tag": "button", "text": {"content": HOSTILE}, "url": "javascript:alert(1)", "type": HOSTILE}]}),
    ],
)  # fmt: skip
def test_hostile_text_is_shown_and_not_run(bot, body):
    assert post(bot, body) == SUCCESS
    page = page_of(bot)
    assert "<script>alert" not in page
    assert "<img" not in page
    assert 'href="javascript' not in page
    assert "&lt;script&gt;alert(1)" in page


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("a **b** c", "a <strong>b</strong> c"),
        ("*斜体* 与 2 * 3 * 4", "<em>斜体</em> 与 2 * 3 * 4"),
        ("~~旧~~\n新", "<del>旧</del><br>新"),
        ("**[链接](https://e.com)**",
         '<strong><a href="https://e.com" target="_blank" rel="noopener noreferrer">链接</a></strong>'),
        ("<at id=all></at>", '<span class="at">@所有人</span>'),
        ("<font color='green'>好</font>", '<span class="ink-green">好</span>'),
        (r"\*\*星\*\*", "**星**"),
        ("&#42;&#42;星&#42;&#42; &lt;b&gt;", "**星** &lt;b&gt;"),
        (None, ""),
    ],
)  # fmt: skip
def test_lark_md(text, html):
    assert lark_md(text) == html


@pytest.mark.parametrize(
    "url",
    ["javascript:alert(1)", " javascript:alert(1)", "data:text/html,x", "//e.com", "http://", "http://[", None, 5],
)
def test_links_that_are_not_opened(url):
    assert safe_link(url) is None


def test_the_feed_answers_204_until_something_is_posted(bot):
    feed = f"{bot.url}/groups/feed"
    revision = bot.state.revision
    assert bot.http.get(feed, params={"rev": revision}, timeout=5).status_code == 204
    post(bot, TEXT)
    changed = bot.http.get(feed, params={"rev": revision}, timeout=5)
    assert changed.status_code == 200
    assert "余额核对完成" in changed.text
    assert f'data-revision="{bot.state.revision}"' in changed.text
    assert "<html" not in changed.text
