"""Making, changing, cancelling and copying sessions, and the catalog, over HTTP (C1, C2, C6)."""

from __future__ import annotations

import html
import json
import re
import secrets
from datetime import date, timedelta
from decimal import Decimal

import pytest
import sqlalchemy as sa

from app import clock
from app.db import db, transaction
from app.domain.bookings import attendance, ending, place
from app.domain.bookings.rules import Event
from app.domain.catalog import courses, lists
from app.domain.catalog.models import Coach, Course, CourseSchedule, CourseType, Venue
from app.domain.ledger import queries as ledger_queries
from app.domain.people.models import StaffSession
from app.errors import Conflict
from tests.factories import make_course, make_family, make_level, make_session, parent_actor
from tests.portal import Browser, actor_of

HOSTILE = '"><script>alert(1)</script>'


@pytest.fixture
def manager(app):
    return Browser(app).sign_in("manager")


@pytest.fixture
def desk(app):
    return Browser(app).sign_in("front_desk")


def text(response) -> str:
    return html.unescape(response.get_data(as_text=True))


def row(session: int) -> CourseSchedule:
    db.session.rollback()
    return db.session.get(CourseSchedule, session, populate_existing=True)


def sessions() -> list[CourseSchedule]:
    db.session.rollback()
    return list(db.session.scalars(sa.select(CourseSchedule).order_by(CourseSchedule.id)))


def toast_of(response) -> str:
    return json.loads(response.headers["HX-Trigger"])["desk:toast"]["text"]


@pytest.fixture
def asked(manager) -> dict:
    """A form for a session in a week, at seven in the evening."""
    actor = actor_of(manager.staff)
    return {
        "course_id": make_course("启蒙体操", minutes=75), "coach_id": courses.create_coach(name="江晓燕", actor=actor),
        "venue_id": courses.create_venue(name="一号馆", actor=actor), "capacity": "6", "waitlist_capacity": "",
        "day": str(clock.today() + timedelta(days=7)), "time": "19:00",
    }  # fmt: skip


def edit_form(session: int, **changes) -> dict:
    found = row(session)
    starts = clock.local(found.starts_at)
    own = "" if found.waitlist_capacity is None else found.waitlist_capacity
    return {
        "version": found.version, "coach_id": found.coach_id, "venue_id": found.venue_id, "day": starts.date(),
        "time": f"{starts:%H:%M}", "capacity": found.capacity, "waitlist_capacity": own, **changes,
    }  # fmt: skip


def session_at(hour: int = 19, **kwargs) -> int:
    starts_at = clock.day_bounds(clock.today() + timedelta(days=3))[0] + timedelta(hours=hour)
    return make_session(starts_at=starts_at, **kwargs)


def book(session: int, family) -> int:
    return place.book(schedule_id=session, profile_id=family.profile_ids[0], actor=parent_actor(family)).booking_id


# ── making one ──────────────────────────────────────────────────────────────────────────────────────


def test_the_form_offers_what_is_not_archived(manager, asked):
    actor = actor_of(manager.staff)
    courses.archive_coach(coach_id=courses.create_coach(name="已离职", actor=actor), actor=actor)
    page = text(manager.htmx(f"/schedule/new?day=2026-12-01&coach={asked['coach_id']}"))
    assert f'<option selected value="{asked["coach_id"]}">江晓燕' in page
    assert 'value="2026-12-01"' in page
    assert "75 分钟 · ¥200.00" in page
    assert "已离职" not in page


def test_a_new_session(manager, asked):
    done = manager.htmx("/schedule/new", asked)
    assert done.status_code == 200
    made = sessions()[0]
    assert clock.local(made.starts_at).isoformat()[:16] == f"{asked['day']}T19:00"
    assert made.ends_at - made.starts_at == timedelta(minutes=75)
    assert (made.capacity, made.waitlist_capacity) == (6, None)
    assert 'id="session-detail"' in text(done)
    assert "desk:classes" in json.loads(done.headers["HX-Trigger"])
    assert "已新建 启蒙体操" in toast_of(done)


def test_a_new_session_without_script_and_sent_twice(manager, asked):
    asked["request_token"] = secrets.token_hex(16)
    first, second = manager.post("/schedule/new", asked), manager.post("/schedule/new", asked)
    assert [first.status_code, second.status_code] == [303, 303]
    assert first.location == second.location == f"/schedule/{sessions()[0].id}"
    assert len(sessions()) == 1


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"day": "2020-01-01"}, "开始时间已过"),
        ({"day": "0001-01-01"}, "请检查年份"),
        ({"day": "2199-01-01"}, "最多提前两年"),
        ({"day": "morgen"}, "请选择日期"),
        ({"time": "25:99"}, "请填写开始时间"),
        ({"capacity": "0"}, "人数上限为 1–999"),
        ({"capacity": "9" * 30}, "人数上限为 1–999"),
        ({"capacity": "sechs"}, "请填写整数"),
        ({"waitlist_capacity": "100"}, "候补人数为 0–99"),
        ({"course_id": ""}, "请选择课程"),
        ({"coach_id": ""}, "请选择教练"),
        ({"request_token": "x"}, "页面已过期"),
    ],
)
def test_a_wrong_field_is_named_and_nothing_is_made(manager, asked, changes, sentence):
    refused = manager.htmx("/schedule/new", {**asked, **changes})
    assert refused.status_code == 422
    assert sentence in text(refused)
    assert sessions() == []


def test_a_coach_and_a_room_are_nowhere_twice(manager, asked):
    manager.htmx("/schedule/new", asked)
    other = make_session()
    refused = manager.htmx("/schedule/new", {**asked, "time": "20:00", "venue_id": row(other).venue_id})
    assert refused.status_code == 409
    said = text(refused)
    assert "教练「江晓燕」" in said
    assert "已有「启蒙体操" in said
    assert said.index("教练「江晓燕」") < said.index('name="venue_id"'), "the sentence stands at its field"
    again = manager.htmx("/schedule/new", {**asked, "time": "20:00", "coach_id": row(other).coach_id})
    assert "场馆「一号馆」" in text(again)
    assert len(sessions()) == 2
    assert manager.htmx("/schedule/new", {**asked, "time": "20:15"}).status_code == 200


def test_what_was_archived_meanwhile_or_never_was(manager, asked):
    courses.archive_venue(venue_id=asked["venue_id"], actor=actor_of(manager.staff))
    refused = manager.htmx("/schedule/new", asked)
    assert refused.status_code == 409
    assert "场馆「一号馆」已停用" in text(refused)
    assert manager.htmx("/schedule/new", {**asked, "coach_id": "999999"}).status_code == 404
    assert sessions() == []


def test_only_a_manager_makes_sessions(app, desk, asked):
    for browser in (desk, Browser(app).sign_in("finance"), Browser(app).sign_in("auditor")):
        assert browser.get("/schedule/new").status_code == 403
        assert browser.post("/schedule/new", asked).status_code == 403
    assert sessions() == []


# ── changing one ────────────────────────────────────────────────────────────────────────────────────


def test_moving_says_whom_it_tells_and_tells_them(manager):
    session = session_at()
    book(session, make_family(balance="500.00"))
    page = text(manager.htmx(f"/schedule/{session}/edit"))
    assert '已有 <strong class="num">1</strong> 个预约，来自 <strong class="num">1</strong> 户家庭' in page
    done = manager.htmx(f"/schedule/{session}/edit", edit_form(session, time="20:30"))
    assert done.status_code == 200
    assert f"{clock.local(row(session).starts_at):%H:%M}" == "20:30"
    assert "已改到" in toast_of(done)
    assert "1 个预约的家庭会收到通知" in toast_of(done)


def test_more_seats_tell_nobody(manager):
    session = session_at()
    book(session, make_family(balance="500.00"))
    done = manager.post(f"/schedule/{session}/edit", edit_form(session, capacity=9, waitlist_capacity=0))
    assert (done.status_code, done.location) == (303, f"/schedule/{session}")
    assert (row(session).capacity, row(session).waitlist_capacity) == (9, 0)
    assert "已保存修改" in text(manager.get(done.location))


def test_a_stale_form_is_told_what_changed_and_may_then_be_sent(manager):
    session = session_at(capacity=6)
    mine = edit_form(session, capacity=8)
    Browser(manager.app).sign_in("manager").post(
        f"/schedule/{session}/edit", edit_form(session, time="10:00", capacity=7)
    )
    refused = manager.htmx(f"/schedule/{session}/edit", mine)
    assert refused.status_code == 409
    said = text(refused)
    assert "已被别人修改" in said
    assert "10:00" in said
    assert "名额 7" in said
    assert 'name="capacity" type="number" value="8"' in said or 'value="8"' in said
    assert row(session).capacity == 7
    again = manager.htmx(f"/schedule/{session}/edit", {**mine, "version": row(session).version, "time": "10:00"})
    assert again.status_code == 200
    assert row(session).capacity == 8


def test_refusals_of_a_change_stand_at_their_fields(manager):
    session, other = session_at(capacity=6), session_at()
    family = make_family(balance="900.00")
    book(session, family)
    few = manager.htmx(f"/schedule/{session}/edit", edit_form(session, capacity="0"))
    assert few.status_code == 422
    low = session_at(hour=9, capacity=2)
    for name in ("李雷", "韩梅"):
        book(low, make_family(students=(name,), balance="300.00"))
    refused = manager.htmx(f"/schedule/{low}/edit", edit_form(low, capacity=1))
    assert refused.status_code == 409
    assert "已占用 2 个座位" in text(refused)
    busy = manager.htmx(f"/schedule/{session}/edit", edit_form(session, coach_id=row(other).coach_id))
    assert busy.status_code == 409
    assert "教练「" in text(busy)
    later = session_at(hour=21)
    book(later, family)
    clash = manager.htmx(f"/schedule/{session}/edit", edit_form(session, time="20:30"))
    assert clash.status_code == 409
    assert "张小明在新的时间已有其他课程" in text(clash)
    past = manager.htmx(f"/schedule/{session}/edit", edit_form(session, day="2020-01-01"))
    assert past.status_code == 422
    assert "开始时间已过" in text(past)


def test_a_session_that_began_is_not_changed(manager):
    session = make_session(starts_in=timedelta(minutes=-5))
    refused = manager.htmx(f"/schedule/{session}/edit", edit_form(session, capacity=9))
    assert refused.status_code == 409
    assert "不能再修改" in text(refused)


def test_the_archived_coach_of_a_session_stays_in_its_form(manager):
    session = session_at()
    courses.archive_coach(coach_id=row(session).coach_id, actor=actor_of(manager.staff))
    name = db.session.get(Coach, row(session).coach_id).name
    assert f"{name}</option>" in text(manager.htmx(f"/schedule/{session}/edit"))
    assert manager.htmx(f"/schedule/{session}/edit", edit_form(session, capacity=9)).status_code == 200


# ── cancelling one ──────────────────────────────────────────────────────────────────────────────────


def test_cancelling_says_what_it_gives_back_and_gives_it(manager):
    session, family = session_at(), make_family(balance="500.00")
    book(session, family)
    page = text(manager.htmx(f"/schedule/{session}/cancel"))
    assert "停课，退回 ¥200.00" in page
    assert "1</strong> 户家庭" in page
    done = manager.htmx(f"/schedule/{session}/cancel", {"reason": "教练生病"})
    assert done.status_code == 200
    assert "这节课已停课：教练生病" in text(done)
    assert toast_of(done) == "已停课，1 个预约已处理，家长会收到通知"
    assert ledger_queries.get_balance(family_id=family.id) == Decimal("500.00")


def test_an_empty_session_is_cancelled_without_script_and_twice(manager):
    session, token = session_at(), secrets.token_hex(16)
    form = {"reason": "检修", "request_token": token}
    first = manager.post(f"/schedule/{session}/cancel", form)
    again = manager.post(f"/schedule/{session}/cancel", form)
    assert (first.status_code, again.status_code) == (303, 303)
    assert again.location == f"/schedule/{session}"
    assert row(session).status == "cancelled"


def test_cancelling_wants_a_reason_and_no_begun_roll(manager):
    session, family = make_session(starts_in=timedelta(hours=1)), make_family(balance="500.00")
    booking = book(session, family)
    blank = manager.htmx(f"/schedule/{session}/cancel", {"reason": " "})
    assert blank.status_code == 422
    assert "请填写停课原因" in text(blank)
    attendance.mark(booking_id=booking, event=Event.ATTEND, actor=actor_of(manager.staff))
    refused = manager.htmx(f"/schedule/{session}/cancel", {"reason": "检修"})
    assert refused.status_code == 409
    assert "已经点名" in text(refused)
    assert row(session).status == "scheduled"


def test_cancelling_asks_who_it_is(manager):
    session = session_at()
    with transaction():
        db.session.execute(sa.update(StaffSession).values(proved_at=clock.now() - timedelta(hours=1)))
    refused = manager.htmx(f"/schedule/{session}/cancel", {"reason": "检修"})
    assert refused.status_code == 403
    assert "desk:step-up" in refused.headers["HX-Trigger"]
    assert row(session).status == "scheduled"


def test_what_a_killed_process_left_is_offered_to_go_on_with(manager):
    session, family = session_at(), make_family(balance="500.00")
    book(session, family)
    with transaction():
        found = db.session.get(CourseSchedule, session)
        found.status, found.cancelled_at, found.cancel_reason = "cancelled", clock.now(), "检修"
    page = text(manager.get(f"/schedule/{session}"))
    assert "还有 1 个预约没有退完" in page
    assert "继续处理 1 个预约" in text(manager.htmx(f"/schedule/{session}/cancel"))
    done = manager.htmx(f"/schedule/{session}/cancel", {"reason": "继续处理停课"})
    assert done.status_code == 200
    assert row(session).cancel_reason == "检修"
    assert ledger_queries.get_balance(family_id=family.id) == Decimal("500.00")


def test_what_could_not_be_given_back_is_said(manager, monkeypatch):
    session = session_at()
    book(session, make_family(balance="500.00"))

    def refuse(*_args, **_kwargs):
        raise Conflict("钱包已关闭")

    monkeypatch.setattr(ending, "refund", refuse)
    done = manager.htmx(f"/schedule/{session}/cancel", {"reason": "检修"})
    assert toast_of(done) == "已停课，1 个预约没有退完，已通知财务群，系统会自动再试"
    assert "还有 1 个预约没有退完" in text(done)


def test_only_a_manager_changes_and_cancels(desk):
    session = session_at()
    for path in ("edit", "cancel"):
        assert desk.get(f"/schedule/{session}/{path}").status_code == 403
        assert desk.post(f"/schedule/{session}/{path}", {"reason": "x"}).status_code == 403
    assert row(session).status == "scheduled"


# ── copying a week ──────────────────────────────────────────────────────────────────────────────────


def monday(ahead: int = 1) -> date:
    today = clock.today()
    return today - timedelta(days=today.weekday()) + timedelta(weeks=ahead)


@pytest.fixture
def week(app) -> date:
    begins = clock.day_bounds(monday())[0] + timedelta(hours=16)
    for n in range(3):
        make_session(make_course("启蒙体操"), starts_at=begins + timedelta(days=n))
    return monday()


def test_the_plan_then_the_copy_then_nothing_left(manager, week):
    page = text(manager.get(f"/schedule/copy?from={week + timedelta(days=2)}"))  # any day of the week names it
    assert "复制 3 节课" in page
    assert len(sessions()) == 3
    form = {"from_monday": week, "to_monday": week + timedelta(weeks=1)}
    done = manager.htmx("/schedule/copy", form)
    assert done.headers["HX-Redirect"] == f"/schedule?week={week + timedelta(weeks=1)}"
    assert "已复制 3 节课" in text(manager.get(done.headers["HX-Redirect"]))
    assert len(sessions()) == 6
    left = text(manager.htmx(f"/schedule/copy?from={week}"))
    assert "那一周已有这节课" in left
    assert "没有可以新建的课次" in left
    again = manager.post("/schedule/copy", form)
    assert again.status_code == 303
    assert "没有新建课次，3 节已跳过" in text(manager.get(again.location))


def test_a_copy_sent_twice_is_one(manager, week):
    form = {"from_monday": week, "to_monday": week + timedelta(weeks=1), "request_token": secrets.token_hex(16)}
    manager.post("/schedule/copy", form)
    again = manager.post("/schedule/copy", form)
    assert again.location == f"/schedule?week={week + timedelta(weeks=1)}"
    assert "先前已经完成" in text(manager.get(again.location))


@pytest.mark.parametrize("form", [
    {}, {"from_monday": "x", "to_monday": "y"}, {"from_monday": "0001-01-01", "to_monday": "0001-01-08"},
])  # fmt: skip
def test_weeks_that_are_none(manager, week, form):
    assert manager.post("/schedule/copy", form).status_code == 422
    assert len(sessions()) == 3


def test_a_tuesday_and_the_same_week_are_refused(manager, week):
    tuesday = week + timedelta(days=1)
    refused = manager.post("/schedule/copy", {"from_monday": tuesday, "to_monday": tuesday + timedelta(weeks=1)})
    assert (refused.status_code, "请选择一周的周一" in text(refused)) == (422, True)
    assert "请选择另一周" in text(manager.get(f"/schedule/copy?from={week}&to={week}"))
    assert "要复制的那一周没有课" in text(manager.get(f"/schedule/copy?from={week + timedelta(weeks=9)}"))


def test_only_a_manager_copies(desk, week):
    assert desk.get("/schedule/copy").status_code == 403
    assert desk.post("/schedule/copy", {"from_monday": week, "to_monday": week + timedelta(weeks=1)}).status_code == 403
    assert len(sessions()) == 3


# ── the catalog ─────────────────────────────────────────────────────────────────────────────────────


def test_an_empty_catalog_begins_with_a_type(app, manager):
    page = text(manager.get("/catalog"))
    assert 'href="/catalog/type/new"' in page
    assert "还没有课程" in page
    assert "/new" not in text(Browser(app).sign_in("auditor").get("/catalog"))


def test_a_type_a_course_a_coach_and_a_venue(manager):
    made = manager.htmx("/catalog/type/new", {"code": "regular", "name": "正式课", "waitlist_capacity": "8"})
    assert made.status_code == 200
    assert made.headers["HX-Retarget"] == "#catalog"
    kind = db.session.scalar(sa.select(CourseType))
    assert (kind.code, kind.is_trial) == ("regular", False)
    level = make_level("L2", 2)
    course = {"course_type_id": kind.id, "name": "启蒙体操", "level_id": level, "minutes": "60", "price": "200",
              "waitlist_capacity": ""}  # fmt: skip
    assert manager.post("/catalog/course/new", course).location == "/catalog"
    manager.post("/catalog/coach/new", {"name": "江晓燕"})
    manager.post("/catalog/venue/new", {"name": "一号馆"})
    line = lists.courses()[0]
    assert (line.name, line.level, line.price, line.waitlist_capacity) == ("启蒙体操", "L2", Decimal("200.00"), None)
    page = text(manager.get("/catalog"))
    for words in ("启蒙体操", "¥200.00", "江晓燕", "一号馆", "regular"):
        assert words in page


def test_a_manager_chooses_how_a_freed_seat_goes_round(manager):
    manager.post("/catalog/type/new", {"code": "regular", "name": "正式课", "waitlist_capacity": "8"})
    kind = db.session.scalar(sa.select(CourseType))
    form = text(manager.get(f"/catalog/type/{kind.id}"))
    assert re.search(r'checked[^>]*value="open_then_sequential"', form)
    assert "仍要自己确认" in form
    changed = {"name": "正式课", "waitlist_capacity": "8", "waitlist_policy": "sequential"}
    assert manager.post(f"/catalog/type/{kind.id}", changed).status_code == 303
    assert "逐个顺位" in text(manager.get("/catalog"))
    refused = manager.htmx(f"/catalog/type/{kind.id}", {**changed, "waitlist_policy": "lottery"})
    assert refused.status_code == 422
    assert "请选择候补方式" in text(refused)


def test_a_course_is_changed_and_a_stale_form_told(manager):
    course = make_course(price="200.00")
    form = {"version": 1, "name": "启蒙", "level_id": "", "minutes": "90", "price": "220.5", "waitlist_capacity": "3"}
    assert manager.htmx(f"/catalog/course/{course}", form).status_code == 200
    found = lists.courses()[0]
    assert (found.name, found.duration_minutes, found.price, found.version) == ("启蒙", 90, Decimal("220.50"), 2)
    stale = manager.htmx(f"/catalog/course/{course}", {**form, "price": "300"})
    assert stale.status_code == 409
    assert "¥220.50" in text(stale)
    assert 'name="version" type="hidden" value="2"' in text(stale)
    assert lists.courses()[0].price == Decimal("220.50")
    assert manager.htmx(f"/catalog/course/{course}", {**form, "version": 2, "price": "300"}).status_code == 200


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"price": "-1"}, "金额只能是"),
        ({"price": "1e3"}, "金额只能是"),
        ({"price": ""}, "请填写价格"),
        ({"name": " "}, "请填写课程名称"),
        ({"name": "长" * 65}, "最多 64 个字"),
        ({"minutes": "0"}, "时长（分钟）为 1–1440"),
        ({"minutes": "x"}, "请填写整数"),
        ({"level_id": "999"}, "没有这个级别"),
        ({"waitlist_capacity": "-1"}, "候补人数为 0–99"),
    ],
)
def test_wrong_fields_of_a_course(manager, changes, sentence):
    course = make_course()
    form = {"version": 1, "name": "启蒙", "level_id": "", "minutes": "60", "price": "200", "waitlist_capacity": ""}
    refused = manager.htmx(f"/catalog/course/{course}", {**form, **changes})
    assert refused.status_code == 422
    assert sentence in text(refused)
    assert lists.courses()[0].version == 1


def test_names_are_unique_and_types_are_chosen(manager):
    manager.post("/catalog/coach/new", {"name": "江晓燕"})
    taken = manager.htmx("/catalog/coach/new", {"name": "江晓燕 "})
    assert taken.status_code == 409
    assert "已有同样名称的教练" in text(taken)
    course = {"course_type_id": "", "name": "启蒙", "minutes": "60", "price": "200"}
    assert "请选择课程类型" in text(manager.htmx("/catalog/course/new", course))
    assert manager.post("/catalog/course/new", {**course, "course_type_id": "77"}).status_code == 404
    code = manager.htmx("/catalog/type/new", {"code": "正式", "name": "正式课", "waitlist_capacity": "8"})
    assert "代码为 1–32 个字母" in text(code)


def test_hostile_names_are_text_everywhere(manager):
    manager.post("/catalog/venue/new", {"name": HOSTILE})
    venue = db.session.scalar(sa.select(Venue))
    assert venue.name == HOSTILE
    for path in ("/catalog", f"/catalog/venue/{venue.id}", "/schedule/new", "/schedule"):
        raw = manager.get(path).get_data(as_text=True)
        assert "<script>alert" not in raw
        assert "&lt;script&gt;alert" in raw


def test_archiving_and_restoring(manager):
    coach = db.session.get(Coach, row(session_at()).coach_id)
    page = text(manager.htmx(f"/catalog/coach/{coach.id}"))
    assert "还有 1 节课没有上" in page
    gone = manager.htmx(f"/catalog/coach/{coach.id}/archive", {})
    assert "已停用" in text(gone)
    assert "已排的课不变" in toast_of(gone)
    assert lists.coaches()[0].archived_at is not None
    assert manager.post(f"/catalog/coach/{coach.id}/restore").location == "/catalog"
    assert lists.coaches()[0].archived_at is None


def test_what_the_catalog_does_not_have(manager):
    kind = db.session.get(Course, make_course()).course_type_id
    for path in ("/catalog/room/new", "/catalog/coach/999999", "/catalog/room/1"):
        assert manager.get(path).status_code == 404
    assert manager.post(f"/catalog/type/{kind}/archive").status_code == 404
    assert manager.post("/catalog/coach/999999/archive").status_code == 404


def test_only_a_manager_changes_the_catalog(desk):
    course = make_course()
    assert desk.get("/catalog").status_code == 200
    for path in ("course/new", f"course/{course}", f"course/{course}/archive", "coach/new"):
        assert desk.post(f"/catalog/{path}", {"name": "x"}).status_code == 403
    assert lists.courses()[0].archived_at is None
