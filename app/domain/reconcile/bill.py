"""WeChat's trade bill of a day against our payments and refunds (W24). Line 9: compares, writes only its own tables.

A payment belongs to the bill that has it, whatever our clock said: lines are looked up by WeChat's number, and what a
bill lacks is looked for in the other days' bills before it counts as missing. The bill has a refund from the moment
that WeChat began it, and says nothing of it later.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal

import sqlalchemy as sa

from app import clock, money
from app.db import db, execute, transactional
from app.domain.audit import service as audit
from app.domain.audit.actor import Actor
from app.domain.orders import refund_rules
from app.domain.orders.models import (
    PaymentOrder,
    PaymentSource,
    PaymentTransaction,
    Refund,
    RefundStatus,
    RefundTo,
)
from app.domain.reconcile import differences
from app.domain.reconcile.differences import Outcome, Scope
from app.domain.reconcile.findings import BILL_KINDS, Found, Kind, Source, as_amount, as_key
from app.domain.reconcile.models import BillKind, BillLine, ReconcileRun

_p, _o, _r = PaymentTransaction.__table__, PaymentOrder.__table__, Refund.__table__
_lines, _runs = BillLine.__table__, ReconcileRun.__table__

#: numbers per query
PART = 500
#: how far a payment's clock here may be from WeChat's
SKEW = timedelta(hours=1)
#: what WeChat has never been asked to do is none of its bill
_NOT_SENT = (RefundStatus.REQUESTED, RefundStatus.APPROVED, RefundStatus.REJECTED)
_NONE = "没有"


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the bill. `number` is WeChat's of a payment, ours of a refund; amounts are yuan, as WeChat wrote them,
    and positive; `done` where a refund had already succeeded when the bill was made."""

    kind: BillKind
    number: str
    out_trade_no: str
    amount: Decimal
    at: datetime
    fee: Decimal = money.ZERO
    done: bool = False


@dataclass(frozen=True, slots=True)
class OurPayment:
    number: str
    order_id: str
    out_trade_no: str
    amount: Decimal
    family_id: int


@dataclass(frozen=True, slots=True)
class OurRefund:
    refund_no: str
    amount: Decimal
    status: str
    refund_to: str
    family_id: int


@dataclass(frozen=True, slots=True)
class Ours:
    """What we have: all that the bill names, and what the bill of this day should have had."""

    payments: Mapping[str, OurPayment]
    refunds: Mapping[str, OurRefund]
    due_payments: Sequence[OurPayment] = ()
    due_refunds: Sequence[OurRefund] = ()


# ── comparing, without the database ─────────────────────────────────────────────────────────────────


def compare(day: date, lines: Sequence[Line], ours: Ours) -> list[Found]:
    """Every difference between a day's bill and what we have, each line looked at once."""
    found: list[Found] = []
    met: Counter[tuple[str, str]] = Counter()
    for line in lines:
        met[line.kind, line.number] += 1
        if met[line.kind, line.number] == 1:
            found += _payment(day, line, ours) if line.kind == BillKind.PAYMENT else _refund(day, line, ours)
    for (kind, number), times in met.items():
        if times > 1:
            word = "付款" if kind == BillKind.PAYMENT else "退款"
            found.append(
                Found(day, Kind.TWICE_IN_BILL, as_key(f"{kind}:{number}"), f"{word} {times} 行", "应只有 1 行")
            )
    found += [_payment_missing(day, one) for one in ours.due_payments if not met[BillKind.PAYMENT, one.number]]
    found += [_refund_missing(day, one) for one in ours.due_refunds if not met[BillKind.REFUND, one.refund_no]]
    return found


def _payment(day: date, line: Line, ours: Ours) -> Iterable[Found]:
    one, key = ours.payments.get(line.number), as_key(line.number)
    theirs = as_amount(line.amount)
    if one is None:
        yield Found(day, Kind.PAYMENT_MISSING_HERE, key, _said(line), _NONE, theirs)
        return
    where = {"family_id": one.family_id, "target_type": "order", "target_id": one.order_id}
    if line.amount != one.amount:
        yield Found(
            day, Kind.PAYMENT_AMOUNT, key, f"{_yuan(line.amount)}", money.yuan(one.amount), theirs, one.amount, **where
        )
    if line.out_trade_no != one.out_trade_no:
        yield Found(
            day, Kind.PAYMENT_ORDER, key, f"商户订单号 {line.out_trade_no[:64]}", f"商户订单号 {one.out_trade_no}",
            theirs, one.amount, **where,
        )  # fmt: skip


def _refund(day: date, line: Line, ours: Ours) -> Iterable[Found]:
    one, key = ours.refunds.get(line.number), as_key(line.number)
    theirs = as_amount(-line.amount)
    if one is None:
        yield Found(day, Kind.REFUND_MISSING_HERE, key, _said(line), _NONE, theirs)
        return
    where = {"family_id": one.family_id, "target_type": "refund", "target_id": one.refund_no}
    if line.amount != one.amount:
        yield Found(
            day, Kind.REFUND_AMOUNT, key, _yuan(line.amount), money.yuan(one.amount), theirs, -one.amount, **where
        )
    if not _agrees(line, one):
        said = "微信已退款" if line.done else "微信已受理退款"
        yield Found(day, Kind.REFUND_STATUS, key, said, _status(one), theirs, -one.amount, **where)


def _agrees(line: Line, one: OurRefund) -> bool:
    """Whether our state may stand beside a line of the bill."""
    if one.refund_to != RefundTo.ORIGINAL or one.status in _NOT_SENT:
        return False
    return not (line.done and one.status in (RefundStatus.FAILED, RefundStatus.CLOSED))


def _payment_missing(day: date, one: OurPayment) -> Found:
    return Found(
        day, Kind.PAYMENT_MISSING_THERE, as_key(one.number), _NONE,
        f"{money.yuan(one.amount)} 商户订单号 {one.out_trade_no}", None, one.amount, one.family_id, "order",
        one.order_id,
    )  # fmt: skip


def _refund_missing(day: date, one: OurRefund) -> Found:
    return Found(
        day, Kind.REFUND_MISSING_THERE, as_key(one.refund_no), _NONE, f"{money.yuan(one.amount)} {_status(one)}", None,
        -one.amount, one.family_id, "refund", one.refund_no,
    )  # fmt: skip


def _said(line: Line) -> str:
    return f"{_yuan(line.amount)} 商户订单号 {line.out_trade_no[:64]}"


def _yuan(amount: Decimal) -> str:
    return f"¥{amount:f}"[:40]


def _status(one: OurRefund) -> str:
    return f"{refund_rules.STATUS_TEXTS[one.status]}（{refund_rules.TO_TEXTS[one.refund_to]}）"


# ── with the database ───────────────────────────────────────────────────────────────────────────────


@transactional
def record(*, day: date, lines: Sequence[Line], actor: Actor) -> Outcome:
    """Keep the bill of a studio day and its differences; the same bill again changes nothing (I-28)."""
    differences.enter(Scope(Source.BILL, BILL_KINDS, day), len(lines))
    _keep(day, lines)
    kinds = Counter(line.kind for line in lines)
    audit.record(
        actor, "reconcile.bill_fetched", target_type="reconcile", target_id=f"bill:{day}",
        request={"call": "bill/tradebill", "bill_date": day.isoformat()},
        answer={"payments": kinds[BillKind.PAYMENT], "refunds": kinds[BillKind.REFUND]},
    )  # fmt: skip
    ours = Ours(
        _payments(_p.c.transaction_id, {line.number for line in lines if line.kind == BillKind.PAYMENT}),
        _refunds_named({line.number for line in lines if line.kind == BillKind.REFUND}),
        _due_payments(day),
        _due_refunds(day),
    )
    return differences.record(Scope(Source.BILL, BILL_KINDS, day), compare(day, lines, ours), actor)


def _keep(day: date, lines: Sequence[Line]) -> None:
    execute(_lines.delete().where(_lines.c.day == day))
    rows = [
        {"day": day, "line": number, "kind": line.kind, "number": as_key(line.number),
         "out_trade_no": as_key(line.out_trade_no), "at": line.at, "amount": as_amount(line.amount),
         "fee": as_amount(money.rounded(line.fee)) if abs(line.fee) < money.MAX_AMOUNT else None}
        for number, line in enumerate(lines, 1)
    ]  # fmt: skip
    if rows:
        execute(_lines.insert(), rows)


_payment_columns = sa.select(
    _p.c.transaction_id, _o.c.order_id, _p.c.out_trade_no, _p.c.total_fee, _o.c.family_id
).join_from(_p, _o, _o.c.id == _p.c.order_id)
_refund_columns = sa.select(_r.c.refund_no, _r.c.amount, _r.c.status, _r.c.refund_to, _r.c.family_id)


def _payments(column: sa.ColumnElement, numbers: set[str]) -> dict[str, OurPayment]:
    # A number with other than ASCII is not ours, and a server may refuse to compare it with our columns.
    sought = sorted(number for number in numbers if number.isascii())
    found = (OurPayment(*row) for part in _parts(sought) for row in execute(_payment_columns.where(column.in_(part))))
    return {one.number: one for one in found}


def _refunds_named(numbers: set[str]) -> dict[str, OurRefund]:
    sought = sorted(number for number in numbers if number.isascii())
    found = (
        OurRefund(*row) for part in _parts(sought) for row in execute(_refund_columns.where(_r.c.refund_no.in_(part)))
    )
    return {one.refund_no: one for one in found}


def _parts(numbers: list[str]) -> Iterable[list[str]]:
    return (numbers[start : start + PART] for start in range(0, len(numbers), PART))


def _in_some_bill(kind: BillKind, number: sa.ColumnElement) -> sa.Exists:
    return sa.exists().where(_lines.c.kind == kind, _lines.c.number == number)


def _due_payments(day: date) -> list[OurPayment]:
    """Payments of that day by WeChat's clock (ours where it gave none) that are in no bill."""
    start, end = clock.day_bounds(day)
    by_wechat = sa.and_(_p.c.time_end >= f"{day:%Y%m%d}000000", _p.c.time_end <= f"{day:%Y%m%d}235959")
    by_us = sa.and_(_p.c.time_end.is_(None), _p.c.created_at < end)
    query = _payment_columns.where(
        # Nothing is recorded here before it was paid there: an upper bound would lose what the bill itself told.
        _p.c.created_at >= start - SKEW, sa.or_(by_wechat, sa.and_(by_us, _p.c.created_at >= start)),
        _p.c.source != PaymentSource.OFFLINE,
        ~_in_some_bill(BillKind.PAYMENT, _p.c.transaction_id),
    ).order_by(_p.c.id)  # fmt: skip
    return [OurPayment(*row) for row in execute(query)]


def _due_refunds(day: date) -> list[OurRefund]:
    """Refunds that WeChat took, last changed on that day, and in no bill although all bills since they were approved
    are here. One that WeChat began before midnight and ended after it is judged on the later day."""
    start, end = clock.day_bounds(day)
    query = (
        sa.select(*_refund_columns.selected_columns, _r.c.decided_at)
        .where(
            _r.c.refund_to == RefundTo.ORIGINAL,
            _r.c.status.not_in(_NOT_SENT),
            _r.c.wechat_refund_id.is_not(None),
            _r.c.updated_at >= start,
            _r.c.updated_at < end,
            ~_in_some_bill(BillKind.REFUND, _r.c.refund_no),
        )
        .order_by(_r.c.id)
    )
    rows = list(execute(query))
    if not rows:
        return []
    first = min(clock.local(row.decided_at).date() for row in rows)
    compared = set(
        execute(
            sa.select(_runs.c.day).where(_runs.c.source == Source.BILL, _runs.c.day >= first, _runs.c.day <= day)
        ).scalars()
    )

    def judged(row: sa.Row) -> bool:
        began = clock.local(row.decided_at).date()
        return all(began + timedelta(days=n) in compared for n in range((day - began).days + 1))

    return [OurRefund(*row[:5]) for row in rows if judged(row)]


def days_without(today: date, back: int = 7) -> list[date]:
    """Days up to yesterday whose bill is not compared yet, the oldest first: yesterday, and since the first bill that
    ever was, the days of a week that somehow were left out."""
    query = sa.select(_runs.c.day).where(_runs.c.source == Source.BILL)
    known = set(db.session.scalars(query))
    db.session.rollback()
    first = min(known, default=today)
    days = [today - timedelta(days=n) for n in range(back, 0, -1)]
    return [day for day in days if day not in known and (day > first or day == days[-1])]
