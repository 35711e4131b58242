"""Cancelling a session: money, credits and messages once each, whatever happens in between (C2)."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
import sqlalchemy as sa

from app import clock
from app.db import RequestKey, db, transaction
from app.domain.bookings import attendance, errors, leave, place
from app.domain.bookings.models import Booking
from app.domain.bookings.rules import Event
from app.domain.catalog.models import CourseSchedule
from app.domain.changes import cancel_session as changes
from app.domain.changes.errors import RollBegun
from app.domain.credits.models import MakeupCredit
from app.domain.ledger import control, verify
from app.domain.ledger.models import Wallet, WalletTransaction
from app.domain.outbox.models import Notification
from app.errors import Forbidden, Invalid, InvalidState, StepUpRequired
from tests.factories import make_course, make_family, make_session, parent_actor
from tests.portal import actor_of, make_staff

pytestmark = pytest.mark.usefixtures("app")


def booked(schedule_id, balance="500.00"):
    family = make_family(balance=balance)
    done = place.book(schedule_id=schedule_id, profile_id=family.profile_ids[0], actor=parent_actor(family))
    return family, done.booking_id


def become(booking_id, kind):
    """A booking of another kind, as its own use case will make it."""
    with transaction():
        booking = db.session.get(Booking, booking_id)
        booking.kind, booking.debit_id = kind, None
        if kind == "makeup":
            credit = MakeupCredit(
                family_id=booking.family_id, profile_id=booking.profile_id, booking_id=booking_id, course_type_id=1,
                minutes=60, price=Decimal("200.00"), status="used", valid_until=clock.now() + timedelta(hours=1),
                created_at=clock.now(), updated_at=clock.now(),
            )  # fmt: skip
            credit.course_type_id = db.session.scalar(sa.text("SELECT MIN(id) FROM course_types"))
            db.session.add(credit)
            db.session.flush()
            booking.credit_id = credit.id
            return credit.id
    return None


def balance(family) -> Decimal:
    return db.session.scalar(sa.select(Wallet.balance).where(Wallet.family_id == family.id))


def told(family) -> list[str]:
    query = sa.select(Notification.text).where(
        Notification.family_id == family.id, Notification.type == "class_cancelled"
    )
    return list(db.session.scalars(query))


def test_every_kind_of_booking_once():
    manager, schedule_id = actor_of(make_staff("manager")), make_session()
    free_id = make_session(make_course(price="0.00"))
    paid, paid_booking = booked(schedule_id)
    makeup, makeup_booking = booked(schedule_id)
    trial, trial_booking = booked(schedule_id)
    gone, gone_booking = booked(schedule_id)
    credit_id = become(makeup_booking, "makeup")
    become(trial_booking, "trial")
    leave.take_leave(booking_id=gone_booking, actor=parent_actor(gone))
    seen = changes.preview(schedule_id)
    assert (seen.wallet, seen.makeup, seen.trial, seen.free, seen.families, seen.refund, seen.bookings) == (
        1, 1, 1, 0, 3, Decimal("200.00"), 3)  # fmt: skip
    done = changes.cancel_session(schedule_id=schedule_id, reason="教练生病", actor=manager)
    assert (done.settled, done.failed) == (3, 0)
    again = changes.cancel_session(schedule_id=schedule_id, reason="教练生病", actor=manager)
    assert (again.settled, changes.settle_left()) == (0, 0)
    assert (balance(paid), balance(makeup), balance(trial), balance(gone)) == (500, 300, 300, 300)
    booking = db.session.get(Booking, paid_booking)
    assert (booking.status, booking.end_reason) == ("cancelled", "教练生病")
    assert db.session.get(WalletTransaction, booking.refund_id).reverses_id == booking.debit_id
    credit = db.session.get(MakeupCredit, credit_id)
    assert credit.status == "available"
    assert credit.valid_until > clock.now() + timedelta(days=13)
    assert ["¥200.00已退回钱包" in one for one in told(paid)] == [True]
    assert ["待补课已退回" in one for one in told(makeup)] == [True]
    assert ["退款由馆方处理" in one for one in told(trial)] == [True]
    assert told(gone) == []
    card = db.session.scalar(sa.select(Notification).where(Notification.type == "staff.money_case"))
    assert "待退款判断" in card.title
    session = db.session.get(CourseSchedule, schedule_id, populate_existing=True)
    assert (session.status, session.booked, session.cancel_reason) == ("cancelled", 0, "教练生病")
    free, _ = booked(free_id, "10.00")
    changes.cancel_session(schedule_id=free_id, reason="场馆检修", actor=manager)
    assert ["不涉及费用" in one for one in told(free)] == [True]
    assert balance(free) == Decimal("10.00")
    db.session.rollback()
    assert verify.run(full=True, keep_anchor=False, actor=manager).sound


def test_refunds_whatever_the_cutoff_and_a_frozen_wallet():
    manager, schedule_id = actor_of(make_staff("manager")), make_session(starts_in=timedelta(minutes=10))
    family, _ = booked(schedule_id)
    control.freeze(family_id=family.id, reason="核对", actor=manager)
    changes.cancel_session(schedule_id=schedule_id, reason="停电", actor=manager)
    assert balance(family) == Decimal("500.00")


def test_what_a_killed_run_left_is_settled_by_the_job():
    manager, schedule_id = actor_of(make_staff("manager")), make_session()
    families = [booked(schedule_id)[0] for _ in range(3)]
    changes._close(schedule_id=schedule_id, reason="停电", actor=manager, request_key=None)
    with pytest.raises(errors.ScheduleCancelled):
        booked(schedule_id)
    assert changes.settle_left() == 3
    assert [balance(family) for family in families] == [500, 500, 500]


def test_one_family_that_cannot_be_settled_does_not_stop_the_others():
    manager, schedule_id = actor_of(make_staff("manager")), make_session()
    stuck, booking_id = booked(schedule_id)
    other, _ = booked(schedule_id)
    with transaction() as current:
        current.connection.execute(
            sa.update(Wallet.__table__).where(Wallet.__table__.c.id == stuck.wallet_id).values(status="closed")
        )
    done = changes.cancel_session(schedule_id=schedule_id, reason="停电", actor=manager)
    assert (done.settled, done.failed) == (1, 1)
    assert balance(other) == Decimal("500.00")
    assert db.session.get(Booking, booking_id).status == "booked"
    card = db.session.scalar(sa.select(Notification).where(Notification.type == "staff.cancel_unsettled"))
    assert card.title == "停课退款没有完成"


def test_who_may_and_when():
    schedule_id = make_session()
    for role in ("front_desk", "finance", "auditor", "admin"):
        with pytest.raises(Forbidden):
            changes.cancel_session(schedule_id=schedule_id, reason="停电", actor=actor_of(make_staff(role)))
    stale = actor_of(make_staff("manager"), proof_age=3600)
    with pytest.raises(StepUpRequired):
        changes.cancel_session(schedule_id=schedule_id, reason="停电", actor=stale)
    manager = actor_of(make_staff("manager"))
    with pytest.raises(Invalid):
        changes.cancel_session(schedule_id=schedule_id, reason=" ", actor=manager)
    with pytest.raises(errors.ScheduleNotFound):
        changes.cancel_session(schedule_id=999_999, reason="停电", actor=manager)
    over = make_session(starts_in=timedelta(hours=-3))
    with pytest.raises(InvalidState):
        changes.cancel_session(schedule_id=over, reason="停电", actor=manager)


def test_not_once_the_roll_has_begun():
    manager, schedule_id = actor_of(make_staff("manager")), make_session(starts_in=timedelta(hours=1))
    family, booking_id = booked(schedule_id)
    attendance.mark(booking_id=booking_id, event=Event.ATTEND, actor=manager)
    with pytest.raises(RollBegun):
        changes.cancel_session(schedule_id=schedule_id, reason="停电", actor=manager)
    assert balance(family) == Decimal("300.00")


def test_the_same_request_goes_on_where_it_was_stopped():
    manager, schedule_id = actor_of(make_staff("manager")), make_session()
    families = [booked(schedule_id)[0] for _ in range(2)]
    key = RequestKey(f"staff:{manager.id}", "1" * 32, "same", lambda _: {})
    changes._close(schedule_id=schedule_id, reason="停电", actor=manager, request_key=key)
    done = changes.cancel_session(schedule_id=schedule_id, reason="停电", actor=manager, request_key=key)
    assert (done.settled, done.failed) == (2, 0)
    assert [balance(family) for family in families] == [500, 500]


def test_nobody_is_marked_once_the_class_is_cancelled():
    manager, schedule_id = actor_of(make_staff("manager")), make_session(starts_in=timedelta(hours=1))
    family, booking_id = booked(schedule_id)
    changes._close(schedule_id=schedule_id, reason="停电", actor=manager, request_key=None)
    with pytest.raises(InvalidState, match="停课"):
        attendance.mark(booking_id=booking_id, event=Event.ATTEND, actor=manager)
    assert changes.settle_left() == 1
    assert balance(family) == Decimal("500.00")


def test_a_booking_that_a_parent_ended_first_is_left_as_it_is():
    manager, schedule_id = actor_of(make_staff("manager")), make_session()
    family, booking_id = booked(schedule_id)
    changes.cancel_session(schedule_id=schedule_id, reason="停电", actor=manager)
    assert changes._settle(booking_id=booking_id, actor=manager) is False
    assert balance(family) == Decimal("500.00")
