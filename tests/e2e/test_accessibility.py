"""WCAG 2.2 AA as far as a program can see it: axe-core over the pages of the navigation and what they lead to (U14).

Wide and narrow, light and dark. What axe cannot see (order of reading, sense of words) a person has to look at.
"""

from __future__ import annotations

import json

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.product import ROOT
from tests.e2e.steps import sign_in

pytestmark = [pytest.mark.browser, pytest.mark.faults]
AXE = ROOT / "node_modules" / "axe-core" / "axe.min.js"
WIDTHS = ((1280, 860), (390, 844))
RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}
GRAVE = ("serious", "critical")
#: who opens what; of each list its first row too
PAGES = {
    "dianzhang": (
        "/", "/approvals", "/search?q=zxm", "/families/1", "/families/1/adjust", "/adjustments", "/adjustments/batches",
        "/schedule", "/waitlist", "/makeups", "/orders", "/reports/behaviour", "/settings/policies", "/account",
        "/help",
    ),
    "guanli": ("/staff", "/system"),
}  # fmt: skip


def findings(page: Page, rules: dict) -> list[str]:
    """What axe finds grave on the page as it is, each with the first element that has it."""
    found = page.evaluate("async rules => (await axe.run(document, rules)).violations", rules)
    return [
        f"{one['impact']} {one['id']}: {one['nodes'][0]['html'][:160]} ({len(one['nodes'])}) "
        f"{json.dumps((one['nodes'][0]['any'] or [{}])[0].get('data'), ensure_ascii=False)}"
        for one in found
        if one["impact"] in GRAVE
    ]


def assess(page: Page, address: str) -> list[str]:
    """A page in the light and in the dark, where only the colours are new."""
    answer = page.goto(address)
    if answer.status >= 400:
        return [f"answered {answer.status}"]
    page.wait_for_load_state("load")
    page.evaluate(AXE.read_text())
    light = findings(page, RULES)
    page.evaluate("document.documentElement.setAttribute('data-bs-theme', 'dark')")
    dark = findings(page, {"runOnly": {"type": "rule", "values": ["color-contrast"]}})
    return light + [f"dark: {one}" for one in dark]


@pytest.mark.parametrize("username", PAGES)
def test_no_page_has_a_grave_fault(product, new_page, username):
    if not AXE.exists():
        pytest.skip("axe-core is not here: npm ci")
    page = new_page()
    page.emulate_media(reduced_motion="reduce")  # colours that are still on their way to the dark would be measured
    page.goto(f"{product.url}/sign-in")
    page.evaluate(AXE.read_text())
    wrong = [f"/sign-in: {one}" for one in findings(page, RULES)]
    sign_in(page, product, username)
    paths = list(PAGES[username])
    for path in paths:
        for width, height in WIDTHS:
            page.set_viewport_size({"width": width, "height": height})
            wrong += [f"{path} at {width}: {one}" for one in assess(page, product.url + path)]
        row = page.locator("a.row-link").first
        if path in PAGES[username] and row.count() and (into := row.get_attribute("href")) not in paths:
            paths.append(into)
    assert not wrong, "\n".join(sorted(wrong))


def test_axe_finds_what_is_wrong(chromium):
    if not AXE.exists():
        pytest.skip("axe-core is not here: npm ci")
    page = chromium.new_page()
    page.set_content("<html lang=zh><title>x</title><main><input><p style='color:#ccc;background:#fff'>看不清的字")
    page.evaluate(AXE.read_text())
    assert {one.split(":")[0] for one in findings(page, RULES)} == {"critical label", "serious color-contrast"}
    expect(page.locator("input")).to_be_visible()
    page.close()
