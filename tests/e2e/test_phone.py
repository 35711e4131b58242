"""A parent's phone against the running product: find a class, book it, cancel it, book again and take leave."""

from __future__ import annotations

import re
from datetime import timedelta
from decimal import Decimal

import pytest
from playwright.sync_api import Page, expect

from app import clock
from tests.e2e.product import wait_until
from tests.e2e.steps import PASTE, api, picture, sign_in

pytestmark = pytest.mark.browser
OPENID = "demo-parent-01"


def open_class(phone: Page, session: dict):
    """The sheet of this class: on its day, of its coach, at its hour."""
    phone.evaluate("day => { location.hash = `classes/${day}`; }", session["starts_at"][:10])
    row = phone.locator(".cell.class", has_text=session["course_name"]).filter(has_text=session["starts_at"][11:16])
    row = row.filter(has_text=session["coach"]["name"])
    expect(row).to_be_visible()
    return row


def balance(phone: Page) -> Decimal:
    phone.get_by_role("link", name="钱包").click()
    return Decimal(phone.locator(".purse .figure").inner_text().replace("¥", "").replace(",", ""))


def shown(amount: Decimal) -> str:
    """As the phone writes it: -¥80.00."""
    return f"{'-' if amount < 0 else ''}¥{abs(amount):,.2f}"


def test_a_parent_books_cancels_and_takes_leave(product, new_page):
    phone = new_page(390, 844)
    phone.goto(f"{product.sandbox.url}/phone/{OPENID}")
    phone.get_by_role("button", name="微信一键登录").click()
    expect(phone.get_by_role("navigation", name="日期")).to_be_visible()
    token = phone.evaluate("openid => JSON.parse(localStorage.getItem(`phone:${openid}`)).access_token", OPENID)
    student = next(one for one in api(product, "/profiles", token)["items"] if one["status"] == "active")
    busy = [
        (one["schedule"]["starts_at"], one["schedule"]["ends_at"])
        for one in api(product, "/bookings/my?status=booked&limit=100", token)["items"]
    ]
    # The phone shows two weeks; the last of ten days is far enough ahead to be cancelled in time.
    until = clock.today() + timedelta(days=10)
    free = [
        one
        for one in api(product, f"/schedules?type=regular&available=true&limit=100&date_to={until}", token)["items"]
        if one["level"] in (None, "L1")
        and one["my_state"] == "none"
        and not any(one["starts_at"] < end and one["ends_at"] > begin for begin, end in busy)
    ]
    session = free[-1]
    before = balance(phone)
    price = Decimal(session["price"])

    row = open_class(phone, session)
    picture(phone, "phone-classes")
    row.click()
    sheet = phone.locator(".sheet")
    expect(sheet).to_contain_text(shown(before - price))
    if sheet.get_by_label("学员").locator("option").count() > 1:
        sheet.get_by_label("学员").select_option(str(student["id"]))
    picture(phone, "phone-booking")
    sheet.get_by_role("button", name="确认预约").click()
    expect(phone.locator("[data-toast]")).to_contain_text("预约成功")
    expect(open_class(phone, session)).to_contain_text("已预约")
    assert balance(phone) == before - price

    phone.get_by_role("link", name="预约", exact=True).click()
    phone.locator(".screen a.cell").first.click()
    expect(phone.locator(".paper")).to_contain_text(session["course_name"])
    phone.get_by_role("button", name="取消预约").click()
    sheet.get_by_role("button", name="取消预约").click()
    expect(phone.locator("[data-toast]")).to_contain_text("已退回钱包")
    assert balance(phone) == before

    open_class(phone, session).click()
    if sheet.get_by_label("学员").locator("option").count() > 1:
        sheet.get_by_label("学员").select_option(str(student["id"]))
    sheet.get_by_role("button", name="确认预约").click()
    expect(phone.locator("[data-toast]")).to_contain_text("预约成功")
    phone.get_by_role("link", name="预约", exact=True).click()
    phone.locator(".screen a.cell").first.click()
    phone.get_by_role("button", name="请假").click()
    sheet.get_by_role("button", name="确认请假").click()
    expect(phone.locator("[data-toast]")).to_contain_text("可以补课")
    expect(phone.locator(".paper .badge")).to_have_text("已请假")
    assert balance(phone) == before - price
    # What the family hears of it lies in the mini program: this parent has allowed no message.
    phone.get_by_role("link", name=re.compile("消息")).click()
    phone.get_by_role("button", name="站内通知").click()
    wait_until(lambda: api(product, "/notifications", token)["items"], seconds=15)


def test_a_parent_asks_for_money_back_and_two_persons_pay_it(product, new_page):
    """Asked for on the phone, taken back, asked for again; approved by one at the desk, paid out by another."""
    phone = new_page(390, 844)
    phone.goto(f"{product.sandbox.url}/phone/demo-parent-08")
    phone.get_by_role("button", name="微信一键登录").click()
    expect(phone.get_by_role("navigation", name="日期")).to_be_visible()
    before, sheet = balance(phone), phone.locator(".sheet")
    for amount, cancelled in (("120.50", True), ("88.00", False)):
        phone.evaluate("location.hash = 'withdrawals'")
        phone.get_by_role("button", name="申请提现").click()
        sheet.get_by_label("提现金额").fill("9999999")
        sheet.get_by_label("提现原因").fill("<b>搬家</b>")
        sheet.get_by_role("button", name="提交申请").click()
        expect(sheet).to_contain_text("余额不足")
        sheet.get_by_label("提现金额").fill(amount)
        sheet.get_by_role("button", name="提交申请").click()
        first = phone.locator(".cells .cell").first
        expect(first).to_contain_text(f"¥{amount}")
        expect(first).to_contain_text("<b>搬家</b>")
        if cancelled:
            first.get_by_role("button", name="取消提现").click()
            sheet.get_by_role("button", name="取消提现").click()
            expect(phone.locator(".cells .cell").first).to_contain_text("已取消")
            assert balance(phone) == before
    assert balance(phone) == before - Decimal("88.00")

    desk = new_page()
    sign_in(desk, product, "caiwu")
    desk.goto(f"{product.url}/withdrawals?status=open")
    desk.get_by_role("row", name=re.compile("¥88.00")).get_by_role("link").click()
    panel = desk.locator("#withdrawal-detail")
    panel.get_by_role("button", name="批准提现 ¥88.00").click()
    desk.get_by_role("dialog").get_by_role("button", name="批准提现 ¥88.00").click()
    expect(panel).to_contain_text("须由另一位同事打款")
    number = re.search(r"#(\d+)", desk.locator("#panel").inner_text())[1]

    other = new_page(390, 844)
    sign_in(other, product, "dianzhang")
    other.goto(f"{product.url}/withdrawals/{number}")
    panel = other.locator("#withdrawal-detail")
    panel.get_by_label("支付宝").check()
    panel.get_by_label("转账单号").fill("20261121000088")
    other.evaluate(PASTE, "￥88.00")
    expect(other.locator(".dropzone-file")).to_have_count(1)
    panel.get_by_role("button", name="登记已打款 ¥88.00").click()
    expect(panel.locator(".detail-head")).to_contain_text("已打款")
    expect(panel).to_contain_text("打款凭证")
    card = wait_until(
        lambda: [c for c in product.sandbox.cards("money") if "提现已打款 ¥88.00" in str(c)], seconds=15
    )  # fmt: skip
    assert "<b>" not in str(card[0].get("title", ""))
    phone.evaluate("location.hash = 'withdrawals'")
    phone.reload()
    expect(phone.locator(".cells .cell").first).to_contain_text("已打款")
