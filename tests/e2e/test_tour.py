"""The README's tour, played in a browser: find a family, adjust with a pasted receipt, see who was told.

With DESK_TAKE_PICTURES=1 it also takes the pictures of the README.
"""

from __future__ import annotations

import os
import re
from decimal import Decimal
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from app.cli.demo.names import PASSWORD
from tests.e2e.product import wait_until

pytestmark = pytest.mark.browser
PICTURES = Path(__file__).resolve().parents[2] / "docs" / "pictures"

# A picture that a clerk would paste: drawn by the page itself and put on its clipboard event.
PASTE = """
async (text) => {
  const canvas = document.createElement('canvas');
  canvas.width = 320; canvas.height = 480;
  const pen = canvas.getContext('2d');
  pen.fillStyle = '#1aad19'; pen.fillRect(0, 0, 320, 480);
  pen.fillStyle = '#fff'; pen.font = '32px sans-serif'; pen.fillText(text, 24, 220);
  const blob = await new Promise(done => canvas.toBlob(done, 'image/png'));
  const data = new DataTransfer();
  data.items.add(new File([blob], 'image.png', {type: 'image/png'}));
  document.dispatchEvent(new ClipboardEvent('paste', {clipboardData: data, bubbles: true, cancelable: true}));
}
"""


def sign_in(page: Page, product, username: str) -> None:
    page.goto(f"{product.url}/sign-in")
    page.get_by_label("用户名").fill(username)
    page.get_by_label("密码", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="登录").click()
    expect(page.get_by_role("heading", name="今日", exact=True)).to_be_visible()
    page.wait_for_load_state("networkidle")


def picture(page: Page, name: str, whole: bool = False) -> None:
    """A picture of what the window shows, or, `whole`, of a window as high as the page."""
    if os.environ.get("DESK_TAKE_PICTURES") == "1":
        width = page.viewport_size["width"]
        if whole:
            page.set_viewport_size({"width": width, "height": page.evaluate("document.body.scrollHeight")})
        page.wait_for_timeout(700)
        page.screenshot(path=str(PICTURES / f"{name}-{width}.png"))


def open_family(page: Page, product, typed: str = "zxm") -> str:
    page.keyboard.press("/")
    page.keyboard.type(typed, delay=30)
    expect(page.locator("#search-results a").first).to_contain_text("张女士家庭")
    page.keyboard.press("Enter")  # the only answer
    page.wait_for_url(re.compile(r"/families/\d+$"))
    return page.url


def fill(page: Page, amount: str, note: str) -> None:
    page.locator("#adjust-form [name=amount]").fill(amount)
    page.get_by_label("微信转账").check()
    page.evaluate(PASTE, f"￥{amount}")
    expect(page.locator(".dropzone-file")).to_have_count(1)
    page.locator("#adjust-form [name=reason_code]").select_option(index=1)
    page.locator("#adjust-form [name=note]").fill(note)


def allow_balance_messages(phone: Page, product) -> None:
    """The parent's side: sign in on the phone and tap 「允许」 once, which is good for one message."""
    phone.goto(f"{product.sandbox.url}/phone")
    phone.get_by_text("张女士").first.click()
    phone.get_by_text("微信一键登录").click()
    phone.get_by_text("我的", exact=True).last.click()
    phone.get_by_role("button", name="允许余额变动通知").click()
    phone.get_by_role("button", name="允许", exact=True).last.click()
    expect(phone.get_by_text("已允许一次")).to_be_visible()


def test_adjust_by_keyboard_with_a_pasted_receipt(product, new_page):
    phone = new_page(390, 844)
    allow_balance_messages(phone, product)
    page = new_page()
    sign_in(page, product, "caiwu")
    picture(page, "today")
    family = open_family(page, product)
    picture(page, "family")
    before = page.locator(".family-balance strong").inner_text()
    after = f"¥{Decimal(before.lstrip('¥').replace(',', '')) + 500:,.2f}"
    page.keyboard.press("a")
    page.wait_for_url(re.compile(r"/adjust$"))
    fill(page, "500", "家长微信转账，当面核对")
    expect(page.locator("#adjust-preview")).to_contain_text(after)
    picture(page, "adjust")
    page.get_by_role("button", name="下一步：核对").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("张女士家庭")
    expect(dialog).to_contain_text(after)
    picture(page, "confirm")
    dialog.get_by_role("button", name="确认增加 ¥500.00").click()
    expect(page.locator("#adjust-done")).to_contain_text("已为 张女士家庭 增加 ¥500.00")
    page.goto(family)
    expect(page.locator(".family-balance strong")).to_have_text(after)

    message = wait_until(
        lambda: [m for m in product.sandbox.messages("demo-parent-01") if "500.00" in str(m)], seconds=15
    )
    assert after.lstrip("¥").replace(",", "") in str(message).replace(",", "")
    phone.evaluate("location.hash = '#messages'")
    expect(phone.get_by_text("余额变动通知").first).to_be_visible()
    picture(phone, "phone-message")
    card = wait_until(lambda: [c for c in product.sandbox.cards("money") if "500.00" in str(c)], seconds=15)
    assert "张女士家庭" in str(card)


def test_second_person_and_undo(product, new_page):
    clerk = new_page()
    sign_in(clerk, product, "qiantai")
    open_family(clerk, product)
    clerk.keyboard.press("a")
    clerk.wait_for_url(re.compile(r"/adjust$"))
    fill(clerk, "80", "前台代收")
    clerk.get_by_role("button", name="下一步：核对").click()
    clerk.get_by_role("dialog").get_by_role("button", name="提交审批").click()
    expect(clerk.locator("#adjust-done")).to_contain_text("已提交审批")

    checker = new_page()
    sign_in(checker, product, "dianzhang")
    checker.goto(f"{product.url}/approvals")
    picture(checker, "approvals")
    checker.get_by_role("link", name=re.compile("张女士家庭")).first.click()
    panel = checker.locator("#panel")
    expect(panel).to_contain_text("前台代收")
    panel.get_by_role("button", name=re.compile("^批准")).first.click()
    ask = checker.locator("dialog[open]")
    if ask.count():
        ask.get_by_role("button", name=re.compile("^批准|确认")).first.click()
    expect(panel).to_contain_text("已完成")


PAGES = ("/", "/approvals", "/adjustments", "/notices", "/audit", "/settings/policies", "/staff", "/system")


@pytest.mark.parametrize("path", PAGES)
def test_pages_on_a_phone_do_not_overflow(product, new_page, path):
    page = new_page(390, 844)
    sign_in(page, product, "dianzhang")
    page.goto(product.url + path)
    picture(page, {"/": "today", "/approvals": "approvals"}.get(path, path.strip("/").replace("/", "-")))
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_phone_width_pictures(product, new_page):
    page = new_page(390, 844)
    sign_in(page, product, "caiwu")
    page.goto(f"{product.url}/search?q=zxm")
    page.get_by_role("link", name="张女士家庭").first.click()
    page.wait_for_url(re.compile(r"/families/\d+$"))
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    picture(page, "family")
    page.get_by_role("link", name="调整余额").first.click()
    page.wait_for_url(re.compile(r"/adjust$"))
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    picture(page, "adjust")


def test_ledger_verifies_and_hand_written_sql_is_refused(product):
    import sqlalchemy as sa
    from sqlalchemy.exc import DBAPIError

    verified = product.flask("ledger", "verify", "--full")
    assert verified.returncode == 0, verified.stdout + verified.stderr
    engine = sa.create_engine(product.database.url)
    for sql in (
        "UPDATE wallets SET balance = balance + 1 WHERE version > 0",
        "UPDATE wallet_transactions SET amount = 1",
        "DELETE FROM wallet_transactions",
    ):
        with engine.connect() as connection, pytest.raises(DBAPIError):
            connection.execute(sa.text(sql))
    engine.dispose()
