"""Booking, cancelling and taking leave, with money and seat together (B1–B11), on a real database."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
import sqlalchemy as sa

from app import clock
from app.db import RequestKey, db, transaction
from app.domain.audit.models import AuditEntry
from app.domain.bookings import attendance, cancel, errors, late, leave, place
from app.domain.bookings.models import Booking, BookingStatus, LateRefund
from app.domain.bookings.rules import Event
from app.domain.catalog.models import Course, CourseSchedule
from app.domain.credits.models import MakeupCredit
from app.domain.ledger import control
from app.domain.ledger.errors import OverdraftLimitExceeded, WalletFrozen
from app.domain.ledger.models import Wallet, WalletTransaction
from app.domain.outbox.models import Notification
from app.domain.people.models import Level, Profile
from app.domain.policy.models import PolicyValue
from app.errors import Conflict, Forbidden, Invalid, InvalidState, NotFound, Replayed, StepUpRequired
from tests.factories import BELONGING, belonging_to, make_course, make_family, make_level, make_session, parent_actor
from tests.portal import actor_of, make_staff

pytestmark = pytest.mark.usefixtures("app")


def book(family, schedule_id, **more):
    return place.book(
        schedule_id=schedule_id, profile_id=family.profile_ids[0], actor=more.pop("actor", parent_actor(family)), **more
    )


def session_of(schedule_id) -> CourseSchedule:
    return db.session.get(CourseSchedule, schedule_id, populate_existing=True)


def balance(family) -> Decimal:
    return db.session.scalar(sa.select(Wallet.balance).where(Wallet.id == family.wallet_id))


def nothing_changed(family, schedule_id, was="500.00") -> bool:
    return (
        balance(family) == Decimal(was)
        and session_of(schedule_id).booked == 0
        and not db.session.scalar(sa.select(sa.func.count(Booking.id)).where(Booking.family_id == family.id))
    )


def told(family, type_) -> list[Notification]:
    query = sa.select(Notification).where(Notification.family_id == family.id, Notification.type == type_)
    return list(db.session.scalars(query))


def test_seat_debit_and_booking_together():
    family, schedule_id = make_family(balance="500.00"), make_session()
    done = book(family, schedule_id)
    booking = db.session.get(Booking, done.booking_id)
    assert (booking.status, booking.kind, booking.source, booking.price) == (
        "booked",
        "regular",
        "wallet",
        Decimal(200),
    )
    assert done.balance == balance(family) == Decimal("300.00")
    assert session_of(schedule_id).booked == 1
    debit = db.session.get(WalletTransaction, booking.debit_id)
    assert (debit.type, debit.amount, debit.reference_type, debit.reference_id) == (
        "deduction", Decimal("-200.00"), "booking", str(booking.id))  # fmt: skip
    assert (debit.profile_id, debit.user_id) == (booking.profile_id, family.user_id)
    assert len(told(family, "booking_made")) == 1
    assert db.session.scalar(sa.select(AuditEntry.action).where(AuditEntry.target_type == "booking")) == "booking.made"


def test_a_free_class_moves_no_money():
    family, schedule_id = make_family(balance="10.00"), make_session(make_course(price="0.00"))
    done = book(family, schedule_id)
    assert db.session.get(Booking, done.booking_id).debit_id is None
    assert cancel.cancel(booking_id=done.booking_id, actor=parent_actor(family)).refund == 0
    assert balance(family) == Decimal("10.00")


def test_the_key_books_once():
    family, schedule_id = make_family(balance="500.00"), make_session()
    key = RequestKey("user:1", "k1", "print", present=lambda done: {"booking": done.booking_id})
    done = book(family, schedule_id, request_key=key)
    with pytest.raises(Replayed) as replay:
        book(family, schedule_id, request_key=key)
    assert replay.value.answer == {"booking": done.booking_id}
    assert balance(family) == Decimal("300.00")


# ── refusals, in their order (96.28) ────────────────────────────────────────────────────────────────


def test_no_such_session_or_student():
    family, other = make_family(balance="500.00"), make_family()
    with pytest.raises(errors.ScheduleNotFound):
        book(family, 999_999)
    with pytest.raises(NotFound):
        place.book(schedule_id=make_session(), profile_id=other.profile_ids[0], actor=parent_actor(family))
    with transaction():
        db.session.get(Profile, family.profile_ids[0]).status = "left"
    with pytest.raises(NotFound):
        book(family, make_session())


@pytest.mark.parametrize(
    ("columns", "refusal"),
    [
        ({"starts_in": timedelta(minutes=-1)}, errors.ScheduleStarted),
        ({"status": "cancelled"}, errors.ScheduleCancelled),
        ({"capacity": 1, "held": 1}, errors.SeatFull),
        ({"capacity": 1, "kept": 1}, errors.SeatFull),
    ],
)
def test_sessions_that_cannot_be_booked(columns, refusal):
    family, schedule_id = make_family(balance="500.00"), make_session(**columns)
    with pytest.raises(refusal):
        book(family, schedule_id)
    assert nothing_changed(family, schedule_id)


def test_a_trial_is_not_paid_from_the_wallet():
    family = make_family(balance="500.00")
    schedule_id = make_session(make_course(type_code="trial", is_trial=True))
    with pytest.raises(errors.TrialNeedsPayment):
        book(family, schedule_id)
    assert nothing_changed(family, schedule_id)


def test_twice_and_at_the_same_time():
    family = make_family(balance="900.00")
    starts_at = clock.now() + timedelta(days=2)
    first, other = make_session(starts_at=starts_at), make_session(starts_at=starts_at + timedelta(minutes=59))
    after = make_session(starts_at=starts_at + timedelta(minutes=60))
    book(family, first)
    with pytest.raises(errors.AlreadyBooked):
        book(family, first)
    with pytest.raises(errors.TimeConflict):
        book(family, other)
    book(family, after)
    assert balance(family) == Decimal("500.00")


def test_the_constraint_is_the_last_word(app):
    family, schedule_id = make_family(balance="900.00"), make_session()
    book(family, schedule_id)
    row = {"course_schedule_id": schedule_id, "profile_id": family.profile_ids[0], "family_id": family.id,
           "kind": "regular", "source": "wallet", "status": "booked", "price": Decimal("0.00"), "free_cancel": False,
           "created_at": clock.now()}  # fmt: skip
    with pytest.raises(sa.exc.IntegrityError), transaction() as current:
        current.connection.execute(Booking.__table__.insert(), row)
    with transaction() as current:  # one that is not live does not collide
        current.connection.execute(Booking.__table__.insert(), row | {"status": "cancelled"})


@pytest.mark.parametrize(
    ("course", "student", "confirmed", "allowed"),
    [("L1", None, False, True), ("L2", None, False, False), ("L2", "L2", False, False), ("L2", "L2", True, True),
     ("L1", "L2", True, True), ("L3", "L2", True, False), (None, None, False, True)],
)  # fmt: skip
def test_levels(course, student, confirmed, allowed):
    for name in ("L1", "L2", "L3"):
        make_level(name, int(name[1]))
    family, schedule_id = make_family(balance="500.00"), make_session(make_course(level=course))
    with transaction():
        profile = db.session.get(Profile, family.profile_ids[0])
        profile.level_id = db.session.scalar(sa.select(Level.id).where(Level.name == student)) if student else None
        profile.level_confirmed = confirmed
    if allowed:
        book(family, schedule_id)
    else:
        with pytest.raises(errors.LevelNotAllowed):
            book(family, schedule_id)
        assert nothing_changed(family, schedule_id)


def test_a_price_that_changed_is_shown_first():
    family, course_id = make_family(balance="500.00"), make_course()
    schedule_id = make_session(course_id)
    with transaction():
        db.session.get(Course, course_id).price = Decimal("260.00")
    with pytest.raises(errors.PriceChanged) as refusal:
        book(family, schedule_id, price=Decimal("200.00"))
    assert refusal.value.data == {"price": "260.00", "seen": "200.00"}
    assert nothing_changed(family, schedule_id)
    assert book(family, schedule_id, price=Decimal("260.00")).balance == Decimal("240.00")


def test_frozen_wallet_refuses():
    family, schedule_id = make_family(balance="500.00"), make_session()
    control.freeze(family_id=family.id, reason="核对", actor=actor_of(make_staff("manager")))
    with pytest.raises(WalletFrozen):
        book(family, schedule_id)
    assert nothing_changed(family, schedule_id)


def test_arrears_block_bypass_and_overdraft():
    family = make_family(balance="-600.00")
    manager = actor_of(make_staff("manager"))
    first, second, third = (make_session(starts_in=timedelta(days=d)) for d in (2, 3, 4))
    with pytest.raises(errors.ArrearsBlocked, match="您已欠费 ¥600.00，请先充值后再预约"):
        book(family, first)
    assert nothing_changed(family, first, "-600.00")
    assert len(told(family, "arrears")) >= 1
    control.grant_bypass(family_id=family.id, until=clock.today(), reason="已承诺转账", actor=manager)
    book(family, first)
    assert book(family, second).balance == Decimal("-1000.00")  # exactly the limit
    with pytest.raises(OverdraftLimitExceeded) as refusal:
        book(family, third)
    assert refusal.value.data == {"balance": "-1000.00", "limit": "1000.00", "shortfall": "200.00"}
    with clock.travel(by=timedelta(days=1)), pytest.raises(errors.ArrearsBlocked):
        book(family, third)  # the bypass ended by itself


def test_just_above_the_block_is_free():
    family = make_family(balance="-599.99")
    assert book(family, make_session()).balance == Decimal("-799.99")


def test_staff_book_and_a_manager_adds_a_seat():
    family, other, schedule_id = make_family(balance="500.00"), make_family(balance="500.00"), make_session(capacity=1)
    clerk, manager = actor_of(make_staff("front_desk")), actor_of(make_staff("manager"))
    done = book(family, schedule_id, actor=clerk)
    booking = db.session.get(Booking, done.booking_id)
    assert (booking.source, booking.user_id, booking.booked_by) == ("staff", None, clerk.id)
    with pytest.raises(Forbidden):
        book(other, schedule_id, actor=clerk, override_reason="兄弟一起上课")
    with pytest.raises(Invalid):
        book(other, schedule_id, actor=manager, override_reason="  ")
    extra = book(other, schedule_id, actor=manager, override_reason="兄弟一起上课")
    assert db.session.get(Booking, extra.booking_id).override_reason == "兄弟一起上课"
    session = session_of(schedule_id)
    assert (session.capacity, session.booked, session.override_seats) == (2, 2, 1)
    third = make_family(balance="500.00")
    with pytest.raises(errors.SeatFull, match="已加过 1 个座位"):
        book(third, schedule_id, actor=manager, override_reason="再加一个")
    assert session_of(schedule_id).capacity == 2
    with pytest.raises(Forbidden):
        book(third, make_session(), actor=actor_of(make_staff("auditor")))


# ── cancelling ──────────────────────────────────────────────────────────────────────────────────────


def test_cancelling_gives_back_once():
    family, schedule_id = make_family(balance="500.00"), make_session()
    done = book(family, schedule_id)
    gone = cancel.cancel(booking_id=done.booking_id, actor=parent_actor(family), reason="生病")
    assert (gone.refund, gone.balance, balance(family)) == (Decimal("200.00"), Decimal("500.00"), Decimal("500.00"))
    booking = db.session.get(Booking, done.booking_id)
    refund = db.session.get(WalletTransaction, booking.refund_id)
    assert (refund.type, refund.reverses_id, booking.end_reason) == ("refund", booking.debit_id, "生病")
    assert session_of(schedule_id).booked == 0
    assert "已退回钱包" in told(family, "booking_cancelled")[0].text
    with pytest.raises(InvalidState):
        cancel.cancel(booking_id=done.booking_id, actor=parent_actor(family))
    assert balance(family) == Decimal("500.00")
    book(family, schedule_id)  # and the seat can be had again


def test_the_cutoff_to_the_second():
    family = make_family(balance="900.00")
    starts_at = (clock.now() + timedelta(days=2)).replace(microsecond=0)
    late_id, exact_id = (
        book(family, make_session(starts_at=starts_at + timedelta(hours=3 * n))).booking_id for n in range(2)
    )
    with clock.travel(to=starts_at + timedelta(hours=3) - timedelta(hours=6)):
        assert cancel.cancel(booking_id=exact_id, actor=parent_actor(family)).refund == Decimal("200.00")
        with pytest.raises(errors.CancelTooLate, match="开课前6小时内不能取消.*请假"):
            cancel.cancel(booking_id=late_id, actor=parent_actor(family))
    with (
        clock.travel(to=starts_at - timedelta(hours=6) + timedelta(microseconds=1)),
        pytest.raises(errors.CancelTooLate),
    ):
        cancel.cancel(booking_id=late_id, actor=parent_actor(family))
    with transaction():
        db.session.get(Booking, late_id).free_cancel = True
    with clock.travel(to=starts_at - timedelta(seconds=1)):
        assert cancel.cancel(booking_id=late_id, actor=parent_actor(family)).refund == Decimal("200.00")


def test_nobody_cancels_for_another_family():
    family, other = make_family(balance="500.00"), make_family()
    done = book(family, make_session())
    for act in (cancel.cancel, leave.take_leave):
        with pytest.raises(errors.BookingNotFound):
            act(booking_id=done.booking_id, actor=parent_actor(other))
        with pytest.raises(errors.BookingNotFound):
            act(booking_id=999_999, actor=parent_actor(other))


def test_staff_cancel_late_with_and_without_money():
    family = make_family(balance="900.00")
    ids = [book(family, make_session(starts_in=timedelta(hours=h))).booking_id for h in (1, 3, 5)]
    clerk, finance = actor_of(make_staff("front_desk")), actor_of(make_staff("finance"))
    with pytest.raises(errors.CancelTooLate):
        cancel.cancel(booking_id=ids[0], actor=clerk, reason="x")
    with pytest.raises(Invalid):
        cancel.cancel(booking_id=ids[0], actor=clerk, late_refund=False)
    assert cancel.cancel(booking_id=ids[0], actor=clerk, reason="家长来电", late_refund=False).refund == 0
    with pytest.raises(Forbidden):
        cancel.cancel(booking_id=ids[1], actor=clerk, reason="家长来电", late_refund=True)
    stale = actor_of(make_staff("finance"), proof_age=3600)
    with pytest.raises(StepUpRequired):
        cancel.cancel(booking_id=ids[1], actor=stale, reason="家长来电", late_refund=True)
    with pytest.raises(errors.LateRefundNeedsSecond):
        cancel.cancel(booking_id=ids[1], actor=finance, reason="家长来电", late_refund=True)
    with transaction():
        db.session.add(PolicyValue(name="late_refund_limit", value="200.00", updated_at=clock.now(), updated_by="t"))
    assert cancel.cancel(booking_id=ids[1], actor=finance, reason="家长来电", late_refund=True).refund == 200
    assert balance(family) == Decimal("500.00")


def test_a_late_refund_takes_two():
    family = make_family(balance="500.00")
    booking_id = book(family, make_session(starts_in=timedelta(hours=1))).booking_id
    asker, other = actor_of(make_staff("finance")), actor_of(make_staff("manager"))
    with pytest.raises(Forbidden):
        late.ask(booking_id=booking_id, reason="病假", actor=actor_of(make_staff("front_desk")))
    with pytest.raises(Invalid):
        late.ask(booking_id=booking_id, reason=" ", actor=asker)
    request_id = late.ask(booking_id=booking_id, reason="病假", actor=asker)
    with pytest.raises(Conflict, match="等待复核"):
        late.ask(booking_id=booking_id, reason="病假", actor=other)
    assert balance(family) == Decimal("300.00")
    with pytest.raises(Forbidden):
        late.approve(request_id=request_id, actor=asker)
    with pytest.raises(Forbidden):
        late.withdraw(request_id=request_id, actor=other)
    done = late.approve(request_id=request_id, actor=other)
    assert (done.refund, balance(family)) == (Decimal("200.00"), Decimal("500.00"))
    with pytest.raises(InvalidState):
        late.approve(request_id=request_id, actor=other)
    with pytest.raises(errors.BookingNotFound):
        late.reject(request_id=999_999, note="x", actor=other)


@pytest.mark.parametrize("how", BELONGING)
def test_nobody_gives_money_back_late_to_their_own_family(how):
    family = make_family(balance="500.00", phone="13700001234")
    booking_id = book(family, make_session(starts_in=timedelta(hours=1))).booking_id
    mother = actor_of(make_staff("manager", **belonging_to(family, how)))
    acts = [
        lambda: late.ask(booking_id=booking_id, reason="病假", actor=mother),
        lambda: cancel.cancel(booking_id=booking_id, actor=mother, reason="病假", late_refund=True),
    ]
    request_id = late.ask(booking_id=booking_id, reason="病假", actor=actor_of(make_staff("finance")))
    acts += [
        lambda: late.approve(request_id=request_id, actor=mother),
        lambda: late.reject(request_id=request_id, note="x", actor=mother),
    ]
    for act in acts:
        with pytest.raises(Forbidden) as refusal:
            act()
        assert refusal.value.code == "OWN_FAMILY"
    assert balance(family) == Decimal("300.00")


def test_a_late_refund_rejected_withdrawn_or_overtaken():
    family = make_family(balance="900.00")
    ids = [book(family, make_session(starts_in=timedelta(hours=h))).booking_id for h in (1, 3, 5)]
    asker, other = actor_of(make_staff("finance")), actor_of(make_staff("manager"))
    requests = [late.ask(booking_id=booking_id, reason="病假", actor=asker) for booking_id in ids]
    with pytest.raises(Invalid):
        late.reject(request_id=requests[0], note="", actor=other)
    late.reject(request_id=requests[0], note="不符合规定", actor=other)
    late.withdraw(request_id=requests[1], actor=asker)
    leave.take_leave(booking_id=ids[2], actor=parent_actor(family))
    with pytest.raises(InvalidState):
        late.approve(request_id=requests[2], actor=other)
    late.reject(request_id=requests[2], note="已请假", actor=other)
    assert balance(family) == Decimal("300.00")
    states = db.session.scalars(sa.select(LateRefund.status).order_by(LateRefund.id)).all()
    assert states == ["rejected", "withdrawn", "rejected"]
    own = actor_of(make_staff("finance", family_id=family.id))
    with pytest.raises(Forbidden):
        late.ask(booking_id=ids[0], reason="病假", actor=own)
    request_id = late.ask(booking_id=ids[0], reason="病假", actor=asker)
    with pytest.raises(Forbidden):
        late.approve(request_id=request_id, actor=own)


def test_only_what_a_wallet_paid_is_given_back_late():
    family = make_family(balance="10.00")
    booking_id = book(family, make_session(make_course(price="0.00"), starts_in=timedelta(hours=1))).booking_id
    with pytest.raises(InvalidState):
        late.ask(booking_id=booking_id, reason="病假", actor=actor_of(make_staff("finance")))


# ── leave ───────────────────────────────────────────────────────────────────────────────────────────


def test_leave_makes_one_credit_and_moves_no_money():
    family, schedule_id = make_family(balance="500.00"), make_session(starts_in=timedelta(minutes=5))
    done = book(family, schedule_id)
    gone = leave.take_leave(booking_id=done.booking_id, actor=parent_actor(family), reason="发烧")
    credit = db.session.get(MakeupCredit, gone.credit_id)
    assert (credit.status, credit.minutes, credit.price, credit.booking_id) == ("available", 60, 200, done.booking_id)
    assert credit.valid_until - credit.created_at == timedelta(days=60)
    assert balance(family) == Decimal("300.00")
    assert session_of(schedule_id).booked == 0
    assert len(told(family, "makeup_credit")) == 1
    with pytest.raises(InvalidState):
        leave.take_leave(booking_id=done.booking_id, actor=parent_actor(family))
    with pytest.raises(InvalidState):
        cancel.cancel(booking_id=done.booking_id, actor=parent_actor(family))


def test_no_leave_once_it_began_nor_for_a_trial():
    family, schedule_id = make_family(balance="500.00"), make_session(starts_in=timedelta(minutes=5))
    done = book(family, schedule_id)
    with clock.travel(by=timedelta(minutes=6)), pytest.raises(errors.ScheduleStarted):
        leave.take_leave(booking_id=done.booking_id, actor=parent_actor(family))
    with transaction():
        db.session.get(Booking, done.booking_id).kind = "trial"
    with pytest.raises(errors.LeaveNotAllowed):
        leave.take_leave(booking_id=done.booking_id, actor=parent_actor(family))


def as_makeup(booking_id, credit_id):
    with transaction():
        booking = db.session.get(Booking, booking_id)
        booking.kind, booking.source, booking.credit_id, booking.debit_id = "makeup", "makeup_credit", credit_id, None
        db.session.get(MakeupCredit, credit_id).status = "used"


@pytest.mark.parametrize(("days", "status"), [(0, "available"), (61, "expired")])
@pytest.mark.parametrize("end", ["leave", "cancel"])
def test_a_makeup_given_up_restores_its_credit(days, status, end):
    family = make_family(balance="900.00")
    first = book(family, make_session())
    credit_id = leave.take_leave(booking_id=first.booking_id, actor=parent_actor(family)).credit_id
    with clock.travel(by=timedelta(days=days)):
        makeup = book(family, make_session(starts_in=timedelta(days=5)))
        as_makeup(makeup.booking_id, credit_id)
        if end == "leave":
            gone = leave.take_leave(booking_id=makeup.booking_id, actor=parent_actor(family))
            assert gone.credit_id == credit_id
        else:
            assert cancel.cancel(booking_id=makeup.booking_id, actor=parent_actor(family)).refund == 0
            assert "待补课已退回" in told(family, "booking_cancelled")[0].text
    assert db.session.get(MakeupCredit, credit_id).status == status


def test_a_cancelled_trial_waits_for_a_person():
    family = make_family(balance="500.00")
    done = book(family, make_session())
    with transaction():
        booking = db.session.get(Booking, done.booking_id)
        booking.kind, booking.source, booking.debit_id = "trial", "wechat_pay", None
    assert cancel.cancel(booking_id=done.booking_id, actor=parent_actor(family)).refund == 0
    card = db.session.scalar(sa.select(Notification).where(Notification.type == "staff.money_case"))
    assert card.title == "异常：体验课已取消，待退款判断"
    assert "体验课退款由馆方处理" in told(family, "booking_cancelled")[0].text


# ── the roll ────────────────────────────────────────────────────────────────────────────────────────


def test_marking_the_roll():
    family, clerk = make_family(balance="500.00"), actor_of(make_staff("front_desk"))
    starts_at = clock.day_bounds(clock.today() + timedelta(days=2))[0] + timedelta(hours=10)
    booking_id = book(family, make_session(starts_at=starts_at)).booking_id

    def mark(event):
        return attendance.mark(booking_id=booking_id, event=event, actor=clerk)

    with pytest.raises(errors.AttendanceTooEarly):
        mark(Event.ATTEND)
    with clock.travel(to=starts_at - timedelta(hours=2)):
        assert mark(Event.ATTEND) == mark(Event.ATTEND) == BookingStatus.ATTENDED
        assert mark(Event.MISS) == BookingStatus.ABSENT
        assert mark(Event.UNMARK) == mark(Event.UNMARK) == BookingStatus.BOOKED
        assert db.session.get(Booking, booking_id).marked_by is None
    with clock.travel(to=starts_at + timedelta(days=1)):
        assert mark(Event.ATTEND) == BookingStatus.ATTENDED  # a missing mark may come later
        with pytest.raises(errors.AttendanceClosed):
            mark(Event.MISS)
    with pytest.raises(InvalidState):
        cancel.cancel(booking_id=booking_id, actor=parent_actor(family))
    with pytest.raises(Forbidden):
        attendance.mark(booking_id=booking_id, event=Event.MISS, actor=actor_of(make_staff("auditor")))
    with pytest.raises(errors.BookingNotFound):
        attendance.mark(booking_id=999_999, event=Event.MISS, actor=clerk)
    count = sa.select(sa.func.count()).select_from(AuditEntry).where(AuditEntry.action == "booking.marked")
    assert db.session.scalar(count) == 4
