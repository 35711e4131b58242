"""规则: the settings page (R9, U10)."""

from __future__ import annotations

import re
from decimal import Decimal

import pytest

from app.domain.policy import changes, queries, service
from app.domain.policy.registry import POLICIES
from tests.factories import make_family
from tests.portal import Browser, actor_of, make_staff

FREE, GUARDED = "low_balance_threshold", "overdraft_limit"


@pytest.fixture
def browser(app):
    return Browser(app).sign_in("manager")


def text(answer) -> str:
    return answer.get_data(as_text=True)


def post(browser, name=FREE, value="300.00", reason="家长反映", htmx=False, **more):
    data = {"value": value, "reason": reason, "seen": service.text(name) if name in POLICIES else "", **more}
    return (browser.htmx if htmx else browser.post)(f"/settings/policies/{name}/edit", data)


def asked(app) -> int:
    actor = actor_of(make_staff("manager", display_name="王店长"))
    return changes.ask(name=GUARDED, value="1500.00", reason="<b>寒假</b>", actor=actor)


def test_every_figure_is_listed_in_words(browser):
    page = text(browser.get("/settings/policies"))
    for policy in POLICIES.values():
        assert policy.description in page
    for words in ("¥1,000.00", "15 分钟", "21:30 – 08:00", "开启", "10 MB", "未改过"):
        assert words in page


@pytest.mark.parametrize("name", POLICIES)
def test_each_figure_has_its_sheet_and_form(browser, name):
    assert POLICIES[name].description in text(browser.get(f"/settings/policies/{name}"))
    assert POLICIES[name].description in text(browser.htmx(f"/settings/policies/{name}/edit"))


def test_a_plain_post_changes_and_leads_back(browser):
    answer = post(browser)

    assert (answer.status_code, answer.location) == (303, "/settings/policies")
    assert service.get(FREE) == Decimal("300.00")
    page = text(browser.get(f"/settings/policies/{FREE}"))
    for words in ("¥300.00", "修改规则：¥200.00 → ¥300.00", "家长反映", browser.staff.display_name):
        assert words in page


@pytest.mark.parametrize(
    ("name", "written", "stored"),
    [("hold_ttl", "20 分钟", "20m"), ("hold_ttl", "1小时", "1h"), ("hold_ttl", "90s", "90s"),
     ("quiet_hours", "不设", "off")],
)  # fmt: skip
def test_a_length_of_time_is_written_as_people_write_it(browser, name, written, stored):
    assert 'value="15 分钟"' in text(browser.get("/settings/policies/hold_ttl/edit"))
    assert post(browser, name, written).status_code == 303
    assert service.text(name) == stored


@pytest.mark.parametrize("written", ["15", "很久", "一天", "-5 分钟", "1.5 小时"])
def test_what_is_no_length_of_time_comes_back_as_it_was_written(browser, written):
    answer = post(browser, "hold_ttl", written)
    assert answer.status_code == 422
    assert "时长写作 90 秒、15 分钟" in text(answer)
    assert f'value="{written}"' in text(answer)


def test_from_the_panel_the_list_is_renewed(browser):
    answer = post(browser, htmx=True)

    assert (answer.status_code, answer.headers["HX-Retarget"]) == (200, "#policies")
    assert answer.headers["HX-Trigger-After-Swap"] == "desk:panel-close"
    assert "¥300.00" in text(answer)
    assert "<html" not in text(answer)


def test_the_same_form_twice_changes_once(browser):
    for _ in range(2):
        answer = post(browser, seen="200.00", request_token="a" * 32)
        assert answer.status_code == 303
    assert len(queries.lines()) == len(POLICIES)
    assert text(browser.get(f"/settings/policies/{FREE}")).count("修改规则：") == 1


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"value": "abc"}, "金额只能是"),
        ({"value": ""}, "请填写新值"),
        ({"value": "200.00"}, "没有变化"),
        ({"reason": ""}, "请填写修改原因"),
        ({"seen": "150.00"}, "已被改为 200.00"),
    ],
)
def test_a_refusal_stands_in_the_form(browser, data, words):
    answer = post(browser, **data)

    assert answer.status_code in (422, 409)
    assert words in text(answer)
    assert service.get(FREE) == Decimal("200.00")


def test_a_guarded_figure_waits_for_another_manager(app, browser):
    answer = post(browser, GUARDED, "1500.00")

    assert answer.status_code == 303
    assert service.get(GUARDED) == Decimal("1000.00")
    own = text(browser.get("/settings/policies"))
    assert "等待复核" in own
    assert "/withdraw" in own
    assert "/approve" not in own
    other = Browser(app).sign_in("manager")
    assert "/approve" in text(other.get("/settings/policies"))


def test_another_manager_approves(app, browser):
    request_id = asked(app)

    answer = browser.post(f"/settings/policies/requests/{request_id}/approve")

    assert answer.status_code == 303
    assert service.get(GUARDED) == Decimal("1500.00")
    assert browser.post(f"/settings/policies/requests/{request_id}/approve").status_code == 404


def test_another_manager_refuses_with_a_reason(app, browser):
    request_id = asked(app)
    url = f"/settings/policies/requests/{request_id}/reject"
    assert "&lt;b&gt;寒假&lt;/b&gt;" in text(browser.get(url))
    assert browser.post(url, {"note": ""}).status_code == 422

    assert browser.post(url, {"note": "太高"}).status_code == 303

    assert service.get(GUARDED) == Decimal("1000.00")
    assert "太高" in text(browser.get(f"/settings/policies/{GUARDED}"))


def test_the_asker_cannot_approve_and_may_withdraw(browser):
    post(browser, GUARDED, "1500.00")
    request_id = queries.pending_changes()[0].id

    assert browser.post(f"/settings/policies/requests/{request_id}/approve").status_code == 403
    assert browser.post(f"/settings/policies/requests/{request_id}/withdraw").status_code == 303
    assert queries.pending_changes() == []


@pytest.mark.parametrize(("role", "status"), [("front_desk", 403), ("finance", 200), ("auditor", 200), ("admin", 200)])
def test_others_read_and_do_not_change(app, role, status):
    request_id = asked(app)
    other = Browser(app).sign_in(role)
    page = other.get("/settings/policies")
    assert page.status_code == status
    assert "/approve" not in text(page)
    assert other.get(f"/settings/policies/{FREE}").status_code == status
    assert post(other).status_code == 403
    assert other.post(f"/settings/policies/requests/{request_id}/approve").status_code == 403
    assert service.get(FREE) == Decimal("200.00")


def test_an_unknown_figure_is_404(browser):
    assert browser.get("/settings/policies/nope").status_code == 404
    assert browser.get("/settings/policies/nope/edit").status_code == 404
    assert browser.get("/settings/policies/requests/999/reject").status_code == 404


SCOPE = "open_booking"


@pytest.mark.parametrize(
    ("chosen", "value", "words"),
    [
        ({"scope": "off"}, "off", "不开放"),
        ({"scope": "percent", "percent": " 25% "}, "25%", "25% 的家庭"),
        ({"scope": "families", "families": "{0}， {1}"}, "families:{0},{1}", "指定的家庭：{0}、{1}"),
    ],
)
def test_a_capability_is_opened_by_a_form_of_its_own(browser, chosen, value, words):
    ids = [make_family().id, make_family().id]
    sent = {name: text.format(*ids) for name, text in chosen.items()}
    answer = browser.post(f"/settings/policies/{SCOPE}/edit", {"reason": "试用", "seen": "all", **sent})

    assert (answer.status_code, service.text(SCOPE)) == (303, value.format(*ids))
    page = text(browser.get(f"/settings/policies/{SCOPE}"))
    assert words.format(*ids) in page
    again = text(browser.get(f"/settings/policies/{SCOPE}/edit"))
    (checked,) = [one for one in re.findall(r"<input[^>]*checked[^>]*>", again) if 'name="scope"' in one]
    assert f'value="{sent["scope"]}"' in checked


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        ({"scope": "percent", "percent": "100"}, "1 到 99"),
        ({"scope": "percent"}, "1 到 99"),
        ({"scope": "families", "families": "12;13"}, "用逗号分开"),
        ({"scope": "families", "families": "987654"}, "没有这些编号的家庭：987654"),
        ({"scope": "everybody"}, "对谁开放"),
        ({"scope": "all"}, "没有变化"),
        ({"scope": "off", "seen": "25%"}, "已被改为 all"),
    ],
)
def test_a_wrong_scope_stands_in_the_form_and_changes_nothing(browser, sent, words):
    answer = browser.post(f"/settings/policies/{SCOPE}/edit", {"reason": "试用", "seen": "all", **sent})

    assert (answer.status_code in (422, 409), words in text(answer)) == (True, True), text(answer)
    assert service.text(SCOPE) == "all"
