"""Cancelling a session: one operation that can be run again safely (C2).

First the session itself, in one transaction: from then on nobody books it. Then each live booking in a transaction of
its own, so that twenty families do not wait behind one lock and a process killed half way has done whole families.
What it left, the next call or the periodic job settles: a booking ends once, and its money and message have keys.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

import sqlalchemy as sa

from app import clock, money
from app.db import RequestKey, db, db_now, lock_row, transactional
from app.domain.audit import service as audit
from app.domain.audit.actor import Actor, system
from app.domain.bookings import ending
from app.domain.bookings.ending import Held
from app.domain.bookings.errors import ScheduleNotFound
from app.domain.bookings.models import LIVE, Booking, BookingKind, BookingStatus
from app.domain.catalog.models import Course, CourseSchedule, ScheduleStatus
from app.domain.changes.errors import RollBegun
from app.domain.ledger.service import Posting
from app.domain.offers import session as waitlist
from app.domain.orders import ending as orders
from app.domain.orders.rules import Event
from app.domain.outbox import service as outbox
from app.domain.people import proof, roles
from app.domain.people.roles import Permission
from app.errors import DomainError, Invalid, InvalidState, Replayed
from app.text import clean

log = logging.getLogger("desk.changes")

REASON_LENGTH = 200
#: a credit that comes back because the studio cancelled is good at least this long
CREDIT_LEFT = timedelta(days=14)
#: sessions that one run of the job settles
BATCH = 50

_b, _s = Booking.__table__, CourseSchedule.__table__


@dataclass(frozen=True, slots=True)
class Preview:
    """What cancelling would do. `refund` in yuan; `families` will be told."""

    wallet: int
    makeup: int
    trial: int
    free: int
    families: int
    refund: Decimal

    @property
    def bookings(self) -> int:
        return self.wallet + self.makeup + self.trial + self.free


@dataclass(frozen=True, slots=True)
class CancelledSession:
    """How many bookings this call ended, and how many it could not (told to the money group)."""

    schedule_id: int
    settled: int
    failed: int


def preview(schedule_id: int) -> Preview:
    """What cancelling this session would end and give back, for the sentence above the button."""
    rows = db.session.execute(
        sa.select(_b.c.kind, _b.c.price, _b.c.debit_id, _b.c.family_id).where(
            _b.c.course_schedule_id == schedule_id, _b.c.status == BookingStatus.BOOKED
        )
    ).all()
    paid = [row for row in rows if row.debit_id is not None]
    makeup = sum(row.kind == BookingKind.MAKEUP for row in rows)
    trial = sum(row.kind == BookingKind.TRIAL for row in rows)
    return Preview(
        wallet=len(paid), makeup=makeup, trial=trial, free=len(rows) - len(paid) - makeup - trial,
        families=len({row.family_id for row in rows}), refund=sum((row.price for row in paid), Decimal("0.00")),
    )  # fmt: skip


def cancel_session(
    *, schedule_id: int, reason: str, actor: Actor, request_key: RequestKey | None = None
) -> CancelledSession:
    """Cancel a session and settle every booking of it: money back to the wallet that paid, credits back, trials to a
    person's judgement, each family told once.

    May be called again after anything: the same request goes on where the first was stopped. Raises ScheduleNotFound,
    Invalid, RollBegun, InvalidState once it is over, Forbidden, StepUpRequired.
    """
    # An answer that was kept says that the session is closed, not that everybody has their money.
    with suppress(Replayed):
        _close(schedule_id=schedule_id, reason=reason, actor=actor, request_key=request_key)
    return settle(schedule_id, actor)


@transactional
def _close(*, schedule_id: int, reason: str, actor: Actor, request_key: RequestKey | None) -> None:
    roles.require(actor, Permission.SCHEDULE_EDIT)
    proof.require_recent(actor)
    reason = clean(reason, REASON_LENGTH)
    if not reason:
        raise Invalid.field("reason", "请填写停课原因，家长会看到")
    session = lock_row(CourseSchedule, schedule_id)
    if session is None:
        raise ScheduleNotFound
    if session.status == ScheduleStatus.CANCELLED:
        return  # run again: what is left is settled below
    now = db_now()
    if now >= session.ends_at:
        raise InvalidState("这节课已经结束，不能取消")
    marked = (BookingStatus.ATTENDED, BookingStatus.ABSENT)
    if db.session.scalar(sa.select(_b.c.id).where(_b.c.course_schedule_id == schedule_id, _b.c.status.in_(marked))):
        raise RollBegun
    session.status, session.cancelled_at, session.cancel_reason = ScheduleStatus.CANCELLED, now, reason
    session.cancelled_by, session.version = actor.id, session.version + 1
    waitlist.close(schedule_id, reason, actor)
    audit.record(
        actor, "schedule.cancelled", target_type="course_schedule", target_id=schedule_id,
        old_status=ScheduleStatus.SCHEDULED, new_status=ScheduleStatus.CANCELLED, reason=reason,
        after={"booked": session.booked},
    )  # fmt: skip


def settle(schedule_id: int, actor: Actor) -> CancelledSession:
    """End what is still booked or ordered in a cancelled session, one of them a transaction."""
    open_ones = sa.select(_b.c.id).where(_b.c.course_schedule_id == schedule_id, _b.c.status.in_(LIVE))
    ids = list(db.session.scalars(open_ones.order_by(_b.c.id)))
    db.session.rollback()
    for order_id in orders.pending_of_session(schedule_id):
        # Nobody pays for a class that does not take place; WeChat is told by the job (C6).
        orders.end(order_id=order_id, event=Event.CANCEL, closing=True, actor=actor, reason="停课")
    settled = failed = 0
    for booking_id in ids:
        try:
            settled += _settle(booking_id=booking_id, actor=actor)
        except DomainError as refusal:
            # One family's wallet must not keep the others waiting; the job tries again, and a person is told.
            log.error("booking of a cancelled session not settled", extra={"booking": booking_id, "why": refusal.code})
            _tell_unsettled(booking_id=booking_id, why=refusal.message)
            failed += 1
    return CancelledSession(schedule_id, settled, failed)


def settle_left() -> int:
    """The periodic job: what a killed process left; returns how many bookings it ended."""
    left = (
        sa.select(_s.c.id)
        .where(
            _s.c.status == ScheduleStatus.CANCELLED,
            _s.c.booked + _s.c.held > 0,
            _s.c.starts_at > clock.now() - CREDIT_LEFT,
        )
        .order_by(_s.c.starts_at)
        .limit(BATCH)
    )
    ids = list(db.session.scalars(left))
    db.session.rollback()
    return sum(settle(schedule_id, system("classes_cancel")).settled for schedule_id in ids)


@transactional
def _settle(*, booking_id: int, actor: Actor) -> bool:
    held = ending.hold(booking_id, actor)
    if held.booking.status != BookingStatus.BOOKED:
        return False  # a parent or another run was faster
    now = db_now()
    reason = db.session.scalar(sa.select(_s.c.cancel_reason).where(_s.c.id == held.session.id))
    ending.end(held, BookingStatus.CANCELLED, actor, now, reason)
    ending.restore_credit(held, actor, now, at_least=CREDIT_LEFT)
    refunded = ending.refund(held, actor, note="停课退款")
    ending.record(held, "booking.cancelled", actor, old_status=BookingStatus.BOOKED, reason=reason, refunded=refunded)
    _tell(held, reason, refunded, actor)
    return True


def _tell(held: Held, reason: str, refunded: Posting | None, actor: Actor) -> None:
    booking = held.booking
    if refunded is not None:
        remark = f"{money.yuan(refunded.amount)}已退回钱包"
    elif booking.kind == BookingKind.TRIAL:
        remark = "体验课退款由馆方处理"
    elif booking.credit_id is not None:
        remark = "待补课已退回"
    else:
        remark = "不涉及费用"
    outbox.tell_family(
        booking.family_id, "class_cancelled",
        {"course": held.session.course_name, "starts_at": held.session.starts_at.isoformat(),
         "student": held.student, "reason": reason, "remark": remark, "booking_id": booking.id},
        dedupe=f"booking{booking.id}",
    )  # fmt: skip
    if booking.kind == BookingKind.TRIAL:
        ending.tell_trial(held, "停课的体验课，待退款判断", actor)


@transactional
def _tell_unsettled(*, booking_id: int, why: str) -> None:
    query = sa.select(_b.c.family_id, Course.name).join_from(_b, _s, _s.c.id == _b.c.course_schedule_id)
    query = query.join(Course, Course.id == _s.c.course_id).where(_b.c.id == booking_id)
    family_id, course = db.session.execute(query).one()
    outbox.tell_staff(
        "money", "staff.cancel_unsettled",
        {"title": "停课退款没有完成", "colour": "red",
         "lines": [["课程", course], ["预约", str(booking_id)], ["原因", why]],
         "link": {"text": "查看家庭", "path": f"/families/{family_id}"}},
        dedupe=f"booking{booking_id}:{clock.today()}",
    )  # fmt: skip
