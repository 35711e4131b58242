"""候补分析: figures that lead to exactly their rows, advice, replay, spare seats; who may look; hostile addresses."""

from __future__ import annotations

import csv
import io
import re
from datetime import UTC, datetime, timedelta

import pytest

from app import clock
from app.db import db
from app.domain.waitlist.models import SeatRelease
from tests.domain.waitlist import weeks
from tests.domain.waitlist.counted import entry, message, offer, release
from tests.factories import make_course, make_family, make_session
from tests.portal import Browser

#: Wednesday noon in the studio
NOW = datetime(2026, 11, 18, 4, 0, tzinfo=UTC)
DAY, HOUR, MINUTE, SECOND = (timedelta(**{unit: 1}) for unit in ("days", "hours", "minutes", "seconds"))
PAGES = ["/reports/waitlist", "/reports/waitlist/rows/filled", "/reports/waitlist/promises/notices",
         "/reports/waitlist/promises/cutoffs", "/reports/waitlist/capacity", "/reports/waitlist/replay",
         "/reports/waitlist/spare"]  # fmt: skip


def text(response) -> str:
    assert response.status_code == 200
    return response.get_data(as_text=True)


@pytest.fixture
def counted(app):
    """Two seats of one class: one filled after four minutes, one lost; one offer told late; one idle wait."""
    with clock.travel(to=NOW):
        session = make_session(make_course("平衡木"), starts_at=NOW + 20 * HOUR)
        first = entry(session, joined=NOW - DAY, status="confirmed", ended=NOW - HOUR + 4 * MINUTE, reason="confirmed",
                      family=make_family(parent="李女士", students=("李小雨",)))  # fmt: skip
        made = offer(session, first, at=NOW - HOUR, status="confirmed", answer="confirm", after=4 * MINUTE)
        message(first, made, at=NOW - HOUR, sent_after=30 * SECOND)
        entry(session, joined=NOW - DAY, status="expired", ended=NOW - MINUTE, reason="cutoff")
        filled = release(session, freed=NOW - HOUR, status="filled", ended=NOW - HOUR + 4 * MINUTE, reason="confirmed",
                         entry=first)  # fmt: skip
        lost = release(session, freed=NOW - HOUR, status="returned", ended=NOW - MINUTE, reason="cutoff")
        yield {"filled": filled, "lost": lost, "session": session}


def links(page: str, part: str) -> list[str]:
    return [found.replace("&amp;", "&") for found in re.findall(rf'href="([^"]*{part}[^"]*)"', page)]


def test_each_figure_leads_to_exactly_its_rows(app, counted):
    browser = Browser(app).sign_in("auditor")
    page = text(browser.get("/reports/waitlist"))
    assert "空出 2 个名额，补上 1 个" in page
    assert "4 分 00 秒" in page
    assert "50%" in page
    for figure, expected in (("filled", [counted["filled"]]), ("lost", [counted["lost"]]),
                             ("freed", [counted["filled"], counted["lost"]])):  # fmt: skip
        found = links(page, f"rows/{figure}\\?")
        assert len(found) >= 2  # of the type and of the week; the rates at the top besides
        for link in found:
            rows = re.findall(r'href="/waitlist/releases/(\d+)"', text(browser.get(link)))
            assert sorted(map(int, rows)) == sorted(expected), link
    offers = text(browser.get(links(page, "rows/offers")[-1]))
    assert "李小雨" in offers
    assert "已确认" in offers


def test_alarms_are_said_and_lead_to_what_broke(app, counted):
    browser = Browser(app).sign_in("manager")
    page = text(browser.get("/reports/waitlist"))
    assert "名额通知准时率低于 95%" in page
    broken = text(browser.get(links(page, "promises/notices")[0]))
    assert "李小雨" in broken
    assert "晚 30 秒" in broken


def test_filters_stay_in_the_address_and_nonsense_is_no_error(app, counted):
    browser = Browser(app).sign_in("front_desk")
    assert "这段时间没有候补" in text(browser.htmx("/reports/waitlist?from=2026-10-01&to=2026-10-31"))
    for hostile in ("from=x&to=9999-99-99&type=-1", "from=2026-11-20&to=2026-01-01", "type=99999999999999999999",
                    "policy=drop&window=9&type=x", "window=61", "window=²", "from=0001-01-01",
                    "to=9999-12-31"):  # fmt: skip
        for page in PAGES:
            text(browser.get(f"{page}?{hostile}"))
    for unknown in ("/reports/waitlist/rows/nonsense", "/reports/waitlist/promises/nonsense"):
        assert browser.get(unknown).status_code == 404


def test_the_table_as_csv_is_recorded(app, counted):
    browser = Browser(app).sign_in("manager")
    response = browser.post("/exports/waitlist-report?from=2026-11-09&to=2026-11-18", {"format": "csv"})
    head, *lines, _mark = list(csv.reader(io.StringIO(response.get_data().decode("utf-8-sig"))))
    assert [dict(zip(head, line, strict=True)) for line in lines] == [{
        "课程类型": "regular课", "周（周一）": "2026-11-16", "空出名额": "2", "补上": "1", "截止流失": "1",
        "无人可补": "0", "候补中": "0", "补上率": "50%", "截止流失率": "50%", "通知": "1", "预约": "1",
        "转化率": "100%",
        "补上中位秒": "240", "补上 P90 秒": "240", "失效候补": "1", "没等到名额": "1",
    }]  # fmt: skip
    row = db.session.execute(db.text("SELECT target_id, `after` FROM audit_log WHERE action = 'export.made'")).one()
    assert row.target_id == "waitlist-report"
    assert "2026-11-09" in row.after


def test_nobody_else_may_look(app, counted):
    for page in PAGES:
        assert Browser(app).sign_in("admin").get(page).status_code == 403
        assert Browser(app).get(page).status_code == 303


def test_advice_says_when_there_is_too_little(app, counted):
    page = text(Browser(app).sign_in("manager").get("/reports/waitlist/capacity"))
    assert "数据不足" in page
    assert "只有 1 个，不到 20 个" in page


def test_the_replay_of_what_was_lived(app):
    with clock.travel(to=NOW - 20 * DAY):
        course = make_course("平衡木")
    weeks.live(since=NOW - 8 * DAY, days=4, courses=[course], per_day=3, seed=2)
    with clock.travel(to=NOW):
        browser = Browser(app).sign_in("manager")
        page = text(browser.get("/reports/waitlist/replay"))
        seats = SeatRelease.query.count()
        assert f"{seats} 个名额全部与实际一致" in page
        assert "请选择另一种规则或确认时间" in page
        other = text(browser.htmx("/reports/waitlist/replay?policy=sequential&window=45"))
        assert "请选择另一种规则或确认时间" not in other
        assert "没收到过通知的家长，按不答复计算" in other
        for link in links(other, "/waitlist/releases/"):
            text(browser.get(link))


def test_nothing_yet(app):
    browser = Browser(app).sign_in("manager")
    for page, said in (("", "这段时间没有候补"), ("/capacity", "没有候补"), ("/replay", "没有结束的候补名额"),
                       ("/spare", "没有空余名额"), ("/rows/filled", "没有候补补上的名额"),
                       ("/promises/cutoffs", "没有到了截止时间的候补")):  # fmt: skip
        assert said in text(browser.get("/reports/waitlist" + page))
