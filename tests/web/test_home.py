"""The start page: its figures against data counted by hand, and each role's share of it."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from app import clock
from app.db import db, transaction
from app.domain.bookings.models import Booking
from app.domain.catalog.models import Course, CourseType
from app.domain.outbox import delivery, resending, service
from app.domain.outbox.models import Notification
from app.domain.outbox.outcomes import Outcome, Result
from app.domain.policy import changes
from app.domain.reports import home, today, waiting, waitlist
from tests.domain.outbox.families import make_family as consenting_family
from tests.domain.outbox.families import rows
from tests.domain.waitlist.counted import entry, offer
from tests.factories import make_family, make_session
from tests.portal import Browser, actor_of, make_staff

NOON = datetime(2026, 11, 21, 4, 0, tzinfo=UTC)  # 12:00 in the studio


def refuse(row_id: int, code: str) -> None:
    """WeChat does not take it: the in-app list does."""
    outcome = Outcome(Result.REFUSED, code, "微信不收", no_consent=code == "43101")
    delivery.settle(claimed=delivery.claim(notification_id=row_id), outcome=outcome)


def test_money_counts_by_studio_day(app):
    # 00:30 in the studio is still the day before in UTC.
    with clock.travel(to=datetime(2026, 11, 20, 16, 30, tzinfo=UTC)):
        make_family(balance="300.00")
    with clock.travel(to=datetime(2026, 11, 20, 15, 30, tzinfo=UTC)):
        make_family(balance="70.00")
    with clock.travel(to=NOON):
        make_family(balance="-50.00")
        days = home.money_by_day(3)
    assert [(str(d.on), d.money_in, d.money_out) for d in days] == [
        ("2026-11-19", Decimal("0.00"), Decimal("0.00")),
        ("2026-11-20", Decimal("70.00"), Decimal("0.00")),
        ("2026-11-21", Decimal("300.00"), Decimal("50.00")),
    ]


def test_arrears_and_groups(app):
    for balance in ("-600.00", "-600.01", "-0.01", "0.00", "199.99", "200.00", "1000.00", "5000.00"):
        make_family(balance=balance)
    owed = home.arrears()
    assert (owed.families, owed.total) == (3, Decimal("1200.02"))
    assert [count for _, count in home.balance_groups()] == [1, 2, 2, 1, 1, 1]


def test_failed_messages_of_a_week(app):
    with transaction():
        for days, status in ((1, "failed"), (8, "failed"), (0, "sent")):
            db.session.add(
                Notification(
                    channel="wechat", type="arrears", recipient="x", payload={}, dedupe_key=f"home-{days}-{status}",
                    status=status, created_at=clock.now() - timedelta(days=days),
                )
            )  # fmt: skip
    assert waiting.count(["notices_failed"])["notices_failed"] == 1
    last = home.delivery_by_day()[-1]
    assert (last.sent, last.in_app, last.failed, last.waiting) == (1, 0, 0, 0)


def test_what_the_in_app_list_took_over_was_received(app):
    family, _ = consenting_family(consents={"arrears": 9})
    with transaction():
        for number in range(3):
            service.tell_family(family, "arrears", {"owed": "1.00"}, dedupe=f"h{number}", urgent=True)
        service.tell_staff("money", "staff.test", {"title": "卡片", "colour": "red"}, dedupe="h")
    told, card = rows(family_id=family), rows(channel="feishu")[0]
    refuse(told[0].id, "40003")
    refuse(told[1].id, "43101")
    with transaction():
        db.session.get(Notification, card.id).status = "failed"
    last = home.delivery_by_day()[-1]
    assert (last.sent, last.in_app, last.failed, last.waiting) == (0, 2, 0, 1)
    assert waiting.count(["notices_failed"])["notices_failed"] == 1  # the card: nobody saw it
    browser = Browser(app).sign_in("finance")
    page = browser.get("/").get_data(as_text=True)
    link = re.search(r'href="(/notices\?outcome=lost[^"]*)"', page)[1].replace("&amp;", "&")
    shown = browser.htmx(link).get_data(as_text=True)
    assert f'"/notices/{card.id}"' in shown
    assert not any(f'"/notices/{row.id}"' in shown for row in told)


def test_a_card_that_somebody_sent_again_is_no_longer_lost(app):
    with transaction():
        card = service.tell_staff("money", "staff.test", {"title": "卡片", "colour": "red"}, dedupe="h")
        db.session.get(Notification, card).status = "failed"
    assert waiting.count(["notices_failed"])["notices_failed"] == 1
    resending.resend(notification_id=card, actor=actor_of(make_staff("finance")))
    assert waiting.count(["notices_failed"])["notices_failed"] == 0


def test_bookings_by_studio_day_and_whether_they_still_stand(app):
    family = make_family(students=("甲", "乙", "丙", "丁"))
    moments = (
        (datetime(2026, 11, 20, 15, 59, tzinfo=UTC), "booked"),
        (datetime(2026, 11, 20, 16, 0, tzinfo=UTC), "attended"),
        (datetime(2026, 11, 21, 3, 0, tzinfo=UTC), "cancelled"),
        (datetime(2026, 11, 6, 3, 0, tzinfo=UTC), "booked"),
    )
    session_id = make_session()
    with transaction():
        for profile_id, (at, status) in zip(family.profile_ids, moments, strict=True):
            db.session.add(
                Booking(
                    course_schedule_id=session_id, profile_id=profile_id, family_id=family.id, kind="regular",
                    source="wallet", status=status, price=Decimal(0), free_cancel=False, created_at=at,
                )
            )  # fmt: skip
    with clock.travel(to=NOON):
        days = home.bookings_by_day(3)
    assert [(str(d.on), d.live, d.ended) for d in days] == [
        ("2026-11-19", 0, 0),
        ("2026-11-20", 1, 0),
        ("2026-11-21", 1, 1),
    ]
    with clock.travel(to=NOON):
        browser = Browser(app).sign_in("front_desk")
        [link] = re.findall(r'href="(/reports/behaviour/rows/made[^"]*)"', browser.get("/").get_data(as_text=True))
        assert browser.get(link.replace("&amp;", "&")).get_data(as_text=True).count("<tr data-row") == 2


def test_offers_of_each_week_and_how_many_were_taken(app):
    with clock.travel(to=NOON):  # Saturday
        session = make_session()
        monday = datetime(2026, 11, 15, 16, 0, tzinfo=UTC)  # midnight in the studio
        for at, status in (
            (monday, "confirmed"), (monday + timedelta(hours=1), "lapsed"),
            (monday - timedelta(seconds=1), "confirmed"),
            (monday - timedelta(weeks=7), "taken"), (monday - timedelta(weeks=7, seconds=1), "confirmed"),
        ):  # fmt: skip
            offer(session, entry(session, joined=at), at=at, status=status)
        weeks = waitlist.conversion(home.waitlist_span())
        browser = Browser(app).sign_in("front_desk")
        page = browser.get("/").get_data(as_text=True)
        assert "近 8 周发出 4 个候补名额通知，2 个约上" in page
        [link] = re.findall(r'href="(/reports/waitlist[^"]*)"', page.partition("chart-waits")[2])
        report = browser.get(link.replace("&amp;", "&")).get_data(as_text=True)
    assert [(week.isoformat(), *counts) for week, *counts in (weeks[0], *weeks[-2:])] == [
        ("2026-09-28", 1, 0), ("2026-11-09", 1, 1), ("2026-11-16", 2, 1),
    ]  # fmt: skip
    assert (len(weeks), sum(offers for _, offers, _ in weeks)) == (8, 4)
    assert "4 个通知" in report


def test_arrears_on_the_task_list_and_late_refunds_that_wait(app):
    for days, balance in ((13, "-1.00"), (14, "-1.00"), (40, "-1.00"), (40, "1.00")):
        with clock.travel(to=NOON - timedelta(days=days)):
            make_family(balance=balance)
    with clock.travel(to=NOON):
        assert waiting.count(["arrears_tasks", "late_refunds"]) == {"arrears_tasks": 2, "late_refunds": 0}


def test_todays_classes_with_their_seats(app):
    with clock.travel(to=NOON):
        start, end = clock.day_bounds(clock.today())
        for at, more in (
            (start, {"booked": 2, "held": 1}), (end - timedelta(minutes=1), {"booked": 6}), (end, {}),
            (start - timedelta(minutes=1), {}), (start + timedelta(hours=3), {"status": "cancelled"}),
        ):  # fmt: skip
            make_session(starts_at=at, **more)
        found = today.classes()
        page = Browser(app).sign_in("front_desk").get("/").get_data(as_text=True)
    assert [(c.starts_at, c.taken, c.capacity, c.full) for c in found.sessions] == [
        (start, 3, 6, False),
        (end - timedelta(minutes=1), 6, 6, True),
    ]
    assert (found.taken, found.capacity) == (9, 12)
    assert "今日课程 2 节" in page
    assert "已占 9 / 12 座" in page
    assert "已满" in page


def test_what_is_over_or_on_comes_before_full(app):
    with clock.travel(to=NOON):
        for hours in (-3, 0, 3):  # a class lasts an hour
            make_session(starts_at=NOON + timedelta(hours=hours, minutes=-10), booked=6)
        page = Browser(app).sign_in("front_desk").get("/").get_data(as_text=True)
    rows = page.partition('aria-label="今日课程"')[2].partition("</table>")[0]
    assert re.findall("已结束|上课中|已满", rows) == ["已结束", "上课中", "已满"]


def test_a_day_without_classes_says_so(app):
    page = Browser(app).sign_in("front_desk").get("/").get_data(as_text=True)
    assert "今天没有课" in page
    assert "今天没有课" not in Browser(app).sign_in("admin").get("/").get_data(as_text=True)


def test_hostile_names_of_courses_are_text(app):
    with transaction():
        kind = CourseType(code="x", name="x", created_at=clock.now())
        db.session.add(kind)
        db.session.flush()
        course = Course(
            course_type_id=kind.id, name="<script>alert(1)</script>", duration_minutes=60, price=Decimal(1),
            created_at=clock.now(),
        )  # fmt: skip
        db.session.add(course)
        db.session.flush()
        course_id = course.id
    make_session(course_id, starts_at=clock.day_bounds(clock.today())[0])
    assert "<script>alert" not in Browser(app).sign_in("manager").get("/").get_data(as_text=True)


@pytest.mark.parametrize(
    ("role", "shown", "hidden"),
    [
        ("finance", ["待审批的调整", "今日入账"], []),
        ("manager", ["待复核的变更", "今日入账", "待复核的逾时退款", "今日新预约"], []),
        ("front_desk", ["待补凭证", "今日入账", "长期欠费待联系"], ["待复核的变更", "待复核的逾时退款"]),
        ("admin", ["待复核的变更"], ["今日入账", "待审批的调整", "长期欠费待联系", "没人收到的消息"]),
    ],
)
def test_each_role_sees_its_share(app, role, shown, hidden):
    make_family(balance="10.00")
    text = Browser(app).sign_in(role).get("/").get_data(as_text=True)
    assert all(word in text for word in shown)
    assert not any(word in text for word in hidden)


def test_what_waits_comes_first_and_the_rest_is_one_line(app):
    make_family(balance="10.00")
    browser = Browser(app).sign_in("admin")
    calm = browser.get("/").get_data(as_text=True)
    assert "现在没有需要处理的" in calm
    assert "目前没有：" in calm
    assert 'class="stat' not in calm.partition("home-waiting")[2].partition("</div>")[0]
    changes.ask(name="overdraft_limit", value="1500.00", reason="寒假", actor=actor_of(make_staff("manager")))
    busy = Browser(app).sign_in("manager").get("/").get_data(as_text=True)
    tiles, _, rest = busy.partition("目前没有：")
    assert "待复核的变更" in tiles
    assert "待复核的变更" not in rest.partition("</p>")[0]


def test_system_page(app):
    browser = Browser(app).sign_in("admin")
    assert "outbox_sweep" in browser.get("/system").get_data(as_text=True)
    assert "<html" not in browser.htmx("/system").get_data(as_text=True)
