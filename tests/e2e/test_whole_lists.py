"""Several rows at once in the browser (U5, U15): ticked by keyboard or all that a filter finds, shown first, each with
its result; and nothing is done to a list that has changed since it was shown."""

from __future__ import annotations

import re

import pytest
import sqlalchemy as sa
from playwright.sync_api import Page, expect

from app.domain.outbox.models import Notification
from tests.e2e.product import wait_until
from tests.e2e.steps import sign_in

pytestmark = pytest.mark.browser


def total(page: Page) -> int:
    """How many rows the list offers."""
    return int(re.search(r"办理全部 (\d+)", page.get_by_role("button", name=re.compile("^办理全部")).inner_text())[1])


def ticked_button(page: Page):
    return page.get_by_role("button", name=re.compile("^办理勾选的"))


def results(page: Page):
    expect(page.get_by_role("heading", name="每一行的结果")).to_be_visible()
    return page.get_by_role("table", name="每一行的结果").locator("tbody tr")


def test_two_are_ticked_by_keyboard_and_approved(product, new_page):
    page = new_page()
    sign_in(page, product, "dianzhang")
    page.goto(f"{product.url}/approvals")
    before = total(page)
    expect(ticked_button(page)).to_be_disabled()
    page.get_by_label("选择这一页的全部").check()
    expect(ticked_button(page)).to_have_text(f"办理勾选的 {before} 笔")
    page.get_by_label("选择这一页的全部").uncheck()
    expect(ticked_button(page)).to_be_disabled()
    for key in "jxjx":
        page.keyboard.press(key)
    expect(ticked_button(page)).to_have_text("办理勾选的 2 笔")
    names = [page.locator("tr:has([data-check]:checked) .row-link").nth(n).inner_text() for n in range(2)]
    ticked_button(page).click()
    expect(page.locator(".choose-sum")).to_contain_text("共 2 笔")
    for name in names:
        expect(page.get_by_role("table", name="将办理的行")).to_contain_text(name)
    page.get_by_role("button", name="批准余额调整 2 笔").click()
    expect(results(page)).to_have_count(2)
    expect(results(page).get_by_text("已完成")).to_have_count(2)
    page.goto(f"{product.url}/approvals")
    assert total(page) == before - 2
    results_of_one = page.get_by_role("row", name=re.compile(names[0]))
    expect(results_of_one).to_have_count(0)


def test_what_changed_meanwhile_is_shown_again_and_not_done(product, new_page):
    manager, other = new_page(), new_page()
    sign_in(manager, product, "dianzhang")
    sign_in(other, product, "fudian")
    manager.goto(f"{product.url}/approvals")
    number = total(manager)
    assert number >= 2, "the demo has adjustments that wait"
    manager.get_by_role("button", name=f"办理全部 {number} 笔").click()
    other.goto(f"{product.url}/approvals")
    other.locator("[data-check]").first.check()
    ticked_button(other).click()
    other.get_by_role("button", name="批准余额调整 1 笔").click()
    expect(results(other)).to_have_count(1)

    manager.get_by_role("button", name=f"批准余额调整 {number} 笔").click()
    expect(manager.get_by_role("alert")).to_contain_text("名单有变化，没有执行")
    expect(manager.get_by_role("alert")).to_contain_text(f"现在共 {number - 1} 笔")
    other.goto(f"{product.url}/approvals")
    assert total(other) == number - 1, "nothing was done"
    manager.get_by_role("button", name=f"批准余额调整 {number - 1} 笔").click()
    expect(results(manager)).to_have_count(number - 1)
    other.reload()
    expect(other.get_by_text("没有等待审批的调整")).to_be_visible()


def test_all_that_a_filter_finds_is_sent_again(product, new_page):
    fail_two_cards(product)
    before = len(product.sandbox.cards())
    page = new_page()
    sign_in(page, product, "caiwu")
    page.goto(f"{product.url}/notices")
    page.get_by_label("状态").select_option(label="发送失败")
    expect(page).to_have_url(re.compile("status=failed"))
    page.get_by_label("渠道").select_option(label="飞书")
    expect(page).to_have_url(re.compile("channel=feishu"))
    expect(page.get_by_role("button", name="办理全部 2 条")).to_be_visible()
    page.get_by_role("button", name="办理全部 2 条").click()
    expect(page).to_have_url(re.compile("channel=feishu"))
    page.get_by_role("button", name="重新发送消息 2 条").click()
    expect(results(page).get_by_text("已完成")).to_have_count(2)
    wait_until(lambda: len(product.sandbox.cards()) >= before + 1, seconds=30)
    page.go_back()
    page.get_by_role("link", name="返回列表").first.click()
    expect(page).to_have_url(re.compile("status=failed.*channel=feishu|channel=feishu.*status=failed"))


def fail_two_cards(product) -> None:
    """As Feishu's silence would leave them after six tries, for which this test has no time."""
    engine = sa.create_engine(product.database.url)
    notes = Notification.__table__
    with engine.begin() as connection:
        connection.execute(
            sa.update(notes).where(notes.c.channel == "feishu", notes.c.status == "failed").values(status="sent")
        )
        asked = sa.select(notes.c.id).where(notes.c.channel == "feishu", notes.c.status == "sent")
        ids = connection.scalars(asked.order_by(notes.c.id).limit(2)).all()
        connection.execute(sa.update(notes).where(notes.c.id.in_(ids)).values(status="failed"))
    engine.dispose()
