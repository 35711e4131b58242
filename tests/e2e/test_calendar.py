"""The week calendar in a browser: a class is made, booked and cancelled in the side panel, and the week behind it
keeps up by itself; on a phone one day fits the screen.

With DESK_TAKE_PICTURES=1 it also takes the pictures of the README.
"""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from playwright.sync_api import expect

from app import clock
from tests.e2e.steps import picture, sign_in

pytestmark = pytest.mark.browser


def next_monday():
    today = clock.today()
    return today - timedelta(days=today.weekday()) + timedelta(weeks=1)


def classes_told(page) -> int:
    return int(re.search(r"(\d+) 节", page.locator(".week-bar").inner_text())[1])


def test_the_week_at_a_glance(product, new_page):
    page = new_page()
    sign_in(page, product, "dianzhang")
    page.goto(f"{product.url}/schedule?week={next_monday()}")
    expect(page.locator(".week-table .session:not(.session-cancelled)")).to_have_count(classes_told(page))
    assert page.evaluate("document.documentElement.scrollWidth") <= 1280
    picture(page, "week", whole=True)
    phone = new_page(390, 844)
    sign_in(phone, product, "qiantai")
    phone.goto(f"{product.url}/schedule?week={next_monday()}")
    expect(phone.locator(".day-list .session").first).to_be_visible()
    picture(phone, "week")


def test_a_roll_is_taken(product, new_page):
    page, phone = new_page(), new_page(390, 844)
    sign_in(page, product, "dianzhang")
    sign_in(phone, product, "qiantai")
    page.goto(f"{product.url}/schedule")
    session = page.locator(".week-table .session", has_text="未点名").last
    if not session.count():
        pytest.skip("no class of the demo's today has begun at this hour")
    address = session.get_attribute("href")
    session.click()
    rows = page.locator("#panel .roll-row", has=page.get_by_role("button", name=re.compile("到课$")))
    expect(rows.first).to_be_visible()
    left = rows.count()
    rows.first.get_by_role("button", name=re.compile("到课$")).click()
    expect(page.locator("#panel .roll-row", has_text="沈志远")).to_contain_text("已到课")
    expect(rows).to_have_count(left - 1)
    picture(page, "roll")
    phone.goto(product.url + address)
    expect(phone.locator(".roll-row", has_text="沈志远")).to_contain_text("已到课")
    assert phone.evaluate("document.documentElement.scrollWidth") <= 390
    picture(phone, "roll", whole=True)


def test_a_class_is_made_booked_and_cancelled(product, new_page):
    page = new_page()
    sign_in(page, product, "dianzhang")
    page.goto(f"{product.url}/schedule?week={next_monday()}")
    expect(page.locator(".week-table .session").first).to_be_visible()

    # Early in the morning, when the demo's studio is empty.
    page.locator(".day-new").nth(1).click()
    panel = page.locator("#panel")
    panel.get_by_label("课程", exact=True).select_option(index=1)
    panel.get_by_label("教练").select_option(index=1)
    panel.get_by_label("场馆").select_option(index=1)
    panel.get_by_label("开始时间").fill("07:00")
    panel.get_by_role("button", name="新建课次").click()
    expect(panel).to_contain_text("还没有人预约")
    made = page.locator(".week-table .session", has_text="07:00")
    expect(made).to_contain_text("0/6")

    panel.get_by_role("link", name="新建预约").click()
    expect(panel.get_by_label("为哪位学员预约？")).to_be_focused()
    page.keyboard.type("zxm", delay=30)
    panel.locator("#students-found a", has_text="张小明").click()
    expect(panel).to_contain_text("张女士家庭的余额")
    panel.get_by_role("button", name=re.compile("^预约，扣费")).click()
    expect(panel.locator(".roll-row")).to_contain_text("张小明")
    expect(made).to_contain_text("1/6")

    panel.get_by_role("link", name="停课").click()
    panel.get_by_label("停课原因").fill("场馆检修")
    panel.get_by_role("button", name=re.compile("^停课，退回")).click()
    expect(panel).to_contain_text("这节课已停课：场馆检修")
    expect(made).to_contain_text("已停课")


def test_a_filter_and_another_week_keep_each_other(product, new_page):
    page = new_page()
    sign_in(page, product, "qiantai")
    page.goto(f"{product.url}/schedule?week={next_monday()}")
    page.get_by_label("场馆").select_option(label="一号馆")
    expect(page).to_have_url(re.compile(r"venue=\d+"))
    expect(page).to_have_url(re.compile(f"week={next_monday()}"))
    expect(page.locator(".week-table .session", has_text="二号馆")).to_have_count(0)
    page.get_by_label("上一周").click()
    expect(page).to_have_url(re.compile(r"venue=\d+"))
    expect(page).to_have_url(re.compile(f"week={next_monday() - timedelta(weeks=1)}"))
    expect(page.get_by_role("link", name="新建课次")).to_have_count(0)


def test_one_day_on_a_phone(product, new_page):
    page = new_page(390, 844)
    sign_in(page, product, "dianzhang")
    page.goto(f"{product.url}/schedule?week={next_monday()}")
    expect(page.locator(".week-table")).to_be_hidden()
    page.locator(".day-strip a").nth(5).click()
    expect(page).to_have_url(re.compile(f"day={next_monday() + timedelta(days=5)}"))
    expect(page.locator(".day-list .session").first).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.locator(".day-list .session").first.click()
    expect(page.locator("#session-detail")).to_be_visible()
    for path in ("/catalog", "/schedule/new", "/schedule/copy"):
        page.goto(product.url + path)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, path
