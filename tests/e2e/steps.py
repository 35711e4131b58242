"""What the journeys have in common: signing in on either side, and the acts that several of them begin with."""

from __future__ import annotations

import os
import re
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import requests
import sqlalchemy as sa
from playwright.sync_api import Page, expect

from app import clock
from app.cli.demo.names import PASSWORD
from app.domain.orders.models import Refund

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


def fill(page: Page, amount: str, note: str, method: str = "微信转账") -> None:
    """The form of an adjustment; cash needs no receipt."""
    page.locator("#adjust-form [name=amount]").fill(amount)
    page.get_by_label(method, exact=True).check()
    if method != "现金":
        page.evaluate(PASTE, f"￥{amount}")
        expect(page.locator(".dropzone-file")).to_have_count(1)
    page.locator("#adjust-form [name=reason_code]").select_option(index=1)
    page.locator("#adjust-form [name=note]").fill(note)


def api(product, path: str, token: str) -> dict:
    answer = requests.get(f"{product.url}/api/v1{path}", headers={"Authorization": f"Bearer {token}"}, timeout=10)
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


def token_of(phone: Page, openid: str) -> str:
    return phone.evaluate("openid => JSON.parse(localStorage.getItem(`phone:${openid}`)).access_token", openid)


def signed_in(product, new_page, openid: str) -> Page:
    phone = new_page(390, 844)
    phone.goto(f"{product.sandbox.url}/phone/{openid}")
    phone.get_by_role("button", name="微信一键登录").click()
    expect(phone.get_by_role("navigation", name="日期")).to_be_visible()
    return phone


def signed_up(product, openid: str) -> str | None:
    """A token of this parent where the family may book; None for one in arrears or without a student."""
    code = product.sandbox.code_for(openid)
    answer = requests.post(f"{product.url}/api/v1/auth/login", json={"code": code}, timeout=10).json()["data"]
    token = answer["access_token"]
    may_book = api(product, "/wallet", token)["booking_allowed"] and Decimal(answer["wallet"]["balance"]) > 100
    return token if may_book and any(one["status"] == "active" for one in answer["profiles"]) else None


def a_trial(product, token: str) -> tuple[dict, dict]:
    """A trial class of the coming days and a student who has the time for it."""
    until = clock.today() + timedelta(days=12)
    sessions = api(product, f"/schedules?type=trial&available=true&limit=100&date_to={until}", token)["items"]
    taken = api(product, "/bookings/my?status=booked&limit=100", token)["items"]
    for student in api(product, "/profiles", token)["items"]:
        busy = [one["schedule"] for one in taken if one["profile_id"] == student["id"]]
        for session in sessions[1:]:
            clash = any(one["starts_at"] < session["ends_at"] and one["ends_at"] > session["starts_at"] for one in busy)
            if student["status"] == "active" and not clash:
                return session, student
    raise AssertionError("the demo has no trial class for this family")


def row_of(phone: Page, session: dict):
    phone.evaluate("day => { location.hash = `classes/${day}`; }", session["starts_at"][:10])
    row = phone.locator(".cell.class", has_text=session["course_name"]).filter(has_text=session["starts_at"][11:16])
    expect(row).to_be_visible()
    return row


def to_pay(product, phone: Page, openid: str) -> dict:
    """Book a trial class as far as WeChat's sheet; the class."""
    session, student = a_trial(product, token_of(phone, openid))
    row_of(phone, session).click()
    phone.get_by_label("学员").last.select_option(str(student["id"]))
    phone.get_by_role("button", name="去支付").click()
    expect(phone.get_by_role("button", name="立即支付")).to_be_visible()
    return session


def order_of(phone: Page, openid: str) -> str:
    """The number of the phone's newest order."""
    return phone.evaluate("openid => JSON.parse(localStorage.getItem(`orders:${openid}`))[0].id", openid)


def pay(phone: Page) -> None:
    phone.get_by_role("button", name="立即支付").click()
    expect(phone.get_by_role("heading", name="预约成功")).to_be_visible(timeout=15000)


def asked(product, page: Page, order: str, amount: str, reason: str, *, frees_seat: bool = True) -> str:
    """Ask for a refund; the address of it."""
    page.goto(f"{product.url}/orders/{order}/refund")
    page.get_by_label("退款金额").fill(amount)
    page.get_by_label("退款原因").fill(reason)
    page.get_by_label("批准后释放座位").set_checked(frees_seat)
    page.get_by_role("button", name="核对退款").click()
    page.get_by_role("dialog").get_by_role("button", name=f"提交审批 ¥{amount}").click()
    page.wait_for_url(re.compile(r"/refunds/\w+$"))
    return page.url


def approved(product, page: Page, address: str) -> None:
    page.goto(address)
    page.get_by_role("button", name=re.compile("^批准")).first.click()
    page.locator("dialog[open]").get_by_role("button", name=re.compile("^批准|确认")).first.click()
    expect(page.locator("#refund-detail")).not_to_contain_text("待审批")


def refund_states(product, phone: Page, openid: str, order: str) -> list[str]:
    refunds = api(product, f"/payment/orders/{order}", token_of(phone, openid))["refunds"]
    return [one["status"] for one in refunds]


def a_minute_passes(product) -> None:
    """WeChat takes one refund of a payment in a minute, and the product keeps to it; this test has no minute."""
    engine = sa.create_engine(product.database.url)
    refunds = Refund.__table__
    with engine.begin() as connection:
        before = clock.now() - timedelta(minutes=2)
        connection.execute(sa.update(refunds).where(refunds.c.next_try_at.is_not(None)).values(next_try_at=before))
        connection.execute(sa.update(refunds).values(updated_at=before))
    engine.dispose()
