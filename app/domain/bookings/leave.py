"""Leave: giving up a seat until the start, for a makeup credit and no money (B4, B11)."""

from __future__ import annotations

from dataclasses import dataclass

from app.db import RequestKey, db_now, transactional
from app.domain.audit.actor import Actor, ActorType
from app.domain.bookings import ending, rules
from app.domain.bookings.errors import LeaveNotAllowed, ScheduleStarted
from app.domain.bookings.models import BookingKind
from app.domain.bookings.rules import Event
from app.domain.credits import service as credits
from app.text import clean

REASON_LENGTH = 200


@dataclass(frozen=True, slots=True)
class OnLeave:
    booking_id: int
    credit_id: int


@transactional
def take_leave(
    *, booking_id: int, actor: Actor, reason: str | None = None, request_key: RequestKey | None = None
) -> OnLeave:
    """Give up a booked class before it starts. A makeup given up restores its credit; everything else makes one.

    Raises BookingNotFound, LeaveNotAllowed for a trial, InvalidState, ScheduleStarted, Forbidden.
    """
    reason = clean(reason, REASON_LENGTH) or None
    held = ending.hold(booking_id, actor)
    booking = held.booking
    if booking.kind == BookingKind.TRIAL:
        raise LeaveNotAllowed
    status = rules.next_status(booking.status, Event.LEAVE)
    now = db_now()
    if now >= held.session.starts_at:
        raise ScheduleStarted("这节课已经开始，不能再请假")
    before = booking.status
    ending.end(held, status, actor, now, reason)
    credit = ending.restore_credit(held, actor, now)
    if credit is None:
        acting = actor.id if actor.type == ActorType.PARENT else booking.user_id
        credit = credits.grant(held.missed, actor, now, user_id=acting)
    ending.record(held, "booking.on_leave", actor, old_status=before, reason=reason)
    return OnLeave(booking.id, credit.id)
