"""What is missed is made up for on the phone: leave from two hours, an hour and a half instead, agreed to in the
server's words; the half hour left over pays for a longer class later, and comes back when that one is cancelled.

With DESK_TAKE_PICTURES=1 it also takes the picture of the README.
"""

from __future__ import annotations

import uuid
from datetime import timedelta
from decimal import Decimal

import pytest
import requests
from playwright.sync_api import Page, expect

from app import clock
from tests.e2e.steps import api, picture, signed_in, signed_up, token_of
from tests.e2e.test_waitlist import HEADER

pytestmark = pytest.mark.browser
MISSED, SHORT, LONG = "专项两小时", "专项一个半小时", "专项两个半小时"


@pytest.fixture
def classes(product, tmp_path) -> dict[str, list[int]]:
    """A type of its own, in the early mornings of the coming days, when nobody has another class; ids by course."""
    first = clock.today() + timedelta(days=6)
    plan = ((MISSED, 120), (MISSED, 120), (SHORT, 90), (LONG, 150))
    rows = [
        f"special,专项课,8,0,{course},,{minutes},180.00,专项教练,专项馆,{first + timedelta(days=n)} 06:00,4"
        for n, (course, minutes) in enumerate(plan)
    ]
    (tmp_path / "special.csv").write_text("\n".join([HEADER, *rows]), encoding="utf-8")
    product.flask("catalog", "import", str(tmp_path / "special.csv"))
    return first


def book(product, token: str, schedule_id: int, profile_id: int) -> int:
    headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": uuid.uuid4().hex}
    body = {"course_schedule_id": schedule_id, "profile_id": profile_id}
    made = requests.post(f"{product.url}/api/v1/bookings", json=body, headers=headers, timeout=10)
    assert made.status_code == 201, made.text
    return made.json()["data"]["booking"]["id"]


def take_leave(phone: Page, booking_id: int) -> None:
    phone.evaluate("number => { location.hash = `booking/${number}`; }", booking_id)
    phone.get_by_role("button", name="请假", exact=True).click()
    phone.locator(".sheet").get_by_role("button", name="确认请假").click()
    expect(phone.locator(".paper .badge")).to_have_text("已请假")


def choose(phone: Page, course: str):
    """The sheet of this class, for the newest credit there is."""
    phone.evaluate("location.hash = 'makeups'")
    phone.get_by_role("link", name="选课补课").first.click()
    phone.get_by_role("button").filter(has_text=course).click()
    return phone.locator(".sheet")


def test_leave_a_shorter_class_and_a_longer_one(product, new_page, classes):
    openid = next(one for one in (f"demo-parent-{n:02}" for n in range(1, 13)) if signed_up(product, one))
    phone = signed_in(product, new_page, openid)
    token = token_of(phone, openid)
    student = next(one for one in api(product, "/profiles", token)["items"] if one["status"] == "active")
    found = api(product, f"/schedules?type=special&date_from={classes}&limit=10", token)["items"]
    for one in [one for one in found if one["course_name"] == MISSED]:
        take_leave(phone, book(product, token, one["id"], student["id"]))
    paid = Decimal(api(product, "/wallet", token)["balance"])

    phone.get_by_role("button", name="去补课").click()
    expect(phone.locator(".credit", has_text=MISSED)).to_have_count(2)
    phone.get_by_role("link", name="选课补课").first.click()
    row = phone.get_by_role("button").filter(has_text=SHORT)
    expect(row.locator("s")).to_have_text("¥180.00")
    expect(row).to_contain_text("¥0.00")
    expect(row).to_contain_text("少0.5小时")
    expect(phone.get_by_role("button").filter(has_text=LONG)).to_contain_text("多0.5小时")
    expect(phone.locator("[data-toast]")).to_be_hidden()
    picture(phone, "makeup-phone")
    row.click()
    sheet = phone.locator(".sheet")
    expect(sheet).to_contain_text("原课时长2小时")
    sheet.get_by_role("button", name="确认补课").click()
    expect(sheet.get_by_role("heading")).to_have_text("本课程仅1.5小时，比您原课程少0.5小时，是否确认预约？")
    sheet.get_by_role("button", name="确认预约").click()
    expect(sheet.get_by_role("heading", name="补课预约成功")).to_be_visible()
    expect(sheet).to_contain_text("得到课时补偿0.5小时")
    sheet.get_by_role("button", name="完成").click()
    expect(phone.locator(".credit", has_text=MISSED)).to_contain_text("补课：专项一个半小时")

    sheet = choose(phone, LONG)
    sheet.get_by_role("button", name="确认补课").click()
    expect(sheet.get_by_role("heading")).to_have_text("本课程比您原课程多0.5小时，需使用0.5小时课时补偿")
    sheet.get_by_role("button", name="使用并预约").click()
    expect(sheet).to_contain_text("使用课时补偿0.5小时")
    sheet.get_by_role("button", name="查看预约").click()
    balance = f"/compensation/balance?profile_id={student['id']}"
    assert api(product, balance, token)["minutes"] == 0

    phone.get_by_role("button", name="取消预约").click()
    expect(sheet).to_contain_text("用掉的课时补偿退回")
    sheet.get_by_role("button", name="取消预约").click()
    expect(phone.locator("[data-toast]")).to_have_text("已取消，待补课已退回，现有课时补偿0.5小时")
    phone.evaluate("number => { location.hash = `minutes/${number}`; }", student["id"])
    expect(phone.locator(".purse .figure")).to_have_text("0.5小时")
    expect(phone.locator(".screen .cell b")).to_have_text(["取消补课", "使用", "获得"])
    assert api(product, balance, token)["minutes"] == 30
    assert [one["status"] for one in api(product, "/makeup/my", token)["items"]].count("available") >= 1
    assert Decimal(api(product, "/wallet", token)["balance"]) == paid, "makeups cost nothing"
