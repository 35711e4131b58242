"""Whether every family that crossed a threshold has its notice, and no other has (W22, W26).

A movement that leaves a wallet in arrears, or below the low-balance threshold of that moment, writes its message in the
same transaction: sent, in the app, or held back by the parent's wish or a cooldown, but written. An import brings a
balance from elsewhere; whether it tells anybody is its own business.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

import sqlalchemy as sa

from app import clock, money
from app.db import db
from app.domain.audit.models import AuditEntry
from app.domain.ledger.models import ArrearsStep, Wallet, WalletTransaction
from app.domain.outbox.models import Notification
from app.domain.people.models import User
from app.domain.policy.past import Past
from app.domain.reconcile.health_checks import Failing, View
from app.money import ZERO

_t, _w, _n, _u = WalletTransaction.__table__, Wallet.__table__, Notification.__table__, User.__table__
_steps, _log = ArrearsStep.__table__, AuditEntry.__table__

LOW, ARREARS = "low_balance", "arrears"
_WORDS = {LOW: "余额不足", ARREARS: "欠费"}
#: what a family that owes is told when no movement does (W23, B10)
_WHILE_OWING = ("refused", "before_class")
#: how parents come into a family that they did not make themselves (P3)
_PARENTS_CAME = ("user.moved", "family.absorbed")
_THRESHOLD = "low_balance_threshold"
#: what is looked at in one piece
PIECE = timedelta(days=1)
#: a message and its movement are of one transaction, whose clock may be asked twice
NEAR = timedelta(minutes=5)
#: the movements whose notices are still judged at night
BACK = timedelta(days=92)


def notices(since: datetime | None) -> View:
    """The movements since then, or of the last three months, beside the messages that they wrote."""
    now = clock.now()
    past, judged, failing = Past(_THRESHOLD), 0, []
    begin = now - BACK if since is None else since
    while begin < now:
        end = min(begin + PIECE, now)
        told = _told(begin - NEAR, end + NEAR)
        count, rows = _movements(begin, end, past)
        judged += count
        failing += list(_untold(rows, told))
        failing += list(_too_much([one for one in told if begin <= one.created_at < end], past))
        db.session.rollback()
        begin = end
    return View(judged, failing)


def _told(begin: datetime, end: datetime) -> list[sa.Row]:
    query = sa.select(_n.c.id, _n.c.type, _n.c.family_id, _n.c.payload, _n.c.created_at, _n.c.follows_id).where(
        _n.c.type.in_((LOW, ARREARS)), _n.c.created_at >= begin, _n.c.created_at < end
    )
    return list(db.session.execute(query))


def _kind(row: sa.Row, past: Past) -> str | None:
    """Which message a movement writes (W22): arrears or low, never both."""
    if row.amount < ZERO and row.balance_after < ZERO:
        return ARREARS
    return LOW if row.balance_after < past.get(_THRESHOLD, row.created_at) else None


_columns = sa.select(
    _t.c.id, _t.c.amount, _t.c.balance_after, _t.c.created_at, _t.c.reference_type, _w.c.family_id
).join_from(_t, _w, _w.c.id == _t.c.wallet_id)


def _movements(begin: datetime, end: datetime, past: Past) -> tuple[int, list[tuple[sa.Row, str]]]:
    """How many there were, and those that had to tell, with the kind of message."""
    within = sa.and_(_t.c.created_at >= begin, _t.c.created_at < end, _t.c.reference_type != "import")
    count = db.session.scalar(sa.select(sa.func.count()).select_from(_t).where(within))
    # Who had no parent then had nobody to be told.
    parent = sa.exists().where(_u.c.family_id == _w.c.family_id, _u.c.registered_at <= _t.c.created_at)
    rows = db.session.execute(_columns.where(within, parent).order_by(_t.c.id))
    return count, [(row, kind) for row in rows if (kind := _kind(row, past)) is not None]


def _parents_came(row: sa.Row) -> bool:
    """Whether parents were put into the family after this movement: an imported family had none until then, and when
    they registered says nothing of it."""
    query = sa.select(_log.c.id).where(
        _log.c.family_id == row.family_id, _log.c.action.in_(_PARENTS_CAME), _log.c.created_at > row.created_at
    )
    return db.session.execute(query.limit(1)).first() is not None


def _untold(rows: list[tuple[sa.Row, str]], told: list[sa.Row]) -> Iterator[Failing]:
    written = {(one.type, one.payload.get("transaction_id")) for one in told}
    for row, kind in rows:
        if (kind, row.id) not in written and not _parents_came(row):
            text = f"流水 {row.id} 后余额 {money.yuan(row.balance_after)}，没有{_WORDS[kind]}通知"
            yield Failing(f"untold:{row.id}", text, row.family_id, "transaction", str(row.id))


def _too_much(told: list[sa.Row], past: Past) -> Iterator[Failing]:
    """Messages whose movement crossed nothing, or that no movement and no later step of an arrears wrote."""
    moved = {one.payload["transaction_id"] for one in told if one.payload.get("transaction_id")}
    rows = {row.id: row for row in db.session.execute(_columns.where(_t.c.id.in_(moved)))} if moved else {}
    for one in told:
        number = one.payload.get("transaction_id")
        row = rows.get(number)
        right = _kind(row, past) == one.type and row.family_id == one.family_id if row is not None else _step(one)
        if not right:
            text = f"{_WORDS[one.type]}通知 {one.id} 没有对应的余额变动"
            yield Failing(f"extra:{one.id}", text, one.family_id, "notice", str(one.id))


def _step(one: sa.Row) -> bool:
    """Whether it is a later step of an arrears (N7), or such a one sent again; or was told while the family owed."""
    if one.type != ARREARS or one.payload.get("transaction_id"):
        return False
    if one.payload.get("occasion") in _WHILE_OWING:
        return _owed(one)
    query = sa.select(_steps.c.wallet_id).join_from(_steps, _w, _w.c.id == _steps.c.wallet_id)
    query = query.where(_w.c.family_id == one.family_id, _steps.c.step == one.payload.get("occasion"))
    if one.follows_id is None:
        query = query.where(
            _steps.c.told_at >= one.created_at - NEAR, _steps.c.told_at <= one.created_at + NEAR
        )  # fmt: skip
    return db.session.execute(query.limit(1)).first() is not None


def _owed(one: sa.Row) -> bool:
    """Whether the family owed when the message was written."""
    last = (
        sa.select(_t.c.balance_after)
        .join_from(_t, _w, _w.c.id == _t.c.wallet_id)
        .where(_w.c.family_id == one.family_id, _t.c.created_at <= one.created_at)
        .order_by(_t.c.seq.desc())
        .limit(1)
    )
    balance = db.session.scalar(last)
    return balance is not None and balance < ZERO
