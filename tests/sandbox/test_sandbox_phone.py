"""The phone page: its proxy against a small app that speaks the JSON contract, and the page in a browser."""

from __future__ import annotations

import pytest
import requests
from playwright.sync_api import expect
from sandbox_fake_app import notice, running_fake_app

from sandbox.testing import running_sandbox

OPENID = "demo-parent-01"


@pytest.fixture
def phone():
    with running_sandbox() as sandbox, running_fake_app(sandbox.url) as (app_url, app), requests.Session() as session:
        sandbox.point_to(app_url)
        sandbox.http, sandbox.fake, sandbox.app_url = session, app, app_url
        yield sandbox


def call(phone, method, path, body=None, **headers):
    return phone.http.request(method, f"{phone.url}/phone{path}", json=body, headers=headers, timeout=10)


def sign_in(phone, openid=OPENID):
    code = call(phone, "POST", f"/{openid}/code", {}).json()["code"]
    answer = call(phone, "POST", "/api/auth/login", {"code": code, "nickname": "张女士"})
    assert answer.status_code == 200
    return {"Authorization": f"Bearer {answer.json()['data']['access_token']}"}


def test_signing_in_through_the_proxy(phone):
    headers = sign_in(phone)
    wallet = call(phone, "GET", "/api/wallet", **headers).json()
    assert wallet["data"]["balance"] == "1620.00"
    assert call(phone, "POST", "/api/auth/login", {"code": "x"}).status_code == 401


def test_the_proxy_hands_on_query_key_and_status(phone):
    headers = sign_in(phone)
    page = call(phone, "GET", "/api/wallet/transactions?limit=10&cursor=11", **headers).json()["data"]
    assert [item["seq"] for item in page["items"]] == list(range(10, 0, -1))
    made = call(phone, "POST", "/api/profiles", {"name": "小雨"}, **headers, **{"Idempotency-Key": "k-1"})
    assert made.status_code == 201
    sent = phone.fake.calls[-1][2]
    assert sent["Idempotency-Key"] == "k-1"
    assert sent["Content-Type"] == "application/json"
    assert "Cookie" not in sent


def test_the_proxy_reaches_nothing_but_the_api(phone):
    assert call(phone, "GET", "/api/%2e%2e/%2e%2e/admin").status_code == 404
    assert phone.fake.calls == []


def test_an_app_that_is_away_is_told_in_the_envelope(phone):
    phone.point_to("http://127.0.0.1:9")
    answer = call(phone, "GET", "/api/wallet")
    assert answer.status_code == 502
    assert answer.json()["error"] == "APP_UNREACHABLE"
    assert "没有应答" in answer.json()["message"]


def test_a_consent_is_counted_by_wechat(phone):
    template = {"template_id": "sandbox-tmpl-arrears"}
    assert call(phone, "POST", f"/{OPENID}/consent", {**template, "accept": True}).json()["remaining"] == 1
    refused = call(phone, "POST", f"/{OPENID}/consent", {**template, "accept": False}).json()
    assert refused["result"] == "reject"
    assert refused["remaining"] == 1
    listed = call(phone, "GET", f"/{OPENID}/templates").json()["items"]
    assert {t["type"]: t["remaining"] for t in listed}["arrears"] == 1
    assert call(phone, "POST", f"/{OPENID}/consent", {"template_id": "no", "accept": True}).status_code == 422


def test_phone_code_needs_a_number(phone):
    assert call(phone, "POST", f"/{OPENID}/phone-code", {"phone": "123"}).status_code == 422
    assert call(phone, "POST", f"/{OPENID}/phone-code").status_code == 415
    headers = sign_in(phone)
    code = call(phone, "POST", f"/{OPENID}/phone-code", {"phone": "13900000001"}).json()["code"]
    bound = call(phone, "POST", "/api/auth/phone", {"code": code}, **headers).json()["data"]
    assert bound["phone_masked"] == "139****0001"


def test_messages_by_revision(phone):
    first = call(phone, "GET", f"/{OPENID}/messages?rev=").json()
    assert call(phone, "GET", f"/{OPENID}/messages?rev={first['rev']}").status_code == 204
    arrive(phone)
    second = call(phone, "GET", f"/{OPENID}/messages?rev={first['rev']}").json()
    assert [m["title"] for m in second["items"]] == ["欠费提醒"]


def arrive(phone, text="请充值后继续预约课程"):
    fields = [
        {"key": "amount1", "label": "欠费金额", "value": "¥200.00"},
        {"key": "thing2", "label": "温馨提示", "value": text},
    ]
    phone.consent(OPENID, "arrears")
    phone.state.deliver(
        {"openid": OPENID, "template_id": "sandbox-tmpl-arrears", "type": "arrears", "title": "欠费提醒",
         "page": "pages/wallet/index", "data": {}, "fields": fields}
    )  # fmt: skip


def test_parents_and_a_new_one(phone):
    listed = call(phone, "GET", "/parents").json()["items"]
    assert [p["openid"] for p in listed] == [f"demo-parent-{n:02d}" for n in range(1, 9)]
    assert listed[0]["name"] == "张女士"
    answer = phone.http.post(f"{phone.url}/phone/parents", data={"name": "<b>新人</b>"}, timeout=5)
    assert answer.status_code == 200
    assert "&lt;b&gt;新人&lt;/b&gt;" in answer.text
    assert "<b>新人" not in answer.text
    assert call(phone, "GET", "/nobody-here").status_code == 404


# -- in a browser -----------------------------------------------------------------------------------------


@pytest.fixture
def browser_page(chromium):
    context = chromium.new_context(locale="zh-CN", timezone_id="Asia/Shanghai", viewport={"width": 390, "height": 844})
    context.route(lambda url: not url.startswith("http://127.0.0.1"), lambda route: route.abort())
    page = context.new_page()
    page.faults = []
    page.on("pageerror", lambda error: page.faults.append(str(error)))
    page.on("console", lambda m: m.type == "error" and page.faults.append(m.text))
    page.set_default_timeout(10000)
    yield page
    context.close()


@pytest.mark.browser
def test_a_parent_uses_the_phone(phone, browser_page):
    page = browser_page
    page.goto(f"{phone.url}/phone/{OPENID}")
    page.get_by_role("button", name="微信一键登录").click()
    page.get_by_role("link", name="钱包").click()
    expect(page.get_by_text("¥1,620.00").first).to_be_visible()
    expect(page.locator(".cell .money")).to_have_count(10)
    page.get_by_role("button", name="更多").click()
    page.get_by_role("button", name="更多").click()
    expect(page.locator(".cell .money")).to_have_count(25)
    expect(page.get_by_role("button", name="更多")).to_be_hidden()

    page.get_by_role("link", name="我的").click()
    page.get_by_role("button", name="学员").click()
    page.get_by_role("button", name="添加学员").click()
    page.get_by_label("姓名").fill("<img src=x onerror=alert(1)>")
    page.get_by_label("级别").fill("L99")
    page.get_by_role("button", name="保存").click()
    expect(page.get_by_text("没有这个级别")).to_be_visible()
    page.get_by_label("级别").fill("L1")
    page.get_by_role("button", name="保存").click()
    expect(page.get_by_text("<img src=x onerror=alert(1)>")).to_be_visible()
    assert page.locator(".screen img").count() == 0

    page.get_by_role("button", name="返回").click()
    page.get_by_role("button", name="手机号").click()
    page.get_by_role("button", name="允许", exact=True).last.click()
    expect(page.get_by_text("139****0001")).to_be_visible()
    page.get_by_role("button", name="允许欠费提醒").click()
    page.locator(".sheet").get_by_role("button", name="允许").click()
    expect(page.get_by_text("微信还可送达 1 条")).to_be_visible()
    assert phone.fake.users[OPENID]["subscriptions"] == {"sandbox-tmpl-arrears": 1}
    page.get_by_label("余额变动", exact=True).click()
    expect(page.get_by_label("余额变动", exact=True)).not_to_be_checked()

    arrive(phone, "<b>不是标签</b>")
    expect(page.locator("[data-banner]")).to_contain_text("欠费提醒")
    page.locator("[data-banner]").click()
    expect(page.get_by_text("<b>不是标签</b>")).to_be_visible()

    phone.fake.users[OPENID]["notices"].append(notice(1, "欠费提醒", "您已欠费 ¥350.00"))
    page.get_by_role("button", name="站内通知").click()
    page.get_by_role("button", name="您已欠费 ¥350.00").click()
    expect(page.locator(".unread")).to_have_count(0)
    assert phone.fake.users[OPENID]["notices"][0]["read_at"]

    # A token that lapsed is renewed without the parent noticing; signing out ends it.
    phone.fake.tokens.clear()
    page.get_by_role("link", name="钱包").click()
    expect(page.get_by_text("¥1,620.00").first).to_be_visible()
    page.get_by_role("link", name="我的").click()
    page.get_by_role("button", name="退出登录").click()
    expect(page.get_by_role("button", name="微信一键登录")).to_be_visible()
    refused = [f for f in page.faults if "422" not in f and "401" not in f]
    assert refused == []


@pytest.mark.browser
def test_switches_and_groups_in_a_browser(phone, browser_page):
    page = browser_page
    page.goto(f"{phone.url}/")
    page.get_by_label("家长拒收消息").check()
    expect(page.locator("[data-pill=wechat]")).to_have_text("有故障")
    assert phone.state.faults.all()["wechat"].refuse is True
    page.get_by_role("button", name="全部恢复正常").click()
    expect(page.locator("[data-pill=wechat]")).to_have_text("正常")
    page.goto(f"{phone.url}/groups")
    phone.state.post_card(
        {"group": "system", "msg_type": "text", "content": {"text": "刚到的消息"}, "title": "", "text": ""}
    )
    expect(page.get_by_text("刚到的消息")).to_be_visible()
    assert page.faults == []
