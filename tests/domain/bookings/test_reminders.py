"""The evening before a class: who is reminded, when, how often, and with what the family owes (B10)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from app import clock
from app.db import db, transaction
from app.domain.bookings import cancel, place, reminders
from app.domain.bookings.models import Booking
from app.domain.catalog.models import CourseSchedule
from app.domain.outbox.models import MessageConsent, Notification, NotificationPreference
from app.domain.people.models import User
from app.domain.policy.models import PolicyValue
from tests.factories import make_course, make_family, make_session, parent_actor
from tests.portal import actor_of, make_staff

pytestmark = pytest.mark.usefixtures("app")

#: 18:00 in the studio on 20 November
SIX = datetime(2026, 11, 20, 10, 0, tzinfo=UTC)
NOON = SIX - timedelta(hours=6)
#: 19:00 in the studio on the day after
CLASS = datetime(2026, 11, 21, 11, 0, tzinfo=UTC)


def book(family, schedule_id=None, *, at=NOON, actor=None, **more) -> int:
    with clock.travel(to=at):
        schedule_id = schedule_id or make_session(starts_at=more.pop("starts_at", CLASS))
        return place.book(
            schedule_id=schedule_id, profile_id=family.profile_ids[0], actor=actor or parent_actor(family)
        ).booking_id


def remind(at=SIX) -> int:
    with clock.travel(to=at):
        return reminders.remind()


def told(family, type="class_reminder") -> list[Notification]:
    query = sa.select(Notification).where(Notification.family_id == family.id, Notification.type == type)
    return list(db.session.scalars(query.where(Notification.status != "suppressed").order_by(Notification.id)))


def family_with(balance="500.00", **more):
    with clock.travel(to=NOON):
        return make_family(balance=balance, **more)


def test_the_evening_before_and_not_earlier():
    family = family_with()
    booking = book(family)
    assert remind(SIX - timedelta(seconds=1)) == 0
    assert remind(SIX) == 1
    [row] = told(family)
    assert row.payload["booking_id"] == booking
    assert row.page == f"pages/booking/detail?booking_id={booking}"
    assert row.text.startswith("张小明将于 2026年11月21日 19:00 上少儿体操")
    assert row.text.endswith("号馆。请穿运动服并带好水杯。")
    assert told(family, "arrears") == []


@pytest.mark.parametrize(
    ("starts_at", "expected"),
    [
        (datetime(2026, 11, 20, 15, 59, tzinfo=UTC), 0),  # tonight, 23:59
        (datetime(2026, 11, 20, 16, 0, tzinfo=UTC), 1),  # tomorrow, 00:00
        (datetime(2026, 11, 21, 15, 59, tzinfo=UTC), 1),  # tomorrow, 23:59
        (datetime(2026, 11, 21, 16, 0, tzinfo=UTC), 0),  # the day after
    ],
)
def test_tomorrow_is_the_studios_day(starts_at, expected):
    family = family_with()
    book(family, starts_at=starts_at)
    assert remind() == expected


def test_what_waits_is_counted_from_the_hour_on():
    family = family_with()
    book(family)
    with clock.travel(to=SIX - timedelta(seconds=1)):
        assert reminders.waiting() == 0
    with clock.travel(to=SIX):
        assert reminders.waiting() == 1
        reminders.remind()
        assert reminders.waiting() == 0


def test_run_twice_it_tells_once():
    family = family_with()
    book(family)
    assert [remind(), remind(), remind(SIX + timedelta(hours=3))] == [1, 0, 0]
    assert len(told(family)) == 1


def test_a_late_scheduler_catches_up_until_midnight():
    family = family_with()
    book(family)
    assert remind(datetime(2026, 11, 20, 15, 59, 59, tzinfo=UTC)) == 1
    other = family_with()
    book(other, starts_at=CLASS + timedelta(days=1))
    assert remind(datetime(2026, 11, 21, 16, 0, 1, tzinfo=UTC)) == 0  # it is the class's day now
    assert told(other) == []


def test_in_quiet_hours_it_waits_till_morning():
    family = family_with()
    book(family)
    with transaction():
        db.session.add(
            MessageConsent(user_id=family.user_id, type="class_reminder", remaining=1, updated_at=clock.now())
        )
    remind(datetime(2026, 11, 20, 14, 0, tzinfo=UTC))
    [row] = told(family)
    assert (row.status, row.next_attempt_at) == ("pending", datetime(2026, 11, 21, 0, 0, tzinfo=UTC))


def test_booked_after_that_time_has_its_message_of_today():
    family = family_with()
    book(family, at=SIX)
    assert remind(SIX + timedelta(minutes=5)) == 0
    assert told(family) == []
    assert len(told(family, "booking_made")) == 1


def test_what_ended_is_not_reminded_of():
    family, other = family_with(), family_with()
    booking, schedule_id = book(family), None
    with clock.travel(to=NOON):
        cancel.cancel(booking_id=booking, actor=parent_actor(family))
        schedule_id = make_session(starts_at=CLASS)
    book(other, schedule_id)
    with transaction():
        db.session.get(CourseSchedule, schedule_id).status = "cancelled"
    assert remind() == 0


def test_cancelled_between_the_look_and_the_lock(monkeypatch):
    family = family_with()
    booking = book(family)
    with clock.travel(to=NOON):
        cancel.cancel(booking_id=booking, actor=parent_actor(family))
    answers = iter([[booking], []])
    monkeypatch.setattr(reminders, "_due", lambda *_: next(answers))
    assert remind() == 0
    assert told(family) == []


def test_a_class_moved_between_the_look_and_the_lock(monkeypatch):
    family = family_with()
    booking = book(family, starts_at=CLASS + timedelta(days=1))
    answers = iter([[booking], []])
    monkeypatch.setattr(reminders, "_due", lambda *_: next(answers))
    assert remind() == 0
    assert db.session.scalar(sa.select(Booking.reminded_for)) is None


def test_a_class_moved_to_another_day_is_reminded_of_again():
    family = family_with()
    with clock.travel(to=NOON):
        schedule_id = make_session(starts_at=CLASS)
    book(family, schedule_id)
    remind()
    with transaction():
        session = db.session.get(CourseSchedule, schedule_id)
        session.starts_at, session.ends_at = CLASS + timedelta(days=4), CLASS + timedelta(days=4, hours=1)
    assert remind(SIX + timedelta(days=1)) == 0
    assert remind(SIX + timedelta(days=4)) == 1
    assert [row.payload["starts_at"][:10] for row in told(family)] == ["2026-11-21", "2026-11-25"]


def test_who_owes_reads_so_and_hears_of_it_once():
    family = family_with("100.00", students=("张小明", "张小雨"))
    for profile_id in family.profile_ids:
        with clock.travel(to=NOON):
            place.book(schedule_id=make_session(starts_at=CLASS), profile_id=profile_id, actor=parent_actor(family))
    later = SIX + timedelta(days=3)
    with transaction():
        db.session.execute(
            sa.update(CourseSchedule).values(starts_at=CLASS + timedelta(days=3), ends_at=CLASS + timedelta(days=4))
        )
    assert remind(later) == 2
    first, second = told(family)
    assert first.text.endswith("您的钱包已欠费 ¥300.00，请在上课前充值。")
    assert second.payload["owed"] == "300.00"
    [day0, before] = told(family, "arrears")
    assert (day0.payload["occasion"], before.payload["occasion"]) == ("first", "before_class")
    assert before.text == "您已预约的课程即将开始，钱包仍欠费 ¥300.00，请在上课前充值。"


def test_the_arrears_message_shares_the_familys_one_of_24_hours():
    family = family_with("100.00")
    book(family)  # 100.00 − 200.00: day 0 is told at noon
    assert remind() == 1
    assert [row.payload["occasion"] for row in told(family, "arrears")] == ["first"]
    assert told(family)[0].payload["occasion"] == "owing"  # the reminder itself says it all the same


def test_who_booked_is_told_and_all_parents_where_staff_did():
    family, other = family_with(), family_with()
    with clock.travel(to=NOON), transaction():
        for made in (family, other):
            db.session.add(
                User(family_id=made.id, openid=f"second-{made.id}", nickname="爸爸", registered_at=clock.now())
            )
    book(family)
    book(other, actor=actor_of(make_staff("front_desk")))
    assert remind() == 2
    assert [row.user_id for row in told(family)] == [family.user_id]
    assert len(told(other)) == 2


def test_the_new_family_is_told_of_a_student_who_moved():
    family, other = family_with(), family_with()
    booking = book(family)
    with transaction():
        db.session.get(Booking, booking).family_id = other.id
    assert remind() == 1
    assert [row.user_id for row in told(other)] == [other.user_id]


def test_who_turned_it_off_is_not_told():
    family = family_with()
    book(family)
    with transaction():
        db.session.add(
            NotificationPreference(user_id=family.user_id, type="class_reminder", enabled=False, updated_at=clock.now())
        )
    remind()
    assert told(family) == []


def test_the_hour_is_a_policy():
    family = family_with()
    book(family)
    with transaction():
        db.session.add(PolicyValue(name="class_reminder_at", value="20:30", updated_at=clock.now(), updated_by="test"))
    assert remind() == 0
    assert remind(SIX + timedelta(hours=2, minutes=30)) == 1


def test_hundreds_by_batch_reads(monkeypatch, statements):
    monkeypatch.setattr(reminders, "BATCH", 7)
    with clock.travel(to=NOON):
        schedule_id = make_session(make_course(), starts_at=CLASS, capacity=40)
    families = [family_with() for _ in range(20)]
    for family in families:
        book(family, schedule_id)
    statements.clear()
    assert remind() == 20
    assert sum("JOIN venues" in text for text in statements) == 3  # one look a batch, not one a booking
    assert all(len(told(family)) == 1 for family in families)
