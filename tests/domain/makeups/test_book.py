"""Booking and ending makeups: seat, credit and minutes together (M1, M3–M7), on a real database."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
import sqlalchemy as sa

from app import clock
from app.db import db, transaction
from app.domain.audit.models import AuditEntry
from app.domain.bookings import cancel, leave, place
from app.domain.bookings.errors import (
    AlreadyBooked,
    BookingNotFound,
    CancelTooLate,
    LevelNotAllowed,
    ScheduleCancelled,
    ScheduleNotFound,
    ScheduleStarted,
    SeatFull,
    TimeConflict,
)
from app.domain.bookings.models import Booking
from app.domain.catalog.models import CourseSchedule
from app.domain.changes import cancel_session
from app.domain.credits.errors import CreditExpired, CreditNotFound, NoCredit, NotEnoughCompensation, ShorterClass
from app.domain.credits.models import CompensationLot, CompensationUsage
from app.domain.makeups import book
from app.domain.makeups.errors import TypeNotAllowed
from app.domain.outbox.models import Notification
from app.domain.people.models import Profile
from app.domain.policy.models import PolicyValue
from app.errors import Forbidden, Invalid, NotFound
from tests.domain.makeups.steps import Away, whole
from tests.factories import make_course, make_family, make_level, make_session, parent_actor
from tests.portal import actor_of, make_staff

pytestmark = pytest.mark.usefixtures("app")


def booked(schedule_id: int) -> int:
    return db.session.scalar(sa.select(CourseSchedule.booked).where(CourseSchedule.id == schedule_id))


def test_the_story_of_the_minutes():
    """120 minutes missed, 90 made up, 30 earned; another 120 missed, 150 made up with them; cancelled, they return."""
    one = Away(120, 120)
    short, long = one.session(90), one.session(150)
    with pytest.raises(ShorterClass, match=r"本课程仅1.5小时，比您原课程少0.5小时，是否确认预约？") as asked:
        one.book(short)
    assert asked.value.data == {"minutes": 90, "duration_difference": -30, "earned": 30}
    first = one.book(short, accept_shorter=True)
    assert (first.difference, first.used, first.earned, first.remaining) == (-30, 0, 30, 30)
    second = one.book(long, 1, use_compensation=True)
    assert (second.difference, second.used, second.earned, second.remaining) == (30, 30, 0, 0)
    assert (one.minutes, one.lots) == (0, [(30, 0)])
    cancel.cancel(booking_id=second.booking_id, actor=one.actor)
    assert (one.minutes, one.lots) == (30, [(30, 30)])
    assert one.history == [("earned", 30), ("used", -30), ("returned", 30)]
    assert one.credit(1).status == "available"
    whole()


def test_seat_credit_and_booking_together_without_money():
    one = Away(60)
    schedule_id = one.session(60)
    made = one.book(schedule_id)
    row = db.session.get(Booking, made.booking_id)
    assert (row.kind, row.source, row.price, row.debit_id, row.credit_id) == (
        "makeup", "makeup_credit", Decimal("0.00"), None, one.credits[0],
    )  # fmt: skip
    assert (one.credit().status, booked(schedule_id)) == ("used", 1)
    actions = list(db.session.scalars(sa.select(AuditEntry.action).order_by(AuditEntry.id.desc()).limit(2)))
    assert actions == ["makeup.booked", "credit.used"]
    told = sa.select(sa.func.count()).where(
        Notification.type == "booking_made", Notification.family_id == one.family.id
    )
    assert db.session.scalar(told) == 2


def test_a_credit_is_found_by_the_booking_it_stands_for():
    one = Away(60)
    made = book.book(
        schedule_id=one.session(60), profile_id=one.profile_id, original_booking_id=one.credit().booking_id,
        actor=one.actor,
    )  # fmt: skip
    assert made.credit_id == one.credits[0]


@pytest.mark.parametrize(
    ("missed", "offered", "earned", "needed"),
    [
        (60, 60, 0, 0), (60, 50, 15, 0), (60, 45, 15, 0), (60, 44, 30, 0), (60, 74, 0, 0), (60, 75, 0, 15),
        (60, 100, 0, 30),
    ],
)  # fmt: skip
def test_minutes_are_rounded_for_the_parent(missed, offered, earned, needed):
    one = Away(missed)
    schedule_id = one.session(offered)
    if needed:
        with pytest.raises(NotEnoughCompensation) as refusal:
            one.book(schedule_id, accept_shorter=True, use_compensation=True)
        assert refusal.value.data == {"needed": needed, "available": 0, "missing": needed}
    else:
        assert one.book(schedule_id, accept_shorter=True).earned == earned


def test_a_longer_class_needs_minutes_and_consent_to_use_them():
    one = Away(60, 90)
    long = one.session(90)
    with pytest.raises(NotEnoughCompensation, match=r"本课程比您原课程多0\.5小时，课时补偿还差0\.5小时"):
        one.book(long, use_compensation=True)
    one.book(one.session(60), 1, accept_shorter=True)
    with pytest.raises(NotEnoughCompensation, match=r"需使用0\.5小时课时补偿") as refusal:
        one.book(long)
    assert refusal.value.data == {"needed": 30, "available": 30, "missing": 0}
    assert (one.credit().status, booked(long), one.minutes) == ("available", 0, 30)


def test_a_manager_waives_the_minutes_with_a_reason():
    one = Away(60)
    long = one.session(90)
    manager, clerk = actor_of(make_staff("manager")), actor_of(make_staff("front_desk"))
    with pytest.raises(Forbidden):
        one.book(long, actor=clerk, waive_reason="老会员")
    with pytest.raises(Invalid):
        one.book(long, actor=manager, waive_reason="  ")
    made = one.book(long, actor=manager, waive_reason="老会员")
    assert (made.used, made.earned, made.remaining) == (0, 0, 0)
    entry = db.session.scalar(sa.select(AuditEntry).where(AuditEntry.action == "makeup.booked"))
    assert entry.reason == "老会员"


def test_the_lot_that_ends_first_is_used_first_and_the_last_one_partly():
    one = Away(90, 90, 60)
    for number in (0, 1):
        one.book(one.session(60), number, accept_shorter=True)
    first, second = db.session.scalars(sa.select(CompensationLot).order_by(CompensationLot.id))
    with transaction():
        db.session.get(CompensationLot, second.id).expires_at -= timedelta(days=5)
    made = one.book(one.session(105), 2, use_compensation=True)
    assert made.used == 45
    assert one.lots == [(30, 15), (30, 0)]
    usages = db.session.execute(sa.select(CompensationUsage.lot_id, CompensationUsage.minutes)).all()
    assert usages == [(second.id, 30), (first.id, 15)]
    whole()


def test_ended_minutes_are_not_there():
    one = Away(90, 60)
    one.book(one.session(60), accept_shorter=True)
    later = one.session(90, starts_in=timedelta(days=40))
    with clock.travel(by=timedelta(days=14, seconds=1)), pytest.raises(NotEnoughCompensation):
        one.book(later, 1, use_compensation=True)


# ── giving back ─────────────────────────────────────────────────────────────────────────────────────


def test_a_cancelled_shorter_class_takes_back_what_it_gave():
    one = Away(90)
    made = one.book(one.session(60), accept_shorter=True)
    cancel.cancel(booking_id=made.booking_id, actor=one.actor)
    assert (one.minutes, one.history) == (0, [("earned", 30), ("returned", -30)])
    assert one.credit().status == "available"
    whole()


def test_cancelled_after_its_minutes_were_spent_nothing_goes_below_zero_and_nothing_is_left_over():
    one = Away(90, 60)
    short = one.book(one.session(60), accept_shorter=True)
    long = one.book(one.session(75), 1, use_compensation=True)
    cancel.cancel(booking_id=short.booking_id, actor=one.actor)
    assert one.minutes == 0
    cancel.cancel(booking_id=long.booking_id, actor=one.actor)
    # 15 came back and went where they came from: both classes are to be made up again, so no minutes are owed.
    assert (one.minutes, one.lots) == (0, [(30, 0)])
    assert one.history == [("earned", 30), ("used", -15), ("returned", -15), ("returned", 15), ("returned", -15)]
    whole()


def test_returned_minutes_live_at_least_a_day():
    one = Away(90, 60)
    one.book(one.session(60), accept_shorter=True)
    long = one.session(75, starts_in=timedelta(days=30))
    made = one.book(long, 1, use_compensation=True)
    end = db.session.scalar(sa.select(CompensationLot.expires_at))
    with clock.travel(to=end - timedelta(hours=1)):
        cancel.cancel(booking_id=made.booking_id, actor=one.actor)
        # The 15 unused ones of the old lot still end with it.
        assert (one.minutes, one.lots) == (30, [(30, 15), (15, 15)])
    with clock.travel(to=end + timedelta(hours=22)):
        assert one.minutes == 15
    with clock.travel(to=end + timedelta(hours=23)):
        assert one.minutes == 0
    whole()


def test_a_makeup_is_cancelled_until_six_hours_before_and_leave_returns_the_credit():
    one = Away(90)
    schedule_id = one.session(60, starts_in=timedelta(hours=5))
    made = one.book(schedule_id, accept_shorter=True)
    end = one.credit().valid_until
    with pytest.raises(CancelTooLate, match="请假"):
        cancel.cancel(booking_id=made.booking_id, actor=one.actor)
    done = leave.take_leave(booking_id=made.booking_id, actor=one.actor)
    assert done.credit_id == one.credits[0]
    assert (one.credit().status, one.credit().valid_until, one.minutes) == ("available", end, 0)
    assert booked(schedule_id) == 0


def test_given_back_after_its_end_a_credit_is_expired():
    one = Away(60)
    made = one.book(one.session(60, starts_in=timedelta(days=59)))
    with transaction():
        one.credit().valid_until = clock.now() - timedelta(seconds=1)
    cancel.cancel(booking_id=made.booking_id, actor=one.actor)
    assert one.credit().status == "expired"
    assert one.credit().ended_at is not None


def test_a_session_that_the_studio_cancels_gives_back_credit_and_minutes():
    one = Away(90, 60)
    one.book(one.session(60), accept_shorter=True)
    long = one.session(90)
    one.book(long, 1, use_compensation=True)
    manager = actor_of(make_staff("manager"))
    cancel_session.cancel_session(schedule_id=long, reason="教练生病", actor=manager)
    assert (one.credit(1).status, one.minutes) == ("available", 30)
    whole()


# ── refusals ────────────────────────────────────────────────────────────────────────────────────────


def test_refusals_change_nothing():
    make_level("L1", 1), make_level("L2", 2)
    one = Away(60, level="L1")
    busy = one.session(60, starts_in=timedelta(days=30))
    place.book(schedule_id=busy, profile_id=one.profile_id, actor=one.actor)
    at = db.session.scalar(sa.select(CourseSchedule.starts_at).where(CourseSchedule.id == busy))
    full = one.session(60, capacity=1)
    other = make_family(balance="500.00")
    place.book(schedule_id=full, profile_id=other.profile_ids[0], actor=parent_actor(other))
    called_off = one.session(60, status="cancelled")
    before = one.credit().updated_at
    for schedule_id, refusal in (
        (999_999, ScheduleNotFound),
        (called_off, ScheduleCancelled),
        (one.session(60, starts_in=timedelta(seconds=-1)), ScheduleStarted),
        (one.session(60, starts_in=timedelta(days=61)), CreditExpired),
        (one.session(60, type_code="vip"), TypeNotAllowed),
        (one.session(60, type_code="trial", is_trial=True), TypeNotAllowed),
        (busy, AlreadyBooked),
        (one.session(60, starts_at=at + timedelta(minutes=30)), TimeConflict),
        (one.session(60, level="L2"), LevelNotAllowed),
        (full, SeatFull),
    ):
        with pytest.raises(refusal):
            one.book(schedule_id)
    assert (one.credit().status, one.credit().updated_at) == ("available", before)


def test_a_student_below_the_missed_class_gets_no_more_than_their_own_level():
    make_level("L1", 1), make_level("L2", 2)
    one = Away(60)
    with pytest.raises(LevelNotAllowed):
        one.book(one.session(60, level="L2"))
    level_id = make_level("L2", 2)
    with transaction():
        profile = db.session.get(Profile, one.profile_id)
        profile.level_id, profile.level_confirmed = level_id, True
    assert one.book(one.session(60, level="L2")).booking_id


def test_whose_credit_it_is():
    one, other = Away(60), Away(60)
    schedule_id = one.session(60)
    with pytest.raises(CreditNotFound):
        book.book(schedule_id=schedule_id, profile_id=one.profile_id, credit_id=other.credits[0], actor=one.actor)
    for foreign in (other.credit().booking_id, 10**9):
        with pytest.raises(BookingNotFound):
            book.book(schedule_id=schedule_id, profile_id=one.profile_id, original_booking_id=foreign, actor=one.actor)
    with pytest.raises(NotFound):
        book.book(schedule_id=schedule_id, profile_id=other.profile_id, credit_id=other.credits[0], actor=one.actor)
    kept = place.book(schedule_id=one.session(60), profile_id=one.profile_id, actor=one.actor).booking_id
    with pytest.raises(NoCredit):
        book.book(schedule_id=schedule_id, profile_id=one.profile_id, original_booking_id=kept, actor=one.actor)
    with pytest.raises(Forbidden):
        one.book(schedule_id, actor=actor_of(make_staff("auditor")))


def test_a_used_credit_and_an_ended_one():
    one = Away(60)
    one.book(one.session(60))
    with pytest.raises(NoCredit):
        one.book(one.session(60))
    two = Away(60)
    soon = two.session(60)
    with transaction():
        two.credit().valid_until = clock.now()
    with pytest.raises(CreditExpired, match="已于"):
        two.book(soon)


def test_staff_book_for_a_parent_and_a_manager_passes_a_full_class():
    one = Away(60)
    full = make_session(make_course(), capacity=1)
    other = make_family(balance="500.00")
    place.book(schedule_id=full, profile_id=other.profile_ids[0], actor=parent_actor(other))
    made = one.book(full, actor=actor_of(make_staff("manager")), override_reason="店长特批")
    row = db.session.get(Booking, made.booking_id)
    assert (row.override_reason, row.source, row.user_id) == ("店长特批", "makeup_credit", None)
    assert row.booked_by is not None


def test_shortening_the_validity_leaves_living_credits_alone():
    one = Away(60)
    end = one.credit().valid_until
    with transaction():
        db.session.add(PolicyValue(name="makeup_credit_ttl", value="1d", updated_at=clock.now(), updated_by="test"))
    one.miss(60)
    assert one.credit(0).valid_until == end
    assert one.credit(1).valid_until < end
    assert one.book(one.session(60, starts_in=timedelta(days=50))).booking_id
