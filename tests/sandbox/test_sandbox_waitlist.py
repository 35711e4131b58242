"""The phone's waitlist, in a browser against the small app: joining, the offer by the server's clock, its answers."""

from __future__ import annotations

import re

import pytest
import requests
from playwright.sync_api import expect
from sandbox_fake_app import APPID, SECRET, running_fake_app
from sandbox_fake_waitlist import offer

from app.gateways import wechat_pay
from sandbox.testing import running_sandbox
from tests.conftest import make_settings, pay_folder

pytestmark = pytest.mark.browser
OPENID = "demo-parent-01"
FULL = "满员课"
TEMPLATE = "sandbox-tmpl-waitlist_offer"
#: refusals, and an entry that is none of this family's
EXPECTED = re.compile("409|404")


@pytest.fixture
def fake(tmp_path):
    with running_sandbox(pay_keys=pay_folder()) as sandbox, running_fake_app(sandbox.url) as (app_url, app):
        sandbox.point_to(app_url)
        app.sandbox, app.instance_folder = sandbox, tmp_path
        yield app


@pytest.fixture
def page(fake, chromium):
    """A phone signed in, its family with two students, on tomorrow's classes."""
    context = chromium.new_context(locale="zh-CN", timezone_id="Asia/Tokyo", viewport={"width": 390, "height": 844})
    context.route(lambda url: not url.startswith("http://127.0.0.1"), lambda route: route.abort())
    page = context.new_page()
    faults = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda m: m.type == "error" and not EXPECTED.search(m.text) and faults.append(m.text))
    page.set_default_timeout(10000)
    page.goto(f"{fake.sandbox.url}/phone/{OPENID}")
    page.get_by_role("button", name="微信一键登录").click()
    expect(page.get_by_text("没有符合条件的课")).to_be_visible()
    fake.users[OPENID]["profiles"] += [
        {"id": n, "name": name, "birthday": None, "gender": "unknown", "level": "L1", "status": "active"}
        for n, name in enumerate(("小雨", "乐乐"), start=1)
    ]
    page.get_by_role("link", name=re.compile("明天")).click()
    expect(page.locator(".screen .cell.class")).to_have_count(5)
    yield page
    context.close()
    assert faults == []


def sheet_of(page):
    return page.locator(".sheet")


def join(page, name=FULL, *, student="小雨", consent=False):
    """Join the queue of this class, with WeChat's question answered by yes; the sheet of the place is open before."""
    page.get_by_role("button", name=re.compile(name)).click()
    sheet = sheet_of(page)
    sheet.get_by_label("学员").select_option(student)
    sheet.get_by_label("自动预约").set_checked(consent)
    sheet.get_by_role("button", name="候补", exact=True).click()
    return sheet


def waiting(fake, page):
    """On the page of an entry that waits."""
    sheet = join(page)
    expect(sheet.get_by_role("heading", name="您是第2位候补")).to_be_visible()
    sheet.get_by_role("button", name="查看候补").click()
    sheet.get_by_role("button", name="允许", exact=True).click()
    expect(page.locator(".paper .badge")).to_have_text("候补中")
    return fake.entries[0]


def answers(fake):
    return [full for verb, full, _ in fake.calls if verb == "PUT" and "/respond" in full]


def test_joining_explains_the_consent_and_tells_the_place(fake, page):
    row = page.get_by_role("button", name=re.compile(FULL))
    expect(row).to_contain_text("候补: 0/8人")
    row.click()
    sheet = sheet_of(page)
    expect(sheet.get_by_role("heading", name="这节课已满，加入候补")).to_be_visible()
    for words in ("候补", "0/8人", "轮到我时不再询问，直接预约并从钱包扣 ¥200.00", "随时可以关掉"):
        expect(sheet).to_contain_text(words)
    expect(sheet.get_by_label("自动预约")).not_to_be_checked()
    sheet.get_by_role("button", name="取消").click()

    sheet = join(page, student="乐乐", consent=True)
    expect(sheet.get_by_role("heading", name="您是第2位候补")).to_be_visible()
    expect(sheet).to_contain_text("暂无数据")
    expect(sheet.locator(".cell.class")).to_have_count(1)
    sheet.get_by_role("button", name="知道了").click()
    # WeChat is asked for one message, which would not come otherwise.
    expect(sheet).to_contain_text("候补名额通知")
    sheet.get_by_role("button", name="允许", exact=True).click()
    expect(page.locator("[data-toast]")).to_have_text("已允许一次")
    assert [(one["profile_name"], one["auto_accept"]) for one in fake.entries] == [("乐乐", True)]
    assert fake.sandbox.state.consents_of(OPENID)[TEMPLATE] == 1
    assert fake.users[OPENID]["subscriptions"] == {TEMPLATE: 1}
    expect(row).to_contain_text("候补中")
    # The other child may wait too, this one not twice.
    sheet = join(page, student="乐乐")
    expect(sheet).to_contain_text("已在这节课的候补队列中")


def test_a_full_queue_and_a_seat_that_came_free(fake, page):
    fake.sessions[2]["waitlist_count"] = fake.sessions[2]["waitlist_capacity"] = 5
    sheet = join(page)
    expect(sheet).to_contain_text("候补队列已满，请选择其他课程")
    expect(sheet.locator(".cell.class")).to_have_count(3)
    sheet.get_by_role("button", name="知道了").click()
    page.get_by_role("button", name=re.compile(FULL)).click()
    fake.sessions[2]["available"] = 1
    sheet.get_by_role("button", name="候补", exact=True).click()
    expect(sheet.get_by_role("heading", name="确认预约")).to_be_visible()
    sheet.get_by_role("button", name="确认预约").click()
    expect(page.locator("[data-toast]")).to_contain_text("预约成功")
    assert fake.entries == []


def test_an_offer_is_confirmed(fake, page):
    waiting(fake, page)
    expect(page.locator(".paper")).to_contain_text("第 2 位，共 5 人")
    offer(fake, 1)
    title = page.get_by_text("有名额，立即预约")
    expect(title).to_be_visible()
    expect(page.locator(".offer")).to_contain_text("先确认先得")
    expect(page.get_by_role("timer")).to_have_text(re.compile(r"1[45]:\d\d"))
    page.get_by_role("button", name="立即预约").click()
    sheet = sheet_of(page)
    expect(sheet.get_by_role("heading")).to_have_text("确认预约？还剩14分钟决策时间")
    for words in ("小雨", "¥1,620.00", "¥1,420.00"):
        expect(sheet).to_contain_text(words)
    sheet.get_by_role("button", name="确认预约").click()
    expect(sheet.get_by_role("heading", name="预约成功")).to_be_visible()
    sheet.get_by_role("button", name="完成").click()
    expect(page.locator(".paper .badge")).to_have_text("已补上")
    expect(page.get_by_role("button", name="退出候补")).to_have_count(0)
    assert len(answers(fake)) == 2
    assert [one["status"] for one in fake.bookings] == ["booked"]


def test_the_countdown_runs_by_the_servers_clock(fake, page):
    waiting(fake, page)
    page.clock.install()
    page.clock.set_fixed_time("2020-01-01T00:00:00Z")  # this phone's own clock is worth nothing
    offer(fake, 1, kind="exclusive", seconds=59.5)
    page.clock.run_for(3000)
    expect(page.locator(".offer")).to_contain_text("只为您保留")
    expect(page.get_by_role("timer")).to_have_text(re.compile(r"00:5\d"))
    page.get_by_role("button", name="立即预约").click()
    expect(sheet_of(page).get_by_role("heading")).to_have_text(re.compile(r"还剩5\d秒决策时间"))


@pytest.mark.parametrize(
    ("action", "code", "words"),
    [("begin", "SEAT_TAKEN", "名额已被抢占"), ("confirm", "SEAT_TAKEN", "名额已被抢占"),
     ("confirm", "OFFER_EXPIRED", "候补确认已过期，名额已顺位给下一位候补用户")],
)  # fmt: skip
def test_who_comes_too_late_reads_why(fake, page, action, code, words):
    waiting(fake, page)
    offer(fake, 1)
    fake.refuse[action] = code
    page.get_by_role("button", name="立即预约").click()
    sheet = sheet_of(page)
    if action == "confirm":
        sheet.get_by_role("button", name="确认预约").click()
    expect(sheet.get_by_role("heading", name=words)).to_be_visible()
    sheet.get_by_role("button", name="知道了").click()
    expect(page.locator(".paper .badge")).to_have_text("候补中")
    assert fake.bookings == []


def test_refused_money_leaves_the_offer_open(fake, page):
    waiting(fake, page)
    offer(fake, 1)
    fake.refuse["confirm"] = "ARREARS_BLOCKED"
    page.get_by_role("button", name="立即预约").click()
    sheet = sheet_of(page)
    sheet.get_by_role("button", name="确认预约").click()
    expect(sheet).to_contain_text("您的账户已欠费，请先充值")
    sheet.get_by_role("button", name="确认预约").click()
    expect(sheet.get_by_role("heading", name="预约成功")).to_be_visible()


def test_a_trial_is_confirmed_and_then_paid(fake, page):
    settings = make_settings("sqlite:////nowhere/x.db", fake.instance_folder, DESK_WXPAY_API_URL=fake.sandbox.url)
    fake.wechat_pay = wechat_pay.from_settings(settings)
    trial = fake.sessions[1]
    trial.update(available=0, booked=4, my_state="full")
    page.get_by_role("link", name=re.compile("明天")).click()
    page.evaluate("dispatchEvent(new Event('redraw'))")
    expect(page.get_by_role("button", name=re.compile("体操体验课"))).to_contain_text("候补: 0/8人")
    page.get_by_role("button", name=re.compile("体操体验课")).click()
    sheet = sheet_of(page)
    expect(sheet.get_by_label("自动预约")).to_have_count(0)  # a trial is paid by hand
    sheet.get_by_role("button", name="候补", exact=True).click()
    sheet.get_by_role("button", name="查看候补").click()
    sheet.get_by_role("button", name="拒绝").click()
    expect(page.locator(".paper .badge")).to_have_text("候补中")
    expect(page.get_by_role("switch", name="自动预约")).to_have_count(0)
    offer(fake, 1, kind="exclusive")
    page.get_by_role("button", name="立即预约").click()
    expect(sheet).to_contain_text("请在占座时间内用微信支付")
    sheet.get_by_role("button", name="确认预约").click()
    sheet.get_by_role("button", name="立即支付").click()
    expect(sheet.get_by_role("heading", name="预约成功")).to_be_visible()
    assert [one["status"] for one in fake.orders.values()] == ["paid"]
    sheet.get_by_role("button", name="完成").click()
    page.evaluate("location.hash = 'orders'")
    expect(page.locator(".screen .cell .badge")).to_have_text("已支付")


def test_declining_and_leaving_are_one_tap(fake, page):
    waiting(fake, page)
    offer(fake, 1)
    page.get_by_role("button", name="放弃名额，退出候补").click()
    expect(page.locator(".paper .badge")).to_have_text("已放弃")
    page.get_by_role("link", name="课程").click()
    page.get_by_role("link", name=re.compile("明天")).click()
    sheet = join(page, student="乐乐")
    sheet.get_by_role("button", name="查看候补").click()
    expect(page.locator(".paper .badge")).to_have_text("候补中")
    switch = page.get_by_role("switch", name="自动预约")
    switch.check()
    expect(page.locator("[data-toast]")).to_have_text("已打开自动预约")
    assert fake.entries[1]["auto_accept"] is True
    page.get_by_role("button", name="退出候补").click()
    expect(page.locator(".paper .badge")).to_have_text("已退出")
    page.get_by_role("link", name="我的", exact=True).click()
    page.get_by_role("button", name="我的候补").click()
    expect(page.locator(".screen .cell .badge")).to_have_text(["已退出", "已放弃"])


def test_clashing_waits_are_asked_about(fake, page):
    sheet = join(page, student="乐乐")
    sheet.get_by_role("button", name="知道了").click()
    sheet.get_by_role("button", name="拒绝").click()
    sheet = join(page)
    sheet.get_by_role("button", name="查看候补").click()
    sheet.get_by_role("button", name="拒绝").click()
    offer(fake, 2)
    page.get_by_role("button", name="立即预约").click()
    sheet.get_by_role("button", name="确认预约").click()
    expect(sheet.get_by_role("heading", name="还在候补时间冲突的课")).to_be_visible()
    sheet.get_by_role("button", name="退出选中的").click()
    expect(sheet.get_by_role("heading", name="预约成功")).to_be_visible()
    assert [one["status"] for one in fake.entries] == ["cancelled", "confirmed"]


def test_a_message_opens_its_page(fake, page):
    waiting(fake, page)
    offer(fake, 1)
    page.get_by_role("link", name=re.compile("消息")).click()
    token = requests.post(
        f"{fake.sandbox.url}/cgi-bin/stable_token", timeout=5,
        json={"grant_type": "client_credential", "appid": APPID, "secret": SECRET},
    ).json()["access_token"]  # fmt: skip
    sent = requests.post(
        f"{fake.sandbox.url}/cgi-bin/message/subscribe/send", params={"access_token": token}, timeout=5,
        json={
            "touser": OPENID, "template_id": TEMPLATE, "page": "pages/waitlist/offer?waitlist_id=1",
            "data": {
                "thing1": {"value": "少儿体操"}, "time2": {"value": "2026年11月20日 19:00"},
                "thing3": {"value": "小雨"}, "time4": {"value": "2026年11月20日 12:45"},
                "thing5": {"value": "有名额，立即预约"},
            },
        },
    ).json()  # fmt: skip
    assert sent["errcode"] == 0, sent
    page.get_by_role("link", name=re.compile("进入小程序查看")).click()
    expect(page.get_by_role("heading", name="候补详情")).to_be_visible()
    expect(page.locator(".offer")).to_be_visible()
    page.evaluate("location.hash = 'pages/waitlist/offer?waitlist_id=99'")
    expect(page.get_by_text("没有这个候补")).to_be_visible()
