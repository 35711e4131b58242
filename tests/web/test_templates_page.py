"""消息模板: changed within the fixed fields, with preview, audited."""

from __future__ import annotations

import pytest

from app.db import db
from app.domain.outbox import wordings
from app.domain.outbox.kinds import KINDS
from tests.portal import Browser

ADDRESS = "/settings/templates/arrears"


def words(**changes) -> dict:
    return wordings.built_in(KINDS["arrears"]) | {"seen_at": ""} | changes


def text(response) -> str:
    return response.get_data(as_text=True)


def audited() -> list:
    return list(db.session.execute(db.text("SELECT action, target_id FROM audit_log WHERE target_type = 'template'")))


def test_all_types_are_listed(app):
    page = text(Browser(app).sign_in("manager").get("/settings/templates"))
    assert all(kind.title in page for kind in KINDS.values())


def test_every_type_has_a_preview(app):
    browser = Browser(app).sign_in("manager")
    for name, kind in KINDS.items():
        page = text(browser.get(f"/settings/templates/{name}"))
        assert kind.title in page
        assert "已截断" not in page
    assert browser.get("/settings/templates/nonsense").status_code == 404


def test_a_preview_keeps_nothing(app):
    answer = Browser(app).sign_in("manager").post(ADDRESS, words(thing2="请尽快充值", preview="1"))
    assert answer.status_code == 200
    assert text(answer).count("请尽快充值") >= 2
    assert wordings.of("arrears") == {}


def test_a_change_is_kept_and_audited_and_used(app):
    browser = Browser(app).sign_in("manager")
    assert browser.post(ADDRESS, words(thing2="请尽快充值 {owed}")).status_code == 303
    assert wordings.of("arrears") == {"thing2": "请尽快充值 {owed}"}
    assert [tuple(row) for row in audited()] == [("template.changed", "arrears")]
    page = text(browser.get(ADDRESS))
    assert "请尽快充值 ¥200.00" in page
    assert "恢复原文" in page


def test_two_managers_do_not_overwrite_each_other(app):
    browser = Browser(app).sign_in("manager")
    browser.post(ADDRESS, words(thing2="第一位的文字"))
    answer = browser.post(ADDRESS, words(thing2="第二位的文字"))
    assert answer.status_code == 409
    assert "刚才有人修改过" in text(answer)
    assert wordings.of("arrears") == {"thing2": "第一位的文字"}


def test_restoring_the_built_in_words(app):
    browser = Browser(app).sign_in("manager")
    browser.post(ADDRESS, words(thing2="别的文字"))
    assert browser.post(f"{ADDRESS}/restore").status_code == 303
    assert wordings.of("arrears") == {}
    assert audited()[-1].action == "template.restored"
    assert "一直用原文" not in text(browser.get(ADDRESS))


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("thing2", "", "请填写文字"),
        ("thing2", "　", "请填写文字"),
        ("thing2", "{nobody}请充值", "没有这些内容"),
        ("thing2", "请充值{owed", "花括号不成对"),
        ("thing2", "这一句话实在是太长了所以微信会把它截断的对吧", "超过 20 个字"),
        ("thing2", "长" * 61, "太长了"),
        ("sentence", "长" * 301, "最多 300 个字"),
        ("sentence", "{owed.__class__}", "花括号不成对"),
    ],
)
def test_wrong_words_are_refused_by_field(app, field, value, sentence):
    answer = Browser(app).sign_in("manager").post(ADDRESS, words(**{field: value}))
    assert answer.status_code == 422
    assert sentence in text(answer)
    assert wordings.of("arrears") == {}


def test_each_occasion_has_its_preview_and_its_own_words(app):
    browser = Browser(app).sign_in("manager")
    page = text(browser.get(ADDRESS))
    for occasion in KINDS["arrears"].occasions:
        assert occasion.label in page
    assert "已欠费7天，请立即充值" in page
    assert browser.post(ADDRESS, words(third__thing2="欠{owed}满{days}天，请充值")).status_code == 303
    assert wordings.of("arrears") == {"third__thing2": "欠{owed}满{days}天，请充值"}
    page = text(browser.get(ADDRESS))
    assert "欠¥200.00满7天，请充值" in page
    assert "已欠费3天，请尽快充值" in page
    assert browser.post(f"{ADDRESS}/restore").status_code == 303
    assert wordings.of("arrears") == {}


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("refused__thing2", "欠了{days}天", "没有这些内容"),  # a fact of another occasion
        ("thing2", "欠了{days}天", "没有这些内容"),
        ("third__thing2", "这一句话实在是太长了所以微信会把它截断的对吧", "超过 20 个字"),
        ("third__sentence", "{owed", "花括号不成对"),
        ("second__sentence", "", "请填写文字"),
    ],
)
def test_wrong_words_of_an_occasion_are_refused_by_field(app, field, value, sentence):
    answer = Browser(app).sign_in("manager").post(ADDRESS, words(**{field: value}))
    assert answer.status_code == 422
    assert sentence in text(answer)
    assert wordings.of("arrears") == {}


def test_hostile_words_are_shown_as_text(app):
    answer = Browser(app).sign_in("manager").post(ADDRESS, words(thing2="<b>欠\u202e费</b>", preview="1"))
    assert "<b>欠" not in text(answer)
    assert "&lt;b&gt;欠费" in text(answer)


def test_figures_cannot_be_changed(app):
    Browser(app).sign_in("manager").post(ADDRESS, words(amount1="¥0.01"))
    assert wordings.of("arrears") == {}


@pytest.mark.parametrize(("role", "status"), [("finance", 403), ("admin", 403), ("auditor", 200), ("manager", 200)])
def test_who_may_read(app, role, status):
    assert Browser(app).sign_in(role).get("/settings/templates").status_code == status


def test_an_auditor_reads_and_changes_nothing(app):
    auditor = Browser(app).sign_in("auditor")
    page = auditor.get("/settings/templates/arrears").get_data(as_text=True)
    assert ("微信服务通知" in page, "保存文字" in page, "恢复原文" in page) == (True, False, False)
    assert auditor.post("/settings/templates/arrears", {"remark": "请来充值"}).status_code == 403
