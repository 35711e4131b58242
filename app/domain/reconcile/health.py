"""Money health (W26): the standing invariants as named checks, when each last held, and the rows where one does not.

Every five minutes a check looks at what is new since its last run, where that makes sense; at night at everything. One
that does not hold is looked at in full until it does, so that an old wrong row is not forgotten for new right ones.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa

from app import clock
from app.db import db, db_now, execute, transactional
from app.domain.outbox import service as outbox
from app.domain.reconcile import health_checks, health_notices
from app.domain.reconcile.health_checks import Failing, View
from app.domain.reconcile.models import HealthCheck

_h = HealthCheck.__table__

#: rows that are kept and shown, and those that a card names
SHOWN, NAMED = 50, 5
#: a transaction that was under way at the last run may have written its rows with an earlier moment
OVERLAP = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Check:
    """`look` takes the moment since which rows are new, or None for all of them."""

    name: str
    word: str
    look: Callable[[datetime | None], View]


CHECKS = (
    Check("ledger", "每个钱包的流水合计等于余额", health_checks.ledger),
    Check("limits", "没有钱包超过欠费上限", health_checks.limits),
    Check("paid_orders", "已付款的订单都有预约、退款或异常", health_checks.paid_orders),
    Check("refund_sums", "退款合计不超过付款", health_checks.refund_sums),
    Check("minutes", "课时补偿不为负，且等于它的历史", health_checks.minutes),
    Check("seats", "座位不超过容量，计数等于名单", health_checks.seats),
    Check("notices", "余额过线的家庭都收到通知，别人没有", health_notices.notices),
)
BY_NAME = {check.name: check for check in CHECKS}


def run(*, full: bool, only: Sequence[str] | None = None) -> list[str]:
    """Run the checks, keep what they say, and tell the money group where one does not hold; the names of those."""
    known = {row.name: row for row in db.session.execute(sa.select(_h))}
    db.session.rollback()
    broken = []
    for check in CHECKS:
        if only is not None and check.name not in only:
            continue
        before = known.get(check.name)
        whole = full or before is None or before.failing > 0
        began = db_now()
        view = check.look(None if whole else before.last_run_at - OVERLAP)
        db.session.rollback()
        _keep(name=check.name, began=began, whole=whole, view=view)
        if view.failing:
            broken.append(check.name)
            _tell(check=check, view=view)
    return broken


@transactional
def _keep(*, name: str, began: datetime, whole: bool, view: View) -> None:
    values = {
        "last_run_at": began, "rows_checked": view.judged, "failing": len(view.failing),
        "sample": [asdict(one) for one in view.failing[:SHOWN]],
    }  # fmt: skip
    if whole:
        values["last_full_at"] = began
    if not view.failing:
        values["last_held_at"] = began
    if not execute(_h.update().where(_h.c.name == name).values(**values)).rowcount:
        execute(_h.insert().values(name=name, **values))


@transactional
def _tell(*, check: Check, view: View) -> None:
    """One card per day, check and set of rows, so that a standing error does not bury the group."""
    lines = [[f"第 {n} 处", one.text] for n, one in enumerate(view.failing[:NAMED], 1)]
    state = hashlib.sha256("|".join(one.key for one in view.failing).encode()).hexdigest()
    outbox.tell_staff(
        "money", "staff.money_health",
        {"title": f"资金健康：{len(view.failing)} 处不符", "colour": "red", "lines": [["检查", check.word], *lines],
         "text": "请勿修改数据，先查明原因。", "link": {"text": "查看资金健康", "path": "/health-money"}},
        dedupe=f"{clock.today()}:{check.name}:{state}", queue="urgent",
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class State:
    """A check as the page and the metrics show it. `holds` is None before its first run."""

    name: str
    word: str
    holds: bool | None
    failing: int = 0
    rows_checked: int = 0
    last_run_at: datetime | None = None
    last_full_at: datetime | None = None
    last_held_at: datetime | None = None
    sample: Sequence[Failing] = ()


def states() -> list[State]:
    """Every check, in order."""
    known = {row.name: row for row in db.session.execute(sa.select(_h))}
    return [_state(check, known.get(check.name)) for check in CHECKS]


def _state(check: Check, row: sa.Row | None) -> State:
    if row is None:
        return State(check.name, check.word, None)
    return State(
        check.name, check.word, row.failing == 0, row.failing, row.rows_checked, row.last_run_at, row.last_full_at,
        row.last_held_at, [Failing(**one) for one in row.sample],
    )  # fmt: skip
