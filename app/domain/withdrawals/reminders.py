"""Withdrawals that nobody dealt with: the money group is reminded after a day, then daily."""

from __future__ import annotations

from datetime import datetime, timedelta

import sqlalchemy as sa

from app.db import db, db_now, transactional
from app.domain.desk.models import Withdrawal
from app.domain.policy import service as policy
from app.domain.withdrawals import ending, rules, telling

AGAIN_AFTER = timedelta(hours=24)
BATCH = 200

#: since when it has stood as it does
_since = sa.func.coalesce(Withdrawal.decided_at, Withdrawal.created_at)


def remind_waiting() -> int:
    """Remind of each open withdrawal that has waited for long; returns how many. Each in a transaction of its own."""
    now = db_now()
    rows = Withdrawal
    due = (
        sa.select(rows.id)
        .where(
            rows.status.in_(rules.OPEN),
            _since <= now - policy.get("withdrawal_reminder_after"),
            sa.or_(rows.reminded_at.is_(None), rows.reminded_at <= now - AGAIN_AFTER),
        )
        .order_by(rows.id)
        .limit(BATCH)
    )
    found = list(db.session.scalars(due))
    db.session.rollback()
    return sum(_remind(withdrawal_id=withdrawal_id) for withdrawal_id in found)


@transactional
def _remind(*, withdrawal_id: int) -> bool:
    held = ending.hold(withdrawal_id)
    row, now = held.row, db_now()
    since = row.decided_at or row.created_at
    again = row.reminded_at is None or row.reminded_at <= now - AGAIN_AFTER
    if row.status not in rules.OPEN or not again or since > now - policy.get("withdrawal_reminder_after"):
        return False  # somebody dealt with it, or reminded of it, between our look and our lock
    row.reminded_at = now
    telling.waits(row, held.family_id, _waited(since, now), f"withdrawal:{row.id}:waits:{now.isoformat()}")
    return True


def _waited(since: datetime, now: datetime) -> str:
    hours = int((now - since).total_seconds() // 3600)
    return f"{hours // 24} 天" if hours >= 24 else f"{hours} 小时"
