"""Counting requests in the database, for the limits that must hold without Redis and fail closed (Z6, S13)."""

from __future__ import annotations

import math

import sqlalchemy as sa
from sqlalchemy.dialects import mysql, sqlite

from app import clock
from app.db import db, transactional
from app.domain.people.models import RateCount
from app.errors import TooMany

_counts = RateCount.__table__


@transactional
def hit(bucket: str, *, limit: int, window_seconds: int) -> int:
    """Count one request of `bucket` (≤ 96 ASCII characters) and return the estimate. Raises TooMany above `limit`.

    The estimate is a sliding window: this fixed window's count plus the share of the one before that still
    counts. A fixed window alone lets twice the limit through around its edge. A refused request is not counted,
    so that hammering does not lock a person out for longer.
    """
    now = clock.now().timestamp()
    window = int(now // window_seconds) * window_seconds
    _add_one(bucket, window)
    rows = db.session.execute(
        sa.select(_counts.c.window, _counts.c.count).where(
            _counts.c.bucket == bucket, _counts.c.window >= window - window_seconds
        )
    )
    counts = {row.window: row.count for row in rows}
    if counts[window] == 1:
        db.session.execute(
            _counts.delete().where(_counts.c.bucket == bucket, _counts.c.window < window - window_seconds)
        )
    weight = 1 - (now - window) / window_seconds
    estimate = counts[window] + math.floor(counts.get(window - window_seconds, 0) * weight)
    if estimate > limit:
        # Raising rolls the count of this refused request back.
        raise TooMany(retry_after=max(1, math.ceil(window + window_seconds - now)))
    return estimate


def _add_one(bucket: str, window: int) -> None:
    # One statement, so that simultaneous requests queue on the row instead of overwriting each other's count.
    values = {"bucket": bucket, "window": window, "count": 1}
    if db.session.get_bind().dialect.name == "sqlite":
        insert = sqlite.insert(_counts).values(values)
        insert = insert.on_conflict_do_update(index_elements=["bucket", "window"], set_={"count": _counts.c.count + 1})
    else:
        insert = mysql.insert(_counts).values(values).on_duplicate_key_update(count=_counts.c.count + 1)
    db.session.execute(insert)


@transactional
def forget_before(*, moment_seconds: int) -> int:
    """Drop the counts of windows that began before this many seconds since the epoch; returns how many rows."""
    return db.session.execute(_counts.delete().where(_counts.c.window < moment_seconds)).rowcount
