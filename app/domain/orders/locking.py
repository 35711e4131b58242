"""An order with all that moves with it, locked in R6's order: student, session, order, attempts, hold."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from app.db import db, db_now, lock_row, note_lock, require_transaction
from app.domain.audit.actor import Actor, ActorType
from app.domain.bookings import students
from app.domain.bookings.students import Student
from app.domain.catalog import facts
from app.domain.catalog.facts import SessionFacts
from app.domain.catalog.models import CourseSchedule
from app.domain.orders.errors import OrderNotFound
from app.domain.orders.models import AttemptStatus, OrderStatus, PaymentAttempt, PaymentOrder
from app.domain.seats.models import SeatReservation
from app.prepared import Prepared

_o, _s = PaymentOrder.__table__, CourseSchedule.__table__

_find = Prepared(
    sa.select(_o.c.id, _o.c.profile_id, _o.c.course_schedule_id).where(_o.c.order_id == sa.bindparam("number"))
)
_of_number = Prepared(
    sa.select(_o.c.order_id)
    .join(PaymentAttempt, PaymentAttempt.order_id == _o.c.id)
    .where(PaymentAttempt.out_trade_no == sa.bindparam("number"))
)
_lock_session = Prepared(sa.select(_s.c.id).where(_s.c.id == sa.bindparam("key")).with_for_update())


@dataclass(slots=True)
class HeldOrder:
    """What this transaction holds. `reservation` is the one still written as temporary, lapsed or not."""

    order: PaymentOrder
    session: SessionFacts
    student: Student
    attempts: list[PaymentAttempt]
    reservation: SeatReservation | None
    now: datetime

    @property
    def live_hold(self) -> SeatReservation | None:
        """The hold that still counts: it lapses by the clock, not by being marked (O7)."""
        held = self.reservation
        return held if held is not None and self.now < held.expires_at else None

    @property
    def running(self) -> bool:
        """Pending, and its end has not come."""
        return self.order.status == OrderStatus.PENDING and self.now < self.order.expires_at

    def attempt(self, out_trade_no: str) -> PaymentAttempt | None:
        return next((one for one in self.attempts if one.out_trade_no == out_trade_no), None)

    @property
    def open_attempt(self) -> PaymentAttempt | None:
        return next((one for one in self.attempts if one.status == AttemptStatus.OPEN), None)


def order_of(out_trade_no: str) -> str | None:
    """The public number of the order that WeChat knows by this one; None if there is none."""
    found = _of_number.row({"number": out_trade_no})
    return None if found is None else found[0]


def hold_order(order_id: str, actor: Actor) -> HeldOrder:
    """Lock by the order's public number; asked again within the transaction it is the same. Raises OrderNotFound for
    nobody's, and for another family's."""
    held: dict[str, HeldOrder] = require_transaction().memo.setdefault("orders", {})
    if order_id not in held:
        held[order_id] = _hold(order_id)
    if actor.type == ActorType.PARENT and held[order_id].order.family_id != actor.family_id:
        raise OrderNotFound
    return held[order_id]


def _hold(order_id: str) -> HeldOrder:
    found = _find.row({"number": order_id})
    if found is None:
        raise OrderNotFound
    row_id, profile_id, schedule_id = found
    student = students.lock_any(profile_id)
    note_lock("course_schedules", schedule_id)
    _lock_session({"key": schedule_id})
    order = lock_row(PaymentOrder, row_id)
    # Whoever adds one holds the order's row, so these two lists are whole.
    attempts = _locked(PaymentAttempt, PaymentAttempt.order_id == row_id)
    holds = _locked(SeatReservation, SeatReservation.live_order_id == row_id)
    session = facts.of_session(schedule_id)
    return HeldOrder(order, session, student, attempts, holds[0] if holds else None, db_now())


def _locked(model: type, condition: sa.ColumnElement[bool]) -> list[Any]:
    note_lock(model.__tablename__)
    query = sa.select(model).where(condition).order_by(model.id).with_for_update()
    return list(db.session.scalars(query.execution_options(populate_existing=True)))
