"""What moves money that is owed, line by line, each line with exactly the rows that it sums (W29, U18).

A line's amount is positive; `EFFECTS` says which accounts it fills and which it empties. A line that fills one and
empties another moves money inside; what is left is money that came, went, or was earned.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

import sqlalchemy as sa

from app.domain.bookings.models import BookingStatus
from app.domain.books.earning import (
    KEPT,
    MADE_UP,
    OWED,
    PAID,
    REFUND_MOVED_AT,
    REFUNDS,
    REVIVED,
    TRIAL_KEPT_AT,
    TRIALS,
    WAS_REVIVED,
    b,
    back,
    c,
    class_earned,
    credit_earned,
    expired,
    lapsed_then,
    left_of_booking,
    left_of_payment,
    m,
    ms,
    o,
    p,
    revived,
    rf,
    s,
    took_place,
    trial_earned,
    tx,
    yuan,
)
from app.domain.books.standing import Account
from app.domain.ledger.models import TransactionType, Wallet
from app.domain.orders.models import RefundStatus, RefundTo
from app.money import ZERO

_w = Wallet.__table__
_A = Account


class Line(StrEnum):
    # comes in
    RECHARGE = "recharge"
    TRIAL_PAID = "trial_paid"
    # goes out
    TRIAL_REFUND = "trial_refund"
    WITHDRAWN = "withdrawn"
    WITHDRAWAL_BACK = "withdrawal_back"
    # written by hand, or without a class
    ADJUST_UP = "adjust_up"
    ADJUST_DOWN = "adjust_down"
    TRANSFER_IN = "transfer_in"
    TRANSFER_OUT = "transfer_out"
    OTHER_DEBIT = "other_debit"
    OTHER_CREDIT = "other_credit"
    # stays inside
    BOOKED = "booked"
    CLASS_REFUND = "class_refund"
    LEAVE_REFUND = "leave_refund"
    TRIAL_TO_WALLET = "trial_to_wallet"
    ON_LEAVE = "on_leave"
    # is earned
    CLASS_HELD = "class_held"
    MAKEUP_HELD = "makeup_held"
    TRIAL_HELD = "trial_held"
    CREDIT_ENDED = "credit_ended"
    CREDIT_EXPIRED = "credit_expired"
    CLASS_KEPT = "class_kept"
    TRIAL_KEPT = "trial_kept"
    # was earned, and is owed again
    CLASS_UNDONE = "class_undone"
    LEAVE_UNDONE = "leave_undone"
    MAKEUP_UNDONE = "makeup_undone"
    CREDIT_REVIVED = "credit_revived"
    TRIAL_UNDONE = "trial_undone"


_OUT_OF_CREDIT, _INTO_CREDIT = {_A.MAKEUP: -1}, {_A.MAKEUP: 1}
EFFECTS: dict[Line, dict[Account, int]] = {
    Line.RECHARGE: {_A.WALLET: 1},
    Line.TRIAL_PAID: {_A.TRIAL: 1},
    Line.TRIAL_REFUND: {_A.TRIAL: -1},
    Line.WITHDRAWN: {_A.WALLET: -1},
    Line.WITHDRAWAL_BACK: {_A.WALLET: 1},
    Line.ADJUST_UP: {_A.WALLET: 1},
    Line.ADJUST_DOWN: {_A.WALLET: -1},
    Line.TRANSFER_IN: {_A.WALLET: 1},
    Line.TRANSFER_OUT: {_A.WALLET: -1},
    Line.OTHER_DEBIT: {_A.WALLET: -1},
    Line.OTHER_CREDIT: {_A.WALLET: 1},
    Line.BOOKED: {_A.WALLET: -1, _A.PREPAID: 1},
    Line.CLASS_REFUND: {_A.WALLET: 1, _A.PREPAID: -1},
    Line.LEAVE_REFUND: {_A.WALLET: 1, _A.MAKEUP: -1},
    Line.TRIAL_TO_WALLET: {_A.WALLET: 1, _A.TRIAL: -1},
    Line.ON_LEAVE: {_A.PREPAID: -1, _A.MAKEUP: 1},
    Line.CLASS_HELD: {_A.PREPAID: -1},
    Line.MAKEUP_HELD: _OUT_OF_CREDIT,
    Line.TRIAL_HELD: {_A.TRIAL: -1},
    Line.CREDIT_ENDED: _OUT_OF_CREDIT,
    Line.CREDIT_EXPIRED: _OUT_OF_CREDIT,
    Line.CLASS_KEPT: {_A.PREPAID: -1},
    Line.TRIAL_KEPT: {_A.TRIAL: -1},
    Line.CLASS_UNDONE: {_A.PREPAID: 1},
    Line.LEAVE_UNDONE: _INTO_CREDIT,
    Line.MAKEUP_UNDONE: _INTO_CREDIT,
    Line.CREDIT_REVIVED: _INTO_CREDIT,
    Line.TRIAL_UNDONE: {_A.TRIAL: 1},
}
EARNED = (
    Line.CLASS_HELD, Line.MAKEUP_HELD, Line.TRIAL_HELD, Line.CREDIT_ENDED, Line.CREDIT_EXPIRED, Line.CLASS_KEPT,
    Line.TRIAL_KEPT,
)  # fmt: skip
UNDONE = (Line.CLASS_UNDONE, Line.LEAVE_UNDONE, Line.MAKEUP_UNDONE, Line.CREDIT_REVIVED, Line.TRIAL_UNDONE)


@dataclass(frozen=True, slots=True)
class Source:
    """The rows of a line: `id` for paging, `at`, `amount` in yuan, `family_id`, and what they are about: `booking_id`,
    `order_id` or `transaction_id`, the others NULL."""

    query: sa.Select
    id_column: sa.ColumnElement


_NOTHING = sa.null()
_ABOUT = {"booking_id": sa.BigInteger(), "order_id": sa.String(), "transaction_id": sa.BigInteger()}


def _source(id_column: Any, at: Any, amount: Any, family_id: Any, frm: Any, *where: Any, **about: Any) -> Source:
    columns = [
        id_column.label("id"), at.label("at"), yuan(amount).label("amount"), family_id.label("family_id"),
        *(sa.type_coerce(about.get(name, _NOTHING), kind).label(name) for name, kind in _ABOUT.items()),
    ]  # fmt: skip
    query = sa.select(*columns)
    return Source(query.select_from(frm).where(*where), id_column)


def _between(moment: Any, start: datetime, end: datetime) -> sa.ColumnElement[bool]:
    return sa.and_(moment >= start, moment < end)


# ── the wallets ─────────────────────────────────────────────────────────────────────────────────────

_ROWS = tx.join(_w, _w.c.id == tx.c.wallet_id)


def _posted(type_: str, sign: int, *more: Any, frm: Any = _ROWS) -> Callable[[datetime, datetime], Source]:
    """Movements of one type and one direction."""

    def rows(start: datetime, end: datetime) -> Source:
        way = tx.c.amount > ZERO if sign > 0 else tx.c.amount < ZERO
        return _source(
            tx.c.id, tx.c.created_at, tx.c.amount if sign > 0 else -tx.c.amount, _w.c.family_id, frm,
            _between(tx.c.created_at, start, end), tx.c.type == type_, way, *more, transaction_id=tx.c.id,
        )  # fmt: skip

    return rows


def _booked(start: datetime, end: datetime) -> Source:
    frm = tx.join(b, b.c.debit_id == tx.c.id)
    return _source(
        tx.c.id, tx.c.created_at, b.c.price, b.c.family_id, frm, _between(tx.c.created_at, start, end),
        booking_id=b.c.id,
    )  # fmt: skip


# ── what a wallet got back ──────────────────────────────────────────────────────────────────────────

_refunded = b.alias("refunded")
#: whose money it was: the booking of a refund by staff, or the one that a cancellation gave back
_SUBJECT = sa.func.coalesce(
    rf.c.booking_id,
    sa.select(_refunded.c.id).where(_refunded.c.refund_id == tx.c.id).correlate(tx).scalar_subquery(),
)
_RETURNED = (
    tx.outerjoin(rf, rf.c.wallet_transaction_id == tx.c.id)
    .join(b, b.c.id == _SUBJECT)
    .join(s, s.c.id == b.c.course_schedule_id)
    .outerjoin(back, back.c.id == b.c.refund_id)
    .outerjoin(c, c.c.booking_id == b.c.id)
)
#: whether it was given back while a credit stood for the class
_OF_CREDIT = sa.func.coalesce(
    sa.and_(b.c.status == BookingStatus.ON_LEAVE, rf.c.updated_at >= b.c.ended_at), sa.false()
)
_CLASS_WAS_EARNED = sa.case((rf.c.id.is_(None), took_place(b, s)), else_=class_earned(rf.c.updated_at))


def _returned(*where: Any) -> Callable[[datetime, datetime], Source]:
    def rows(start: datetime, end: datetime) -> Source:
        return _source(
            tx.c.id, tx.c.created_at, tx.c.amount, b.c.family_id, _RETURNED, _between(tx.c.created_at, start, end),
            tx.c.type == TransactionType.REFUND, *where, booking_id=b.c.id,
        )  # fmt: skip

    return rows


def _unexplained(type_: str, sign: int) -> Callable[[datetime, datetime], Source]:
    """Movements of bookings' types that no booking and no refund by staff knows."""
    named = sa.or_(
        sa.select(_refunded.c.id).where(_refunded.c.debit_id == tx.c.id).correlate(tx).exists(),
        sa.select(_refunded.c.id).where(_refunded.c.refund_id == tx.c.id).correlate(tx).exists(),
        sa.select(rf.c.id).where(rf.c.wallet_transaction_id == tx.c.id).correlate(tx).exists(),
    )
    return _posted(type_, sign, ~named)


# ── trials ──────────────────────────────────────────────────────────────────────────────────────────


def _trial_paid(start: datetime, end: datetime) -> Source:
    frm = p.join(o, o.c.id == p.c.order_id)
    return _source(p.c.id, p.c.created_at, p.c.total_fee, o.c.family_id, frm, _between(p.c.created_at, start, end),
                   order_id=o.c.order_id)  # fmt: skip


_TRIAL_REFUNDS = REFUNDS.join(p, p.c.id == rf.c.payment_id).join(o, o.c.id == p.c.order_id)
_TRIAL_REFUNDS = _TRIAL_REFUNDS.outerjoin(b, sa.and_(b.c.id == o.c.booking_id, p.c.duplicate.is_(False))).outerjoin(
    s, s.c.id == b.c.course_schedule_id
)


def _trial_back(*where: Any) -> Callable[[datetime, datetime], Source]:
    def rows(start: datetime, end: datetime) -> Source:
        return _source(
            rf.c.id, REFUND_MOVED_AT, rf.c.amount, o.c.family_id, _TRIAL_REFUNDS, rf.c.status == RefundStatus.SUCCEEDED,
            _between(REFUND_MOVED_AT, start, end), *where, order_id=o.c.order_id,
        )  # fmt: skip

    return rows


def _trial_held(start: datetime, end: datetime) -> Source:
    return _source(
        p.c.id, s.c.ends_at, left_of_payment(s.c.ends_at), o.c.family_id, TRIALS, _between(s.c.ends_at, start, end),
        took_place(b, s), order_id=o.c.order_id, booking_id=b.c.id,
    )  # fmt: skip


def _trial_kept(start: datetime, end: datetime) -> Source:
    at = sa.type_coerce(TRIAL_KEPT_AT, s.c.ends_at.type)
    return _source(
        p.c.id, at, left_of_payment(at), o.c.family_id, TRIALS, _between(at, start, end), ~took_place(b, s),
        order_id=o.c.order_id, booking_id=b.c.id,
    )  # fmt: skip


# ── classes and credits ─────────────────────────────────────────────────────────────────────────────

_BY_WALLET = b.c.debit_id.is_not(None)


def _class_held(start: datetime, end: datetime) -> Source:
    return _source(
        b.c.id, s.c.ends_at, left_of_booking(s.c.ends_at), b.c.family_id, PAID, _BY_WALLET,
        _between(s.c.ends_at, start, end), took_place(b, s), booking_id=b.c.id,
    )  # fmt: skip


def _ended(*where: Any) -> Callable[[datetime, datetime], Source]:
    """Bookings by the moment at which they were cancelled or given up."""

    def rows(start: datetime, end: datetime) -> Source:
        return _source(
            b.c.id, b.c.ended_at, left_of_booking(b.c.ended_at), b.c.family_id, PAID, _BY_WALLET,
            _between(b.c.ended_at, start, end), *where, booking_id=b.c.id,
        )  # fmt: skip

    return rows


_MADE_UP_FOR = MADE_UP.join(c, c.c.id == m.c.credit_id).join(b, b.c.id == c.c.booking_id)


def _made_up(moment: Any, *where: Any) -> Callable[[datetime, datetime], Source]:
    def rows(start: datetime, end: datetime) -> Source:
        return _source(
            m.c.id, moment, left_of_booking(moment), b.c.family_id, _MADE_UP_FOR, _BY_WALLET,
            _between(moment, start, end), *where, booking_id=m.c.id,
        )  # fmt: skip

    return rows


def _credit_ended(start: datetime, end: datetime) -> Source:
    return _source(
        c.c.id, c.c.ended_at, left_of_booking(c.c.ended_at), b.c.family_id, OWED, _BY_WALLET,
        _between(c.c.ended_at, start, end), booking_id=b.c.id,
    )  # fmt: skip


def _revival(moment: Any) -> Callable[[datetime, datetime], Source]:
    """A credit that expired and was extended later, by either of the two moments."""

    def rows(start: datetime, end: datetime) -> Source:
        frm = REVIVED.join(b, b.c.id == c.c.booking_id)
        return _source(
            revived.c.id, moment, left_of_booking(moment), b.c.family_id, frm, WAS_REVIVED, _BY_WALLET,
            _between(moment, start, end), booking_id=b.c.id,
        )  # fmt: skip

    return rows


_T = TransactionType
_SOURCES: dict[Line, Callable[[datetime, datetime], Source]] = {
    Line.RECHARGE: _posted(_T.RECHARGE, 1),
    Line.TRIAL_PAID: _trial_paid,
    Line.TRIAL_REFUND: _trial_back(rf.c.refund_to != RefundTo.WALLET),
    Line.WITHDRAWN: _posted(_T.WITHDRAWAL, -1),
    Line.WITHDRAWAL_BACK: _posted(_T.WITHDRAWAL_REVERSAL, 1),
    Line.ADJUST_UP: _posted(_T.ADJUSTMENT, 1),
    Line.ADJUST_DOWN: _posted(_T.ADJUSTMENT, -1),
    Line.TRANSFER_IN: _posted(_T.TRANSFER_IN, 1),
    Line.TRANSFER_OUT: _posted(_T.TRANSFER_OUT, -1),
    Line.OTHER_DEBIT: _unexplained(_T.DEDUCTION, -1),
    Line.OTHER_CREDIT: _unexplained(_T.REFUND, 1),
    Line.BOOKED: _booked,
    Line.CLASS_REFUND: _returned(~_OF_CREDIT),
    Line.LEAVE_REFUND: _returned(_OF_CREDIT),
    Line.TRIAL_TO_WALLET: _trial_back(rf.c.refund_to == RefundTo.WALLET),
    Line.ON_LEAVE: _ended(b.c.status == BookingStatus.ON_LEAVE),
    Line.CLASS_HELD: _class_held,
    Line.MAKEUP_HELD: _made_up(ms.c.ends_at, took_place(m, ms)),
    Line.TRIAL_HELD: _trial_held,
    Line.CREDIT_ENDED: _credit_ended,
    Line.CREDIT_EXPIRED: _revival(expired.c.created_at),
    Line.CLASS_KEPT: _ended(KEPT, left_of_booking(b.c.ended_at) > ZERO),
    Line.TRIAL_KEPT: _trial_kept,
    Line.CLASS_UNDONE: _returned(~_OF_CREDIT, _CLASS_WAS_EARNED),
    Line.LEAVE_UNDONE: _returned(_OF_CREDIT, sa.or_(credit_earned(rf.c.updated_at), lapsed_then(rf.c.updated_at))),
    Line.MAKEUP_UNDONE: _made_up(m.c.ended_at, took_place(m, ms)),
    Line.CREDIT_REVIVED: _revival(revived.c.created_at),
    Line.TRIAL_UNDONE: _trial_back(trial_earned(rf.c.updated_at)),
}


def source(line: Line, start: datetime, end: datetime) -> Source:
    """The rows of a line in a half-open span of moments."""
    return _SOURCES[line](start, end)
