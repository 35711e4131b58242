"""A trial class from the phone to the money back: booked and paid, declined, left and come back to, paid too late;
refunded by two persons in the portal, and on the exceptions board where WeChat cannot refund.

With DESK_TAKE_PICTURES=1 it also takes the pictures of the README.
"""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.product import wait_until
from tests.e2e.steps import (
    a_minute_passes,
    api,
    approved,
    asked,
    order_of,
    pay,
    picture,
    refund_states,
    row_of,
    sign_in,
    signed_in,
    to_pay,
    token_of,
)

pytestmark = pytest.mark.browser


def seats(product, phone: Page, openid: str, session: dict) -> dict:
    return api(product, f"/schedules/{session['id']}/availability", token_of(phone, openid))


def test_a_trial_is_booked_and_paid(product, new_page):
    openid = "demo-parent-04"
    phone = signed_in(product, new_page, openid)
    phone.get_by_role("link", name="我的", exact=True).click()
    phone.get_by_role("button", name="允许支付结果通知").click()
    phone.get_by_role("button", name="允许", exact=True).last.click()
    expect(phone.get_by_text("已允许一次")).to_be_visible()
    session = to_pay(product, phone, openid)
    expect(phone.locator("[data-toast]")).to_be_hidden()  # it would stand in the picture
    picture(phone, "pay")
    before = seats(product, phone, openid, session)
    assert before["my_state"] == "held"
    pay(phone)
    expect(phone.locator(".sheet")).to_contain_text(session["venue"]["name"])
    phone.get_by_role("button", name="查看预约").click()
    expect(phone.locator(".paper")).to_contain_text("微信支付")
    after = seats(product, phone, openid, session)
    assert (after["held"], after["my_state"]) == (before["held"] - 1, "booked")
    (message,) = wait_until(
        lambda: [m for m in product.sandbox.messages(openid) if m["title"] == "支付结果通知"], seconds=15
    )
    assert "200.00" in str(message)
    # One trial for each family.
    other = next(
        one
        for one in api(product, "/schedules?type=trial&available=true", token_of(phone, openid))["items"]
        if one["id"] != session["id"]
    )
    row_of(phone, other).click()
    phone.get_by_role("button", name="去支付").click()
    expect(phone.locator(".sheet")).to_contain_text("您已预约过体验课，无法重复预约")


def test_declining_frees_the_seat_at_once(product, new_page):
    openid = "demo-parent-05"
    phone = signed_in(product, new_page, openid)
    session = to_pay(product, phone, openid)
    before = seats(product, phone, openid, session)
    assert before["my_state"] == "held"
    phone.get_by_role("button", name="取消").click()
    expect(phone.locator("[data-toast]")).to_have_text("订单已取消，座位已释放")
    after = seats(product, phone, openid, session)
    assert (after["available"], after["my_state"]) == (before["available"] + 1, "none")
    phone.evaluate("location.hash = 'orders'")
    expect(phone.locator(".screen .badge")).to_have_text("已取消")


def test_leaving_keeps_the_seat_for_coming_back(product, new_page):
    openid = "demo-parent-06"
    phone = signed_in(product, new_page, openid)
    session = to_pay(product, phone, openid)
    phone.get_by_role("button", name="离开").click()
    expect(phone.locator(".countdown")).to_contain_text(re.compile(r"14:\d\d"))
    row = row_of(phone, session)
    expect(row).to_contain_text("待支付")
    row.click()
    phone.get_by_role("button", name="继续支付").click()
    pay(phone)
    assert seats(product, phone, openid, session)["my_state"] == "booked"


def test_money_that_comes_too_late_still_gets_a_free_seat(product, new_page):
    openid = "demo-parent-07"
    phone = signed_in(product, new_page, openid)
    product.flask("policy", "set", "hold_ttl", "2s")
    try:
        session = to_pay(product, phone, openid)
        product.sandbox.set_fault("wxpay", late_after=5)
        phone.get_by_role("button", name="过一会儿才到账").click()
        expect(phone.locator(".paper")).to_contain_text("占座已结束")
        assert seats(product, phone, openid, session)["my_state"] == "none"
        expect(phone.locator(".paper .badge")).to_have_text("已支付", timeout=15000)
    finally:
        product.sandbox.clear_faults()
        product.flask("policy", "set", "hold_ttl", "15m")
    assert seats(product, phone, openid, session)["my_state"] == "booked"
    page = new_page()
    sign_in(page, product, "qiantai")
    page.goto(f"{product.url}/orders/{order_of(phone, openid)}")
    expect(page.locator("#order-detail")).to_contain_text("逾时到账")


def test_a_refund_in_two_parts_by_two_persons(product, new_page):
    openid = "demo-parent-08"
    phone, order = paid(product, new_page, openid)
    finance, manager = new_page(), new_page()
    sign_in(finance, product, "caiwu")
    sign_in(manager, product, "dianzhang")
    finance.goto(f"{product.url}/orders/{order}")
    expect(finance.locator("#order-detail")).to_contain_text("已支付")
    picture(finance, "order", whole=True)

    first = asked(product, finance, order, "80.00", "课时缩短，退一部分", frees_seat=False)
    expect(finance.locator("#refund-detail")).to_contain_text("待审批")
    expect(finance.get_by_role("button", name="批准")).to_have_count(0)
    second = asked(product, finance, order, "120.00", "孩子受伤，不能来了")
    for address, states in ((first, ["succeeded", "requested"]), (second, ["succeeded", "succeeded"])):
        approved(product, manager, address)
        product.flask("jobs", "run", "refunds_query")
        wait_until(lambda wanted=states: refund_states(product, phone, openid, order) == wanted)
        seat = api(product, f"/payment/orders/{order}", token_of(phone, openid))["seat_status"]
        assert seat == ("confirmed" if address == first else "released")
        a_minute_passes(product)
    manager.goto(second)
    expect(manager.locator("#refund-detail")).to_contain_text("退款成功")
    picture(manager, "refund", whole=True)
    phone.evaluate("number => { location.hash = `order/${number}`; }", order)
    expect(phone.get_by_text("已退款", exact=True)).to_have_count(2)
    at_wechat = product.sandbox.state.pay.orders[order]
    assert (at_wechat.refunded, len(at_wechat.refunds)) == (20000, 2)
    # All of it is back, so the family may try another class.
    to_pay(product, phone, openid)


def test_a_refund_that_wechat_cannot_do_is_on_the_board(product, new_page):
    openid = "demo-parent-02"
    phone, order = paid(product, new_page, openid)
    finance, manager = new_page(), new_page()
    sign_in(finance, product, "caiwu")
    sign_in(manager, product, "dianzhang")
    product.sandbox.set_fault("wxpay", refund_result="ABNORMAL")
    try:
        approved(product, manager, asked(product, finance, order, "200.00", "孩子生病"))
        product.flask("jobs", "run", "refunds_query")
        wait_until(lambda: refund_states(product, phone, openid, order) == ["failed"])
    finally:
        product.sandbox.clear_faults()
    finance.goto(f"{product.url}/exceptions")
    case = finance.locator("#cases tr", has_text="退款异常")
    expect(case).to_contain_text("¥200.00")
    picture(finance, "exceptions")
    case.get_by_role("link").first.click()
    expect(finance.locator("#panel")).to_contain_text("收款账户不可用")


def paid(product, new_page, openid: str) -> tuple[Page, str]:
    """A family's phone with a paid trial, and the order's number."""
    phone = signed_in(product, new_page, openid)
    to_pay(product, phone, openid)
    pay(phone)
    phone.get_by_role("button", name="完成").click()
    return phone, order_of(phone, openid)
