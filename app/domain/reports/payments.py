"""What paying is like: how often it starts, arrives, ends and fails (O25, O11). Days are the studio's.

Each figure is counted from the rows that it leads to; the rates are theirs, none is a constant.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum

import sqlalchemy as sa

from app import clock
from app.db import db
from app.domain.orders.models import (
    OrderStatus,
    PaymentAttempt,
    PaymentNotification,
    PaymentOrder,
    PaymentTransaction,
    TradeType,
)
from app.domain.people.models import Family
from app.domain.seats.models import ReservationStatus, SeatReservation
from app.ranks import nearest_rank

_o, _a, _p = PaymentOrder.__table__, PaymentAttempt.__table__, PaymentTransaction.__table__
_n, _h, _f = PaymentNotification.__table__, SeatReservation.__table__, Family.__table__

#: a lapsed hold counts no more at once; its mark follows by the job of every minute
MARKED_WITHIN = timedelta(minutes=2)
#: rows that a figure shows
ROWS_SHOWN = 500


class Figure(StrEnum):
    STARTED = "started"
    START_FAILED = "start_failed"
    RECEIVED = "received"
    UNNOTIFIED = "unnotified"
    FREED = "freed"
    FREED_LATE = "freed_late"
    DUPLICATES = "duplicates"
    PAID = "paid"
    UNPAID = "unpaid"


@dataclass(frozen=True, slots=True)
class Span:
    """Studio days, both ends included."""

    first: date
    last: date

    @property
    def bounds(self) -> tuple[datetime, datetime]:
        return clock.day_bounds(self.first)[0], clock.day_bounds(self.last)[1]

    def days(self) -> list[date]:
        return [self.first + timedelta(days=n) for n in range((self.last - self.first).days + 1)]


@dataclass(frozen=True, slots=True)
class Line:
    """The figures of one day, or of all. Times to book in whole seconds from order to seat; None without any."""

    on: date | None
    counts: dict[str, int]
    seconds: Sequence[int]

    @property
    def start_rate(self) -> Decimal | None:
        return _rate(self.counts[Figure.STARTED] - self.counts[Figure.START_FAILED], self.counts[Figure.STARTED])

    @property
    def notified_rate(self) -> Decimal | None:
        return _rate(self.counts[Figure.RECEIVED] - self.counts[Figure.UNNOTIFIED], self.counts[Figure.RECEIVED])

    @property
    def freed_rate(self) -> Decimal | None:
        return _rate(self.counts[Figure.FREED] - self.counts[Figure.FREED_LATE], self.counts[Figure.FREED])

    @property
    def median(self) -> int | None:
        return nearest_rank(self.seconds, 50)

    @property
    def p90(self) -> int | None:
        return nearest_rank(self.seconds, 90)


def _rate(part: int, whole: int) -> Decimal | None:
    return Decimal(part) / whole if whole else None


# ── the rows behind each figure ─────────────────────────────────────────────────────────────────────


def _source(figure: str, now: datetime) -> tuple[sa.FromClause, sa.Column, list]:
    """The table joined to its order, the moment that says which day a row is of, and what picks the rows."""
    attempts, payments = _a.join(_o, _o.c.id == _a.c.order_id), _p.join(_o, _o.c.id == _p.c.order_id)
    holds = _h.join(_o, _o.c.id == _h.c.order_id)
    wechat = _p.c.trade_type != TradeType.OFFLINE
    # By our number, which has the index; a refund's callback names the payment too, under its own.
    unanswered = ~sa.exists().where(_n.c.number == _p.c.out_trade_no, _n.c.transaction_id == _p.c.transaction_id)
    ended = sa.or_(
        _h.c.status.in_((ReservationStatus.EXPIRED, ReservationStatus.CANCELLED)),
        sa.and_(_h.c.status == ReservationStatus.TEMPORARY, _h.c.expires_at <= now),
    )
    return {
        Figure.STARTED: (attempts, _a.c.created_at, [_a.c.start_result.is_not(None)]),
        Figure.START_FAILED: (attempts, _a.c.created_at, [_a.c.start_result.is_not(None), _a.c.start_result != "ok"]),
        Figure.RECEIVED: (payments, _p.c.created_at, [wechat]),
        Figure.UNNOTIFIED: (payments, _p.c.created_at, [wechat, unanswered]),
        Figure.FREED: (holds, _h.c.created_at, [ended]),
        Figure.FREED_LATE: (holds, _h.c.created_at, [ended]),
        Figure.DUPLICATES: (payments, _p.c.created_at, [_p.c.duplicate.is_(True)]),
        Figure.PAID: (_o, _o.c.paid_at, [_o.c.status == OrderStatus.PAID, _o.c.booking_id.is_not(None)]),
        Figure.UNPAID: (_o, _o.c.created_at, [
            _o.c.status.in_((OrderStatus.FAILED, OrderStatus.CANCELLED, OrderStatus.EXPIRED))
        ]),
    }[figure]  # fmt: skip


def _rows(figure: str, span: Span, limit: int | None = None) -> list[sa.Row]:
    now = clock.now()
    source, moment, picked = _source(figure, now)
    start, end = span.bounds
    columns = [_o.c.order_id, _o.c.status, _o.c.failure_reason, _o.c.created_at.label("ordered_at"), _o.c.paid_at,
               _o.c.family_id, moment.label("at")]  # fmt: skip
    if figure in (Figure.STARTED, Figure.START_FAILED):
        columns += [_a.c.start_result.label("note")]
    elif figure in (Figure.FREED, Figure.FREED_LATE):
        columns += [_h.c.expires_at, _h.c.updated_at, _h.c.status.label("hold_status")]
    elif figure in (Figure.RECEIVED, Figure.UNNOTIFIED, Figure.DUPLICATES):
        columns += [_p.c.transaction_id.label("note")]
    query = (
        sa.select(*columns).select_from(source).where(moment >= start, moment < end, *picked).order_by(moment.desc())
    )
    found = db.session.execute(query if limit is None or figure == Figure.FREED_LATE else query.limit(limit)).all()
    if figure == Figure.FREED_LATE:
        found = [row for row in found if _late(row, now)]
    return found if limit is None else found[:limit]


def _late(row: sa.Row, now: datetime) -> bool:
    """Whether a lapsed hold was marked later than the job would have it."""
    marked = now if row.hold_status == ReservationStatus.TEMPORARY else row.updated_at
    return marked - row.expires_at > MARKED_WITHIN


@dataclass(frozen=True, slots=True)
class Behind:
    """One row behind a figure."""

    order_id: str
    family_id: int
    family_name: str
    status: str
    at: datetime
    note: str | None


def behind(figure: str, span: Span) -> list[Behind]:
    """The rows that a figure counts, newest first, no more than a page shows."""
    rows = _rows(figure, span, ROWS_SHOWN)
    ids = {row.family_id for row in rows}
    names = dict(db.session.execute(sa.select(_f.c.id, _f.c.name).where(_f.c.id.in_(ids))).all()) if ids else {}
    return [
        Behind(row.order_id, row.family_id, names.get(row.family_id, ""), row.status, row.at,
               getattr(row, "note", None) or row.failure_reason)
        for row in rows
    ]  # fmt: skip


# ── the figures ─────────────────────────────────────────────────────────────────────────────────────


def lines(span: Span) -> list[Line]:
    """One line per day, and the whole span first."""
    found = {figure: _rows(figure, span) for figure in Figure}
    days = {
        figure: [clock.local(row.at).date() for row in rows] for figure, rows in found.items()
    }  # fmt: skip
    took = [(clock.local(row.at).date(), _took(row)) for row in found["paid"]]
    return [_total(found)] + [
        Line(day, {figure: days[figure].count(day) for figure in Figure}, sorted(s for on, s in took if on == day))
        for day in reversed(span.days())
    ]


def total(span: Span) -> Line:
    """The whole span in one line."""
    return _total({figure: _rows(figure, span) for figure in Figure})


def _total(found: dict[Figure, list[sa.Row]]) -> Line:
    return Line(None, {figure: len(rows) for figure, rows in found.items()}, sorted(map(_took, found[Figure.PAID])))


def _took(row: sa.Row) -> int:
    """Seconds from order to seat."""
    return int((row.paid_at - row.ordered_at).total_seconds())


def reasons(span: Span) -> list[tuple[str, int]]:
    """Why orders of these days were not paid, the most frequent first; WeChat's codes at the start among them."""
    counted: dict[str, int] = {}
    for row in _rows(Figure.UNPAID, span):
        reason = row.failure_reason or {"cancelled": "家长取消", "expired": "未付款，到期"}.get(row.status, "未说明")
        counted[reason] = counted.get(reason, 0) + 1
    for row in _rows(Figure.START_FAILED, span):
        reason = f"发起支付时微信答复 {row.note}"
        counted[reason] = counted.get(reason, 0) + 1
    return sorted(counted.items(), key=lambda pair: (-pair[1], pair[0]))
