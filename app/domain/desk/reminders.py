"""Receipts that are still to come: the money group is reminded after two hours, then daily (W13)."""

from __future__ import annotations

from datetime import datetime, timedelta

import sqlalchemy as sa

from app.db import db, db_now, transactional
from app.domain.desk import cards, completion
from app.domain.desk.approvals import missing_receipt
from app.domain.desk.models import AdjustmentStatus, Receipt, WalletAdjustment
from app.domain.policy import service as policy

AGAIN_AFTER = timedelta(hours=24)
BATCH = 200


def remind_missing_receipts() -> int:
    """Remind of each pending adjustment whose receipt is late; returns how many. Each in a transaction of its own."""
    now = db_now()
    rows = WalletAdjustment
    due = (
        sa.select(rows.id)
        .where(
            rows.status == AdjustmentStatus.PENDING,
            rows.needs_receipt,
            ~sa.exists().where(Receipt.adjustment_id == rows.id),
            sa.or_(
                sa.and_(
                    rows.receipt_reminded_at.is_(None), rows.asked_at <= now - policy.get("receipt_reminder_after")
                ),
                rows.receipt_reminded_at <= now - AGAIN_AFTER,
            ),
        )
        .order_by(rows.id)
        .limit(BATCH)
    )
    found = list(db.session.scalars(due))
    db.session.rollback()
    return sum(_remind(adjustment_id=adjustment_id) for adjustment_id in found)


@transactional
def _remind(*, adjustment_id: int) -> bool:
    adjustment = completion.lock(adjustment_id)
    now = db_now()
    last = adjustment.receipt_reminded_at
    again = last is None or last <= now - AGAIN_AFTER
    if adjustment.status != AdjustmentStatus.PENDING or not again or not missing_receipt(adjustment):
        return False  # it was reminded of, ended, or its receipt came, between our look and our lock
    adjustment.receipt_reminded_at = now
    cards.receipt_missing(
        adjustment, _waited(adjustment.asked_at, now), f"adjustment:{adjustment.id}:receipt:{now.isoformat()}"
    )
    return True


def _waited(since: datetime, now: datetime) -> str:
    hours = int((now - since).total_seconds() // 3600)
    return f"{hours // 24} 天" if hours >= 24 else f"{hours} 小时"
