"""课表 over HTTP: the week, one session, its roll, and booking from it (U6, C5, B8)."""

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
from app.domain.bookings import attendance, leave, place
from app.domain.bookings.models import Booking
from app.domain.bookings.rules import Event
from app.domain.catalog.models import Course, CourseSchedule
from app.domain.ledger import queries as ledger_queries
from tests.factories import make_course, make_family, make_session, parent_actor
from tests.portal import Browser, actor_of

HOSTILE = '<img src=x onerror="alert(1)">'


@pytest.fixture
def desk(app):
    return Browser(app).sign_in("front_desk")


@pytest.fixture
def manager(app):
    return Browser(app).sign_in("manager")


@pytest.fixture
def auditor(app):
    return Browser(app).sign_in("auditor")


@pytest.fixture
def family(app):
    return make_family(students=("张小明", "张小红"), balance="500.00")


def text(response) -> str:
    return html.unescape(response.get_data(as_text=True))


def book(session: int, family, which: int = 0) -> int:
    return place.book(schedule_id=session, profile_id=family.profile_ids[which], actor=parent_actor(family)).booking_id


def status(booking: int) -> str:
    db.session.rollback()
    return db.session.scalar(sa.select(Booking.status).where(Booking.id == booking))


def bookings() -> int:
    db.session.rollback()
    return db.session.scalar(sa.select(sa.func.count()).select_from(Booking))


def balance(family) -> Decimal:
    db.session.rollback()
    return ledger_queries.get_balance(family_id=family.id)


def at(day: date, hour: int, minute: int = 0):
    return clock.day_bounds(day)[0] + timedelta(hours=hour, minutes=minute)


def monday(ahead: int = 1) -> date:
    today = clock.today()
    return today - timedelta(days=today.weekday()) + timedelta(weeks=ahead)


# ── the week ────────────────────────────────────────────────────────────────────────────────────────


def test_the_week_of_the_address_with_what_a_session_says(desk):
    day = monday() + timedelta(days=2)
    make_session(make_course("启蒙体操", level="L1"), starts_at=at(day, 16, 30), capacity=6, booked=4)
    make_session(make_course("前一周"), starts_at=at(monday(0), 8))
    page = text(desk.get(f"/schedule?week={day}"))  # any day of the week names it
    for words in ("16:30–17:30", "启蒙体操", "L1", "4/6", "1 节 · 已占 4/6 座", f"{monday().month}月{monday().day}日"):
        assert words in page
    assert "前一周" not in page
    assert '<th scope="row" rowspan="2" class="num">16:00</th>' in page


def test_late_in_the_evening_is_still_the_studios_day(desk):
    day = monday() + timedelta(days=6)
    make_session(make_course("周日晚课"), starts_at=at(day, 23))
    assert "周日晚课" in text(desk.get(f"/schedule?week={monday()}"))
    assert "周日晚课" not in text(desk.get(f"/schedule?week={monday(2)}"))


def test_states_as_words(desk, family):
    now = clock.now()
    full = make_session(make_course("已满课"), starts_in=timedelta(minutes=50), capacity=1)
    book(full, family)
    over = make_session(make_course("结束课"), starts_in=timedelta(hours=1), capacity=3)
    booked = book(over, family, 1)
    gone = make_session(make_course("停课的"), starts_in=timedelta(hours=2), status="cancelled")
    on = make_session(make_course("正在上"), starts_in=timedelta(minutes=-5))
    with clock.travel(to=now + timedelta(hours=1, minutes=5)):
        attendance.mark(booking_id=booked, event=Event.ATTEND, actor=actor_of(desk.staff))
    with transaction():
        row = db.session.get(CourseSchedule, over)
        row.starts_at, row.ends_at = now - timedelta(minutes=90), now - timedelta(minutes=30)
    page = text(desk.get(f"/schedule?week={clock.local(now).date()}"))
    blocks = {key: page[page.index(f'href="/schedule/{key}"') :].split("</a>")[0] for key in (full, over, gone, on)}
    assert "上课中" in blocks[on]
    assert "已满" in blocks[full]
    assert "1/1" in blocks[full]
    assert "已结束" in blocks[over]
    assert "未点名" not in blocks[over]
    assert "已停课" in blocks[gone]


def test_who_is_still_to_be_marked_is_counted(desk, family):
    now = clock.now()
    session = make_session(starts_in=timedelta(hours=1))
    book(session, family)
    with transaction():
        row = db.session.get(CourseSchedule, session)
        row.starts_at, row.ends_at = now - timedelta(minutes=90), now - timedelta(minutes=30)
    assert "未点名 1" in text(desk.get(f"/schedule?day={clock.local(now - timedelta(minutes=90)).date()}"))


def test_filters_live_in_the_address(desk):
    one, other = make_course("启蒙", level="L1"), make_course("私教", type_code="vip", level="L2")
    kept = make_session(one, starts_at=at(monday(), 10))
    make_session(other, starts_at=at(monday(), 10))
    row = db.session.get(CourseSchedule, kept)
    course, venue, coach = db.session.get(Course, one).name, row.venue_id, row.coach_id
    for asked in ("type=regular", "level=L1", f"venue={venue}", f"coach={coach}"):
        page = text(desk.get(f"/schedule?week={monday()}&{asked}"))
        assert course in page
        assert "私教" not in page.split('id="schedule"')[1]
        assert f"{asked}&" in page or f"{asked}" in re.search(r'title="下一周"', page).string
    nothing = text(desk.get(f"/schedule?week={monday()}&type=regular&level=L2"))
    assert "没有符合条件" in nothing
    assert "清除筛选" in nothing


@pytest.mark.parametrize("asked", ["week=gestern", "week=0001-01-01", "coach=x&venue=-1&type=%00&level='", "day=9999"])
def test_nonsense_in_the_address_is_this_week(desk, asked):
    page = desk.get(f"/schedule?{asked}")
    assert page.status_code == 200
    assert f"{monday(0).month}月{monday(0).day}日" in text(page)


def test_an_empty_week_offers_the_first_step_to_whoever_may_take_it(manager, auditor):
    address = f"/schedule?week={monday()}"
    assert f'href="/schedule/new?day={monday()}"' in text(manager.get(address))
    page = text(auditor.get(address))
    assert "这一周还没有排课" in page
    assert "/schedule/new" not in page


def test_the_phone_shows_one_day(desk):
    make_session(make_course("周二课"), starts_at=at(monday() + timedelta(days=1), 10))
    day = monday() + timedelta(days=1)
    page = text(desk.get(f"/schedule?week={monday()}&day={day}"))
    strip = page.split('class="day-strip"')[1].split("</nav>")[0]
    assert [f"day={day}" in link for link in strip.split("<a ") if "aria-current" in link] == [True]
    assert "周二课" in page.split('class="day-list"')[1]
    assert "没有课" in text(desk.get(f"/schedule?week={monday()}")).split('class="day-list"')[1]


def test_htmx_gets_the_calendar_alone(desk):
    page = text(desk.htmx(f"/schedule?week={monday()}"))
    assert page.lstrip().startswith('<div id="schedule"')


def test_a_full_week_asks_few_questions(desk, statements):
    courses = [make_course(f"课{n}") for n in range(3)]
    for n in range(40):
        make_session(courses[n % 3], starts_at=at(monday() + timedelta(days=n % 7), 9 + n // 7))
    statements.clear()
    desk.get(f"/schedule?week={monday()}")
    few = len(statements)
    assert few < 30
    for n in range(40):
        make_session(courses[n % 3], starts_at=at(monday() + timedelta(days=n % 7), 9 + n // 7))
    statements.clear()
    assert "80 节" in text(desk.get(f"/schedule?week={monday()}"))
    assert len(statements) <= few


def test_names_are_text(desk):
    make_session(make_course(HOSTILE[:40]), starts_at=at(monday(), 10))
    page = desk.get(f"/schedule?week={monday()}").get_data(as_text=True)
    assert "<img" not in page.replace('<img src="/static', "")
    assert "&lt;img src=x onerror" in page


# ── one session and its roll ────────────────────────────────────────────────────────────────────────


def test_a_session_in_the_panel_and_on_its_own_page(desk, family):
    session = make_session(make_course("亲子体操"), capacity=6)
    book(session, family)
    panel = text(desk.htmx(f"/schedule/{session}"))
    assert 'class="panel-body"' in panel
    for words in (
        "亲子体操",
        "1</strong>/6 座",
        "张小明",
        f"/families/{family.id}",
        "新建预约",
        "打印点名表",
        "¥200.00",
    ):
        assert words in panel
    assert "<html" not in panel
    page = text(desk.get(f"/schedule/{session}"))
    assert "<html" in page
    assert "张小明" in page


def test_who_may_not_does_not_see_the_buttons(desk, manager, auditor, family):
    session = make_session(starts_in=timedelta(hours=1))
    book(session, family)
    for browser, seen, unseen in (
        (auditor, ["张小明", "打印点名表"], ["新建预约", "到课", "停课", "/edit"]),
        (desk, ["新建预约", "到课", "缺课"], ["停课", f"/schedule/{session}/edit"]),
        (manager, ["新建预约", "到课", "停课", f"/schedule/{session}/edit"], []),
    ):
        page = text(browser.get(f"/schedule/{session}"))
        assert [words for words in seen if words not in page] == []
        assert [words for words in unseen if words in page] == []


def test_an_empty_roll_and_a_cancelled_session_say_so(desk):
    assert "还没有人预约" in text(desk.get(f"/schedule/{make_session()}"))
    gone = make_session(status="cancelled", cancelled_at=clock.now(), cancel_reason="场馆检修")
    page = text(desk.get(f"/schedule/{gone}"))
    assert "这节课已停课：场馆检修" in page
    assert "新建预约" not in page


def test_a_session_that_is_not_there(desk):
    for path in ("", "/print", "/book"):
        assert desk.get(f"/schedule/{10**12}{path}").status_code == 404


def test_marking_one_click_a_student(desk, family):
    session = make_session(starts_in=timedelta(hours=1))
    first, second = book(session, family), book(session, family, 1)
    row = desk.htmx(f"/schedule/{session}/roll/{first}/attend", {})
    assert row.status_code == 200
    assert f'id="roll-{first}"' in text(row)
    assert "已到课" in text(row)
    assert 'id="roll-sum"' in text(row)
    assert "到课 1" in text(row)
    assert f'id="roll-{second}"' not in text(row)
    assert "HX-Trigger" not in row.headers  # one is left: the calendar need not look yet
    last = desk.htmx(f"/schedule/{session}/roll/{second}/miss", {})
    assert "desk:classes" in json.loads(last.headers["HX-Trigger"])
    assert (status(first), status(second)) == ("attended", "absent")
    undone = desk.htmx(f"/schedule/{session}/roll/{first}/unmark", {})
    assert "缺课</button>" in text(undone)
    assert status(first) == "booked"


def test_marking_without_script(desk, family):
    session = make_session(starts_in=timedelta(hours=1))
    booking = book(session, family)
    done = desk.post(f"/schedule/{session}/roll/{booking}/attend")
    assert (done.status_code, done.location) == (303, f"/schedule/{session}")
    assert status(booking) == "attended"


def test_a_mark_that_is_refused_shows_the_row_as_it_is(desk, family):
    early = make_session(starts_in=timedelta(days=2))
    booking = book(early, family)
    refused = desk.htmx(f"/schedule/{early}/roll/{booking}/attend", {})
    assert refused.status_code == 409
    assert "上课前两小时起才能点名" in text(refused)
    assert f'id="roll-{booking}"' in text(refused)
    leave.take_leave(booking_id=booking, actor=parent_actor(family))
    gone = desk.post(f"/schedule/{early}/roll/{booking}/miss")
    assert gone.status_code == 409
    assert "该预约已请假" in text(gone)
    assert "<html" in text(gone)


def test_a_mark_belongs_to_its_own_session(desk, family):
    session, other = make_session(starts_in=timedelta(hours=1)), make_session(starts_in=timedelta(hours=1))
    booking = book(session, family)
    assert desk.post(f"/schedule/{other}/roll/{booking}/attend").status_code == 404
    assert desk.post(f"/schedule/{session}/roll/{booking}/cancel").status_code == 404
    assert status(booking) == "booked"


def test_a_wrong_role_marks_nobody(auditor, family):
    session = make_session(starts_in=timedelta(hours=1))
    booking = book(session, family)
    assert auditor.post(f"/schedule/{session}/roll/{booking}/attend").status_code == 403
    assert status(booking) == "booked"


def test_the_roll_on_paper(desk, family):
    session = make_session(make_course("启蒙体操"))
    book(session, family)
    page = text(desk.get(f"/schedule/{session}/print"))
    assert "点名表 · 启蒙体操" in page
    assert "张小明" in page
    assert "教练签名" in page
    assert "desk-nav" not in page


# ── booking from the roll ───────────────────────────────────────────────────────────────────────────


def chosen(browser, session: int, profile: int) -> tuple[str, dict]:
    """The confirmation, and the form that it carries."""
    page = text(browser.htmx(f"/schedule/{session}/book?student={profile}"))
    form = dict(re.findall(r'<input id="\w+" name="(\w+)" type="hidden" value="([^"]*)"', page))
    return page, {name: form[name] for name in ("student", "price", "request_token") if name in form}


def test_find_a_student_by_name_or_pinyin(desk, family):
    session = make_session()
    book(session, family, 1)
    assert "为哪位学员预约" in text(desk.htmx(f"/schedule/{session}/book"))
    typing = {"HX-Request": "true", "HX-Target": "students-found"}
    found = text(desk.get(f"/schedule/{session}/book?q=zxm", headers=typing))
    assert f"/schedule/{session}/book?student={family.profile_ids[0]}" in found
    assert "<form" not in found
    assert "已预约" in found.split("张小红")[1]
    assert "没有找到「xyz」" in text(desk.get(f"/schedule/{session}/book?q=xyz"))


def test_booking_shows_what_it_will_do_and_then_the_roll(desk, family):
    session = make_session(make_course("启蒙体操", price="200.00"))
    page, form = chosen(desk, session, family.profile_ids[0])
    for words in ("张小明", "¥500.00", "¥300.00", "预约，扣费 ¥200.00"):
        assert words in page
    done = desk.htmx(f"/schedule/{session}/book", form)
    assert done.status_code == 200
    assert 'id="session-detail"' in text(done)
    assert "张小明" in text(done)
    said = json.loads(done.headers["HX-Trigger"])
    assert said["desk:toast"]["text"] == "已为 张小明（张女士家庭）预约，扣费 ¥200.00，余额 ¥300.00"
    assert "desk:classes" in said
    assert balance(family) == Decimal("300.00")


def test_booking_without_script(desk, family):
    session = make_session()
    _, form = chosen(desk, session, family.profile_ids[0])
    done = desk.post(f"/schedule/{session}/book", form)
    assert (done.status_code, done.location) == (303, f"/schedule/{session}")


def test_sent_twice_is_booked_once(desk, family):
    session = make_session()
    _, form = chosen(desk, session, family.profile_ids[0])
    desk.post(f"/schedule/{session}/book", form)
    again = desk.post(f"/schedule/{session}/book", form)
    assert (again.status_code, again.location) == (303, f"/schedule/{session}")
    assert bookings() == 1
    assert balance(family) == Decimal("300.00")


def test_another_price_than_the_one_shown_charges_nothing(desk, family):
    course = make_course(price="200.00")
    session = make_session(course)
    _, form = chosen(desk, session, family.profile_ids[0])
    with transaction():
        db.session.get(Course, course).price = Decimal("220.00")
    refused = desk.htmx(f"/schedule/{session}/book", form)
    assert refused.status_code == 409
    assert "课程价格刚刚改为 ¥220.00，还没有扣费" in text(refused)
    assert "预约，扣费 ¥220.00" in text(refused)
    assert balance(family) == Decimal("500.00")


def test_a_full_class_offers_others_and_a_seat_more_to_the_manager(desk, manager, family):
    course = make_course()
    session, other = make_session(course, capacity=1), make_session(course, starts_in=timedelta(days=3))
    book(session, family, 1)
    page, form = chosen(desk, session, family.profile_ids[0])
    assert "这节课已满" in page
    assert f"/schedule/{other}/book?student={family.profile_ids[0]}" in page
    assert "加座" not in page
    # Who sends the form all the same is refused, as is who has no reason.
    sent = desk.htmx(f"/schedule/{session}/book", {"student": family.profile_ids[0], "price": "200.00"})
    assert sent.status_code == 409
    page, form = chosen(manager, session, family.profile_ids[0])
    assert "加座并预约，扣费 ¥200.00" in page
    blank = manager.htmx(f"/schedule/{session}/book", {**form, "override": "1", "override_reason": " "})
    assert blank.status_code == 422
    assert "请填写加座原因" in text(blank)
    done = manager.htmx(f"/schedule/{session}/book", {**form, "override": "1", "override_reason": "兄妹同上"})
    assert done.status_code == 200
    assert "加座" in text(done)
    assert bookings() == 2


def test_a_clerk_adds_no_seat(desk, family):
    session = make_session(capacity=1)
    book(session, family, 1)
    form = {"student": family.profile_ids[0], "price": "200.00", "override": "1", "override_reason": "试试"}
    assert desk.post(f"/schedule/{session}/book", form).status_code == 403
    assert bookings() == 1


def test_a_family_in_arrears_is_told_in_words_for_staff(desk):
    poor = make_family(parent="李先生", students=("李雷",), balance="-700.00")
    session = make_session()
    page, _ = chosen(desk, session, poor.profile_ids[0])
    assert "该家庭已欠费 ¥700.00" in page
    assert "您已欠费" not in page
    assert f"/families/{poor.id}/adjust" in page
    refused = desk.htmx(f"/schedule/{session}/book", {"student": poor.profile_ids[0], "price": "200.00"})
    assert refused.status_code == 409
    assert bookings() == 0


def test_somebody_elses_id_and_nonsense(desk, family):
    session = make_session()
    for student in ("", "x", "９", "0", str(10**17), "-1"):
        assert desk.post(f"/schedule/{session}/book", {"student": student, "price": "200.00"}).status_code == 404
    bad = desk.post(f"/schedule/{session}/book", {"student": family.profile_ids[0], "price": "NaN"})
    assert bad.status_code == 422
    form = {"student": family.profile_ids[0], "price": "200.00", "request_token": "x"}
    stale = desk.post(f"/schedule/{session}/book", form)
    assert stale.status_code == 422
    assert bookings() == 0


def test_a_trial_is_not_booked_from_the_wallet(desk, family):
    session = make_session(make_course("体验", type_code="trial", is_trial=True))
    page = text(desk.get(f"/schedule/{session}"))
    assert "新建预约" not in page
    assert "体验课由家长用微信支付预约" in page
    refused = desk.post(f"/schedule/{session}/book", {"student": family.profile_ids[0], "price": "200.00"})
    assert refused.status_code == 409


def test_hostile_names_on_the_roll(desk):
    nasty = make_family(parent=HOSTILE, students=(HOSTILE,), balance="500.00")
    session = make_session(starts_in=timedelta(hours=1))
    booking = book(session, nasty)
    row = desk.htmx(f"/schedule/{session}/roll/{booking}/attend", {})
    pages = ("", "/print", f"/book?student={nasty.profile_ids[0]}")
    for answer in (row, *(desk.get(f"/schedule/{session}{path}") for path in pages)):
        raw = answer.get_data(as_text=True)
        assert "<img src=x" not in raw
        assert "&lt;img src=x" in raw


def test_money_forms_want_their_own_token(desk, family):
    session = make_session()
    foreign = desk.client.post(
        f"/schedule/{session}/book", data={"student": family.profile_ids[0], "request_token": secrets.token_hex(16)},
        headers={"Sec-Fetch-Site": "cross-site"},
    )  # fmt: skip
    assert foreign.status_code == 403
    assert bookings() == 0


def test_over_the_sessions_own_page_the_page_itself_is_renewed(desk, family):
    session = make_session()
    _, form = chosen(desk, session, family.profile_ids[0])
    done = desk.htmx(f"/schedule/{session}/book", form, page=f"/schedule/{session}")
    assert done.headers["HX-Redirect"] == f"/schedule/{session}"
    assert "已为 张小明" in text(desk.get(f"/schedule/{session}"))


def test_the_session_asks_for_itself_alone(desk):
    session = make_session()
    headers = {"HX-Request": "true", "HX-Target": "session-detail"}
    answer = text(desk.get(f"/schedule/{session}", headers=headers))
    assert answer.lstrip().startswith('<div id="session-detail"')
