"""The search page and its dropdown."""

from __future__ import annotations

import pytest

from tests.factories import make_family
from tests.portal import Browser


@pytest.mark.parametrize("typed", ["zxm", "张小明", "zhangxiao", "张xm", "13812345678", "5678"])
def test_finds_the_family_while_typing(app, typed):
    family = make_family(students=("张小明",), phone="13812345678")
    make_family(parent="李先生", students=("李雷",), phone="13999990000")
    browser = Browser(app).sign_in("front_desk")
    answer = browser.client.get(
        "/search", query_string={"q": typed}, headers={"HX-Request": "true", "HX-Target": "search-results"}
    )
    text = answer.get_data(as_text=True)
    assert f'href="/families/{family.id}"' in text
    assert "李雷" not in text
    assert "<html" not in text


def test_page_lists_and_says_when_nothing_is_found(app):
    make_family(students=("张小明",))
    browser = Browser(app).sign_in("auditor")
    assert "张小明" in browser.get("/search?q=zxm").get_data(as_text=True)
    assert "没有找到「nobody」" in browser.get("/search?q=nobody").get_data(as_text=True)
    assert "输入即可搜索" in browser.get("/search").get_data(as_text=True)


def test_hostile_query_is_text(app):
    text = Browser(app).sign_in("front_desk").get("/search?q=<script>x</script>").get_data(as_text=True)
    assert "<script>x" not in text


def test_admin_has_no_search(app):
    assert Browser(app).sign_in("admin").get("/search?q=zxm").status_code == 403
