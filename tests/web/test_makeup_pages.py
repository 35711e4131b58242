"""补课安排 in the portal: the list, one credit and every act on it, several students onto one session, minutes, what to
open, freed seats; with and without script, twice, in the wrong state, by the wrong person."""

from __future__ import annotations

import html
import re
from datetime import timedelta

import pytest
import sqlalchemy as sa

from app import clock
from app.db import db, transaction
from app.domain.bookings.models import Booking
from app.domain.catalog.models import CourseSchedule
from app.domain.credits import minutes
from app.domain.credits.models import CompensationHistory, CompensationLot, MakeupCredit, MakeupRequest
from app.domain.makeups import asking
from app.domain.outbox.models import Notification
from app.domain.waitlist.models import WaitlistEntry
from tests.domain.makeups.steps import Away
from tests.portal import Browser, actor_of

DAY = timedelta(days=1)
TOKEN = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def front(app):
    return Browser(app).sign_in("front_desk")


@pytest.fixture
def manager(app):
    return Browser(app).sign_in("manager")


@pytest.fixture
def auditor(app):
    return Browser(app).sign_in("auditor")


def text(response) -> str:
    return html.unescape(response.get_data(as_text=True))


def words(response) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", text(response)))


def act(browser: Browser, one: Away, word: str, number: int = 0, **fields):
    return browser.post(f"/makeups/{one.credits[number]}/{word}", fields)


def status(one: Away, number: int = 0) -> str:
    db.session.rollback()
    return one.credit(number).status


def makeups() -> int:
    return db.session.scalar(sa.select(sa.func.count()).where(Booking.kind == "makeup"))


# ── the list ────────────────────────────────────────────────────────────────────────────────────────


def test_an_empty_list_says_what_would_be_there(front):
    assert "没有待补课" in words(front.get("/makeups"))
    assert "没有待补课" in words(front.get("/makeups/demand"))
    assert "没有有空位的课次" in words(front.get("/makeups/sessions"))


def test_the_list_its_filters_and_the_count_in_the_navigation(front):
    one, two = Away(), Away(90)
    asking.ask(credit_id=two.credits[0], text="<b>周末</b>", wishes="上午", actor=two.actor)
    page = front.get("/makeups")
    for word in ("待补课2", "待安排1", "共 2 次", "张小明", "1.5小时"):
        assert word in words(page)
    assert re.search(r"补课安排</span>\s*<span class=\"desk-count num\" title=\"1 项", text(page))
    asked = front.get("/makeups?asked=1")
    assert "共 1 次" in words(asked)
    assert "<b>周末" not in asked.get_data(as_text=True), "what a parent wrote is text"
    assert "希望：上午" in words(asked)
    assert "没有符合条件的待补课" in words(front.get("/makeups?q=查无此人"))
    assert f"/makeups/{one.credits[0]}" in text(front.get(f"/makeups?family={one.family.id}"))
    assert front.get("/makeups?type=x&level=y&ending=x&after=1-&before=%27&family=-1").status_code == 200
    home = words(front.get("/"))
    assert re.search(r"待安排的补课\s*1", home)
    assert re.search(r"目前没有：.*即将到期的待补课", home)


def test_whose_minutes_end_when(front, manager):
    assert "没有课时补偿" in words(front.get("/makeups/minutes"))
    one, two = Away(), Away()
    for student, given in ((one, "30"), (two, "45")):
        manager.post(f"/makeups/students/{student.profile_id}/minutes",
                     {"direction": "1", "minutes": given, "reason": "停电"})  # fmt: skip
    with transaction():
        soon = sa.update(CompensationLot).where(CompensationLot.profile_id == two.profile_id)
        db.session.execute(soon.values(expires_at=clock.now() + 2 * DAY))
    every = front.get("/makeups/minutes")
    assert "可用的课时补偿75 分钟" in words(every)
    order = dict.fromkeys(re.findall(r"/makeups/students/(\d+)\"", text(every)))
    assert [int(found) for found in order] == [two.profile_id, one.profile_id]
    ending = front.get("/makeups/minutes?ending=3")
    assert ("共 1 笔" in words(ending), "3 天内到期45 分钟1 位学员" in words(ending)) == (True, True)
    assert f"/makeups/students/{one.profile_id}" not in text(ending)
    assert "没有即将到期的课时补偿" in words(front.get("/makeups/minutes?ending=1"))
    assert front.get("/makeups/minutes?ending=x&before=1-x&after=%27").status_code == 200
    taken = manager.post("/exports/makeup-minutes?ending=3", {"format": "csv"}).get_data(as_text=True)
    assert (",45,45," in taken, ",30,30," in taken) == (True, False)


def test_the_list_as_a_file(app):
    one = Away()
    taken = Browser(app).sign_in("finance").post("/exports/makeups?ending=366", {"format": "csv"})
    assert taken.status_code == 200
    assert str(one.credits[0]) in taken.get_data(as_text=True)


# ── one credit ──────────────────────────────────────────────────────────────────────────────────────


def test_one_click_books_a_class_that_fits(front, auditor):
    one = Away()
    fitting = one.session()
    page = front.get(f"/makeups/{one.credits[0]}")
    for word in ("可使用", "级别相同，类型相同，教练不同", "时长相同", "预约", "告知家长", "延长有效期", "作废"):
        assert word in words(page)
    seen = words(auditor.get(f"/makeups/{one.credits[0]}"))
    assert "时长相同" in seen
    assert "告知家长" not in seen
    done = act(front, one, "book", schedule_id=fitting, request_token=TOKEN)
    assert (done.status_code, done.location) == (303, f"/makeups/{one.credits[0]}")
    assert (status(one), makeups()) == ("used", 1)
    assert act(front, one, "book", schedule_id=fitting, request_token=TOKEN).status_code == 303
    assert makeups() == 1
    again = act(front, one, "book", schedule_id=one.session())
    assert again.status_code == 409
    assert "没有可用的待补课" in words(again)
    assert "已补课到" in words(front.get(f"/makeups/{one.credits[0]}"))
    assert act(auditor, one, "book", schedule_id=fitting).status_code == 403


def test_a_shorter_class_asks_first(front):
    one = Away()
    short = one.session(45)
    asked = act(front, one, "book", schedule_id=short)
    assert asked.status_code == 409
    assert "比原来的课少 15分钟" in words(asked)
    assert "家长已同意，预约" in words(asked)
    assert makeups() == 0
    panel = front.htmx(f"/makeups/{one.credits[0]}/book", {"schedule_id": short, "accept_shorter": "1"})
    assert panel.status_code == 200
    assert "desk:makeups-changed" in panel.headers["HX-Trigger"]
    assert one.minutes == 15


def test_a_longer_class_takes_minutes_or_a_managers_reason(front, manager):
    one = Away(60, 60)
    long = one.session(90)
    poor = act(front, one, "book", schedule_id=long)
    assert "还差 30 分钟" in words(poor)
    assert "免扣并预约" not in words(poor)
    assert act(front, one, "book", schedule_id=long, waive_reason="试试").status_code == 403
    empty = act(manager, one, "book", schedule_id=long, waive_reason=" ")
    assert empty.status_code == 422
    assert "请填写免扣课时补偿的原因" in words(empty)
    assert "免扣并预约" in words(empty)
    assert makeups() == 0
    assert act(manager, one, "book", schedule_id=long, waive_reason="停电那次").status_code == 303
    adjusted = manager.post(f"/makeups/students/{one.profile_id}/minutes",
                            {"direction": "1", "minutes": "30", "reason": "停电"})  # fmt: skip
    assert adjusted.status_code == 303
    second = one.session(90)
    asked = act(front, one, "book", 1, schedule_id=second)
    assert "30 → 0 分钟" in words(asked)
    assert act(front, one, "book", 1, schedule_id=second, use_compensation="1").status_code == 303
    db.session.rollback()
    assert (one.minutes, makeups()) == (0, 2)


def test_a_full_class_is_waited_for_with_the_credit(front):
    one = Away()
    full, short = one.session(capacity=1, booked=1), one.session(45, capacity=1, booked=1)
    assert "加入候补" in words(front.get(f"/makeups/{one.credits[0]}"))
    taken = act(front, one, "book", schedule_id=full)
    assert taken.status_code == 409
    asked = act(front, one, "wait", schedule_id=short)
    assert asked.status_code == 409
    assert "家长已同意，加入候补" in words(asked)
    assert act(front, one, "wait", schedule_id=short, accept_shorter="1").status_code == 303
    assert act(front, one, "wait", schedule_id=full).status_code == 303
    db.session.rollback()
    waits = db.session.query(WaitlistEntry).order_by(WaitlistEntry.id).all()
    assert [(row.credit_id, row.accept_shorter) for row in waits] == [(one.credits[0], True), (one.credits[0], False)]
    assert act(front, one, "wait", schedule_id=full).status_code == 409


def test_the_parent_is_told_of_up_to_three_choices(front):
    one = Away()
    choices = [one.session() for _ in range(4)]
    for bad in ([], choices, [999999]):
        refused = front.post(f"/makeups/{one.credits[0]}/invite", {"schedule_id": bad})
        assert refused.status_code == 422, bad
    told = sa.select(sa.func.count()).where(Notification.type == "makeup_credit")
    before = db.session.scalar(told)
    assert front.post(f"/makeups/{one.credits[0]}/invite", {"schedule_id": choices[:3]}).status_code == 303
    assert db.session.scalar(told) == before + 1
    assert status(one) == "available"


def test_a_credit_is_extended_or_voided_with_a_reason(front):
    one = Away()
    until = (clock.today() + 90 * DAY).isoformat()
    for fields in ({"until": "x", "reason": "a"}, {"until": "9999-12-31", "reason": "a"}, {"until": until},
                   {"until": clock.today().isoformat(), "reason": "a"}):  # fmt: skip
        refused = act(front, one, "extend", **fields)
        assert refused.status_code == 422, fields
        assert "field-error" in text(refused)
    assert act(front, one, "extend", until=until, reason="住院").status_code == 303
    assert clock.local(one.credit().valid_until - timedelta(seconds=1)).date().isoformat() == until
    assert act(front, one, "void", reason=" ").status_code == 422
    assert act(front, one, "void", reason="家长退课").status_code == 303
    assert status(one) == "void"
    assert "家长退课" in words(front.get(f"/makeups/{one.credits[0]}"))
    assert act(front, one, "void", reason="再来").status_code == 409
    assert act(front, one, "extend", until=until, reason="再来").status_code == 409


def test_a_request_is_answered_once(front):
    one = Away()
    assert act(front, one, "answer", text="没人问").status_code == 404
    asking.ask(credit_id=one.credits[0], text="<script>周末</script>", wishes=None, actor=one.actor)
    page = front.get(f"/makeups/{one.credits[0]}")
    assert "家长请前台安排" in words(page)
    assert "<script>周末" not in page.get_data(as_text=True)
    assert act(front, one, "answer", text=" ").status_code == 422
    assert act(front, one, "answer", text="周六上午可以").status_code == 303
    assert act(front, one, "answer", text="又一次").status_code == 409
    db.session.rollback()
    assert db.session.query(MakeupRequest.status, MakeupRequest.answer).one() == ("answered", "周六上午可以")
    assert "已答复家长：周六上午可以" in words(front.get(f"/makeups/{one.credits[0]}"))


def test_nothing_of_what_is_not_there(front):
    one = Away()
    assert front.get("/makeups/999999").status_code == 404
    assert front.post("/makeups/999999/void", {"reason": "x"}).status_code == 404
    assert act(front, one, "dance").status_code == 404
    for schedule_id in ("", "x", "0", "²", "9" * 30):
        assert act(front, one, "book", schedule_id=schedule_id).status_code == 404, schedule_id
    assert front.get(f"/makeups/{one.credits[0]}?weekday=9&coach=x&more=1&free=1").status_code == 200
    assert front.get("/makeups/students/999999").status_code == 404
    assert front.get("/makeups/sessions/999999").status_code == 404


def test_what_the_panel_gets_and_what_renews_itself(front):
    one = Away()
    url = f"/makeups/{one.credits[0]}"
    opened = front.client.get(url, headers={"HX-Request": "true", "HX-Target": "panel"})
    renewed = front.client.get(url, headers={"HX-Request": "true", "HX-Target": "credit-detail"})
    assert "panel-body" in text(opened)
    assert text(renewed).lstrip().startswith('<div id="credit-detail"')


# ── several onto one session ────────────────────────────────────────────────────────────────────────


def test_several_students_each_with_a_result_of_their_own(front, auditor):
    one, two, short, out = Away(), Away(), Away(90), Away()
    schedule_id = one.session(capacity=2)
    url = f"/makeups/sessions/{schedule_id}"
    page = front.get(url)
    assert all(f'name="credit_id" value="{each.credits[0]}"' in text(page) for each in (one, two, short))
    assert 'name="credit_id"' not in text(auditor.get(url))
    assert front.post(url, {}).status_code == 422
    assert front.post(url, {"credit_id": list(range(1, 70))}).status_code == 422
    chosen = {"credit_id": [each.credits[0] for each in (one, short, two, out)] + [999999], "request_token": TOKEN}
    done = front.post(url, chosen)
    assert done.status_code == 200
    said = words(done)
    assert said.count("已预约") >= 2
    assert "本课程仅1小时" in said
    assert "已满" in said
    assert "没有这次待补课" in said
    assert [status(each) for each in (one, short, two, out)] == ["used", "available", "used", "available"]
    twice = words(front.post(url, chosen))
    assert twice.count("查看预约") == 2, "sent twice, it tells the same"
    assert makeups() == 2
    assert auditor.post(url, chosen).status_code == 403


def test_several_with_the_parents_consent(front):
    short = Away(90)
    url = f"/makeups/sessions/{short.session(60)}"
    assert "家长都已同意：少上的时间" in words(front.get(url))
    assert "获得 30 分钟" in words(front.post(url, {"credit_id": short.credits[0], "accept_shorter": "y"}))


def test_a_session_leads_to_those_who_fit(front):
    one = Away()
    schedule_id = one.session()
    assert f"/makeups/sessions/{schedule_id}" in text(front.get(f"/schedule/{schedule_id}"))
    listed = front.get("/makeups/sessions?type=regular")
    assert f"/makeups/sessions/{schedule_id}" in text(listed)
    assert "没有有空位的课次" not in words(listed)
    assert front.get("/makeups/sessions?hour=99&weekday=x&after=999999").status_code == 200
    at = clock.local(db.session.get(CourseSchedule, schedule_id).starts_at)
    other = at.isoweekday() % 7 + 1
    hits = [f"/makeups/sessions/{schedule_id}" in text(front.get(f"/makeups/sessions?weekday={day}"))
            for day in (at.isoweekday(), other)]  # fmt: skip
    assert hits == [True, False]


# ── minutes ─────────────────────────────────────────────────────────────────────────────────────────


def test_minutes_are_given_and_taken_with_a_reason(front, auditor):
    one = Away()
    url, tab = f"/makeups/students/{one.profile_id}/minutes", f"/families/{one.family.id}/makeups"
    for fields in ({"minutes": "x", "reason": "a"}, {"minutes": "20", "reason": "a"}, {"minutes": "15"},
                   {"minutes": "0", "reason": "a"}, {"minutes": "615", "reason": "a"}, {"reason": "a"},
                   {"direction": "7", "minutes": "15", "reason": "a"}):  # fmt: skip
        refused = front.post(url, {"direction": "1", **fields})
        assert refused.status_code == 422, fields
    poor = front.post(url, {"direction": "-1", "minutes": "15", "reason": "记错"})
    assert poor.status_code == 409
    assert "还差15分钟" in words(poor)
    given = {"direction": "1", "minutes": "45", "reason": "停电", "request_token": TOKEN}
    assert front.post(url, given).location == tab
    assert front.post(url, given).status_code == 303
    assert one.minutes == 45
    card = front.htmx(url, {"direction": "-1", "minutes": "15", "reason": "记错"})
    assert f'id="student-makeups-{one.profile_id}"' in text(card)
    assert one.minutes == 30
    said = words(front.get(tab))
    for word in ("课时补偿 30 分钟", "+45", "-15", "停电", "30 分钟 共 45", "待补课"):
        assert word in said
    assert "调整课时补偿" not in words(auditor.get(tab))
    assert auditor.post(url, given).status_code == 403


def test_a_long_history_has_more(front):
    one = Away()
    with transaction():
        lot = minutes.give(one.profile_id, one.family.id, 600, actor_of(front.staff), clock.now(), kind="adjusted",
                           note="最早的一笔")  # fmt: skip
        for _ in range(11):
            minutes.take(lot, 15, "adjusted", actor_of(front.staff), clock.now(), note="后来")
    page = text(front.get(f"/families/{one.family.id}/makeups"))
    assert "最早的一笔" not in page
    older = re.search(r'href="(/makeups/students/\d+\?before=\d+)"', page)[1]
    assert "最早的一笔" in text(front.get(older))
    assert db.session.query(CompensationHistory).count() == 12


# ── what to open, and freed seats ───────────────────────────────────────────────────────────────────


def test_what_to_open_leads_to_the_form_filled_in(manager, front):
    Away()
    with transaction():
        for row in db.session.query(CourseSchedule):
            row.capacity = row.booked = 3
    page = manager.get("/makeups/demand")
    assert "建议开课" in words(page)
    url = re.search(r'href="(/schedule/new\?[^"]+)"', text(page))[1]
    form = text(manager.get(url))
    assert re.search(r'<option selected value="\d+">少儿体操', form)
    assert re.search(r'name="time"[^>]*value="\d\d:\d\d', form)
    assert 'value="3"' in form
    assert "/schedule/new?" not in text(front.get("/makeups/demand"))
    assert manager.get("/schedule/new?time=25:99&course=x&capacity=x").status_code == 200


def test_a_freed_seat_is_booked_or_told_of(front, auditor):
    one = Away()
    with transaction():
        db.session.get(MakeupCredit, one.credits[0]).valid_until = clock.now() + 5 * DAY
    schedule_id = db.session.scalar(sa.select(Booking.course_schedule_id))
    page = text(front.get("/reports/waitlist/spare"))
    assert f'action="/makeups/{one.credits[0]}/book"' in page
    assert f'action="/makeups/{one.credits[0]}/invite"' in page
    assert "/invite" not in text(auditor.get("/reports/waitlist/spare"))
    assert act(front, one, "invite", schedule_id=schedule_id).status_code == 303
    assert act(front, one, "book", schedule_id=schedule_id).status_code == 303
    assert status(one) == "used"
