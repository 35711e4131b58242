"""The class roll: who came and who did not (C5)."""

from __future__ import annotations

import sqlalchemy as sa

from app.db import RequestKey, db, db_now, lock_row, transactional
from app.domain.audit import service as audit
from app.domain.audit.actor import Actor
from app.domain.bookings import rules
from app.domain.bookings.errors import AttendanceClosed, AttendanceTooEarly, BookingNotFound
from app.domain.bookings.models import Booking, BookingStatus
from app.domain.bookings.rules import Event
from app.domain.catalog.models import CourseSchedule, ScheduleStatus
from app.domain.people import roles
from app.domain.people.roles import Permission
from app.errors import InvalidState


@transactional
def mark(*, booking_id: int, event: Event, actor: Actor, request_key: RequestKey | None = None) -> BookingStatus:
    """Mark a student as there (`attend`), not there (`miss`), or take the mark back (`unmark`).

    From two hours before the class; a mark can be changed until the studio day of the class is over, a missing one
    can be made later as well. The same mark twice changes nothing. Raises BookingNotFound, InvalidState,
    AttendanceTooEarly, AttendanceClosed, Forbidden.
    """
    roles.require(actor, Permission.BOOKING_MAKE)
    schedule_id = db.session.scalar(sa.select(Booking.course_schedule_id).where(Booking.id == booking_id))
    if schedule_id is None:
        raise BookingNotFound
    # Its row as well: a class must not be cancelled while somebody marks who came to it.
    session = lock_row(CourseSchedule, schedule_id)
    booking = lock_row(Booking, booking_id)
    before = booking.status
    if (before, event) in _ALREADY:
        return BookingStatus(before)
    status = rules.next_status(before, event)
    if session.status == ScheduleStatus.CANCELLED:
        raise InvalidState("这节课已停课，不能点名")
    starts_at = session.starts_at
    now = db_now()
    if not rules.roll_is_open(now, starts_at):
        raise AttendanceTooEarly
    if before != BookingStatus.BOOKED and rules.day_is_over(now, starts_at):
        raise AttendanceClosed
    booking.status = status
    booking.marked_at, booking.marked_by = (None, None) if event == Event.UNMARK else (now, actor.id)
    audit.record(
        actor, "booking.marked", target_type="booking", target_id=booking.id, family_id=booking.family_id,
        old_status=before, new_status=status,
    )  # fmt: skip
    return status


_ALREADY = {
    (BookingStatus.ATTENDED, Event.ATTEND),
    (BookingStatus.ABSENT, Event.MISS),
    (BookingStatus.BOOKED, Event.UNMARK),
}
