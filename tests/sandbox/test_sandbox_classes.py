"""The phone's classes and bookings, in a browser against the small app."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

import pytest
from playwright.sync_api import expect
from sandbox_fake_app import running_fake_app
from sandbox_fake_classes import STUDIO, TITLE

from sandbox.testing import running_sandbox

pytestmark = pytest.mark.browser
OPENID = "demo-parent-01"
#: a refusal, and the answer that a test loses
EXPECTED = re.compile("409|ERR_FAILED")


@pytest.fixture
def fake():
    with running_sandbox() as sandbox, running_fake_app(sandbox.url) as (app_url, app):
        sandbox.point_to(app_url)
        app.phone_url = f"{sandbox.url}/phone/{OPENID}"
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
    page.goto(fake.phone_url)
    page.get_by_role("button", name="微信一键登录").click()
    expect(page.get_by_text("没有符合条件的课")).to_be_visible()
    fake.users[OPENID]["profiles"] += [
        {"id": n, "name": name, "birthday": None, "gender": "unknown", "level": "L1", "status": status}
        for n, (name, status) in enumerate((("小雨", "active"), ("乐乐", "active"), ("大毛", "left")), start=1)
    ]
    page.get_by_role("link", name=re.compile("明天")).click()
    expect(rows(page)).to_have_count(5)
    yield page
    context.close()
    assert faults == []


def rows(page):
    return page.locator(".screen .cell.class")


def asked(fake, method, path):
    return [full for verb, full, _ in fake.calls if verb == method and full.startswith(f"/api/v1{path}")]


def open_class(page, name):
    page.get_by_role("button", name=re.compile(name)).click()
    return page.locator(".sheet")


def test_a_day_of_classes_with_filters(fake, page):
    first = rows(page).first
    expect(first).to_contain_text("12:00–13:00")  # the studio's clock, not this computer's
    expect(first).to_contain_text("正式课 · L1 · 何骏 · 一号馆")
    expect(first).to_contain_text("余 4 / 6")
    expect(rows(page).nth(2)).to_contain_text("<b>满员课</b>")
    expect(rows(page).nth(2)).to_contain_text("6 人已满")
    page.get_by_role("button", name="有空位").click()
    expect(rows(page)).to_have_count(4)
    page.get_by_role("button", name="筛选").click()
    page.get_by_label("级别").select_option("L1")
    page.get_by_label("教练").select_option("何骏")
    page.get_by_role("button", name="确定").click()
    expect(rows(page)).to_have_count(1)
    expect(page.get_by_role("button", name="筛选 2")).to_be_visible()
    page.get_by_label("学员").select_option("乐乐")
    expect(page.get_by_label("学员")).to_have_value("2")
    tomorrow = (datetime.now(STUDIO) + timedelta(days=1)).date()
    expect(rows(page)).to_have_count(1)
    last = asked(fake, "GET", "/schedules")[-1]
    for part in (f"date_from={tomorrow}", f"date_to={tomorrow}", "level=L1", "coach_id=2", "available=true",
                 "profile_id=2"):  # fmt: skip
        assert part in last
    page.get_by_role("link", name=re.compile("今天")).click()
    expect(page.get_by_text("没有符合条件的课")).to_be_visible()
    assert "date_from" not in asked(fake, "GET", "/schedules")[-1]


def test_booking_shows_price_and_balance_and_books_once(fake, page):
    sheet = open_class(page, TITLE)
    for words in ("何骏", "一号馆", "¥200.00", "¥1,620.00", "¥1,420.00"):
        expect(sheet).to_contain_text(words)
    expect(sheet.get_by_label("学员").locator("option")).to_have_text(["小雨", "乐乐"])
    sheet.get_by_label("学员").select_option("乐乐")
    # The answer to the first tap gets lost on the way; the second tap must not book again.
    lost = []

    def drop(route):
        if lost:
            return route.continue_()
        lost.append(route.fetch())
        return route.abort()

    page.route("**/phone/api/bookings", drop)
    sheet.get_by_role("button", name="确认预约").click()
    expect(sheet).to_contain_text("网络已断开")
    sheet.get_by_role("button", name="确认预约").click()
    expect(page.locator("[data-toast]")).to_have_text("预约成功，余额 ¥1,420.00")
    expect(rows(page).first).to_contain_text("已预约")
    expect(rows(page).first).to_contain_text("余 3 / 6")
    assert [(one["profile_name"], one["status"]) for one in fake.bookings] == [("乐乐", "booked")]
    assert lost[0].status == 201


def test_refusals_stay_in_the_sheet(fake, page):
    sheet = open_class(page, "基础体操")
    sheet.get_by_role("button", name="确认预约").click()
    expect(sheet).to_contain_text("学员的级别还不能上这节课")
    sheet.get_by_role("button", name="取消").click()

    sheet = open_class(page, "一对一私教")
    fake.sessions[3]["price"] = "520.00"
    sheet.get_by_role("button", name="确认预约").click()
    expect(sheet).to_contain_text("课程价格已变更")
    expect(sheet).to_contain_text("¥520.00")
    expect(sheet).to_contain_text("¥1,100.00")
    sheet.get_by_role("button", name="确认预约").click()
    expect(page.locator("[data-toast]")).to_have_text("预约成功，余额 ¥1,100.00")
    assert [one["price"] for one in fake.bookings] == ["520.00"]


def test_a_class_that_filled_up_meanwhile_offers_others(fake, page):
    sheet = open_class(page, TITLE)
    fake.sessions[0]["available"] = 0
    sheet.get_by_role("button", name="确认预约").click()
    expect(sheet.get_by_role("heading", name="这节课已满")).to_be_visible()
    expect(sheet.locator(".cell.class")).to_have_count(2)
    expect(sheet.get_by_role("button", name="候补", exact=True)).to_be_visible()
    sheet.get_by_role("button", name=re.compile("后天的课")).click()
    expect(sheet.get_by_role("heading", name="确认预约")).to_be_visible()
    sheet.get_by_role("button", name="确认预约").click()
    expect(page.locator("[data-toast]")).to_contain_text("预约成功")
    assert [one["schedule"]["course_name"] for one in fake.bookings] == ["后天的课"]


def test_without_students_booking_asks_for_one(fake, page):
    fake.users[OPENID]["profiles"].clear()
    open_class(page, TITLE)
    expect(page.get_by_role("button", name="添加学员")).to_be_visible()
    assert fake.bookings == []


def test_my_bookings_cancel_and_leave(fake, page):
    for _ in range(2):
        open_class(page, TITLE).get_by_role("button", name="确认预约").click()
        expect(page.locator("[data-toast]")).to_contain_text("预约成功")
    page.get_by_role("link", name="预约", exact=True).click()
    expect(page.locator(".screen a.cell")).to_have_count(2)

    page.locator(".screen a.cell").first.click()
    expect(page.locator(".paper")).to_contain_text("前可以取消并退费")
    page.get_by_role("button", name="取消预约").click()
    sheet = page.locator(".sheet")
    expect(sheet).to_contain_text("¥200.00 退回钱包")
    sheet.get_by_label("原因（选填）").fill("<i>孩子感冒</i>")
    sheet.get_by_role("button", name="取消预约").click()
    expect(page.locator("[data-toast]")).to_have_text("已取消，¥200.00 已退回钱包")
    expect(page.locator(".paper .badge")).to_have_text("已取消")
    expect(page.get_by_role("button", name="请假")).to_have_count(0)
    page.get_by_role("button", name="返回").click()

    # Another one, whose time to cancel has passed since the page was drawn.
    page.locator(".screen a.cell").click()
    page.get_by_role("button", name="取消预约").click()
    fake.bookings[0]["can_cancel"] = False
    sheet.get_by_role("button", name="取消预约").click()
    expect(sheet).to_contain_text("您可以改为请假")
    sheet.get_by_role("button", name="再想想").click()
    page.get_by_role("button", name="请假").click()
    expect(sheet).to_contain_text("保留一次补课机会")
    sheet.get_by_role("button", name="确认请假").click()
    expect(page.locator("[data-toast]")).to_contain_text("可以补课")
    expect(page.locator(".paper .badge")).to_have_text("已请假")

    page.get_by_role("link", name="预约", exact=True).click()
    expect(page.get_by_text("这里还没有预约")).to_be_visible()
    for view, words in (("已请假", ["已请假"]), ("已取消", ["已取消"]), ("全部", ["已取消", "已请假"])):
        page.get_by_role("button", name=view).click()
        expect(page.locator(".screen .cell .badge")).to_have_text(words)


def test_what_is_switched_off_is_said_before_anything_is_asked(fake, page):
    fake.switched = {"booking": False}
    rows(page).first.click()
    expect(page.get_by_text("小程序约课暂未对您开放")).to_be_visible()
    page.get_by_role("button", name="知道了").click()
    assert asked(fake, "POST", "/bookings") == []
