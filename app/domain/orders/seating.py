"""The seat of a paid order: its trial right, its hold or a free seat, the booking, and the word to the parent (O10)."""

from __future__ import annotations

from app.domain.audit.actor import Actor
from app.domain.bookings import place, students
from app.domain.bookings.errors import AlreadyBooked, TimeConflict
from app.domain.bookings.models import BookingKind, BookingSource
from app.domain.catalog.facts import SessionFacts
from app.domain.catalog.models import ScheduleStatus
from app.domain.orders import claims
from app.domain.orders.claims import Taken
from app.domain.orders.locking import HeldOrder
from app.domain.orders.models import PaymentMethod
from app.domain.outbox import service as outbox
from app.domain.seats import holds
from app.domain.seats.models import ReservationStatus


def reclaim(held: HeldOrder) -> str | None:
    """An ended order is live again: it needs its trial right back, which another may have by now."""
    order = held.order
    names = claims.identities(order.user_id, order.profile_id)
    holders = [one for one in claims.holders(names) if one.id != order.id]
    if any(one.live(held.now) for one in holders):
        return "家长已另有一笔体验课订单"
    try:
        claims.claim(names, order.id, replacing=[order.id, *(one.id for one in holders)])
    except Taken:
        return "家长已另有一笔体验课订单"
    return None


def give(held: HeldOrder, actor: Actor) -> tuple[int | None, str | None]:
    """(booking, None), or (None, why there is no seat)."""
    session, live, left = held.session, held.live_hold, held.reservation
    if left is not None and live is None:
        holds.end(left, ReservationStatus.EXPIRED, held.now)
    reason = _why_not(held, live is not None)
    if reason is None and live is None and not place.take_seat(session):
        reason = "这节课已满"
    if reason is not None:
        if live is not None:
            holds.end(live, ReservationStatus.CANCELLED, held.now)
        return None, reason
    if live is not None:
        holds.confirm(live, held.now)
    booking_id = book(held, session, actor)
    return booking_id, None


def _why_not(held: HeldOrder, promised: bool) -> str | None:
    """Why the student cannot have a seat of this session; a promised one is refused only where it cannot be kept."""
    session = held.session
    if session.status == ScheduleStatus.CANCELLED:
        return "这节课已取消"
    if held.now >= session.starts_at:
        return "这节课已开始"
    try:
        students.check_free_at(held.student.id, session.id, session.starts_at, session.ends_at)
    except AlreadyBooked:
        return "学员已有这节课的座位"
    except TimeConflict:
        return None if promised else "学员在这个时间已有其他课程"
    return None


def book(held: HeldOrder, session: SessionFacts, actor: Actor) -> int:
    """The order's booking, on a seat that was taken. Raises AlreadyBooked."""
    order = held.order
    offline = order.payment_method == PaymentMethod.OFFLINE
    return place.insert(
        session, held.student, actor, kind=BookingKind.TRIAL, price=order.amount, order_id=order.order_id,
        user_id=order.user_id, source=BookingSource.STAFF if offline else BookingSource.WECHAT_PAY,
    )  # fmt: skip


def tell_booked(held: HeldOrder, session: SessionFacts) -> None:
    """The parent hears of the order's booking."""
    order = held.order
    outbox.tell_family(
        order.family_id, "booking_made",
        {"course": session.course_name, "starts_at": session.starts_at.isoformat(), "student": held.student.name,
         "venue": session.venue_name, "booking_id": order.booking_id},
        dedupe=f"booking{order.booking_id}", user_id=order.user_id,
    )  # fmt: skip
