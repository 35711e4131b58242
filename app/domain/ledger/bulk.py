"""Building a large ledger fast, for the demo data and the benchmarks: true rows, true hashes, past every trigger.

One round moves each of its wallets once: one multi-row INSERT and one UPDATE that joins the new rows. So each row
continues its wallet and each wallet follows its row, as the triggers ask; only the price of a round trip per
movement is saved. No notices are written: this is history, nobody is to be told of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

import sqlalchemy as sa

from app.column_types import canonical_json
from app.db import execute, note_lock, require_transaction, transaction
from app.domain.audit import service as audit
from app.domain.audit.actor import Actor
from app.domain.ledger import hashing, rules
from app.domain.ledger.errors import WalletNotFound
from app.domain.ledger.models import Wallet
from app.money import to_fen

#: wallets per statement: some 2 MB of SQL
PART = 4000

_wallets = Wallet.__table__


@dataclass(slots=True)
class Movement:
    """One transaction to be: `amount` in signed yuan, `created_at` aware and not before the wallet's last one."""

    wallet_id: int
    type: str
    amount: Decimal
    idempotency_key: str
    reference_type: str
    reference_id: str
    reason: str
    created_at: datetime
    profile_id: int | None = None
    user_id: int | None = None
    performed_by: int | None = None
    reverses_id: int | None = None
    details: dict | None = None


def build(rounds: Iterable[Sequence[Movement]], *, actor: Actor) -> int:
    """Write rounds of movements, each a transaction of its own with at most one movement per wallet; returns how
    many rows were written. Limits and states are not asked. Raises ValueError for a movement without form or a
    wallet twice in a round, WalletNotFound, and the database's errors for a used key or a balance out of range."""
    written = 0
    for movements in rounds:
        ordered = sorted(movements, key=lambda movement: movement.wallet_id)
        with transaction():
            for start in range(0, len(ordered), PART):
                _write(ordered[start : start + PART])
            audit.record(actor, "ledger.built", target_type="ledger", target_id="bulk",
                         after={"rows": len(ordered)})  # fmt: skip
        written += len(ordered)
    return written


_COLUMNS = (
    "wallet_id", "seq", "type", "amount", "balance_before", "balance_after", "idempotency_key", "reference_type",
    "reference_id", "reverses_id", "profile_id", "user_id", "performed_by", "reason", "metadata", "created_at",
    "prev_hash", "hash",
)  # fmt: skip
_FOLLOW_MYSQL = (
    "UPDATE wallets w JOIN wallet_transactions t ON t.wallet_id = w.id AND t.seq = w.version + 1"
    " SET w.balance = t.balance_after, w.version = t.seq, w.head_hash = t.hash, w.updated_at = t.created_at,"
    " w.arrears_since = CASE WHEN t.balance_after < 0 THEN COALESCE(w.arrears_since, t.created_at) END"
    " WHERE w.id IN ({ids})"
)
_FOLLOW_SQLITE = (
    "UPDATE wallets SET balance = t.balance_after, version = t.seq, head_hash = t.hash, updated_at = t.created_at,"
    " arrears_since = CASE WHEN t.balance_after < 0 THEN COALESCE(wallets.arrears_since, t.created_at) END"
    " FROM wallet_transactions t WHERE t.wallet_id = wallets.id AND t.seq = wallets.version + 1"
    " AND wallets.id IN ({ids})"
)


def _write(movements: list[Movement]) -> None:
    connection = require_transaction().connection
    sqlite = connection.dialect.name == "sqlite"
    heads = _lock([movement.wallet_id for movement in movements])
    rows = [_row(movement, *heads[movement.wallet_id], sqlite=sqlite) for movement in movements]
    mark = "?" if sqlite else "%s"
    insert = f"INSERT INTO wallet_transactions ({', '.join(_COLUMNS)}) VALUES ({', '.join([mark] * len(_COLUMNS))})"  # noqa: S608
    connection.exec_driver_sql(insert, rows)
    ids = ",".join(str(movement.wallet_id) for movement in movements)
    followed = connection.exec_driver_sql((_FOLLOW_SQLITE if sqlite else _FOLLOW_MYSQL).format(ids=ids))
    if followed.rowcount != len(movements):
        raise RuntimeError(f"{followed.rowcount} of {len(movements)} wallets followed")


def _lock(wallet_ids: list[int]) -> dict[int, tuple[int, int, bytes | None]]:
    """(seq, balance in fen, head) of each wallet."""
    if len(set(wallet_ids)) != len(wallet_ids):
        raise ValueError("a round moves each wallet once")
    note_lock("wallets")
    query = (
        sa.select(_wallets.c.id, _wallets.c.version, _wallets.c.balance, _wallets.c.head_hash)
        .where(_wallets.c.id.in_(wallet_ids))
        .order_by(_wallets.c.id)
        .with_for_update()
    )
    heads = {row.id: (row.version, to_fen(row.balance), row.head_hash) for row in execute(query)}
    if len(heads) != len(wallet_ids):
        raise WalletNotFound
    return heads


def _row(movement: Movement, version: int, before: int, head: bytes | None, *, sqlite: bool) -> tuple:
    rules.check_form(movement.type, movement.amount, movement.reference_type)
    fen = to_fen(movement.amount)
    after = before + fen
    moment = hashing.moment_text(movement.created_at)
    metadata = None if movement.details is None else canonical_json(movement.details)
    type_, key, reference = str(movement.type), movement.idempotency_key, str(movement.reference_id)
    numbers = (movement.reverses_id, movement.profile_id, movement.user_id, movement.performed_by)
    texts = (type_, key, movement.reference_type, reference, movement.reason)
    encoded = hashing.encode_stored(
        movement.wallet_id, version + 1, fen, before, after, numbers, moment, texts, metadata
    )
    money = (fen, before, after) if sqlite else (yuan_text(fen), yuan_text(before), yuan_text(after))
    return (
        movement.wallet_id, version + 1, type_, *money, key, movement.reference_type, reference, *numbers,
        movement.reason, metadata, moment, head, hashing.digest(head, encoded),
    )  # fmt: skip


def yuan_text(fen: int) -> str:
    """As MySQL takes a DECIMAL: exact, and faster to quote than a Decimal."""
    sign, fen = ("-", -fen) if fen < 0 else ("", fen)
    return f"{sign}{fen // 100}.{fen % 100:02d}"
