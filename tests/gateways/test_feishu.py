"""Feishu's bot over real HTTP against the sandbox: signature, errors, escaping, sizes."""

from __future__ import annotations

import pytest

from app.db import transaction
from app.gateways import feishu
from app.gateways.errors import Permanent, RateLimited, Temporary, UnknownOutcome
from sandbox.testing import running_sandbox

URL = "https://desk.example"
CARD = {
    "title": "余额调整已完成 +¥500.00",
    "colour": "green",
    "lines": [["家庭", "张女士家庭"], ["手机", "13812345678"], ["凭证", "有"]],
    "link": {"text": "查看", "path": "/adjustments/7"},
}


@pytest.fixture(scope="module")
def running():
    with running_sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(running):
    running.reset()
    return running


def send(sandbox, card=CARD, group="money", secret=None) -> None:
    feishu.send(sandbox.hook_url(group), secret or f"sandbox-{group}", feishu.card_body(card, URL))


def test_signature_is_feishus():
    assert feishu.sign("1599360473", "demo") == "l1N0gAcBjdwBvGm1xMjOF0XSyaLRpR7tuO5dHfhAYc8="


def test_a_card_arrives(sandbox):
    send(sandbox)
    [card] = sandbox.cards("money")
    assert card["title"] == "余额调整已完成 +¥500.00"
    assert "家庭：张女士家庭" in card["text"]
    assert "138****5678" in card["text"]
    assert "13812345678" not in str(card["content"])
    assert card["content"]["elements"][-1]["actions"][0]["url"] == f"{URL}/adjustments/7"
    assert card["content"]["header"]["template"] == "green"


@pytest.mark.parametrize(
    "text",
    [
        "<at id=all></at>", "**粗**", "~~删~~", "[点我](https://evil.example)", "`码`", "<font color=red>红</font>",
        "a_b_c", "\\*", "# 标题", "&#42;&lt;", "![图](x)",
    ],
)  # fmt: skip
def test_what_people_type_is_shown_as_typed(sandbox, text):
    send(sandbox, CARD | {"lines": [["昵称", text]], "text": text, "link": None})
    [card] = sandbox.cards("money")
    assert card["text"].splitlines() == [f"昵称：{text}", text]
    content = str(card["content"]["elements"])
    assert "<at" not in content
    assert "](" not in content


def test_hidden_signs_and_line_ends_are_gone(sandbox):
    send(sandbox, CARD | {"lines": [["备注", "一\n二\u202e三\u0000"]], "link": None})
    assert sandbox.cards("money")[0]["text"] == "备注：一 二三"


@pytest.mark.parametrize("size", [1, 100, 5_000, 200_000])
def test_any_card_fits(sandbox, size):
    lines = [[f"第{n}行", "长*" * size] for n in range(60)]
    send(sandbox, CARD | {"lines": lines, "text": "文<" * size})
    assert feishu.size(feishu.card_body(CARD | {"lines": lines}, URL)) <= feishu.MAX_BODY


def test_a_card_without_lines_has_a_body(sandbox):
    send(sandbox, {"title": "只有标题", "colour": "red"})
    assert sandbox.cards("money")[0]["title"] == "只有标题"


def test_a_digest_holds_every_card_with_its_link(sandbox):
    cards = [CARD | {"title": f"第 {n} 笔", "colour": "orange" if n == 2 else "blue"} for n in range(5)]
    feishu.send(sandbox.hook_url("money"), "sandbox-money", feishu.digest_body(cards, URL))
    [card] = sandbox.cards("money")
    assert card["title"] == "5 条通知"
    assert card["content"]["header"]["template"] == "orange"
    assert all(f"第 {n} 笔" in card["text"] for n in range(5))
    assert str(card["content"]).count(f"{URL}/adjustments/7") == 5


def test_a_digest_takes_as_many_as_fit():
    large = [CARD | {"lines": [["备注", "长" * 300]] * 30} for _ in range(50)]
    count = feishu.how_many_fit(large, URL)
    assert 1 <= count < feishu.MAX_DIGEST
    assert feishu.size(feishu.digest_body(large[:count], URL)) <= feishu.MAX_BODY
    assert feishu.how_many_fit([CARD] * 50, URL) == feishu.MAX_DIGEST
    assert feishu.how_many_fit(large[:1], URL) == 1


def test_wrong_secret(sandbox):
    with pytest.raises(Permanent) as error:
        send(sandbox, secret="wrong")
    assert error.value.code == "19021"
    assert sandbox.cards() == []


def test_unknown_bot(sandbox):
    with pytest.raises(Permanent) as error:
        feishu.send(f"{sandbox.url}/open-apis/bot/v2/hook/nobody", "x", feishu.card_body(CARD, URL))
    assert error.value.code == "19001"


def test_too_often(sandbox):
    for _ in range(5):
        send(sandbox)
    with pytest.raises(RateLimited) as error:
        send(sandbox)
    assert error.value.code == "11232"
    assert error.value.retry_after >= 1
    assert len(sandbox.cards("money")) == 5


def test_down(sandbox):
    sandbox.set_fault("feishu", down="error")
    with pytest.raises(Temporary) as error:
        send(sandbox)
    assert error.value.code == "http_500"
    sandbox.set_fault("feishu", down="reset")
    with pytest.raises(UnknownOutcome):
        send(sandbox)


def test_nobody_there():
    with pytest.raises(Temporary) as error:
        feishu.send("http://127.0.0.1:9/hook", "x", feishu.card_body(CARD, URL))
    assert "9/hook" not in str(error.value)


def test_never_inside_a_transaction(app, sandbox):
    with pytest.raises(RuntimeError), transaction():
        send(sandbox)
    assert sandbox.cards() == []
