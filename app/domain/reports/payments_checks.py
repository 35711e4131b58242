"""Whether paying keeps its word (O25): it starts, is told of, gives seats free in time, and happens once."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from app.db import db
from app.domain.orders.models import PaymentTransaction
from app.domain.reports import payments
from app.domain.reports.payments import Figure, Line, Span

_p = PaymentTransaction.__table__


@dataclass(frozen=True, slots=True)
class Check:
    """How many were promised something, and for how many of them it was not kept."""

    judged: int
    broken: int


def checks(span: Span) -> tuple[dict[str, Check], Line]:
    """Each promise by name, as the analytics count it, and their line of these days with its times to book."""
    line = payments.total(span)
    counts = line.counts
    again = again_paid(span)
    return {
        "starts": Check(counts[Figure.STARTED], counts[Figure.START_FAILED]),
        "callbacks": Check(counts[Figure.RECEIVED], counts[Figure.UNNOTIFIED]),
        "holds": Check(counts[Figure.FREED], counts[Figure.FREED_LATE]),
        "duplicates": Check(counts[Figure.DUPLICATES] + again, again),
    }, line


def again_paid(span: Span) -> int:
    """Payments of these days that were taken as an order's own though it had one: none where duplicates are refused."""
    start, end = span.bounds
    earlier = _p.alias("earlier")
    had_one = sa.exists().where(
        earlier.c.order_id == _p.c.order_id, earlier.c.id < _p.c.id, earlier.c.duplicate.is_(False)
    )
    query = sa.select(sa.func.count()).where(
        _p.c.created_at >= start, _p.c.created_at < end, _p.c.duplicate.is_(False), had_one
    )
    return db.session.scalar(query)
