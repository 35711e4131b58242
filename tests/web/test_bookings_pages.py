"""Bookings at the desk over HTTP: book, cancel, leave, late refunds; with what goes wrong on each."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from decimal import Decimal

import pytest
import sqlalchemy as sa

from app import clock
from app.db import db, transaction
from app.domain.bookings import cancel, late, leave, place
from app.domain.bookings.models import Booking, LateRefund
from app.domain.catalog.models import Course, CourseSchedule
from app.domain.credits.models import MakeupCredit
from app.domain.ledger import control
from app.domain.ledger.models import Wallet, WalletTransaction
from app.domain.people.models import Profile
from app.domain.policy.models import PolicyValue
from tests.factories import make_course, make_family, make_level, make_session, parent_actor
from tests.portal import Browser, actor_of, make_staff

HOSTILE = "<img src=x onerror=alert(1)>'\"; DROP TABLE bookings; --"


@pytest.fixture
def family(app):
    return make_family(balance="620.00", students=("张小明",), phone="13812345678")


@pytest.fixture
def front(app):
    return Browser(app).sign_in("front_desk")


@pytest.fixture
def finance(app):
    return Browser(app).sign_in("finance")


@pytest.fixture
def manager(app):
    return Browser(app).sign_in("manager")


def text(response) -> str:
    return response.get_data(as_text=True)


def words(response) -> str:
    """What a person reads: without tags, and without the white space that templates leave."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", text(response)))


def balance(family) -> Decimal:
    db.session.rollback()
    return db.session.scalar(sa.select(Wallet.balance).where(Wallet.id == family.wallet_id))


def bookings_of(family) -> list[Booking]:
    db.session.rollback()
    return list(db.session.scalars(sa.select(Booking).where(Booking.family_id == family.id).order_by(Booking.id)))


def status_of(booking_id: int) -> str:
    db.session.rollback()
    return db.session.scalar(sa.select(Booking.status).where(Booking.id == booking_id))


def address(family) -> str:
    return f"/families/{family.id}/bookings/new"


def form(family, session, price="200.00", **more) -> dict:
    return {"student": family.profile_ids[0], "session": session, "price": price, **more}


def booked(family, **session) -> int:
    course = session.pop("course", None)
    schedule_id = make_session(course, **session)
    return place.book(schedule_id=schedule_id, profile_id=family.profile_ids[0], actor=parent_actor(family)).booking_id


def set_policy(name: str, value: str) -> None:
    with transaction():
        db.session.merge(PolicyValue(name=name, value=value, updated_at=clock.now(), updated_by="test"))


# ── choosing ────────────────────────────────────────────────────────────────────────────────────────


def test_the_only_student_is_chosen_and_the_sentence_says_it_all(front, family):
    session = make_session(starts_at=clock.now() + timedelta(days=3))
    page = front.get(f"{address(family)}?session={session}")
    at = clock.local(db.session.get(CourseSchedule, session).starts_at)
    said = words(page)
    assert f"将为 张小明 预约 {at.month}月{at.day}日 周{'一二三四五六日'[at.weekday()]} {at:%H:%M} 少儿体操" in said
    assert "扣费 ¥200.00，余额 ¥620.00→¥420.00" in said
    assert "确认预约，扣费 ¥200.00" in said
    assert "<html" not in text(front.htmx(f"{address(family)}?session={session}"))


def test_several_students_are_chosen_first(front):
    family = make_family(students=("张小明", "张小红"))
    make_session()
    first = words(front.get(address(family)))
    assert "先选学员，再选课" in first
    assert "余位" not in first
    assert "余位" in words(front.get(f"{address(family)}?student={family.profile_ids[1]}"))


def test_a_family_without_students_and_a_studio_without_classes(front):
    family = make_family(students=())
    assert "没有可以预约的学员" in text(front.get(address(family)))
    assert "今后 14 天没有排课" in text(front.get(address(make_family())))
    assert front.get("/families/999999/bookings/new").status_code == 404


def test_what_fits_stands_first_and_the_rest_says_why_not(front, family):
    level_id = make_level("L1", 1)
    make_level("L2", 2)
    with transaction():
        student = db.session.get(Profile, family.profile_ids[0])
        student.level_id, student.level_confirmed = level_id, True
    taken = make_session(starts_in=timedelta(days=1))
    place.book(schedule_id=taken, profile_id=family.profile_ids[0], actor=parent_actor(family))
    make_session(starts_in=timedelta(days=1, minutes=30))
    make_session(make_course(level="L2"))
    make_session(make_course(type_code="trial", is_trial=True))
    make_session(capacity=1, held=1)
    make_session(starts_in=timedelta(days=15))
    cancelled = make_session(status="cancelled")
    good = make_session(make_course("正好", level="L1"))
    page = text(front.get(address(family)))
    fits, others = page.split("不能直接预约的 5 节")
    assert f"session={good}" in fits
    assert fits.count("data-row-open") == 1
    for reason in ("已预约这节课", "已有其他课程", "级别还不能", "体验课须用微信支付", "这节课已满"):
        assert reason in others
    assert f"session={cancelled}" not in page


def test_filters_narrow_the_list_and_keep_student_and_class(front, family):
    one, other = make_session(), make_session(make_course(type_code="vip"), starts_in=timedelta(days=4))
    coach = db.session.get(CourseSchedule, other).coach_id
    day = clock.local(clock.now() + timedelta(days=4)).date().isoformat()
    for query in (f"coach={coach}", "type=vip", f"day={day}"):
        page = text(front.get(f"{address(family)}?{query}"))
        assert f"session={other}" in page, query
        assert f"session={one}&" not in page.replace("&amp;", "&"), query
    assert "没有符合条件的课" in text(front.get(f"{address(family)}?day={day}&coach=999"))
    for nonsense in ("session=abc", "session=999999", "student=999999", "day=2026-99-99", "coach=x", "type=%00"):
        assert front.get(f"{address(family)}?{nonsense}").status_code == 200


# ── booking ─────────────────────────────────────────────────────────────────────────────────────────


def test_book_without_script_and_with(front, family):
    done = front.post(address(family), form(family, make_session()))
    assert (done.status_code, done.location) == (303, f"/families/{family.id}/bookings")
    assert "扣费 ¥200.00，余额 ¥420.00" in text(front.get(done.location))
    with_script = front.htmx(address(family), form(family, make_session(starts_in=timedelta(days=4))))
    assert with_script.headers["HX-Redirect"] == f"/families/{family.id}/bookings"
    assert balance(family) == Decimal("220.00")
    first = bookings_of(family)[0]
    assert (first.source, first.booked_by) == ("staff", front.staff.id)


def test_submitted_twice_books_once(front, family):
    data = form(family, make_session()) | {"request_token": "ab" * 16}
    first, second = (front.post(address(family), data) for _ in range(2))
    assert first.location == second.location == f"/families/{family.id}/bookings"
    assert "先前已经完成" in text(front.get(second.location))
    assert len(bookings_of(family)) == 1
    assert balance(family) == Decimal("420.00")
    assert front.post(address(family), data | {"request_token": "zz"}).status_code == 422, "no token of ours"


def test_another_familys_student_is_nobody(front, family):
    other, session = make_family(balance="500.00"), make_session()
    data = form(family, session) | {"student": other.profile_ids[0]}
    assert front.post(address(family), data).status_code == 404
    for nonsense in ({"student": ""}, {"student": "x"}, {"session": "99999999999999999999"}, {"session": "999999"}):
        assert front.post(address(family), form(family, session) | nonsense).status_code == 404, nonsense
    assert bookings_of(family) == [], "the only student is no default for what a form does not say"
    left = make_family()
    with transaction():
        db.session.get(Profile, left.profile_ids[0]).status = "left"
    assert front.post(address(left), form(left, session)).status_code == 404
    assert bookings_of(other) == []


def test_another_price_than_the_one_seen_charges_nothing(front, family):
    course = make_course(price="200.00")
    session = make_session(course)
    with transaction():
        db.session.get(Course, course).price = Decimal("220.00")
    refused = front.htmx(address(family), form(family, session))
    assert refused.status_code == 409
    assert "价格已变更为 ¥220.00" in text(refused)
    assert "余额 ¥620.00→¥400.00" in words(refused)
    assert bookings_of(family) == []
    again = re.search(r'name="price"[^>]*value="([^"]+)"', text(refused))
    assert again.group(1) == "220.00"
    assert front.htmx(address(family), form(family, session, "220.00")).status_code == 200
    for nonsense in ("", "-1", "２００", "abc", "1e3"):
        wrong = front.post(address(family), form(family, make_session(), nonsense))
        assert (wrong.status_code, "价格已失效" in text(wrong)) == (422, True)


def test_a_full_class_offers_others(front, family):
    course = make_course()
    full = make_session(course, capacity=1, held=1)
    free = make_session(course, starts_in=timedelta(days=3))
    refused = front.htmx(address(family), form(family, full))
    assert refused.status_code == 409
    assert "这节课已满" in text(refused)
    assert f"session={free}" in text(refused)
    assert "加座" not in text(refused)
    assert bookings_of(family) == []
    alone = make_session(make_course(type_code="vip"), capacity=1, held=1)
    assert "三周内没有同类型" in text(front.get(f"{address(family)}?session={alone}"))


def test_only_a_manager_adds_one_seat_and_says_why(front, manager, family):
    full = make_session(capacity=1, held=1)
    data = form(family, full, override="1", override_reason="兄弟同班")
    assert front.post(address(family), data).status_code == 403
    silent = manager.htmx(address(family), data | {"override_reason": "  "})
    assert (silent.status_code, "请填写加座原因" in text(silent)) == (422, True)
    assert manager.htmx(address(family), data | {"override_reason": HOSTILE}).status_code == 200
    made = bookings_of(family)[0]
    assert made.override_reason == HOSTILE
    assert db.session.get(CourseSchedule, full).capacity == 2
    assert "&lt;img" in text(manager.get(f"/bookings/{made.id}"))
    other = make_family(balance="500.00")
    second = manager.htmx(address(other), form(other, full, override="1", override_reason="再加"))
    assert (second.status_code, "不能再加" in text(second)) == (409, True)


def test_refusals_of_student_and_money_are_said_in_place(front, manager, family):
    session = make_session()
    assert front.post(address(family), form(family, session)).status_code == 303
    twice = front.htmx(address(family), form(family, session))
    assert (twice.status_code, "已预约这节课" in text(twice)) == (409, True)
    clash = front.htmx(address(family), form(family, make_session()))
    assert (clash.status_code, "已有其他课程" in text(clash)) == (409, True)
    late_one = front.htmx(address(family), form(family, make_session(starts_in=timedelta(minutes=-5))))
    assert (late_one.status_code, "已经开始" in text(late_one)) == (409, True)
    gone = front.htmx(address(family), form(family, make_session(status="cancelled")))
    assert (gone.status_code, "已取消" in text(gone)) == (409, True)
    assert len(bookings_of(family)) == 1
    owing = make_family(balance="-650.00")
    page = front.htmx(address(owing), form(owing, session))
    assert (page.status_code, "该家庭已欠费 ¥650.00" in text(page)) == (409, True)
    assert "您已欠费" not in words(page), "that is what the parent is told"
    dear = make_session(make_course(price="600.00"), starts_in=timedelta(days=5))
    poor = make_family(balance="-500.00")
    over = front.htmx(address(poor), form(poor, dear, "600.00"))
    assert (over.status_code, "超出欠费上限" in text(over)) == (409, True)
    control.freeze(family_id=poor.id, reason="核对", actor=actor_of(manager.staff))
    cold = front.get(f"{address(poor)}?session={dear}")
    assert "冻结" in words(cold)
    assert "booking-form" not in text(cold)


def test_a_bypass_lets_it_through_and_is_said(front, manager):
    owing = make_family(balance="-650.00")
    session = make_session()
    assert "booking-form" not in text(front.get(f"{address(owing)}?session={session}"))
    control.grant_bypass(family_id=owing.id, until=clock.today(), reason="下周充值", actor=actor_of(manager.staff))
    page = front.get(f"{address(owing)}?session={session}")
    assert "欠费放行中" in words(page)
    assert "预约后欠费" in words(page)
    assert front.post(address(owing), form(owing, session)).status_code == 303


def test_a_free_class_says_so(front, family):
    session = make_session(make_course(price="0.00"))
    assert "不收费" in words(front.get(f"{address(family)}?session={session}"))
    done = front.post(address(family), form(family, session, "0.00"))
    assert "不收费" in text(front.get(done.location))
    assert balance(family) == Decimal("620.00")


def test_who_owes_too_much_is_led_to_the_balance(front):
    family = make_family(balance="-680.00")
    page = f"{address(family)}?session={make_session()}"
    assert "先给这个家庭充值" in text(front.get(page))
    assert f"/families/{family.id}/adjust" in text(front.get(page))
    other = make_family(balance="680.00")
    assert "先给这个家庭充值" not in text(front.get(f"{address(other)}?session={make_session()}"))


# ── the family's tab, one booking ───────────────────────────────────────────────────────────────────


def test_the_tab_shows_ahead_credits_and_past(front, family):
    coming = booked(family)
    given_up = booked(family, starts_in=timedelta(days=3))
    leave.take_leave(booking_id=given_up, actor=actor_of(front.staff), reason=HOSTILE)
    page = text(front.get(f"/families/{family.id}/bookings"))
    ahead, rest = page.split("待补课 1 次")
    assert "即将上课 1 节" in ahead
    assert f"/bookings/{coming}/cancel" in ahead
    assert f"/bookings/{coming}/leave" in ahead
    assert f"/bookings/{given_up}" in rest
    assert "已请假" in rest
    assert "&lt;img src=x" in rest
    assert "<img src=x" not in page
    assert front.staff.display_name in rest
    part = text(front.htmx(f"/families/{family.id}/bookings"))
    assert 'hx-swap-oob="true"' in part, "the balance comes along"
    assert 'hx-swap-oob="true"' not in page


def test_the_tab_without_bookings_and_for_who_only_reads(app, front, family):
    empty = text(front.get(f"/families/{family.id}/bookings"))
    assert "没有即将上课的预约" in empty
    assert f"{address(family)}" in empty
    booking_id = booked(family)
    auditor = Browser(app).sign_in("auditor")
    page = text(auditor.get(f"/families/{family.id}/bookings"))
    assert f"/bookings/{booking_id}" in page
    assert "/cancel" not in page
    assert address(family) not in page
    assert auditor.get(f"/bookings/{booking_id}/cancel").status_code == 403
    assert "取消预约" not in words(auditor.get(f"/bookings/{booking_id}"))
    control_pages = Browser(app).sign_in("admin")
    assert control_pages.get(f"/families/{family.id}/bookings").status_code == 403


def test_past_bookings_are_paged(front):
    family = make_family(balance="900.00")
    schedule_id = make_session(make_course(price="1.00"))
    for _ in range(21):
        one = place.book(schedule_id=schedule_id, profile_id=family.profile_ids[0], actor=parent_actor(family))
        cancel.cancel(booking_id=one.booking_id, actor=parent_actor(family))
    page = text(front.get(f"/families/{family.id}/bookings"))
    older = re.search(r"/families/\d+/bookings\?before=\d+", page).group()
    assert text(front.get(older)).count("已退 ¥1.00") == 1


def test_the_wallet_says_since_when_it_owes(front):
    with clock.travel(by=timedelta(days=-18)):
        owing = make_family(balance="-20.00")
    page = words(front.get(f"/families/{owing.id}"))
    since = clock.local(clock.now() - timedelta(days=18))
    assert f"自 {since.month}月{since.day}日" in page
    assert "（18 天）" in page
    assert "（18 天）" not in words(front.get(f"/families/{make_family().id}"))


def test_one_booking_with_its_history(front, family):
    booking_id = booked(family)
    panel = text(front.htmx(f"/bookings/{booking_id}"))
    assert "panel-body" in panel
    assert "预约课程" in panel
    assert f"/families/{family.id}/bookings" in panel
    assert front.get("/bookings/999999").status_code == 404
    assert front.get("/bookings/999999/cancel").status_code == 404
    assert front.post("/bookings/999999/cancel").status_code == 404


# ── cancelling ──────────────────────────────────────────────────────────────────────────────────────


def test_cancel_in_time_refunds(front, family):
    booking_id = booked(family)
    before = words(front.htmx(f"/bookings/{booking_id}/cancel"))
    assert "退回 ¥200.00 到钱包，余额 ¥420.00→¥620.00" in before
    assert "不退款" not in before
    done = front.htmx(f"/bookings/{booking_id}/cancel", {"reason": HOSTILE})
    assert "desk:booking-changed" in json.loads(done.headers["HX-Trigger"])
    assert "已取消" in text(done)
    assert "<img src=x" not in text(done)
    assert balance(family) == Decimal("620.00")
    twice = front.htmx(f"/bookings/{booking_id}/cancel", {})
    assert (twice.status_code, "该预约已取消" in text(twice)) == (409, True)
    assert balance(family) == Decimal("620.00")


def test_cancel_without_script_and_twice_the_same_form(front, family):
    booking_id = booked(family)
    data = {"request_token": "cd" * 16, "reason": ""}
    first, second = (front.post(f"/bookings/{booking_id}/cancel", data) for _ in range(2))
    assert first.location == second.location == f"/bookings/{booking_id}"
    assert db.session.scalar(sa.select(sa.func.count(WalletTransaction.id)).where(
        WalletTransaction.type == "refund", WalletTransaction.wallet_id == family.wallet_id)) == 1  # fmt: skip


@pytest.mark.parametrize("name", ["cancel", "leave"])
def test_on_its_own_page_the_form_leaves_the_page(front, family, name):
    """In the panel it answers there; behind a panel a page would go on showing what is over."""
    path = f"/bookings/{booked(family)}/{name}"
    assert f'hx-post="{path}"' not in text(front.get(path))
    assert f'hx-post="{path}"' in text(front.htmx(path))
    assert '<h2 tabindex="-1">' in text(front.htmx(path))
    assert '<h2 tabindex="-1">' not in text(front.get(path)), "the page's own title is enough"


def test_late_the_front_desk_cancels_without_refund_and_says_why(front, family):
    booking_id = booked(family, starts_in=timedelta(hours=3))
    page = words(front.htmx(f"/bookings/{booking_id}/cancel"))
    assert "已过取消时限" in page
    assert "确认取消，不退款" in page
    assert "申请退款" not in page
    assert "逾时退款须由财务或店长办理" in page
    silent = front.htmx(f"/bookings/{booking_id}/cancel", {"money": "keep", "reason": " "})
    assert (silent.status_code, "请填写原因" in text(silent)) == (422, True)
    unsaid = front.htmx(f"/bookings/{booking_id}/cancel", {"reason": "家长要求"})
    assert (unsaid.status_code, "请选择是否退款" in text(unsaid)) == (409, True)
    assert "家长要求" in text(unsaid), "what was typed stays"
    wrong = front.htmx(f"/bookings/{booking_id}/cancel", {"money": "gold", "reason": "x"})
    assert (wrong.status_code, "请说明是否退款" in text(wrong)) == (422, True)
    for money in ("refund", "ask"):
        greedy = front.htmx(f"/bookings/{booking_id}/cancel", {"money": money, "reason": "x"})
        assert greedy.status_code == 403
    assert status_of(booking_id) == "booked"
    front.htmx(f"/bookings/{booking_id}/cancel", {"money": "keep", "reason": "家长要求"})
    assert (status_of(booking_id), balance(family)) == ("cancelled", Decimal("420.00"))


def test_the_cutoff_that_passed_while_the_form_was_open(front, family):
    booking_id = booked(family, starts_in=timedelta(hours=6, minutes=1))
    assert "退回 ¥200.00" in words(front.htmx(f"/bookings/{booking_id}/cancel"))
    with clock.travel(by=timedelta(minutes=2)):
        told = front.htmx(f"/bookings/{booking_id}/cancel", {"reason": "生病"})
    assert told.status_code == 409
    assert "已过取消时限" in text(told)
    assert "确认取消，不退款" in text(told)
    assert (status_of(booking_id), balance(family)) == ("booked", Decimal("420.00"))


def test_below_the_limit_finance_refunds_late_alone(finance, family):
    set_policy("late_refund_limit", "200.00")
    booking_id = booked(family, starts_in=timedelta(hours=3))
    page = words(finance.htmx(f"/bookings/{booking_id}/cancel"))
    assert "确认取消，退回 ¥200.00" in page
    with clock.travel(by=timedelta(minutes=11)):
        old = finance.htmx(f"/bookings/{booking_id}/cancel", {"money": "refund", "reason": "生病"})
    assert old.status_code == 403
    assert "desk:step-up" in old.headers["HX-Trigger"], "the form stays, the press goes on after the proof"
    assert status_of(booking_id) == "booked"
    finance.htmx(f"/bookings/{booking_id}/cancel", {"money": "refund", "reason": "生病"})
    assert (status_of(booking_id), balance(family)) == ("cancelled", Decimal("620.00"))


def test_above_the_limit_it_is_asked_for(finance, family):
    booking_id = booked(family, starts_in=timedelta(hours=3))
    page = words(finance.htmx(f"/bookings/{booking_id}/cancel"))
    assert "申请退款 ¥200.00" in page
    assert "余额 ¥420.00→¥620.00" in page
    stale = finance.htmx(f"/bookings/{booking_id}/cancel", {"money": "refund", "reason": "生病"})
    assert (stale.status_code, "另一人复核" in text(stale)) == (409, True)
    asked = finance.htmx(f"/bookings/{booking_id}/cancel", {"money": "ask", "reason": HOSTILE})
    assert "等待另一位同事复核" in json.loads(asked.headers["HX-Trigger"])["desk:toast"]["text"]
    assert "&lt;img" in text(asked)
    assert (status_of(booking_id), balance(family)) == ("booked", Decimal("420.00"))
    again = finance.htmx(f"/bookings/{booking_id}/cancel", {"money": "ask", "reason": "生病"})
    assert (again.status_code, "已在等待复核" in text(again)) == (409, True)
    waiting = words(finance.htmx(f"/bookings/{booking_id}/cancel"))
    assert "已有逾时退款在等待复核" in waiting
    assert "申请退款 ¥" not in waiting
    assert "确认取消，不退款" in waiting


def test_a_class_that_cost_nothing_has_nothing_to_refund(finance, family):
    booking_id = booked(family, course=make_course(price="0.00"), starts_in=timedelta(hours=3))
    page = words(finance.htmx(f"/bookings/{booking_id}/cancel"))
    assert "申请退款" not in page
    finance.htmx(f"/bookings/{booking_id}/cancel", {"money": "keep", "reason": "生病"})
    assert status_of(booking_id) == "cancelled"


def test_ones_own_family_is_for_others(app, family):
    mother = Browser(app).sign_in(make_staff("finance", family_id=family.id))
    booking_id = booked(family, starts_in=timedelta(hours=3))
    page = words(mother.htmx(f"/bookings/{booking_id}/cancel"))
    assert "这是您自己的家庭" in page
    asked = mother.htmx(f"/bookings/{booking_id}/cancel", {"money": "ask", "reason": "生病"})
    assert asked.status_code == 403
    assert "不能处理自己家庭的退款" in text(asked)
    set_policy("late_refund_limit", "200.00")
    alone = mother.htmx(f"/bookings/{booking_id}/cancel", {"money": "refund", "reason": "生病"})
    assert (alone.status_code, "不能处理自己家庭的退款" in text(alone)) == (403, True)
    assert status_of(booking_id) == "booked"
    mother.htmx(f"/bookings/{booking_id}/cancel", {"money": "keep", "reason": "生病"})
    assert (status_of(booking_id), balance(family)) == ("cancelled", Decimal("420.00"))


def test_the_refund_of_a_student_who_moved_names_the_wallet(front, family):
    booking_id, other = booked(family), make_family(parent="李女士")
    with transaction():
        db.session.get(Booking, booking_id).family_id = other.id
    assert "退回 ¥200.00 到 张女士家庭，余额 ¥420.00→¥620.00" in words(front.htmx(f"/bookings/{booking_id}/cancel"))
    front.htmx(f"/bookings/{booking_id}/cancel", {})
    assert (balance(family), balance(other)) == (Decimal("620.00"), Decimal("0.00"))


# ── leave ───────────────────────────────────────────────────────────────────────────────────────────


def test_leave_gives_a_credit_and_no_money(front, family):
    booking_id = booked(family, starts_in=timedelta(hours=3))
    assert "保留一次待补课，有效期 60 天" in words(front.htmx(f"/bookings/{booking_id}/leave"))
    done = front.htmx(f"/bookings/{booking_id}/leave", {"reason": HOSTILE})
    assert "已请假" in text(done)
    assert "<img src=x" not in text(done)
    assert (status_of(booking_id), balance(family)) == ("on_leave", Decimal("420.00"))
    assert db.session.scalar(sa.select(sa.func.count(MakeupCredit.id))) == 1
    twice = front.htmx(f"/bookings/{booking_id}/leave", {})
    assert (twice.status_code, "该预约已请假" in text(twice)) == (409, True)
    assert "不能再请假" in words(front.get(f"/bookings/{booking_id}/leave"))
    gone = words(front.get(f"/bookings/{booking_id}/cancel"))
    assert "不能再取消" in gone


def test_leave_that_is_too_late_or_not_for_it(front, family):
    booking_id = booked(family, starts_in=timedelta(minutes=10))
    with clock.travel(by=timedelta(minutes=11)):
        assert "已经开始" in words(front.get(f"/bookings/{booking_id}/leave"))
        refused = front.htmx(f"/bookings/{booking_id}/leave", {})
        assert (refused.status_code, "已经开始" in text(refused)) == (409, True)
    with transaction():
        db.session.get(Booking, booking_id).kind = "trial"
    assert "体验课不能请假" in words(front.get(f"/bookings/{booking_id}/leave"))
    assert front.post(f"/bookings/{booking_id}/leave").status_code == 409


def test_leave_of_one_cancelled_meanwhile(front, family):
    booking_id = booked(family)
    cancel.cancel(booking_id=booking_id, actor=parent_actor(family))
    told = front.htmx(f"/bookings/{booking_id}/leave", {"reason": "生病"})
    assert (told.status_code, "该预约已取消" in text(told)) == (409, True)


# ── late refunds ────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def asked(family, finance):
    """A late refund that finance asked for, and its booking."""
    booking_id = booked(family, starts_in=timedelta(hours=3))
    request_id = late.ask(booking_id=booking_id, reason=HOSTILE, actor=actor_of(finance.staff))
    return request_id, booking_id


def test_the_list_and_its_count(app, finance, manager, asked):
    _, booking_id = asked
    page = text(manager.get("/late-refunds"))
    assert f"/bookings/{booking_id}" in page
    assert "&lt;img" in page
    assert "<img src=x" not in page
    assert re.search(r"逾时退款</span>\s*<span class=\"desk-count num\" title=\"1 项等待处理\">1<", page)
    assert "您申请的，须由同事复核" in text(finance.get("/late-refunds"))
    assert "/late-refunds" not in text(Browser(app).sign_in("front_desk").get("/"))
    assert "没有符合条件的退款申请" in text(manager.get("/late-refunds?status=rejected"))
    assert f"/bookings/{booking_id}" in text(manager.get("/late-refunds?status=all"))


def test_another_person_approves_and_the_money_goes_back(finance, manager, family, asked):
    request_id, booking_id = asked
    panel = words(manager.htmx(f"/bookings/{booking_id}"))
    assert "退回 ¥200.00，余额 ¥420.00→¥620.00" in panel
    with clock.travel(by=timedelta(minutes=11)):
        old = manager.htmx(f"/late-refunds/{request_id}/approve", {})
        assert (old.status_code, "desk:step-up" in old.headers["HX-Trigger"]) == (403, True)
    done = manager.htmx(f"/late-refunds/{request_id}/approve", {})
    assert 'id="booking-detail"' in text(done)
    assert "desk:booking-changed" in json.loads(done.headers["HX-Trigger"])
    assert (status_of(booking_id), balance(family)) == ("cancelled", Decimal("620.00"))
    again = manager.htmx(f"/late-refunds/{request_id}/approve", {})
    assert (again.status_code, "已经处理过" in text(again)) == (409, True)
    assert "没有等待复核的逾时退款" in text(manager.get("/late-refunds"))


def test_nobody_decides_their_own(finance, asked):
    request_id, booking_id = asked
    panel = text(finance.htmx(f"/bookings/{booking_id}"))
    assert "须由另一位同事复核" in panel
    assert "/approve" not in panel
    for verb in ("approve", "reject"):
        refused = finance.htmx(f"/late-refunds/{request_id}/{verb}", {"note": "x"})
        assert (refused.status_code, "请由另一人处理" in text(refused)) == (403, True)
    plain = finance.post(f"/late-refunds/{request_id}/withdraw")
    assert (plain.status_code, plain.location) == (303, f"/bookings/{booking_id}")
    assert db.session.get(LateRefund, request_id).status == "withdrawn"


def test_reject_wants_a_reason_and_keeps_what_was_typed(manager, asked):
    request_id, booking_id = asked
    silent = manager.htmx(f"/late-refunds/{request_id}/reject", {"note": "  "})
    assert (silent.status_code, "请填写驳回原因" in text(silent)) == (422, True)
    others = manager.htmx(f"/late-refunds/{request_id}/withdraw", {})
    assert (others.status_code, "只能撤回自己" in text(others)) == (403, True)
    manager.htmx(f"/late-refunds/{request_id}/reject", {"note": HOSTILE})
    assert status_of(booking_id) == "booked"
    page = text(manager.get(f"/bookings/{booking_id}"))
    assert "已驳回" in page
    assert "<img src=x" not in page


def test_a_booking_that_ended_meanwhile_can_only_be_rejected(manager, asked):
    request_id, booking_id = asked
    leave.take_leave(booking_id=booking_id, actor=actor_of(manager.staff))
    assert "只能驳回" in text(manager.get("/late-refunds"))
    assert "不能再批准" in text(manager.get(f"/bookings/{booking_id}"))
    late_one = manager.htmx(f"/late-refunds/{request_id}/approve", {})
    assert (late_one.status_code, "该预约已请假" in text(late_one)) == (409, True)
    assert manager.htmx(f"/late-refunds/{request_id}/reject", {"note": "已请假"}).status_code == 200
    assert manager.htmx("/late-refunds/999999/approve", {}).status_code == 404


def test_ones_own_family_is_decided_by_others(app, asked, family):
    request_id, booking_id = asked
    mother = Browser(app).sign_in(make_staff("manager", family_id=family.id))
    panel = text(mother.htmx(f"/bookings/{booking_id}"))
    assert "这是您自己的家庭" in panel
    assert "/approve" not in panel
    assert mother.htmx(f"/late-refunds/{request_id}/approve", {}).status_code == 403
