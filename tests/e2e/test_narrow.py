"""The portal on a phone: no page of the menu is wider than the screen.

With DESK_TAKE_PICTURES=1 it also takes pictures of the README.
"""

from __future__ import annotations

import re

import pytest

from app import clock
from tests.e2e.steps import picture, sign_in

pytestmark = pytest.mark.browser
#: pages whose picture on a phone is in the README or the handbook
NARROW = {"/": "today", "/approvals": "approvals"}


def test_no_page_of_the_menu_is_wider_than_a_phone(product, new_page):
    page = new_page(390, 844)
    sign_in(page, product, "dianzhang")
    links = page.locator(".desk-nav a[href^='/']")
    paths = list(dict.fromkeys(links.evaluate_all("links => links.map(link => link.getAttribute('href'))")))
    assert len(paths) > 25
    paths += ["/adjustments/new", "/families/1", "/families/1/adjust", "/books/days/" + str(clock.today())]
    wide = []
    for path in paths:
        page.goto(product.url + path)
        if path in NARROW:
            picture(page, NARROW[path])
        if page.evaluate("document.documentElement.scrollWidth") > 390:
            wide.append(path)
    assert not wide


def test_a_family_on_a_phone(product, new_page):
    page = new_page(390, 844)
    sign_in(page, product, "caiwu")
    page.goto(f"{product.url}/search?q=zxm")
    page.get_by_role("link", name="张女士家庭").first.click()
    page.wait_for_url(re.compile(r"/families/\d+$"))
    picture(page, "family")
    page.get_by_role("link", name="调整余额").first.click()
    page.wait_for_url(re.compile(r"/adjust$"))
    picture(page, "adjust")
