"""A freed seat from the phone that cancels to the phone that has it: three parents wait, three messages arrive within
ten seconds, the first to confirm is booked and charged, the others read that the seat is taken. The staff's board
shows each step by itself within five seconds, and afterwards the seat's story.

With DESK_TAKE_PICTURES=1 it also takes the pictures of the README.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

import pytest
import requests
from playwright.sync_api import Page, expect

from app import clock
from tests.e2e.product import wait_until
from tests.e2e.steps import api, picture, row_of, sign_in, signed_in, signed_up, token_of

pytestmark = pytest.mark.browser
COURSE = "候补小班"
HEADER = ("course_type,course_type_name,waitlist_capacity,is_trial,course,level,duration_minutes,price,coach,venue,"
          "starts_at,capacity")  # fmt: skip


@dataclass
class Waiting:
    """A parent's phone, and how much was in the wallet before."""

    openid: str
    phone: Page
    token: str
    balance: Decimal


@pytest.fixture
def session(product, tmp_path) -> int:
    """A class of one seat in the early morning, when nobody has another one; its day."""
    day = clock.today() + timedelta(days=6)
    row = f"small,小班课,8,0,{COURSE},,45,60.00,候补教练,候补小馆,{day} 06:00,1"
    (tmp_path / "one.csv").write_text(f"{HEADER}\n{row}\n", encoding="utf-8")
    product.flask("catalog", "import", str(tmp_path / "one.csv"))
    return day


def wait_in_line(product, new_page, openid: str, session: dict, place: int) -> Waiting:
    phone = signed_in(product, new_page, openid)
    row_of(phone, session).click()
    sheet = phone.locator(".sheet")
    expect(sheet).to_contain_text(f"{place - 1}/8人")
    expect(sheet).to_contain_text("轮到我时不再询问，直接预约并从钱包扣 ¥60.00")
    sheet.get_by_role("button", name="候补", exact=True).click()
    expect(sheet.get_by_role("heading", name=f"您是第{place}位候补")).to_be_visible()
    sheet.get_by_role("button", name="查看候补").click()
    sheet.get_by_role("button", name="允许", exact=True).click()
    expect(phone.locator(".paper")).to_contain_text(f"第 {place} 位")
    token = token_of(phone, openid)
    return Waiting(openid, phone, token, Decimal(api(product, "/wallet", token)["balance"]))


def offers(product, openid: str) -> list[dict]:
    return [one for one in product.sandbox.messages(openid) if one["title"] == "候补名额通知" and COURSE in str(one)]


def test_three_wait_and_the_first_has_the_seat(product, new_page, session):
    able = (f"demo-parent-{number:02}" for number in range(1, 13))
    holder, *people = [openid for openid in able if signed_up(product, openid)][:4]
    token = signed_up(product, holder)
    until = f"/schedules?date_from={session}&date_to={session}&type=small"
    (one,) = api(product, until, token)["items"]
    student = next(each for each in api(product, "/profiles", token)["items"] if each["status"] == "active")
    headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": "the-first"}
    body = {"course_schedule_id": one["id"], "profile_id": student["id"]}
    made = requests.post(f"{product.url}/api/v1/bookings", json=body, headers=headers, timeout=10)
    assert made.status_code == 201, made.text
    booking = made.json()["data"]["booking"]["id"]

    first, second, third = [
        wait_in_line(product, new_page, openid, one, place) for place, openid in enumerate(people, start=1)
    ]

    desk = new_page()
    sign_in(desk, product, "qiantai")
    desk.goto(f"{product.url}/waitlist")
    queue = desk.locator(".waitlist-queue", has_text=COURSE).locator(".waitlist-lines")
    expect(queue.get_by_text("候补中")).to_have_count(3)

    phone = signed_in(product, new_page, holder)
    phone.evaluate("number => { location.hash = `booking/${number}`; }", booking)
    phone.get_by_role("button", name="取消预约").click()
    phone.locator(".sheet").get_by_role("button", name="取消预约").click()
    expect(phone.locator("[data-toast]")).to_contain_text("已退回钱包")
    freed = time.monotonic()
    messages = wait_until(
        lambda: (found := [offers(product, each.openid) for each in (first, second, third)]) and all(found) and found,
        seconds=10,
    )
    assert time.monotonic() - freed < 10
    assert [len(found) for found in messages] == [1, 1, 1]
    expect(queue.get_by_text("先到先得")).to_have_count(3, timeout=5000)
    expect(queue.get_by_text("微信已送达")).to_have_count(3, timeout=5000)
    picture(desk, "board")

    # By the message, not by the page that happens to be open.
    first.phone.get_by_role("link", name="消息").click()
    first.phone.get_by_role("link", name="进入小程序查看").click()
    expect(first.phone.get_by_text("有名额，立即预约")).to_be_visible()
    expect(first.phone.locator(".offer")).to_contain_text("先确认先得")
    expect(first.phone.get_by_role("timer")).to_contain_text("14:")
    picture(first.phone, "phone-waitlist")
    # The second is in the middle of it.
    second.phone.get_by_role("button", name="立即预约").click()
    expect(second.phone.locator(".sheet")).to_contain_text("确认预约？还剩14分钟决策时间")

    first.phone.get_by_role("button", name="立即预约").click()
    first.phone.locator(".sheet").get_by_role("button", name="确认预约").click()
    expect(first.phone.locator(".sheet").get_by_role("heading", name="预约成功")).to_be_visible()
    assert Decimal(api(product, "/wallet", first.token)["balance"]) == first.balance - 60
    expect(queue.get_by_text("候补中")).to_have_count(2, timeout=5000)

    second.phone.locator(".sheet").get_by_role("button", name="确认预约").click()
    expect(second.phone.locator(".sheet")).to_contain_text("名额已被抢占")
    second.phone.get_by_role("button", name="知道了").click()
    expect(third.phone.locator(".paper .badge")).to_have_text("候补中")
    for place, each in enumerate((second, third), start=1):
        expect(each.phone.locator(".paper")).to_contain_text(f"第 {place} 位，共 2 人")
        told = wait_until(lambda each=each: api(product, "/notifications", each.token)["items"], seconds=15)
        assert any("名额已被其他家长预约" in notice["text"] for notice in told)
        assert Decimal(api(product, "/wallet", each.token)["balance"]) == each.balance
    seats = api(product, f"/schedules/{one['id']}/availability", first.token)
    assert (seats["booked"], seats["kept_for_waitlist"], seats["waitlist_count"]) == (1, 0, 2)

    desk.get_by_role("link", name="空出的名额").click()
    desk.get_by_role("link", name=COURSE).first.click()
    expect(desk.get_by_text("得到名额")).to_have_count(1)
    expect(desk.get_by_text("被别人先确认")).to_have_count(2)
    picture(desk, "seat-story")
