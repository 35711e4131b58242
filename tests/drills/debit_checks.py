"""What the database holds after the debits drill. Nothing of the ledger's own code is used here, only its tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from decimal import Decimal

import sqlalchemy as sa

from app.db import db
from tests.drills.debit_clients import Debit

_ROUND = (
    "SELECT id, wallet_id, amount, reference_id FROM wallet_transactions"
    " WHERE reference_type = 'booking' AND reference_id IN :numbers"
)
_ROWS = "SELECT id, wallet_id, seq, amount, balance_before, balance_after, type, reference_id FROM wallet_transactions"
_WALLETS = "SELECT id, version, balance FROM wallets"
_AUDIT = "SELECT transaction_id FROM audit_log WHERE action = 'wallet.posted'"
_MESSAGES = "SELECT JSON_VALUE(payload, '$.transaction_id') FROM notifications WHERE type = 'balance_changed'"
#: numbers per question
PART = 2000


def count(plan: list[Debit], acknowledged: dict[int, int]) -> dict:
    """Debits of this round, how many different requests they are, and `missing`: not there as planned or as said."""
    planned = {debit.number: (debit.wallet_id, -debit.amount) for debit in plan}
    there: dict[int, set[tuple]] = {}
    debits = 0
    numbers = sorted(planned)
    for first in range(0, len(numbers), PART):
        known = {"numbers": [str(number) for number in numbers[first : first + PART]]}
        query = sa.text(_ROUND).bindparams(sa.bindparam("numbers", expanding=True))
        for row_id, wallet_id, amount, number in db.session.execute(query, known):
            debits += 1
            there.setdefault(int(number), set()).add((row_id, wallet_id, amount))
    db.session.rollback()
    right = {number for number, rows in there.items() if {row[1:] for row in rows} == {planned[number]}}
    missing = [n for n, row_id in acknowledged.items() if n not in right or row_id not in {row[0] for row in there[n]}]
    return {"debits": debits, "requests": len(there), "missing": len(missing)}


def count_all() -> dict:
    """Every wallet computed again from its rows; each row's audit row and message."""
    last: dict[int, tuple[int, Decimal]] = {}
    wrong: set[int] = set()
    debits: Counter[int] = Counter()
    requests: set[str] = set()
    ids: set[int] = set()
    for row_id, wallet_id, seq, amount, before, after, kind, reference in _stream(f"{_ROWS} ORDER BY wallet_id, seq"):
        ids.add(row_id)
        said, balance = last.get(wallet_id, (0, Decimal(0)))
        if (seq, before, after) != (said + 1, balance, balance + amount):
            wrong.add(wallet_id)
        last[wallet_id] = seq, after
        if kind == "deduction":
            debits[wallet_id] += 1
            requests.add(reference)
    wrong |= {wallet_id for wallet_id, *stands in _stream(_WALLETS) if last.get(wallet_id) != tuple(stands)}
    return {
        "rows": len(ids), "debits": debits.total(), "requests": len(requests), "most": max(debits.values(), default=0),
        "wrong_wallets": len(wrong),
        "wrong_audit": _not_one_each(ids, _AUDIT), "wrong_messages": _not_one_each(ids, _MESSAGES),
    }  # fmt: skip


def _not_one_each(ids: set[int], query: str) -> int:
    """How many of these do not stand exactly once in the answer, and how many others do."""
    found = Counter(int(row_id) for [row_id] in _stream(query))
    return sum(found[row_id] != 1 for row_id in ids) + len(found.keys() - ids)


def _stream(query: str) -> Iterator[tuple]:
    """A large answer in pieces, on a connection without the limits that a request has."""
    with db.engine.connect() as connection:
        connection.detach()
        connection.exec_driver_sql("SET max_statement_time = 0")
        connection.exec_driver_sql("SET net_write_timeout = 600")
        yield from connection.execution_options(yield_per=5000).execute(sa.text(query))
