"""补课分析: figures that lead to exactly their rows, promises, files; who may look; hostile addresses."""

from __future__ import annotations

import csv
import io
import re
from datetime import UTC, datetime, timedelta

import pytest

from app import clock
from app.db import db, transaction
from app.domain.credits.models import CompensationLot
from app.domain.makeups import manage
from app.domain.makeups.models import MakeupFailure
from app.domain.reports.makeups_rows import CREDITS, Figure
from tests.domain.makeups.steps import Away
from tests.portal import Browser, actor_of, make_staff

#: Wednesday noon in the studio
NOW = datetime(2026, 11, 18, 4, 0, tzinfo=UTC)
DAY = timedelta(days=1)
PAGES = ["/reports/makeups", "/reports/makeups/promises/bookings", "/reports/makeups/promises/minutes",
         *(f"/reports/makeups/rows/{figure}" for figure in Figure)]  # fmt: skip


def text(response) -> str:
    assert response.status_code == 200
    return response.get_data(as_text=True)


def links(page: str, part: str) -> list[str]:
    return [found.replace("&amp;", "&") for found in re.findall(rf'href="([^"]*{part}[^"]*)"', page)]


@pytest.fixture
def counted(app):
    """Three leaves; a shorter makeup held, a longer one that used half of its minutes; 45 given by staff."""
    with clock.travel(to=NOW - 10 * DAY):
        one = Away(90, 60, 60)
        one.book(one.session(60), accept_shorter=True)
        one.book(one.session(75), 1, use_compensation=True)
        manage.adjust_minutes(profile_id=one.profile_id, minutes=45, reason="老会员",
                              actor=actor_of(make_staff("manager")))  # fmt: skip
    with clock.travel(to=NOW):
        yield one


def test_each_figure_leads_to_exactly_its_rows(app, counted):
    browser = Browser(app).sign_in("auditor")
    page = text(browser.get("/reports/makeups"))
    for figure in Figure:
        cells = re.findall(rf'<td class="num[^"]*"><a href="([^"]*rows/{figure}\?[^"]*)">(\d+)</a>', page)
        if figure in (Figure.UNUSED, Figure.LAPSED, Figure.RETURNED):
            assert cells == []
            continue
        assert len(cells) >= 2, figure  # of the type and of the month
        for link, number in cells:
            rows = text(browser.get(link.replace("&amp;", "&")))
            shown = rows.count("<tr data-row")
            if figure in ("due", "leave") or figure in CREDITS:
                assert shown == int(number), (figure, link)
            else:
                minutes = re.findall(r'<td class="num">(\d+)</td>', rows)
                assert (len(minutes), sum(map(int, minutes))) == (shown, int(number)), (figure, link)
    assert "应上 5 人次，请假 3 人次" in page
    assert "60%" in page
    assert "60 分钟" in page


def test_alarms_are_said_and_lead_to_what_is_wrong(app, counted):
    with transaction():
        db.session.query(CompensationLot).first().minutes_left = 30
        db.session.add(MakeupFailure(course_schedule_id=1, profile_id=counted.profile_id, error="BUSY_TRY_AGAIN",
                                     failed_at=NOW))  # fmt: skip
    browser = Browser(app).sign_in("manager")
    page = text(browser.get("/reports/makeups"))
    assert "补课预约成功率没有超过 99%" in page
    assert "1 笔课时补偿的账目不符" in page
    wrong = text(browser.get(links(page, "promises/minutes")[0]))
    assert "30 分钟" in wrong
    assert "15 分钟" in wrong
    failed = text(browser.get(links(page, "promises/bookings")[0]))
    assert "BUSY_TRY_AGAIN" in failed
    assert "共 3 次补课预约，2 次成功" in failed


def test_filters_stay_in_the_address_and_nonsense_is_no_error(app, counted):
    browser = Browser(app).sign_in("front_desk")
    assert "这段时间没有课和补课" in text(browser.htmx("/reports/makeups?from=2026-08-01&to=2026-08-31"))
    staff = text(browser.get("/reports/makeups?type=0"))
    assert "应上 0 人次" in staff
    assert "45 分钟" in staff
    for hostile in ("from=x&to=9999-99-99&type=-1", "from=2026-11-20&to=2026-01-01", "type=99999999999999999999",
                    "from=0001-01-01", "to=0001-01-01", "to=9999-12-31", "type=²"):  # fmt: skip
        for page in PAGES[:6]:
            text(browser.get(f"{page}?{hostile}"))
    for unknown in ("/reports/makeups/rows/nonsense", "/reports/makeups/promises/nonsense"):
        assert browser.get(unknown).status_code == 404


def taken(response) -> list[dict[str, str]]:
    assert response.status_code == 200
    table = response.get_data().decode("utf-8-sig").partition("导出说明")[0]
    head, *lines = [line for line in csv.reader(io.StringIO(table)) if any(line)]
    return [dict(zip(head, line, strict=True)) for line in lines]


def test_the_table_and_the_rows_as_files(app, counted):
    browser = Browser(app).sign_in("manager")
    address = "from=2026-11-01&to=2026-11-18"
    regular, staff = taken(browser.post(f"/exports/makeup-report?{address}", {"format": "csv"}))
    assert {name: value for name, value in regular.items() if value not in ("0", "")} == {
        "课程类型": "regular课", "月份（1 日）": "2026-11-01", "应上课次": "5", "请假": "3", "请假率": "60%",
        "产生待补课": "3", "已使用": "2", "使用率": "66.7%", "已补上": "2", "平均补课天数": "5.5", "可使用": "1",
        "未用失效率": "0%", "获得分钟": "30", "使用分钟": "15", "月末未用分钟": "15",
    }  # fmt: skip
    assert (staff["课程类型"], staff["调整分钟"], staff["月末未用分钟"]) == ("员工给予", "45", "45")
    rows = taken(browser.post(f"/exports/makeup-rows?{address}&counted=held", {"format": "csv"}))
    assert [(row["状态"], row["补课天数"]) for row in rows] == [("已使用", "6.0"), ("已使用", "5.0")]
    [row] = taken(browser.post(f"/exports/makeup-rows?{address}&counted=adjusted", {"format": "csv"}))
    assert (row["分钟"], row["说明"], row["课程"]) == ("45", "老会员", "")
    assert browser.post("/exports/makeup-rows?counted=nonsense", {"format": "csv"}).status_code == 404
    assert Browser(app).sign_in("front_desk").post("/exports/makeup-report", {"format": "csv"}).status_code == 403


def test_nobody_else_may_look(app, counted):
    for page in PAGES[:4]:
        assert Browser(app).sign_in("admin").get(page).status_code == 403
        assert Browser(app).get(page).status_code == 303


def test_nothing_yet(app):
    browser = Browser(app).sign_in("manager")
    assert "这段时间没有课和补课" in text(browser.get("/reports/makeups"))
    for page in PAGES[1:]:
        assert "这段时间没有" in text(browser.get(page))
