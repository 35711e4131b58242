"""What is kept for a while only: answers to requests by their keys (96.13)."""

from __future__ import annotations

from datetime import timedelta

import sqlalchemy as sa

from app.db import KeptRequest, db, db_now, transactional

#: the contract promises a day; money has its own unique keys for ever
KEPT = timedelta(days=3)
#: rows of one transaction, so that nobody waits for a large delete
BATCH = 2000

_requests = KeptRequest.__table__


def forget_requests() -> int:
    """Delete kept answers that are old; returns how many. Each batch in a transaction of its own."""
    total = 0
    while done := _forget_batch():
        total += done
        if done < BATCH:
            break
    return total


@transactional
def _forget_batch() -> int:
    last = db.session.scalar(
        sa.select(_requests.c.created_at)
        .where(_requests.c.created_at < db_now() - KEPT)
        .order_by(_requests.c.created_at)
        .offset(BATCH - 1)
        .limit(1)
    )
    limit = last if last is not None else db_now() - KEPT
    return db.session.execute(_requests.delete().where(_requests.c.created_at <= limit)).rowcount
