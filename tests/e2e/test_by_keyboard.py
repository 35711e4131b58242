"""What axe-core cannot see of WCAG 2.2 AA and a browser can be asked: whether everything is reached by the keyboard,
with a focus that one sees (2.1.1, 2.1.2, 2.4.7, 2.4.11), whether pages fit 320 pixels (1.4.10), and whether words stay
whole when somebody spaces them out (1.4.12). docs/operations/accessibility.md says how the rest was looked at.
"""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.steps import sign_in
from tests.e2e.test_accessibility import PAGES

pytestmark = [pytest.mark.browser, pytest.mark.faults]

NUMBER = """
() => {
  const kinds = 'a[href], button:enabled, input:enabled:not([type=hidden]), select:enabled, textarea:enabled, summary,'
    + ' [tabindex]:not([tabindex="-1"])';
  // checkVisibility knows what is folded away (details, dialogs) as well as what is not shown
  const all = [...document.querySelectorAll(kinds)].filter(one => one.checkVisibility({visibilityProperty: true})
    && one.tabIndex >= 0 && !one.closest('[inert]'));
  const stops = new Map();
  all.forEach((one, place) => {
    // A group of radios is one stop, wherever in it the focus lands.
    const stop = one.type === 'radio' ? `radio ${one.name} ${one.form?.id} ${one.form?.action}` : String(place);
    one.dataset.stop = stop;
    if (!stops.has(stop)) stops.set(stop, one.outerHTML.slice(0, 140));
  });
  return [...stops];
}
"""
# Where the focus is; whether its ring is there to be seen, and whether something lies over it.
LOOK = """
() => {
  const one = document.activeElement;
  if (!one || one === document.body) return null;
  const style = getComputedStyle(one), box = one.getBoundingClientRect();
  const ringed = element => {
    const its = getComputedStyle(element);
    return its.outlineStyle !== 'none' && parseFloat(its.outlineWidth) > 0 || its.boxShadow !== 'none';
  };
  // A control that its label draws (a choice, a checkbox): the label has the ring.
  const drawn = [one, one.closest('label'), one.labels && one.labels[0]].filter(Boolean);
  const x = Math.min(Math.max(box.left + box.width / 2, 1), innerWidth - 1);
  const y = Math.min(Math.max(box.top + box.height / 2, 1), innerHeight - 1);
  const top = document.elementFromPoint(x, y);
  const shown = box.bottom > 0 && box.top < innerHeight && box.right > 0 && box.left < innerWidth;
  const covered = !(top && drawn.some(part => part.contains(top) || top.contains(part)));
  return {stop: one.dataset.stop, html: one.outerHTML.slice(0, 140), shown, covered,
          ringed: [...drawn, one.parentElement].some(ringed),
          small: box.width < 2 || box.height < 2 || style.opacity === '0'};
}
"""
SPACED = """
* { line-height: 1.5 !important; letter-spacing: .12em !important; word-spacing: .16em !important; }
p { margin-bottom: 2em !important; }
"""
SPACE = """
css => { const its = new CSSStyleSheet(); its.replaceSync(css); document.adoptedStyleSheets = [its]; }
"""
# Words that are cut off without being put into a line of dots on purpose, and without a way to scroll to them.
CUT = """
() => [...document.querySelectorAll('main *')].filter(one => {
  if (!one.checkVisibility() || !one.innerText || one.closest('.visually-hidden, svg, select')) return false;
  const style = getComputedStyle(one);
  const hides = value => value === 'hidden' || value === 'clip';
  return one.childElementCount === 0 && style.textOverflow !== 'ellipsis' && (
    hides(style.overflowX) && one.scrollWidth > one.clientWidth + 1
    || hides(style.overflowY) && one.scrollHeight > one.clientHeight + 1);
}).map(one => one.outerHTML.slice(0, 140))
"""
# What makes the page wider than the window; what scrolls by itself (a table) may.
OUT = """
() => document.documentElement.scrollWidth <= innerWidth ? [] : [...document.querySelectorAll('body *')].filter(one => {
  if (one.getBoundingClientRect().right <= innerWidth + 1 || !one.checkVisibility()) return false;
  for (let up = one.parentElement; up; up = up.parentElement)
    if (['auto', 'scroll'].includes(getComputedStyle(up).overflowX)) return false;
  return true;
}).map(one => one.outerHTML.slice(0, 140))
"""


def walk(page: Page) -> list[str]:
    """What is wrong when one goes through the page by Tab from its top to its end."""
    stops = dict(page.evaluate(NUMBER))
    wrong, reached, last = [], set(), None
    for _ in range(4 * len(stops)):
        page.keyboard.press("Tab")
        seen = page.evaluate(LOOK)
        if seen is not None and seen["stop"] == last:
            continue  # the next part of the same field: year, month, day
        if seen is None or seen["stop"] in reached:  # past the last one, or at the first again
            break
        last = seen["stop"]
        reached.add(last)
        if not seen["ringed"]:
            wrong.append(f"no ring: {seen['html']}")
        if not seen["shown"] or (seen["covered"] and not seen["small"]):
            wrong.append(f"focused and not to be seen: {seen['html']}")
    wrong += [f"never reached: {html}" for stop, html in stops.items() if stop not in reached]
    return wrong


@pytest.mark.parametrize("username", PAGES)
def test_everything_is_reached_and_its_focus_seen(product, new_page, username):
    page = new_page()
    page.emulate_media(reduced_motion="reduce")
    sign_in(page, product, username)
    wrong = []
    for path in PAGES[username]:
        page.goto(product.url + path)
        page.wait_for_load_state("networkidle")
        wrong += [f"{path}: {one}" for one in walk(page)]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("username", PAGES)
def test_pages_fit_320_pixels_and_spaced_words_stay_whole(product, new_page, username):
    page = new_page(320, 640)
    sign_in(page, product, username)
    wrong = []
    for path in PAGES[username]:
        page.goto(product.url + path)
        wrong += [f"{path} sticks out: {one}" for one in page.evaluate(OUT)]
        page.evaluate(SPACE, SPACED)
        wrong += [f"{path} spaced: {one}" for one in page.evaluate(CUT)]
        wrong += [f"{path} spaced sticks out: {one}" for one in page.evaluate(OUT)]
    assert not wrong, "\n".join(wrong)


def test_single_keys_can_be_switched_off(product, new_page):
    page = new_page()
    sign_in(page, product, "qiantai")
    page.keyboard.press("/")
    expect(page.locator("#search")).to_be_focused()
    for wanted in (False, True):
        page.goto(product.url)
        page.get_by_role("button", name="键盘快捷键").click()
        choice = page.get_by_label("在这个浏览器启用以上快捷键")
        expect(choice).to_be_checked(checked=not wanted)
        choice.set_checked(wanted)
        page.get_by_role("button", name="关闭").click()
        page.keyboard.press("/")
        search = expect(page.locator("#search"))
        (search.to_be_focused if wanted else search.not_to_be_focused)()


def test_the_walk_finds_what_is_wrong(chromium):
    page = chromium.new_page()
    page.set_content(
        "<html lang=zh><title>x</title><main><a href='#1'>一</a><a href='#2' style='outline:0'>没有框</a>"
        "<button style='position:fixed;top:200px'>被盖住</button>"
        "<div style='position:fixed;top:190px;left:0;width:400px;height:90px;background:#fff'></div>"
        "<a href='#3' onfocus='this.blur()'>出不去</a><a href='#4'>到不了</a>"
    )
    wrong = walk(page)
    assert [line.split(":")[0] for line in wrong] == ["no ring", "focused and not to be seen", *["never reached"] * 2]
    page.set_content("<main style='width:100px'><p style='overflow:hidden;height:1.2em'>两行两行两行两行两行两行")
    assert page.evaluate(CUT)
    page.close()
