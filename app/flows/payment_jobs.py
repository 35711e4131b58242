"""What the scheduler does about orders: ask WeChat, mark what lapsed, end what is over (O7, O22)."""

from __future__ import annotations

from datetime import timedelta

from app.domain.orders import attempts, ending, notifications
from app.flows import payments, sweep

#: orders of one run, and its seconds
BATCH, SECONDS = 200, 45.0


def query_due() -> int:
    """Ask about the open attempts whose time it is; returns how many were asked about."""
    return sweep.each(attempts.claim_due(limit=BATCH), payments.sweep_one, seconds=SECONDS)


def retire_holds() -> int:
    """Mark the holds that lapsed; returns how many."""
    return sum(ending.retire(schedule_id=one) for one in ending.sessions_with_lapsed_holds())


def expire_orders() -> int:
    """End the orders whose time is over; returns how many were looked at."""
    return sweep.each(ending.due_orders(BATCH), payments.expire, seconds=SECONDS)


def forget_nonces() -> int:
    """Nonces of callbacks whose timestamps do not pass any more."""
    return notifications.forget_nonces(older_than=timedelta(days=1))
