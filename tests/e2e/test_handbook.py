"""The pages that the handbook shows and no other journey passes, as the demo fills them; and the handbook itself.

`make pictures` takes their pictures, and those of the other journeys, into docs/pictures.
"""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.e2e.steps import picture, sign_in

pytestmark = pytest.mark.browser

#: address, its heading, name of the picture
PAGES = (
    ("/withdrawals", "提现", "withdrawals"),
    ("/adjustments/batches", "批量调整", "bulk"),
    ("/reconcile", "对账", "reconcile"),
    ("/questions", "流水疑问", "questions"),
)


def test_the_handbooks_pages(product, new_page):
    page = new_page()
    sign_in(page, product, "caiwu")
    for path, heading, name in PAGES:
        page.goto(product.url + path)
        expect(page.get_by_role("heading", name=heading, exact=True, level=1)).to_be_visible()
        picture(page, name)


def test_the_handbook_from_the_menu(product, new_page):
    page = new_page(390, 844)
    sign_in(page, product, "qiantai")
    page.locator("summary.desk-person").click()
    page.get_by_role("link", name="员工手册").click()
    expect(page.get_by_role("heading", name="员工手册", level=1)).to_be_visible()
    page.get_by_role("link", name="课表与点名").first.click()
    expect(page.get_by_role("heading", name="课表与点名", level=1)).to_be_visible()
    page.wait_for_function("[...document.images].slice(1).every(i => i.complete ? i.naturalWidth > 0 : true)")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
