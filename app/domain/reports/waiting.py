"""How many wait for somebody, at each place of the portal: one statement, for every page's menu asks for it.

What counts as waiting is said where it is kept; here it is only put together.
"""

from __future__ import annotations

import functools
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from app import clock
from app.domain.bookings.models import LateRefund, LateRefundStatus
from app.domain.books import close
from app.domain.cases import queries as cases
from app.domain.desk import bulk_queries as bulk
from app.domain.desk import queries as desk
from app.domain.ledger.models import Wallet
from app.domain.makeups import desk_queries as makeups
from app.domain.offers import board_figures as offers
from app.domain.orders import desk_refunds
from app.domain.outbox import queries as outbox
from app.domain.outbox.models import Notification
from app.domain.outbox.queries import NoticeFilter
from app.domain.people import queries_staff as staff
from app.domain.policy import queries as policies
from app.domain.policy import service as policy
from app.domain.questions import queries as questions
from app.domain.reconcile import queries as reconcile
from app.domain.withdrawals import queries as withdrawals
from app.money import ZERO
from app.single_read import SingleRead

_late, _wallets, _notices = LateRefund.__table__, Wallet.__table__, Notification.__table__

#: messages that reached nobody are somebody's task for so many days, today among them
FAILED_DAYS = 7


def _count(table: sa.Table, *where: Any) -> sa.Select:
    return sa.select(sa.func.count()).select_from(table).where(*where)


#: name → its number, over the parameters of `_PARAMETERS`
_COUNTS: dict[str, sa.Select] = {
    "approvals": desk.APPROVALS,
    "receipts_missing": desk.RECEIPTS_MISSING,
    "batches_asked": bulk.ASKED_BY_OTHERS,
    "cases": cases.OPEN,
    "differences": reconcile.OPEN,
    "questions": questions.OPEN,
    # refunds after the cutoff that wait for a second person (B3)
    "late_refunds": _count(_late, _late.c.status == LateRefundStatus.PENDING),
    # families whose arrears are on the staff's task list (N7)
    "arrears_tasks": _count(
        _wallets, _wallets.c.balance < ZERO, _wallets.c.arrears_since <= sa.bindparam("owing_since")
    ),
    "refunds_asked": desk_refunds.ASKED,
    "withdrawals_asked": withdrawals.ASKED,
    "withdrawals_to_pay": withdrawals.TO_PAY,
    "makeups_asked": makeups.ASKED,
    "waitlist_offers": offers.RUNNING,
    # messages that reached nobody: what the in-app list took over has arrived
    "notices_failed": (
        outbox.select(NoticeFilter(outcome="lost"))
        .where(_notices.c.created_at >= sa.bindparam("failed_since"))
        .with_only_columns(sa.func.count())
    ),
    "policy_requests": policies.ASKED_BY_OTHERS,
    "role_requests": staff.ASKED_BY_OTHERS,
    "last_closed": close.LAST,
}

#: everything that can wait
NAMES = frozenset({*_COUNTS, "day_to_close"} - {"last_closed"})

#: parameter of a statement → its value for this person at this moment
_PARAMETERS = {
    "me": lambda staff_id, _now: staff_id,
    "target": lambda staff_id, _now: str(staff_id),
    "now": lambda _me, now: now,
    "owing_since": lambda _me, now: now - policy.get("arrears_task_after"),
    "failed_since": lambda _me, _now: clock.day_bounds(lost_notices().date_from)[0],
}


def lost_notices() -> NoticeFilter:
    """Messages of the last days, today's too, that reached nobody."""
    return NoticeFilter(outcome="lost", date_from=clock.today() - timedelta(days=FAILED_DAYS - 1))


def count(names: Collection[str], *, me: int = 0) -> dict[str, int]:
    """How many wait, by name: some of `NAMES`. `me` is a staff member's id: what they asked for
    themselves waits for others."""
    if not names:
        return {}
    found = _read(frozenset(names), me, clock.now())
    if "day_to_close" in names:
        found["day_to_close"] = int(close.next_open(found.pop("last_closed")) is not None)
    return found


def _read(names: frozenset[str], me: int, now: datetime) -> dict[str, Any]:
    statement, parameters = _statement(names)
    return statement.row({name: _PARAMETERS[name](me, now) for name in parameters})._asdict()


@functools.cache
def _statement(names: frozenset[str]) -> tuple[SingleRead, tuple[str, ...]]:
    """One SELECT of these numbers, and the parameters that it has. There are as many as there are roles."""
    columns = sorted(names - {"day_to_close"} | ({"last_closed"} if "day_to_close" in names else set()))
    statement = sa.select(*(_COUNTS[name].scalar_subquery().label(name) for name in columns))
    used = {bound.key for bound in sa.sql.visitors.iterate(statement) if isinstance(bound, sa.BindParameter)}
    return SingleRead(statement), tuple(name for name in _PARAMETERS if name in used)
