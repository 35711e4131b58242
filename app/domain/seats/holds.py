"""Seats kept for unpaid orders (O1, O5–O7). Building blocks: the rows of `seat_reservations` and the counter `held`.

A hold counts until its moment, whether or not anything has marked it: readers take lapsed ones away by the clock
(catalog/held.py), and whoever finds a session full retires them first.
"""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa

from app import ids
from app.db import db, db_now, execute, lock_row
from app.domain.audit import service as audit
from app.domain.audit.actor import system
from app.domain.catalog.models import CourseSchedule
from app.domain.orders.models import PaymentOrder
from app.domain.seats import service as seats
from app.domain.seats.models import ReservationStatus, SeatReservation
from app.domain.waitlist.freed import seat_freed
from app.domain.waitlist.models import Cause

_r, _o = SeatReservation.__table__, PaymentOrder.__table__


def take_seat(schedule_id: int, *, starts_at: datetime) -> bool:
    """Keep one free seat of a session that still starts at `starts_at`, or one whose hold has lapsed; False if there
    is neither. Before the order is written, whose foreign key would share the session's row and deadlock with its twin.
    """
    if seats.hold(schedule_id, starts_at=starts_at):
        return True
    return bool(retire_lapsed(schedule_id)) and seats.hold(schedule_id, starts_at=starts_at)


def add(*, order_id: int, schedule_id: int, user_id: int, now: datetime, expires_at: datetime) -> SeatReservation:
    """The hold of a seat that `take_seat` kept. `order_id` is the row's."""
    reservation = SeatReservation(
        reservation_id=ids.new_hex(), order_id=order_id, course_schedule_id=schedule_id, user_id=user_id,
        seat_count=1, status=ReservationStatus.TEMPORARY, expires_at=expires_at, created_at=now, updated_at=now,
    )  # fmt: skip
    db.session.add(reservation)
    db.session.flush()
    return reservation


def confirm(reservation: SeatReservation, now: datetime) -> None:
    """The held seat is booked. The caller holds the session's row and this one."""
    seats.confirm_held(reservation.course_schedule_id)
    reservation.status, reservation.confirmed_at, reservation.updated_at = ReservationStatus.CONFIRMED, now, now
    db.session.flush()


def end(reservation: SeatReservation, status: ReservationStatus, now: datetime) -> None:
    """The held seat is free. The caller holds the session's row and this one, which is still `temporary`."""
    seats.release_held(reservation.course_schedule_id)
    reservation.status, reservation.updated_at = status, now
    db.session.flush()
    cause = Cause.HOLD_LAPSED if status == ReservationStatus.EXPIRED else Cause.HOLD_RELEASED
    seat_freed(reservation.course_schedule_id, cause, order_id=reservation.order_id)


def retire_lapsed(schedule_id: int) -> int:
    """Free the seats of this session whose holds have lapsed by the database's clock (Z3); returns how many.

    Two at once: the second waits for the session's row and finds none left.
    """
    now = db_now()
    lapsed = sa.and_(
        _r.c.course_schedule_id == schedule_id,
        _r.c.status == ReservationStatus.TEMPORARY,
        _r.c.expires_at <= now,
    )
    if execute(sa.select(sa.literal(1)).select_from(_r).where(lapsed).limit(1)).first() is None:
        return 0
    lock_row(CourseSchedule, schedule_id)
    rows = execute(
        sa.select(_r.c.id, _r.c.reservation_id, _o.c.id.label("order_key"), _o.c.order_id, _o.c.family_id)
        .select_from(_r.join(_o, _o.c.id == _r.c.order_id))
        .where(lapsed)
        .order_by(_r.c.id)
    ).all()
    for row in rows:
        execute(_r.update().where(_r.c.id == row.id).values(status=ReservationStatus.EXPIRED, updated_at=now))
        audit.record(
            system("占座到期"), "order.hold_lapsed", target_type="order", target_id=row.order_id,
            order_id=row.order_id, family_id=row.family_id, old_status=ReservationStatus.TEMPORARY,
            new_status=ReservationStatus.EXPIRED, after={"schedule": schedule_id, "reservation": row.reservation_id},
        )  # fmt: skip
    if rows:
        seats.release_held(schedule_id, len(rows))
    for row in rows:
        seat_freed(schedule_id, Cause.HOLD_LAPSED, order_id=row.order_key)
    return len(rows)
