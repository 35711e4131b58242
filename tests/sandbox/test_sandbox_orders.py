"""Trial orders on the phone and WeChat's pay sheet, in a browser against the small app; WeChat is the sandbox's."""

from __future__ import annotations

import json
import re
import time

import pytest
from playwright.sync_api import expect
from sandbox_fake_app import running_fake_app

from app.gateways import wechat_pay
from sandbox.testing import running_sandbox
from tests.conftest import make_settings, pay_folder

pytestmark = pytest.mark.browser
OPENID = "demo-parent-01"
TRIAL = "体操体验课"
EXPECTED = re.compile("409|422|503|404")


@pytest.fixture
def fake(tmp_path):
    with running_sandbox(pay_keys=pay_folder()) as sandbox, running_fake_app(sandbox.url) as (app_url, app):
        sandbox.point_to(app_url)
        settings = make_settings("sqlite:////nowhere/x.db", tmp_path, DESK_WXPAY_API_URL=sandbox.url)
        app.wechat_pay, app.sandbox = wechat_pay.from_settings(settings), sandbox
        yield app


@pytest.fixture
def page(fake, chromium):
    """A phone signed in, its family with one student, on tomorrow's classes."""
    context = chromium.new_context(locale="zh-CN", timezone_id="Asia/Shanghai", viewport={"width": 390, "height": 844})
    context.route(lambda url: not url.startswith("http://127.0.0.1"), lambda route: route.abort())
    page = context.new_page()
    faults = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda m: m.type == "error" and not EXPECTED.search(m.text) and faults.append(m.text))
    page.set_default_timeout(10000)
    page.goto(f"{fake.sandbox.url}/phone/{OPENID}")
    page.get_by_role("button", name="微信一键登录").click()
    expect(page.get_by_text("没有符合条件的课")).to_be_visible()
    fake.users[OPENID]["profiles"].append(
        {"id": 1, "name": "<b>小雨</b>", "birthday": None, "gender": "unknown", "level": None, "status": "active"}
    )
    page.get_by_role("link", name=re.compile("明天")).click()
    expect(page.locator(".screen .cell.class")).to_have_count(5)
    yield page
    context.close()
    assert faults == []


def trial_row(page):
    return page.locator(".screen .cell.class", has_text=TRIAL)


def to_pay(page):
    """Book the trial as far as WeChat's sheet."""
    trial_row(page).click()
    sheet = page.locator(".sheet")
    expect(sheet).to_contain_text("¥200.00")
    sheet.get_by_role("button", name="去支付").click()
    expect(sheet.get_by_role("button", name="立即支付")).to_be_visible()
    return sheet


def the_order(fake):
    (order,) = fake.orders.values()
    return order


def reported(fake):
    return [path for method, path, _ in fake.calls if method == "POST" and path.rstrip("?").endswith("/cancel")]


def test_a_trial_is_booked_and_paid(fake, page):
    fake.unsure = 2
    sheet = to_pay(page)
    expect(sheet).to_contain_text("百适体操馆")
    sheet.get_by_role("button", name="立即支付").click()
    expect(page.get_by_role("heading", name="预约成功")).to_be_visible()
    for words in ("<b>小雨</b>", TRIAL, "一号馆", "13:00–14:00"):
        expect(sheet).to_contain_text(words)
    assert fake.unsure == 0
    sheet.get_by_role("button", name="查看预约").click()
    expect(page.locator(".paper")).to_contain_text("微信支付")
    order = the_order(fake)
    assert (order["status"], order["seat_status"], fake.bookings[0]["order_id"]) == (
        "paid", "confirmed", order["order_id"])  # fmt: skip
    assert reported(fake) == []
    page.get_by_role("link", name="课程").click()
    page.get_by_role("link", name=re.compile("明天")).click()
    expect(trial_row(page)).to_contain_text("已预约")


def test_leaving_tells_nobody_and_the_held_class_leads_back(fake, page):
    to_pay(page).get_by_role("button", name="离开").click()
    expect(page.locator(".paper .countdown")).to_contain_text(re.compile(r"1[45]:\d\d"))
    assert (the_order(fake)["status"], reported(fake)) == ("pending", [])
    page.get_by_role("link", name="课程").click()
    page.get_by_role("link", name=re.compile("明天")).click()
    expect(trial_row(page)).to_contain_text("待支付")
    trial_row(page).click()
    page.get_by_role("button", name="继续支付").click()
    page.get_by_role("button", name="立即支付").click()
    page.get_by_role("button", name="完成").click()
    expect(page.locator(".paper .badge")).to_have_text("已支付")
    page.get_by_role("link", name="我的", exact=True).click()
    page.get_by_role("button", name="我的订单").click()
    expect(page.locator(".screen a.cell .badge")).to_have_text("已支付")
    page.locator(".screen a.cell").click()
    page.get_by_role("link", name="查看预约").click()
    expect(page.locator(".paper .badge")).to_have_text("已预约")


def test_cancelling_the_sheet_ends_the_order(fake, page):
    to_pay(page).get_by_role("button", name="取消").click()
    expect(page.locator("[data-toast]")).to_have_text("订单已取消，座位已释放")
    expect(trial_row(page)).to_contain_text("余 4 / 4")
    order = the_order(fake)
    assert (order["status"], order["reported"]) == ("cancelled", {"result": "cancelled"})
    (at_wechat,) = fake.sandbox.state.pay.orders.values()
    assert at_wechat.state == "CLOSED"


def test_what_wechat_refuses_is_reported_and_offers_another_try(fake, page):
    sheet = to_pay(page)
    fake.sandbox.state.pay.orders[the_order(fake)["trade_no"]].time_expire = time.time() - 1
    sheet.get_by_role("button", name="立即支付").click()
    expect(page.get_by_role("heading", name="支付没有成功")).to_be_visible()
    expect(sheet).to_contain_text("订单已过期，请返回商户重新下单")
    assert the_order(fake)["reported"]["result"] == "failed"
    assert the_order(fake)["seat_status"] == "released"
    sheet.get_by_role("button", name="重新占座并支付").click()
    sheet.get_by_role("button", name="立即支付").click()
    expect(page.get_by_role("heading", name="预约成功")).to_be_visible()


def test_money_that_takes_its_time_is_seen_by_the_open_order(fake, page):
    fake.sandbox.set_fault("wxpay", late_after=0.5)
    to_pay(page).get_by_role("button", name="过一会儿才到账").click()
    expect(page.locator("[data-toast]")).to_have_text("支付处理中，到账后自动确认")
    expect(page.locator(".paper .badge")).to_have_text("待支付")
    expect(page.locator(".paper .badge")).to_have_text("已支付")
    assert reported(fake) == []


def test_cancelling_what_was_paid_meanwhile_shows_the_booking(fake, page):
    sheet = to_pay(page)
    fake.sandbox.pay(the_order(fake)["trade_no"], OPENID, tell=False)
    sheet.get_by_role("button", name="取消").click()
    expect(page.get_by_role("heading", name="预约成功")).to_be_visible()
    assert the_order(fake)["status"] == "paid"


def test_refusals_stay_in_the_sheet(fake, page):
    fake.right_amount = "180.00"
    trial_row(page).click()
    sheet = page.locator(".sheet")
    sheet.get_by_role("button", name="去支付").click()
    expect(sheet).to_contain_text("体验课价格已变更")
    expect(sheet).to_contain_text("¥180.00")
    sheet.get_by_role("button", name="去支付").click()
    sheet.get_by_role("button", name="离开").click()
    fake.sessions[0]["course_type"] = "trial"
    fake.sessions[0]["price"] = "180.00"
    page.get_by_role("link", name="课程").click()
    page.get_by_role("link", name=re.compile("明天")).click()
    page.locator(".screen .cell.class").first.click()
    sheet.get_by_role("button", name="去支付").click()
    expect(sheet).to_contain_text("您已预约过体验课，无法重复预约")
    assert len(fake.orders) == 1


def test_wechat_away_leaves_the_order_to_go_on_with(fake, page):
    fake.sandbox.set_fault("wxpay", down="error", path="/v3/pay/transactions/jsapi")
    trial_row(page).click()
    page.get_by_role("button", name="去支付").click()
    expect(page.locator("[data-toast]")).to_have_text("微信支付暂时不可用，请稍后再试")
    expect(page.get_by_role("button", name="继续支付")).to_be_visible()
    fake.sandbox.clear_faults()
    page.get_by_role("button", name="继续支付").click()
    page.get_by_role("button", name="立即支付").click()
    expect(page.get_by_role("heading", name="预约成功")).to_be_visible()


def test_a_seat_lost_meanwhile_offers_others_for_the_old_order(fake, page):
    to_pay(page).get_by_role("button", name="离开").click()
    order = the_order(fake)
    order.update(seat_status="released", next_action="reserve")
    order["hold"]["status"] = "expired"
    order["schedule"]["available"] = 0
    fake.sessions[5].update(course_type="trial", course_name="后天的体验课")
    again = page.get_by_role("button", name="重新占座并支付")
    expect(page.locator(".paper")).to_contain_text("占座已结束")
    again.click()
    sheet = page.locator(".sheet")
    expect(sheet).to_contain_text("改约后原订单取消")
    sheet.get_by_role("button", name=re.compile("后天的体验课")).click()
    sheet.get_by_role("button", name="去支付").click()
    sheet.get_by_role("button", name="立即支付").click()
    expect(page.get_by_role("heading", name="预约成功")).to_be_visible()
    assert [one["status"] for one in fake.orders.values()] == ["cancelled", "paid"]


def test_orders_list_forgets_what_is_gone_and_shows_refunds(fake, page):
    page.evaluate("location.hash = 'orders'")
    expect(page.get_by_text("还没有订单")).to_be_visible()
    page.evaluate("location.hash = 'classes'")
    page.get_by_role("link", name=re.compile("明天")).click()
    to_pay(page).get_by_role("button", name="立即支付").click()
    page.get_by_role("button", name="完成").click()
    order = the_order(fake)
    refund = {"refund_no": "r1", "amount": "80.00", "status": "processing", "refund_to": "original",
              "created_at": order["created_at"], "succeeded_at": None}  # fmt: skip
    order["refunds"].append(refund)
    page.evaluate("number => { location.hash = `order/${number}`; }", order["order_id"])
    expect(page.locator(".screen")).to_contain_text("退款处理中")
    expect(page.locator(".screen")).to_contain_text("¥80.00")
    refund.update(status="succeeded", succeeded_at=order["created_at"])
    expect(page.locator(".screen")).to_contain_text("已退款")
    kept = json.loads(page.evaluate("openid => localStorage.getItem(`orders:${openid}`)", OPENID))
    assert [one["id"] for one in kept] == [order["order_id"]]
    fake.orders.clear()
    page.evaluate("location.hash = 'orders'")
    expect(page.get_by_text("还没有订单")).to_be_visible()
    assert page.evaluate("openid => localStorage.getItem(`orders:${openid}`)", OPENID) == "[]"
