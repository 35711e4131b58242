"""What a person does about a case of the board that no refund settles: a seat for a payment, or a sentence (O19)."""

from __future__ import annotations

import sqlalchemy as sa

from app import money
from app.db import RequestKey, db, lock_rows, transactional
from app.domain.audit import service as audit
from app.domain.audit.actor import Actor
from app.domain.bookings import place, students
from app.domain.bookings import rules as booking_rules
from app.domain.bookings.errors import ScheduleNotFound, SeatFull
from app.domain.cases import rules
from app.domain.cases import service as cases
from app.domain.cases.models import CaseKind, CaseStatus, MoneyCase
from app.domain.catalog import facts
from app.domain.catalog.facts import SessionFacts
from app.domain.catalog.models import CourseSchedule
from app.domain.desk import persons
from app.domain.orders import refund_rules, seating
from app.domain.orders.errors import NotATrialClass, OrderNotFound
from app.domain.orders.locking import HeldOrder, hold_order
from app.domain.orders.models import OrderStatus, PaymentOrder, Refund, RefundStatus
from app.domain.people import proof, roles
from app.domain.people.models import Profile
from app.domain.people.roles import Permission
from app.errors import InvalidState, NotFound

_o, _r, _c = PaymentOrder.__table__, Refund.__table__, MoneyCase.__table__


@transactional
def reseat(
    *, order_id: str, actor: Actor, schedule_id: int | None = None, request_key: RequestKey | None = None
) -> int:
    """Give a payment without a seat one: in its own session where one is free again, or in another trial session;
    returns the booking's id.

    Raises OrderNotFound, ScheduleNotFound, NotATrialClass, InvalidState, ScheduleCancelled, ScheduleStarted,
    AlreadyBooked, TimeConflict, SeatFull, OwnFamily, Forbidden, StepUpRequired.
    """
    roles.require(actor, Permission.CASE_SETTLE)
    proof.require_recent(actor)
    person = persons.hold(actor)[actor.id]
    held, session = _hold(order_id, schedule_id, actor)
    order, student = held.order, held.student
    persons.refuse_own_family(person, order.family_id)
    _check_unseated(held)
    booking_rules.check_session(session.status, session.starts_at, held.now, is_trial=False)
    students.check_free_at(student.id, session.id, session.starts_at, session.ends_at)
    if not place.take_seat(session):
        raise SeatFull("这节课没有空位，请选择其他体验课")
    order.booking_id = seating.book(held, session, actor)
    before, order.course_schedule_id, order.updated_at = order.course_schedule_id, session.id, held.now
    db.session.flush()
    _note(held, session, before, actor)
    return order.booking_id


def _hold(order_id: str, schedule_id: int | None, actor: Actor) -> tuple[HeldOrder, SessionFacts]:
    """Student, both sessions by id, then the order (R6)."""
    found = db.session.execute(
        sa.select(_o.c.profile_id, _o.c.course_schedule_id).where(_o.c.order_id == order_id)
    ).first()
    if found is None:
        raise OrderNotFound
    target = schedule_id or found.course_schedule_id
    lock_rows(Profile, [found.profile_id])
    lock_rows(CourseSchedule, {target, found.course_schedule_id})
    session = facts.of_session(target)
    if session is None:
        raise ScheduleNotFound
    if not session.is_trial:
        raise NotATrialClass("只能补排到体验课")
    return hold_order(order_id, actor), session


def _check_unseated(held: HeldOrder) -> None:
    order = held.order
    if order.status != OrderStatus.PAID or order.booking_id is not None:
        raise InvalidState("这个订单不是已付款未占座，不能补排座位")
    gone = (RefundStatus.REJECTED, RefundStatus.CLOSED)
    refunding = sa.select(_r.c.id).where(_r.c.order_id == order.id, _r.c.status.not_in(gone))
    if db.session.scalar(refunding.limit(1)) is not None:
        raise InvalidState("这个订单已申请退款，请先驳回或关闭退款再补排座位")


def _note(held: HeldOrder, session: SessionFacts, before: int, actor: Actor) -> None:
    order = held.order
    audit.record(
        actor, "order.reseated", target_type="order", target_id=order.order_id, order_id=order.order_id,
        family_id=order.family_id, before={"schedule": before},
        after={"schedule": session.id, "booking": order.booking_id, "amount": money.plain(order.amount)},
    )  # fmt: skip
    cases.settle_case(CaseKind.UNSEATED, order.order_id, settled_as="reseated", actor=actor)
    seating.tell_booked(held, session)


@transactional
def settle_with_note(*, case_id: int, note: str, actor: Actor, request_key: RequestKey | None = None) -> None:
    """Take a case off the board with a sentence on what was done. A payment without a seat and a refund on its way are
    settled by their ends, not by words; a failed refund once it is closed.

    Raises NotFound, InvalidState, Invalid, OwnFamily, Forbidden, StepUpRequired.
    """
    roles.require(actor, Permission.CASE_SETTLE)
    proof.require_recent(actor)
    note = refund_rules.checked_note(note, "请写明核对的结果和处理方式", most=refund_rules.NOTE_MAX)
    person = persons.hold(actor)[actor.id]
    case = db.session.execute(sa.select(_c).where(_c.c.id == case_id)).first()
    if case is None:
        raise NotFound("没有这项异常")
    if case.family_id is not None:
        persons.refuse_own_family(person, case.family_id)
    if case.status == CaseStatus.SETTLED:
        raise InvalidState("这项异常已处理过了")
    if not may_note(case):
        raise InvalidState("这项异常不能只写说明，请按页面上的办法处理")
    if cases.settle_case(case.kind, case.subject, settled_as="note", actor=actor, note=note) is None:
        raise InvalidState("这项异常刚刚由别人处理了")


def may_note(case: sa.Row) -> bool:
    """Whether a sentence is enough for this case now."""
    if case.kind in rules.NOTE_IS_ENOUGH:
        return True
    if case.kind != CaseKind.REFUND_FAILED or case.refund_no is None:
        return False
    status = db.session.scalar(sa.select(_r.c.status).where(_r.c.refund_no == case.refund_no))
    return status in (RefundStatus.CLOSED, RefundStatus.SUCCEEDED)
