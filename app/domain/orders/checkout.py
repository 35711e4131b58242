"""A trial order and its hold, in one transaction; and a new hold after a lapsed one (O1, O2, O5)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from app import ids, money
from app.db import RequestKey, db, db_now, transactional
from app.domain.audit import service as audit
from app.domain.audit.actor import Actor
from app.domain.bookings import place, students
from app.domain.bookings import rules as booking_rules
from app.domain.bookings.errors import ScheduleNotFound
from app.domain.bookings.students import Student
from app.domain.catalog import facts
from app.domain.catalog.facts import SessionFacts
from app.domain.orders import claims, rules
from app.domain.orders.claims import Taken
from app.domain.orders.errors import (
    AmountMismatch,
    NotATrialClass,
    OrderExpired,
    OrderNotPayable,
    TrialAlreadyBooked,
)
from app.domain.orders.locking import hold_order
from app.domain.orders.models import OrderStatus, PaymentMethod, PaymentOrder
from app.domain.policy import service as policy
from app.domain.policy import switches
from app.domain.policy.switches import Capability
from app.domain.seats import holds, refusals
from app.domain.seats.models import ReservationStatus, SeatReservation


@dataclass(frozen=True, slots=True)
class Checkout:
    """`created` is False where a pending order of the same session was given back (96.44)."""

    order_id: str
    created: bool


@refusals.noted
def create(
    *,
    schedule_id: int,
    profile_id: int,
    actor: Actor,
    amount: Decimal | None = None,
    request_key: RequestKey | None = None,
) -> Checkout:
    """Order a trial class for a student, with a seat held meanwhile. `amount` in yuan is what the phone showed.

    Raises AmountMismatch, NotFound, ScheduleNotFound, NotATrialClass, TrialAlreadyBooked, FeatureOff,
    ScheduleCancelled, ScheduleStarted, AlreadyBooked, TimeConflict, SeatFull.
    """
    if amount is not None and amount != rules.TRIAL_PRICE:
        right = money.plain(rules.TRIAL_PRICE)
        raise AmountMismatch(f"体验课价格为 {right} 元", data={"amount": right}, errors={"amount": [f"应为 {right}"]})
    asked = {"schedule_id": schedule_id, "profile_id": profile_id, "actor": actor, "request_key": request_key}
    try:
        return _create(**asked)
    except Taken:
        # A twin of this request claimed first and has committed: it is seen now, and given back or refused.
        try:
            return _create(**asked)
        except Taken as error:
            raise TrialAlreadyBooked from error


@transactional
def _create(*, schedule_id: int, profile_id: int, actor: Actor, request_key: RequestKey | None) -> Checkout:
    student = students.lock(profile_id, actor)
    session = facts.of_session(schedule_id)
    if session is None:
        raise ScheduleNotFound
    if not session.is_trial:
        raise NotATrialClass
    now = db_now()
    names = claims.identities(actor.id, profile_id)
    holders = claims.holders(names)
    living = [one for one in holders if one.live(now)]
    for one in living:
        if one.status == OrderStatus.PENDING and one.schedule_id == schedule_id and one.family_id == actor.family_id:
            return Checkout(one.order_id, created=False)
    if living:
        raise TrialAlreadyBooked
    # An order that nobody could pay would only keep a seat from others.
    for which in (Capability.TRIAL_ORDER, Capability.PAYMENT):
        switches.require_for(actor, which)
    booking_rules.check_session(session.status, session.starts_at, now, is_trial=False)
    students.check_free(student, session)
    if not holds.take_seat(session.id, starts_at=session.starts_at):
        raise place.full(session.waiting, session.waitlist_capacity)
    order = _add(session, student, actor, now, actor.id, names, [one.id for one in holders])
    return Checkout(order.order_id, created=True)


def on_seat(session: SessionFacts, student: Student, *, user_id: int, actor: Actor, now: datetime) -> PaymentOrder:
    """Building block: the order of a trial on a seat that is held for it already (96.62). `user_id` pays. Raises
    TrialAlreadyBooked, Taken."""
    names = claims.identities(user_id, student.id)
    holders = claims.holders(names)
    if any(one.live(now) for one in holders):
        raise TrialAlreadyBooked
    return _add(session, student, actor, now, user_id, names, [one.id for one in holders])


def _add(
    session: SessionFacts, student: Student, actor: Actor, now: datetime, user_id: int, names: list[str],
    replacing: list[int],
) -> PaymentOrder:  # fmt: skip
    order = _add_order(session, student, user_id, now)
    claims.claim(names, order.id, replacing=replacing)
    hold = _add_hold(order, now)
    audit.record(
        actor, "order.created", target_type="order", target_id=order.order_id, order_id=order.order_id,
        family_id=order.family_id, new_status=OrderStatus.PENDING,
        after={"schedule": session.id, "profile": student.id, "amount": money.plain(order.amount),
               "expires_at": order.expires_at.isoformat(), "hold_until": hold.expires_at.isoformat()},
    )  # fmt: skip
    return order


def _add_order(session: SessionFacts, student: Student, user_id: int, now: datetime) -> PaymentOrder:
    order = PaymentOrder(
        order_id=ids.new_hex(), user_id=user_id, family_id=student.family_id, profile_id=student.id,
        course_schedule_id=session.id, amount=rules.TRIAL_PRICE, currency="CNY", status=OrderStatus.PENDING,
        payment_method=PaymentMethod.WECHAT_PAY, description=f"体验课：{session.course_name}"[:127],
        # Nobody pays for a class that has begun.
        closing=False, shipping_tries=0, expires_at=min(now + policy.get("order_ttl"), session.starts_at),
        created_at=now, updated_at=now,
    )  # fmt: skip
    db.session.add(order)
    db.session.flush()
    return order


def _add_hold(order: PaymentOrder, now: datetime) -> SeatReservation:
    # A hold never outlives its order (96.43).
    ends = min(now + policy.get("hold_ttl"), order.expires_at)
    return holds.add(
        order_id=order.id, schedule_id=order.course_schedule_id, user_id=order.user_id, now=now, expires_at=ends
    )


@transactional
def reserve(*, order_id: str, actor: Actor, request_key: RequestKey | None = None) -> str:
    """The live hold of a pending order, or a new one (O5); returns the order's number.

    Raises OrderNotFound, OrderExpired, OrderNotPayable, ScheduleCancelled, ScheduleStarted, SeatFull.
    """
    held = hold_order(order_id, actor)
    order, session = held.order, held.session
    if rules.is_over(order.status, order.expires_at, held.now):
        raise OrderExpired
    if order.status != OrderStatus.PENDING:
        raise OrderNotPayable(f"订单{rules.STATUS_TEXTS[order.status]}，不需要再占座")
    if held.live_hold is not None:
        return order_id
    booking_rules.check_session(session.status, session.starts_at, held.now, is_trial=False)
    students.check_free_at(order.profile_id, session.id, session.starts_at, session.ends_at)
    if held.reservation is not None:
        holds.end(held.reservation, ReservationStatus.EXPIRED, held.now)
    if not holds.take_seat(session.id, starts_at=session.starts_at):
        raise place.full(session.waiting, session.waitlist_capacity)
    hold = _add_hold(order, held.now)
    audit.record(
        actor, "order.reserved", target_type="order", target_id=order_id, order_id=order_id,
        family_id=order.family_id, after={"hold_until": hold.expires_at.isoformat()},
    )  # fmt: skip
    return order_id
