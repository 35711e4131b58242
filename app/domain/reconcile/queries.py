"""What the reconciliation's page shows, and what the day's close asks (W24, W25)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from app import clock
from app.db import db
from app.domain.audit import queries as audit_queries
from app.domain.people.models import Family, Staff
from app.domain.reconcile.findings import Source
from app.domain.reconcile.models import BillKind, BillLine, DifferenceStatus, ReconcileDifference, ReconcileRun
from app.money import ZERO
from app.paging import Listing, Page, keyset, whole

_d, _runs, _lines = ReconcileDifference.__table__, ReconcileRun.__table__, BillLine.__table__
_family, _staff = Family.__table__, Staff.__table__


@dataclass(frozen=True, slots=True)
class DifferenceFilter:
    """What a person asked for; None means all. Open ones unless `status` says otherwise."""

    status: str | None = DifferenceStatus.OPEN
    source: str | None = None
    kind: str | None = None
    family_id: int | None = None
    date_from: date | None = None
    date_to: date | None = None


_rows = (
    sa.select(*_d.c, _family.c.name.label("family_name"), _staff.c.display_name.label("settled_by_name"))
    .outerjoin(_family, _family.c.id == _d.c.family_id)
    .outerjoin(_staff, _staff.c.id == _d.c.settled_by)
)


def select(asked: DifferenceFilter) -> sa.Select:
    """The rows asked for, unordered."""
    query = _rows
    for name in ("status", "source", "kind", "family_id"):
        value = getattr(asked, name)
        if value is not None:
            query = query.where(_d.c[name] == value)
    if asked.date_from is not None:
        query = query.where(_d.c.day >= asked.date_from)
    if asked.date_to is not None:
        query = query.where(_d.c.day <= asked.date_to)
    return query


def page(asked: DifferenceFilter, *, before: int | None = None, after: int | None = None, limit: int = 50) -> Page:
    """One page, the newest first: the table's columns, `family_name` and `settled_by_name`."""
    return keyset(select(asked), _d.c.id, before=before, after=after, limit=limit)


def every(asked: DifferenceFilter) -> Listing:
    """All of them in the order of the pages, for an export."""
    return whole(select(asked), _d.c.id)


def difference(difference_id: int) -> sa.Row | None:
    """One difference, open or settled; None if there is none."""
    return db.session.execute(_rows.where(_d.c.id == difference_id)).first()


def history(row: Any) -> list[sa.Row]:
    """Who settled it, and when."""
    return audit_queries.of_targets([("difference", row.id)], newest=20)


#: how many differences are open
OPEN = sa.select(sa.func.count()).select_from(_d).where(_d.c.status == DifferenceStatus.OPEN)


def open_count(day: date | None = None) -> int:
    """How many differences are open, of all days or of one."""
    return db.session.scalar(OPEN if day is None else OPEN.where(_d.c.day == day))


def open_by_source() -> dict[str, int]:
    """Open differences by source; 0 where there is none."""
    query = sa.select(_d.c.source, sa.func.count()).where(_d.c.status == DifferenceStatus.OPEN).group_by(_d.c.source)
    found = dict(iter(db.session.execute(query)))
    return {str(source): found.get(source, 0) for source in Source}


def open_ones(limit: int = 200) -> list[sa.Row]:
    """The open differences, the oldest day first."""
    query = _rows.where(_d.c.status == DifferenceStatus.OPEN).order_by(_d.c.day, _d.c.id).limit(limit)
    return list(db.session.execute(query))


@dataclass(frozen=True, slots=True)
class BillDay:
    """A day of WeChat's bill as it was compared: its sums in yuan, and how many differences of it are open."""

    day: date
    ran_at: Any
    payments: int
    paid: Decimal
    refunds: int
    refunded: Decimal
    fee: Decimal
    open: int


def bill_day(day: date) -> BillDay | None:
    """What the bill of this day came to; None where it has not been compared yet."""
    ran_at = db.session.scalar(sa.select(_runs.c.ran_at).where(_runs.c.source == Source.BILL, _runs.c.day == day))
    if ran_at is None:
        return None
    sums = sa.select(
        _lines.c.kind, sa.func.count(), sa.func.sum(_lines.c.amount), sa.func.sum(_lines.c.fee)
    )  # fmt: skip
    by_kind = {row[0]: row[1:] for row in db.session.execute(sums.where(_lines.c.day == day).group_by(_lines.c.kind))}
    payments, paid, fee = by_kind.get(BillKind.PAYMENT, (0, ZERO, ZERO))
    refunds, refunded, fee_back = by_kind.get(BillKind.REFUND, (0, ZERO, ZERO))
    is_open = sa.select(sa.func.count()).where(
        _d.c.status == DifferenceStatus.OPEN, _d.c.source == Source.BILL, _d.c.day == day
    )
    return BillDay(
        day, ran_at, payments, paid or ZERO, refunds, refunded or ZERO, (fee or ZERO) + (fee_back or ZERO),
        db.session.scalar(is_open),
    )  # fmt: skip


def last_bill() -> BillDay | None:
    """The newest day whose bill was compared."""
    day = db.session.scalar(sa.select(sa.func.max(_runs.c.day)).where(_runs.c.source == Source.BILL))
    return None if day is None else bill_day(day)


def books_checked_at() -> Any:
    """When the books were last wholly compared with themselves: the oldest of the checks; None before the first."""
    query = sa.select(sa.func.min(_runs.c.ran_at)).where(_runs.c.source == Source.BOOKS)
    return db.session.scalar(query)


def latest_day() -> date:
    """The newest day whose bill there can be."""
    return clock.today() - timedelta(days=1)
