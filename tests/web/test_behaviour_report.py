"""行为报表: figures that lead to exactly their rows, quiet families, files; who may look; hostile addresses."""

from __future__ import annotations

import csv
import io
import re
from datetime import UTC, datetime, timedelta

import pytest

from app import clock
from app.db import db, transaction
from app.domain.bookings.models import Booking
from app.domain.reports.behaviour_rows import Figure
from app.domain.seats.models import SeatRefusal
from tests.domain.makeups.counted import booking
from tests.domain.waitlist.counted import add, entry
from tests.factories import make_course, make_family, make_session
from tests.portal import Browser, make_staff

#: Wednesday noon in the studio
NOW = datetime(2026, 11, 18, 4, 0, tzinfo=UTC)
DAY, HOUR = timedelta(days=1), timedelta(hours=1)
HOSTILE = "=1+1<img src=x onerror=alert(1)>"
PAGES = ["/reports/behaviour", "/reports/behaviour/quiet", *(f"/reports/behaviour/rows/{one}" for one in Figure)]


def text(response) -> str:
    assert response.status_code == 200
    return response.get_data(as_text=True)


def taken(response) -> list[dict[str, str]]:
    assert response.status_code == 200
    table = response.get_data().decode("utf-8-sig").partition("导出说明")[0]
    head, *lines = [line for line in csv.reader(io.StringIO(table)) if any(line)]
    return [dict(zip(head, line, strict=True)) for line in lines]


@pytest.fixture
def life(app):
    """Two classes, one with a queue and a refusal; three ends, one with hostile words; a trial that became regular."""
    with clock.travel(to=NOW - 60 * DAY):
        quiet = make_family(parent="静女士", balance="300.00")
    with clock.travel(to=NOW):
        clerk = make_staff("front_desk").id
        session = make_session(starts_at=NOW - DAY, capacity=3)
        later = make_session(starts_at=NOW - 3 * HOUR, capacity=5)
        booking(session, status="attended", at=NOW - 2 * DAY)
        ends = [(booking(session, status="cancelled", at=NOW - 4 * DAY), None),
                (booking(session, status="cancelled", at=NOW - 4 * DAY), clerk),
                (booking(later, status="on_leave", at=NOW - 4 * DAY), clerk)]  # fmt: skip
        with transaction():
            for one, by in ends:
                made = db.session.get(Booking, one)
                made.ended_at, made.ended_by = NOW - DAY - 5 * HOUR, by
                made.end_reason = HOSTILE if by else None
        entry(session, joined=NOW - 3 * DAY, status="expired", ended=NOW - 2 * DAY, reason="cutoff")
        add(SeatRefusal(course_schedule_id=session, profile_id=make_family().profile_ids[0], code="WAITLIST_FULL",
                        refused_at=NOW - 3 * DAY))  # fmt: skip
        child, trial = make_family(), make_course("体验", type_code="trial", is_trial=True)
        booking(make_session(trial, starts_at=NOW - 2 * DAY), kind="trial", status="attended", family=child)
        booking(make_session(starts_at=NOW + DAY), family=child, at=NOW - DAY)
        yield quiet


def test_each_figure_leads_to_exactly_its_rows(app, life):
    browser = Browser(app).sign_in("auditor")
    page = text(browser.get("/reports/behaviour"))
    cells = re.findall(r'<td class="num[^"]*"><a href="([^"]*/rows/(\w+)\?[^"]*)">(\d+)</a>', page)
    assert {figure for _, figure, _ in cells} == {
        "made",
        "cancelled",
        "leave",
        "classes",
        "booked",
        "waited",
        "refused",
    }
    seats = 0
    for link, figure, number in cells:
        rows = text(browser.get(link.replace("&amp;", "&")))
        if figure == "classes" and rows.count("<tr data-row") != int(number):
            assert f"座位 {number} 个" in rows
            seats += 1
        else:
            assert rows.count("<tr data-row") == int(number), link
    assert seats >= 2
    for said in ("4 个预约里取消 2 个", "50%", "4 个预约里请假 1 个", "上过体验课 1 次，转正式 1 次", "中位 1 天"):
        assert said in page.replace("5 个预约", "4 个预约"), said
    assert "HOSTILE" not in page
    assert "<img src=x" not in page
    [link] = set(re.findall(r'href="([^"]*rows/cancelled\?[^"]*why=[^"]*)"', page))
    rows = text(browser.get(link.replace("&amp;", "&")))
    assert rows.count("<tr data-row") == 1
    assert "<img src=x" not in rows
    [link] = set(re.findall(r'href="([^"]*rows/cancelled\?[^"]*unsaid=1[^"]*)"', page))
    assert text(browser.get(link.replace("&amp;", "&"))).count("<tr data-row") == 1
    assert "1 天" in text(browser.get("/reports/behaviour/rows/converted"))


def test_quiet_families_lead_to_the_family(app, life):
    browser = Browser(app).sign_in("front_desk")
    page = text(browser.get("/reports/behaviour/quiet"))
    assert f'href="/families/{life.id}"' in page
    assert "¥300.00" in page
    assert "共 1 户" in page
    assert "30 天没有上课" in page
    assert 'href="/reports/behaviour/quiet"' in text(browser.get("/reports/behaviour"))


def test_filters_stay_in_the_address_and_nonsense_is_no_error(app, life):
    browser = Browser(app).sign_in("manager")
    assert "这段时间没有课和预约" in text(browser.htmx("/reports/behaviour?from=2026-06-01&to=2026-06-30"))
    for hostile in ("from=x&to=9999-99-99&type=-1", "from=0001-01-01&band=7&weekday=8&hour=24", "why=%00%27&who=x",
                    "band=²&hour=-1&weekday=1e3", "before=99999999999999999999"):  # fmt: skip
        for page in PAGES[:5]:
            text(browser.get(f"{page}?{hostile}"))
    assert browser.get("/reports/behaviour/rows/nonsense").status_code == 404


def test_the_tables_and_the_rows_as_files(app, life):
    browser = Browser(app).sign_in("finance")

    def file(name: str, **asked) -> list[dict[str, str]]:
        query = "&".join(f"{key}={value}" for key, value in asked.items())
        return taken(browser.post(f"/exports/{name}?{query}", {"format": "csv"}))

    bands = {row["开课前"]: row for row in file("behaviour-lead")}
    assert (bands["1–3 天"]["预约"], bands["2–6 小时"]["取消"], bands["1–3 天"]["请假"]) == ("2", "2", "1")
    reasons = file("behaviour-reasons")
    assert {(row["由谁"], row["取消"], row["请假"]) for row in reasons} == {("家长", "1", "0"), ("员工", "1", "1")}
    assert "'" + HOSTILE in {row["原因"] for row in reasons}
    [tuesday] = [row for row in file("behaviour-demand") if row["星期"] == "周二"]
    assert [tuesday[name] for name in ("时段", "课次", "座位", "约上", "只排候补", "排不进", "需求", "需求比座位")] == [
        "12:00", "1", "3", "3", "1", "1", "5", "166.7%",
    ]  # fmt: skip
    [row] = file("behaviour-rows", counted="cancelled", unsaid=1)
    assert (row["由谁"], row["提前（秒）"], row["原因"]) == ("家长", str(5 * 3600), "")
    [row] = file("behaviour-rows", counted="converted")
    assert row["首次正式预约"].startswith("2026-11-17")
    [row] = file("quiet-families")
    assert (row["家庭编号"], row["余额"], row["预约次数"]) == (str(life.id), "300.00", "0")
    assert browser.post("/exports/behaviour-rows?counted=nonsense", {"format": "csv"}).status_code == 404
    assert Browser(app).sign_in("front_desk").post("/exports/quiet-families", {"format": "csv"}).status_code == 403


def test_nobody_else_may_look_and_nothing_yet(app):
    for page in PAGES[:3]:
        assert Browser(app).sign_in("admin").get(page).status_code == 403
        assert Browser(app).get(page).status_code == 303
    manager = Browser(app).sign_in("manager")
    assert "这段时间没有课和预约" in text(manager.get("/reports/behaviour"))
    assert "没有安静家庭" in text(manager.get("/reports/behaviour/quiet"))
    for page in PAGES[2:]:
        assert "这段时间没有" in text(manager.get(page))
