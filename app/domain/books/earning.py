"""When money that was paid for a class is earned, as conditions of a statement (W29). Nothing is kept about it: every
fact that it follows from has its moment, and none is dated back, so a month that is over reads the same for ever.

Three things hold paid money: a booking that a wallet paid, until its class ends; a makeup credit, which takes over when
leave is given, until the makeup ends or the credit does; a payment of a trial, until the trial ends. `at` is a moment
or an expression for one; an event at that very moment counts as after it.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from app.column_types import Money, UTCDateTime
from app.domain.audit.models import AuditEntry
from app.domain.bookings.models import Booking, BookingStatus
from app.domain.cases.models import CaseKind, MoneyCase
from app.domain.catalog.models import CourseSchedule, ScheduleStatus
from app.domain.credits.models import CreditStatus, MakeupCredit
from app.domain.ledger.models import WalletTransaction
from app.domain.orders.models import PaymentOrder, PaymentTransaction, Refund, RefundStatus
from app.money import ZERO

b, s, c = Booking.__table__, CourseSchedule.__table__, MakeupCredit.__table__
p, o, rf = PaymentTransaction.__table__, PaymentOrder.__table__, Refund.__table__
tx = WalletTransaction.__table__
#: the makeup that a credit was used for, and its class
m, ms = b.alias("makeup"), s.alias("makeup_session")
#: the movement that took a booking's money, and the one that a cancellation gave back
debit, back = tx.alias("debit"), tx.alias("back")
#: a credit that had expired and was extended: the two audit rows
expired, revived = AuditEntry.__table__.alias("expired"), AuditEntry.__table__.alias("revived")
_case = MoneyCase.__table__

#: bookings that a wallet paid, with their class
PAID = b.join(s, s.c.id == b.c.course_schedule_id).outerjoin(back, back.c.id == b.c.refund_id)
#: credits with the booking that they stand for
OWED = c.join(b, b.c.id == c.c.booking_id)
#: payments of trials with the booking that they made; a second payment of an order has none
TRIALS = (
    p.join(o, o.c.id == p.c.order_id)
    .outerjoin(b, sa.and_(b.c.id == o.c.booking_id, p.c.duplicate.is_(False)))
    .outerjoin(s, s.c.id == b.c.course_schedule_id)
)
MADE_UP = m.join(ms, ms.c.id == m.c.course_schedule_id)

_later = AuditEntry.__table__.alias("later")
_REVIVALS = revived.join(
    expired,
    expired.c.id
    == sa.select(sa.func.max(_later.c.id))
    .where(
        _later.c.target_type == "makeup_credit", _later.c.target_id == revived.c.target_id,
        _later.c.id < revived.c.id, _later.c.action == "credit.expired",
    )
    .correlate(revived)
    .scalar_subquery(),
)  # fmt: skip
_CREDIT = sa.cast(revived.c.target_id, sa.BigInteger)
#: every time that an expired credit lived again: `expired` is the newest end before it
REVIVED = _REVIVALS.join(c, c.c.id == _CREDIT)
WAS_REVIVED = sa.and_(revived.c.action == "credit.extended", revived.c.old_status == CreditStatus.EXPIRED)


def took_place(booking: sa.FromClause, session: sa.FromClause) -> sa.ColumnElement[bool]:
    """Whether the seat was the student's until the class ended: nobody need have marked it (attended, absent and not
    marked are earned alike). What is cancelled after the end stays held; its money, given back, is un-earned then."""
    return sa.and_(
        session.c.status == ScheduleStatus.SCHEDULED,
        sa.or_(booking.c.ended_at.is_(None), booking.c.ended_at >= session.c.ends_at),
    )


#: cancelled before its class ended, and the cancellation itself gave nothing back: earned at the cancellation
KEPT = sa.and_(
    b.c.status == BookingStatus.CANCELLED,
    ~took_place(b, s),
    sa.or_(back.c.id.is_(None), back.c.reference_type != "booking"),
)

#: when somebody decided, in words, that a cancelled trial's money stays (B11); NULL before
TRIAL_KEPT_AT = (
    sa.select(sa.func.min(_case.c.settled_at))
    .where(
        _case.c.order_id == o.c.order_id, _case.c.kind == CaseKind.TRIAL_CANCELLED, _case.c.booking_id == b.c.id,
        _case.c.settled_as == "note",
    )
    .correlate(o, b)
    .scalar_subquery()
)  # fmt: skip


def class_earned(at: Any) -> sa.ColumnElement[bool]:
    """Of PAID: whether its money was earned, or kept, before `at`."""
    return sa.or_(
        sa.and_(s.c.ends_at < at, took_place(b, s)),
        sa.and_(KEPT, b.c.ended_at < at),
    )


def credit_earned(at: Any) -> sa.ColumnElement[bool]:
    """Of OWED: whether the makeup was held, or the credit had ended, before `at`."""
    made_up = (
        sa.select(m.c.id)
        .select_from(MADE_UP)
        .where(m.c.credit_id == c.c.id, ms.c.ends_at < at, took_place(m, ms))
        .where(sa.or_(m.c.ended_at.is_(None), m.c.ended_at >= at))
    )
    ended = sa.and_(c.c.ended_at.is_not(None), c.c.ended_at < at)
    return sa.or_(ended, made_up.correlate_except(m, ms).exists())


def revived_since(at: Any) -> sa.ColumnElement[bool]:
    """Of REVIVED: whether the credit had expired before `at` and did not live again until then."""
    return sa.and_(WAS_REVIVED, expired.c.created_at < at, revived.c.created_at >= at)


def lapsed_then(at: Any) -> sa.ColumnElement[bool]:
    """Of credits: whether it had expired before `at` and was extended only after."""
    found = sa.select(revived.c.id).select_from(_REVIVALS).where(c.c.id == _CREDIT, revived_since(at))
    return found.correlate_except(revived, expired).exists()


def trial_earned(at: Any) -> sa.ColumnElement[bool]:
    """Of TRIALS: whether the trial was held, or its money kept, before `at`."""
    # A payment without a seat has no class, and most trials no decision: unknown is no.
    held, kept = sa.and_(s.c.ends_at < at, took_place(b, s)), at > TRIAL_KEPT_AT
    return sa.or_(sa.func.coalesce(held, sa.false()), sa.func.coalesce(kept, sa.false()))


# ── amounts ─────────────────────────────────────────────────────────────────────────────────────────


def yuan(expression: Any) -> sa.ColumnElement:
    """An expression over money, as money."""
    return sa.type_coerce(expression, Money())


def total(expression: Any) -> sa.ColumnElement:
    """Σ in yuan, 0.00 for no rows."""
    return yuan(sa.func.coalesce(sa.func.sum(expression), ZERO))


#: the wallet's movement of a refund by staff
_posted = tx.alias("posted")


def _given_back(of: sa.ColumnElement[bool], at: Any) -> sa.ScalarSelect:
    """Σ of refunds by staff that had ended well by `at`. `updated_at` is when we learned of it, and an end is the last
    change: WeChat's own moment (`succeeded_at`) may lie in a day that was closed before its word came."""
    given = sa.select(total(rf.c.amount)).where(of, rf.c.status == RefundStatus.SUCCEEDED, rf.c.updated_at <= at)
    return given.correlate_except(rf).scalar_subquery()


def left_of_booking(at: Any) -> sa.ColumnElement:
    """Yuan of a booking's price that staff had not given back by `at` (O18)."""
    return yuan(b.c.price - _given_back(rf.c.booking_id == b.c.id, at))


def left_of_payment(at: Any) -> sa.ColumnElement:
    """Yuan of a trial's payment that had not been given back by `at`."""
    return yuan(p.c.total_fee - _given_back(rf.c.payment_id == p.c.id, at))


#: when a refund by staff moved money: its posting's moment where it went into a wallet
REFUND_MOVED_AT = sa.func.coalesce(_posted.c.created_at, rf.c.updated_at, type_=UTCDateTime())
REFUNDS = rf.outerjoin(_posted, _posted.c.id == rf.c.wallet_transaction_id)
