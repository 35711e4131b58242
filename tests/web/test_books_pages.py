"""The day's report, its close and the month's statement over HTTP (W24, W25, W29)."""

from __future__ import annotations

import csv
import io
import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from openpyxl import load_workbook

from app import clock
from app.db import db
from app.domain.books.models import DayClose
from app.domain.books.movements import Line
from app.web.books.words import GROUPS, LINES
from tests.domain.desk.desk import ask, receipt
from tests.domain.makeups.steps import Away
from tests.domain.orders.refunds import paid_trial
from tests.factories import make_family
from tests.portal import Browser, make_staff

#: Wednesday noon in the studio
NOON = datetime(2026, 11, 18, 4, 0, tzinfo=UTC)
DAY = timedelta(days=1)
ON = "2026-11-18"
HOSTILE = "<img src=x onerror=alert(1)>=HYPERLINK('x')"


@pytest.fixture
def studio(app):
    """A day with cash, a transfer, a trial and a class that was given up; the desk looks the day after."""
    with clock.travel(to=NOON):
        desk = make_staff("finance", display_name="收银小王")
        family = make_family(parent="章女士", balance="1000.00")
        ask(desk, family, "300.00")
        ask(desk, family, "200.00", payment_method="wechat_transfer", receipts=[receipt()])
        away, _ = Away(60), paid_trial()
    with clock.travel(to=NOON + DAY):
        yield away


def text(answer) -> str:
    return answer.get_data(as_text=True)


def words(answer) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", text(answer)))


def seen(browser) -> str:
    return re.search(r'name="seen"[^>]*value="([0-9a-f]{64})"', text(browser.get(f"/books/days/{ON}")))[1]


def sign(browser, *, htmx: bool = True, **data):
    fields = {"seen": seen(browser), "counted_cash": "300.00", "note": "", "cause_wechat_pay": "账单明天才到", **data}
    return (browser.htmx if htmx else browser.post)(f"/books/days/{ON}/close", fields)


def sheet(answer) -> list[list]:
    return [[cell.value for cell in row] for row in load_workbook(io.BytesIO(answer.get_data())).worksheets[0]]


# ── a day ───────────────────────────────────────────────────────────────────────────────────────────


def test_a_day_adds_up_and_each_figure_leads_to_its_rows(app, studio):
    finance = Browser(app).sign_in("finance")
    page = text(finance.get(f"/books/days/{ON}"))
    said = words(finance.get(f"/books/days/{ON}"))
    for part in ("¥0.00 + ¥2,500.00 − ¥60.00 = ¥2,440.00", "已核对", "收银小王", "微信账单还没有核对"):
        assert part in said
    # Every link to rows opens, and shows as many as the figure says.
    for address in set(re.findall(rf'href="(/books/days/{ON}/rows[^"]*)"', page)):
        assert "没有这样的流水" not in text(finance.get(address.replace("&amp;", "&")))
    recharges = finance.get(f"/books/days/{ON}/rows?type=recharge&way=in")
    assert words(recharges).count("章女士家庭") == 2
    taken = words(finance.get(f"/books/days/{ON}/takings"))
    assert "体验课付款" in taken
    assert taken.count("余额调整") >= 2
    book = sheet(finance.post(f"/exports/day-report?on={ON}", {"format": "xlsx"}))
    by_word = {(row[0], row[1]): row for row in book}
    assert (by_word["余额", "期初"][4], by_word["余额", "期末"][4]) == (0, 2440)
    assert sum(row[2] for row in book if row[0] == "按类型") == by_word["余额", "合计"][2] == 2500
    assert finance.get("/books/days/2026-11-20").status_code == 404
    assert finance.get("/books/days/nonsense").status_code == 404


def test_a_day_is_signed_with_its_causes_and_reprinted_as_signed(app, studio):
    finance = Browser(app).sign_in("finance")
    refused = sign(finance, counted_cash="290.00", cause_cash="", note=HOSTILE)
    assert refused.status_code == 422
    assert "有差异，请写明原因" in words(refused)
    assert "<img" not in text(refused)
    assert 'value="290.00"' in text(refused)
    assert sign(finance, counted_cash="三百").status_code == 422
    assert sign(finance, cause_wechat_pay="").status_code == 422
    assert sign(finance, seen="0" * 64).status_code == 409
    assert db.session.query(DayClose).count() == 0

    done = sign(finance, htmx=False, counted_cash="290.00", cause_cash="少收 10 元，已补记", note=HOSTILE)
    assert (done.status_code, done.location) == (303, f"/books/days/{ON}")
    assert "已日结" in words(finance.get(done.location))
    printed = finance.get(f"/books/days/{ON}/signed")
    for part in ("少收 10 元，已补记", "账单明天才到", "-¥10.00", "与签字时一致", "收银小王"):
        assert part in words(printed)
    assert "<img src" not in text(printed)
    assert finance.post(f"/books/days/{ON}/close", {}).status_code in (409, 422)
    listed = words(finance.get("/books/days"))
    assert "2 项，有原因" in listed
    taken = finance.post("/exports/day-closes", {"format": "csv"}).get_data().decode("utf-8-sig")
    rows = list(csv.reader(io.StringIO(taken)))
    assert rows[1][5].startswith("<img")
    assert len(rows[1][8]) == 64


def test_who_may_see_and_sign(app, studio):
    auditor, stale = Browser(app).sign_in("auditor"), Browser(app).sign_in("manager")
    assert "日结签字" not in words(auditor.get(f"/books/days/{ON}"))
    assert auditor.post(f"/books/days/{ON}/close", {}).status_code == 403
    token = seen(stale)
    with clock.travel(by=timedelta(minutes=20)):
        asked = stale.htmx(f"/books/days/{ON}/close", {"seen": token, "counted_cash": "300.00"})
        assert (asked.status_code, db.session.query(DayClose).count()) == (403, 0)


# ── a month ─────────────────────────────────────────────────────────────────────────────────────────


def test_the_month_on_the_page_and_in_the_file_is_the_same_and_adds_up(app, studio):
    finance = Browser(app).sign_in("finance")
    page = finance.get("/books/revenue")
    for part in ("2026 年 11 月课消", "已核对", "请假转待补课", "体验课付款", "¥2,700.00"):
        assert part in words(page)
    book = sheet(finance.post("/exports/revenue?month=2026-11", {"format": "xlsx"}))
    head, *lines = book
    opening, closing = (next(row for row in lines if row[1] == word) for word in ("期初", "期末"))
    moved = [row for row in lines if row[1] not in ("期初", "期末")]
    for column in range(2, 7):
        assert round(opening[column] + sum(row[column] for row in moved) - closing[column], 2) == 0, head[column]
    assert closing[2:7] == [2440, 0, 60, 200, 2700]
    for address in set(re.findall(r'href="(/books/revenue/rows[^"]*)"', text(page))):
        assert "这个月没有" not in text(finance.get(address.replace("&amp;", "&")))
    held = sheet(finance.post("/exports/revenue-rows?line=on_leave&month=2026-11", {"format": "xlsx"}))
    assert [row[2] for row in held[1:]] == [60]
    assert finance.get("/books/revenue?month=1899-13").status_code == 200


def test_a_booking_says_where_its_money_stands(app, studio):
    finance = Browser(app).sign_in("finance")
    away = studio
    booked = away.credit().booking_id
    assert "待补课负债 ¥60.00" in words(finance.get(f"/bookings/{booked}"))
    made = away.book(away.session(60)).booking_id
    assert "待补课负债 ¥60.00（请假的课）" in words(finance.get(f"/bookings/{made}"))
    with clock.travel(by=30 * DAY):
        later = Browser(app).sign_in("finance")
        for booking_id in (booked, made):
            assert "已课消 ¥60.00" in words(later.get(f"/bookings/{booking_id}"))


def test_every_line_has_a_word_and_a_place():
    placed = [line for _, lines in GROUPS for line in lines]
    assert sorted(placed) == sorted(Line)
    assert set(LINES) == set(Line)
    assert Decimal(0) == 0
