"""Where a family's personal data lies, table by table, and what is left of it there (S8).

Three ways. Rows that serve nobody any more go. Columns that hold a person's own words or accounts are emptied. Where
staff wrote words about money, the words stay and only the names in them go: such a note is part of the books. What is
never touched: figures, dates, states, and the logs that are only appended to (docs/domain.md says what they hold).
A test asks of every column of text which of these it is.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

import sqlalchemy as sa

from app.column_types import JSONText, canonical_json
from app.db import KeptRequest, execute, require_transaction
from app.domain.bookings.models import Booking, LateRefund
from app.domain.cases.models import MoneyCase
from app.domain.credits.models import MakeupCredit, MakeupRequest
from app.domain.desk.bulk_models import AdjustmentBatchRow
from app.domain.desk.models import WalletAdjustment, Withdrawal
from app.domain.ledger.models import Wallet
from app.domain.orders.models import (
    OfflinePayment,
    PaymentAttempt,
    PaymentNotification,
    PaymentTransaction,
    Refund,
    TrialClaim,
)
from app.domain.outbox.models import Channel, MessageConsent, Notification, NotificationPreference
from app.domain.people.models import UserSession
from app.domain.questions.models import TransactionQuestion
from app.domain.reconcile.models import ReconcileDifference
from app.domain.retention.scope import Scope
from app.domain.search.models import SearchTerm
from app.domain.waitlist.models import WaitlistEntry, WaitlistFlow

GONE = "（已删除）"

Where = Callable[[Scope], sa.ColumnElement[bool]]


@dataclass(frozen=True, slots=True)
class Trace:
    """One table: which rows are the family's, which columns are emptied (to what), in which only names go."""

    table: sa.Table
    where: Where
    emptied: dict[str, str | None]
    named: tuple[str, ...] = ()


def _in(column: str, ids: str) -> Callable[[sa.Table], Where]:
    return lambda table: lambda scope: table.c[column].in_(getattr(scope, ids))


_family, _wallet, _user = _in("family_id", "families"), _in("wallet_id", "wallets"), _in("user_id", "users")
_order, _booking = _in("order_id", "orders"), _in("booking_id", "bookings")


def _trace(model: type, find: Callable[[sa.Table], Where], *named: str, **emptied: str | None) -> Trace:
    return Trace(model.__table__, find(model.__table__), emptied, named)


#: rows that go
GOING: tuple[tuple[sa.Table, Where], ...] = tuple(
    (model.__table__, find(model.__table__))
    for model, find in (
        (SearchTerm, _family), (UserSession, _user), (MessageConsent, _user), (NotificationPreference, _user),
        (TrialClaim, _order),
        (KeptRequest, lambda table: lambda scope: table.c.scope.in_([f"user:{one}" for one in scope.users])),
    )
)  # fmt: skip

TRACES: tuple[Trace, ...] = (
    _trace(MakeupRequest, _family, text=GONE, wishes=None, answer=None),
    _trace(TransactionQuestion, _wallet, "answer", text=GONE),
    _trace(WaitlistEntry, _family, staff_note=None),
    _trace(WaitlistFlow, _in("entry_id", "entries"), "reason", "facts"),
    _trace(PaymentAttempt, _order, "failure_reason", openid=None, code_url=None),
    _trace(PaymentTransaction, _order, openid=None),
    _trace(PaymentNotification, _in("number", "numbers"), "resource", "problem"),
    _trace(OfflinePayment, _order, "note", "decision_note"),
    _trace(Refund, _family, "reason", "note", "decision_note", "facts", "error", received_account=None),
    _trace(LateRefund, _booking, "reason", "decision_note"),
    _trace(Booking, _in("id", "bookings"), "override_reason", "end_reason"),
    _trace(MakeupCredit, _family, "end_reason"),
    _trace(WalletAdjustment, _family, "note", "cause_note"),
    _trace(AdjustmentBatchRow, _family, "note"),
    _trace(Withdrawal, _wallet, "reason", "decision_note"),
    _trace(Wallet, _in("id", "wallets"), "bypass_reason"),
    _trace(MoneyCase, _family, "title", "facts", "settle_note"),
    _trace(ReconcileDifference, _family, "expected", "found", "note"),
)


def erase(scope: Scope) -> dict[str, int]:
    """Building block: go through all of it; returns rows changed or gone by table."""
    require_transaction()
    done = {table.name: execute(table.delete().where(where(scope))).rowcount for table, where in GOING}
    for trace in TRACES:
        done[trace.table.name] = _empty(trace, scope)
    done["notifications"] = _messages(scope)
    done["cards"] = _cards(scope)
    return {name: count for name, count in sorted(done.items()) if count}


def without(text: str, words: list[str]) -> str:
    """The text with every one of these words replaced."""
    for word in words:
        text = text.replace(word, GONE)
    return text


def _empty(trace: Trace, scope: Scope) -> int:
    keys = list(trace.table.primary_key)
    columns = [trace.table.c[name] for name in (*trace.emptied, *trace.named)]
    changed = 0
    for row in execute(sa.select(*keys, *columns).where(trace.where(scope))).all():
        values = {name: value for name, value in trace.emptied.items() if getattr(row, name) not in (None, value)}
        values |= _renamed(trace.table, trace.named, row, scope.words)
        if values:
            this = sa.and_(*(key == getattr(row, key.name) for key in keys))
            execute(trace.table.update().where(this).values(**values))
            changed += 1
    return changed


def _renamed(table: sa.Table, names: tuple[str, ...], row: sa.Row, words: list[str]) -> dict:
    values = {}
    for name in names:
        value, is_json = getattr(row, name), isinstance(table.c[name].type, JSONText)
        if value is None:
            continue
        text = canonical_json(value) if is_json else value
        if (left := without(text, words)) != text:
            # The mark is longer than a short name; a note that was full loses its end, not its meaning.
            values[name] = json.loads(left) if is_json else left[: table.c[name].type.length]
    return values


def _messages(scope: Scope) -> int:
    """What the family was told: that it was, when and about which movement stays, for the checks of the money."""
    table = Notification.__table__
    mine = sa.or_(table.c.family_id.in_(scope.families), table.c.user_id.in_(scope.users))
    rows = execute(sa.select(table.c.id, table.c.payload, table.c.status).where(mine)).all()
    for row in rows:
        numbers = {key: value for key, value in row.payload.items() if isinstance(value, int) or key == "occasion"}
        values = {"recipient": "erased", "payload": numbers, "history": None, "error": None}
        values |= {"title": None, "text": None, "page": None, "provider_message_id": None}
        if row.status == "pending":
            values |= {"status": "suppressed", "next_attempt_at": None, "error_code": "erased"}
        execute(table.update().where(table.c.id == row.id).values(**values))
    return len(rows)


def _cards(scope: Scope) -> int:
    """Cards to the staff's groups belong to no family: they are found by the names in them."""
    table = Notification.__table__
    said = [
        column.contains(word, autoescape=True) for word in scope.words for column in (table.c.payload, table.c.text)
    ]
    if not said:
        return 0
    cards = sa.select(table.c.id, table.c.payload, table.c.title, table.c.text)
    rows = execute(cards.where(table.c.channel == Channel.FEISHU, sa.or_(*said))).all()
    for row in rows:
        values = _renamed(table, ("payload", "title", "text"), row, scope.words)
        if values:
            execute(table.update().where(table.c.id == row.id).values(**values))
    return len(rows)
