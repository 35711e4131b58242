"""The phone's makeups, in a browser against the small app: choosing, what must be agreed to, minutes, the queue."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect
from sandbox_fake_makeups import missed
from sandbox_fake_waitlist import offer

# pytest finds fixtures by the names in a test's own module.
from test_sandbox_waitlist import fake, page, sheet_of  # noqa: F401

pytestmark = pytest.mark.browser
FULL, FREE = "满员课", "少儿体操启蒙"


def choosing(phone):
    """On the classes that the newest credit can be used for."""
    phone.evaluate("location.hash = 'makeups'")
    phone.get_by_role("link", name="选课补课").first.click()
    expect(phone.locator(".screen .cell.class")).to_have_count(4)


def toast(phone, words):
    expect(phone.locator("[data-toast]")).to_have_text(words)


def test_the_list_by_state(fake, page):  # noqa: F811
    for status in ("available", "done", "expired"):
        missed(fake, 90, status=status)
    page.get_by_role("link", name="我的", exact=True).click()
    page.get_by_role("button", name="待补课", exact=True).click()
    credit = page.locator(".credit")
    expect(credit).to_have_count(1)
    for words in ("<i>请假的课</i>", "1.5小时", "小雨", "到期"):
        expect(credit).to_contain_text(words)
    for view, count in (("已预约", 0), ("已补课", 1), ("已失效", 1), ("待补课", 1)):
        page.get_by_role("button", name=view, exact=True).click()
        expect(page.get_by_role("button", name=view, exact=True)).to_have_attribute("aria-pressed", "true")
        expect(credit).to_have_count(count)
    page.evaluate("location.hash = 'pages/makeup/index'")
    expect(page.get_by_role("heading", name="待补课")).to_be_visible()
    page.evaluate("location.hash = 'makeup/2'")
    expect(page.get_by_text("这次待补课已使用或已失效")).to_be_visible()


def test_a_shorter_class_is_agreed_to_in_the_servers_words_and_cancelled(fake, page):  # noqa: F811
    missed(fake, 90)
    choosing(page)
    row = page.get_by_role("button", name=re.compile(FREE)).first
    expect(row.locator("s")).to_have_text("¥200.00")
    for words in ("¥0.00", "少0.5小时", "教练不同（何骏）"):
        expect(row).to_contain_text(words)
    row.click()
    sheet = sheet_of(page)
    sheet.get_by_role("button", name="确认补课").click()
    expect(sheet.get_by_role("heading")).to_have_text("本课程仅1小时，比您原课程少0.5小时，是否确认预约？")
    sheet.get_by_role("button", name="再想想").click()
    assert fake.bookings == []
    row.click()
    sheet.get_by_role("button", name="确认补课").click()
    expect(sheet).to_contain_text("0.5小时课时补偿")
    sheet.get_by_role("button", name="确认预约").click()
    expect(sheet.get_by_role("heading", name="补课预约成功")).to_be_visible()
    expect(sheet).to_contain_text("¥0.00")
    sheet.get_by_role("button", name="完成").click()
    expect(page.get_by_text("您有课时补偿可使用")).to_be_visible()
    page.locator(".made-up").click()
    page.get_by_role("button", name="取消预约").click()
    expect(sheet).to_contain_text("待补课退回，有效期不变")
    sheet.get_by_role("button", name="取消预约").click()
    toast(page, "已取消，待补课已退回")
    assert (fake.credits[0]["status"], fake.minutes) == ("available", 0)


def test_a_longer_class_uses_minutes(fake, page):  # noqa: F811
    missed(fake, 45)
    choosing(page)
    row = page.get_by_role("button", name=re.compile(FREE)).first
    row.click()
    sheet = sheet_of(page)
    sheet.get_by_role("button", name="确认补课").click()
    expect(sheet).to_contain_text("课时补偿还差15分钟")
    fake.minutes = 60
    sheet.get_by_role("button", name="确认补课").click()
    expect(sheet.get_by_role("heading")).to_have_text("本课程需使用15分钟课时补偿")
    expect(sheet).to_contain_text("剩余45分钟")
    sheet.get_by_role("button", name="使用并预约").click()
    expect(sheet).to_contain_text("使用课时补偿15分钟")
    sheet.get_by_role("button", name="完成").click()
    page.get_by_role("link", name="您有课时补偿可使用").click()
    expect(page.locator(".purse .figure")).to_have_text("45分钟")
    expect(page.locator(".screen .cell .side")).to_have_text("-15分钟")


def test_a_full_class_is_waited_for_with_the_credit(fake, page):  # noqa: F811
    missed(fake, 90)
    choosing(page)
    page.get_by_role("button", name=re.compile(FULL)).click()
    sheet = sheet_of(page)
    expect(sheet).to_contain_text("轮到我时不再询问，直接用待补课预约，不扣费")
    sheet.get_by_label("自动预约").check()
    sheet.get_by_role("button", name="候补", exact=True).click()
    sheet.get_by_role("button", name="查看候补").click()
    sheet.get_by_role("button", name="拒绝").click()
    expect(page.locator(".paper")).to_contain_text("用待补课，不扣费")
    assert (fake.entries[0]["credit_id"], fake.entries[0]["auto_accept"]) == (1, True)
    offer(fake, 1)
    page.get_by_role("button", name="立即预约").click()
    expect(sheet).to_contain_text("用待补课预约，不扣费")
    expect(sheet).not_to_contain_text("钱包余额")
    sheet.get_by_role("button", name="再想想").click()
    page.get_by_role("button", name="改为从钱包扣费").click()
    expect(sheet).to_contain_text("从钱包扣 ¥200.00")
    sheet.get_by_role("button", name="改为扣费").click()
    toast(page, "已改为从钱包扣费")
    expect(page.get_by_role("button", name="改为从钱包扣费")).to_have_count(0)
    assert fake.entries[0]["credit_id"] is None


def test_the_last_seat_is_gone(fake, page):  # noqa: F811
    missed(fake, 60)
    choosing(page)
    page.get_by_role("button", name=re.compile("后天的课")).click()
    fake.sessions[5]["available"] = 0
    sheet = sheet_of(page)
    sheet.get_by_role("button", name="确认补课").click()
    expect(sheet.get_by_role("heading", name="这节课已满")).to_be_visible()
    sheet.locator(".cell.class").click()
    sheet.get_by_role("button", name="确认补课").click()
    expect(sheet.get_by_role("heading", name="补课预约成功")).to_be_visible()
    assert [one["schedule"]["id"] for one in fake.bookings] == [1]


def test_filters_and_asking_the_desk(fake, page):  # noqa: F811
    missed(fake, 60)
    choosing(page)
    page.get_by_role("button", name="筛选").click()
    sheet = sheet_of(page)
    sheet.get_by_label("星期").select_option("周六")
    sheet.get_by_label("时段").select_option("上午")
    sheet.get_by_label("教练").select_option("江晓燕")
    sheet.get_by_role("button", name="确定").click()
    expect(page.get_by_role("button", name="筛选 3")).to_be_visible()
    expect(page.locator(".screen .cell.class")).to_have_count(1)
    asked = [path for _, path, _ in fake.calls if "/makeup/available" in path][-1]
    for part in ("weekday=6", "time_from=00%3A00", "time_to=11%3A59", "coach_id=1"):
        assert part in asked, asked
    page.evaluate("location.hash = 'makeups'")
    page.get_by_role("button", name="请前台安排").click()
    sheet.get_by_label("要求").fill("<b>周六</b>上午")
    sheet.get_by_role("button", name="提交").click()
    toast(page, "已提交，前台会在消息里答复")
    assert fake.asked == [(1, {"text": "<b>周六</b>上午", "wishes": None})]
    page.get_by_role("button", name="请前台安排").click()
    sheet.get_by_label("要求").fill("再问")
    sheet.get_by_role("button", name="提交").click()
    expect(sheet).to_contain_text("请等待答复")
