"""A parent asks about a transaction on the phone, the desk answers on the family's page, the parent reads it (W28)."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.e2e.steps import sign_in

pytestmark = pytest.mark.browser


def test_asked_on_the_phone_and_answered_at_the_desk(product, new_page):
    phone = new_page(390, 844)
    phone.goto(f"{product.sandbox.url}/phone/demo-parent-03")
    phone.get_by_role("button", name="微信一键登录").click()
    phone.get_by_role("link", name="钱包").click()
    first = phone.locator(".cells .cell").filter(has_text="有疑问").first
    first.get_by_role("button", name="提出疑问").click()
    sheet = phone.locator(".sheet")
    sheet.get_by_label("您的疑问").fill("<b>为什么</b>扣费？")
    sheet.get_by_role("button", name="提交").click()
    expect(phone.locator("[data-toast]")).to_contain_text("已提交")
    expect(phone.locator(".cells")).to_contain_text(["疑问：<b>为什么</b>扣费？"])
    expect(phone.locator(".cells")).to_contain_text(["待前台答复"])

    desk = new_page()
    sign_in(desk, product, "qiantai")
    desk.goto(f"{product.url}/questions")
    desk.locator("#questions .row-link").first.click()
    panel = desk.locator("#question-detail")
    expect(panel).to_contain_text("<b>为什么</b>扣费？")
    panel.get_by_role("link").first.click()
    desk.locator("#family-questions .row-link").first.click()
    panel.get_by_label("答复").fill("这是 11 月的课费")
    panel.get_by_role("button", name="答复家长").click()
    expect(panel.locator(".detail-head")).to_contain_text("已答复")
    expect(desk.locator("#family-questions")).to_contain_text("已答复")

    phone.reload()
    expect(phone.locator(".cells")).to_contain_text(["前台答复：这是 11 月的课费"])
    phone.evaluate("location.hash = 'messages'")
    phone.get_by_role("button", name="站内通知").click()
    expect(phone.locator(".screen")).to_contain_text("这是 11 月的课费")
