"""The one door for money (R3, W1): every change of a balance is made here, and nowhere else.

The hot path is Core statements prepared once: the round trips and the ORM's object work are the cost of a
movement, the lock is not (measured: docs/performance.md). Its order is lock → key → rules → write. The lock comes
before the key, so that equal keys for one wallet queue on the wallet's row instead of deadlocking in the index.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from app import clock
from app.column_types import canonical_json
from app.db import execute, note_lock, require_transaction, transactional
from app.domain.audit import service as audit
from app.domain.audit.actor import Actor, ActorType
from app.domain.ledger import hashing, rules
from app.domain.ledger.errors import AlreadyReversed, WalletNotFound
from app.domain.ledger.models import TransactionType, Wallet, WalletStatus, WalletTransaction
from app.domain.ledger.queries import get_balance, history
from app.domain.outbox import service as outbox
from app.domain.people import roles
from app.domain.people.roles import Permission
from app.domain.policy import service as policy
from app.errors import IdempotencyKeyReused, Invalid
from app.money import ZERO
from app.prepared import Prepared

__all__ = [
    "LockedWallet", "Posting", "Transfer", "credit", "debit", "follow_merge", "forget_loaded", "get_balance", "history",
    "lock_wallet", "lock_wallets", "open_wallet", "post", "transfer",
]  # fmt: skip

_wallets = Wallet.__table__
_rows = WalletTransaction.__table__


@dataclass(slots=True)
class LockedWallet:
    """A wallet whose row this transaction holds. `post` keeps it current, so it can be posted to again."""

    id: int
    family_id: int
    balance: Decimal
    status: str
    version: int
    head_hash: bytes | None
    overdraft_limit: Decimal | None
    bypass_until: datetime | None
    merged_into: int | None
    arrears_since: datetime | None

    @property
    def limit(self) -> Decimal:
        """How far below zero it may go: its own limit, else the policy's (W7). Positive yuan."""
        return policy.get("overdraft_limit") if self.overdraft_limit is None else self.overdraft_limit


@dataclass(frozen=True, slots=True)
class Posting:
    """One movement that was written; `replayed` when its key had already made it. Amounts are signed yuan."""

    id: int
    wallet_id: int
    family_id: int
    seq: int
    type: str
    amount: Decimal
    balance_before: Decimal
    balance_after: Decimal
    created_at: datetime
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class Transfer:
    """Both sides of a transfer."""

    out: Posting
    into: Posting


# ── building blocks ─────────────────────────────────────────────────────────────────────────────────

_lock_columns = sa.select(
    _wallets.c.id, _wallets.c.family_id, _wallets.c.balance, _wallets.c.status, _wallets.c.version,
    _wallets.c.head_hash, _wallets.c.overdraft_limit, _wallets.c.bypass_until, _wallets.c.merged_into,
    _wallets.c.arrears_since,
)  # fmt: skip
_lock_by_id = Prepared(_lock_columns.where(_wallets.c.id == sa.bindparam("key")).with_for_update())
_lock_by_family = Prepared(_lock_columns.where(_wallets.c.family_id == sa.bindparam("key")).with_for_update())


_merged = Prepared(sa.select(_wallets.c.merged_into).where(_wallets.c.id == sa.bindparam("key")))


def open_wallet(family_id: int) -> int:
    """Give a family its wallet, empty and active; returns the wallet's id."""
    require_transaction()
    now = clock.now()
    made = execute(
        _wallets.insert(),
        {"family_id": family_id, "balance": ZERO, "status": WalletStatus.ACTIVE, "version": 0,
         "created_at": now, "updated_at": now},
    )  # fmt: skip
    return made.inserted_primary_key[0]


def lock_wallet(*, wallet_id: int | None = None, family_id: int | None = None) -> LockedWallet:
    """Lock one wallet's row and return it as it is now. Locked again in the same transaction, it is the same object.

    Wallets are locked last (R6), several by ascending id: `lock_wallets` sorts. Raises WalletNotFound.
    """
    held: dict[int, LockedWallet] = require_transaction().memo.setdefault("wallets", {})
    # An import holds thousands: a wallet asked for by its id is not searched for.
    asked = (held.get(wallet_id),) if wallet_id is not None else held.values()
    for wallet in asked:
        if wallet is not None and (wallet.id == wallet_id or wallet.family_id == family_id):
            return wallet
    note_lock("wallets")
    if wallet_id is not None:
        row = _lock_by_id.row({"key": wallet_id})
    else:
        row = _lock_by_family.row({"key": family_id})
    if row is None:
        raise WalletNotFound
    wallet = LockedWallet(*row)
    last = next(reversed(held), 0)  # they come in ascending order, so the last is the highest
    if wallet.id < last:
        raise RuntimeError(f"wallet {wallet.id} is locked after wallet {last}: lock them sorted")
    held[wallet.id] = wallet
    return wallet


def lock_wallets(wallet_ids: list[int]) -> dict[int, LockedWallet]:
    """Lock several wallets in the one order. Raises WalletNotFound."""
    return {wallet_id: lock_wallet(wallet_id=wallet_id) for wallet_id in sorted(set(wallet_ids))}


def post(
    wallet: LockedWallet,
    *,
    type: str,
    amount: Decimal,
    idempotency_key: str,
    reference_type: str,
    reference_id: Any,
    reason: str,
    actor: Actor,
    profile_id: int | None = None,
    user_id: int | None = None,
    reverses_id: int | None = None,
    details: dict | None = None,
    enforce_limit: bool = True,
) -> Posting:
    """Move `amount` (signed yuan) on a locked wallet: the row, the balance, the audit row and the notices of W22.

    The same key with the same facts returns the first Posting with `replayed`; with other facts it raises
    IdempotencyKeyReused. Raises WalletFrozen, WalletClosed, OverdraftLimitExceeded (unless `enforce_limit` is off,
    for what has already happened in the world), BalanceOutOfRange, AlreadyReversed, and ValueError for a movement
    without form.
    """
    require_transaction()
    rules.check_form(type, amount, reference_type)
    facts = {
        "wallet_id": wallet.id,
        "type": str(type),
        "amount": amount.quantize(ZERO),
        "idempotency_key": _checked_key(idempotency_key),
        "reference_type": reference_type,
        "reference_id": str(reference_id),
        "reverses_id": reverses_id,
        "profile_id": profile_id,
        "user_id": user_id,
        "reason": reason[:500],
        "details": details,
    }
    first = _recall(wallet, facts)
    if first is not None:
        return first
    rules.check_status(wallet.status, amount)
    rules.check_range(wallet.balance, amount)
    if enforce_limit and amount < 0:
        rules.check_limit(wallet.balance, amount, wallet.limit)
    posting = _write(wallet, facts, actor)
    _record(posting, facts, actor)
    _notify(posting, facts["reason"])
    return posting


def follow_merge(wallet_id: int) -> int:
    """The wallet that this one was merged into, however often, or itself: what is owed back goes there (P11)."""
    target = _merged.row({"key": wallet_id})
    while target is not None and target[0] is not None:
        wallet_id = target[0]
        target = _merged.row({"key": wallet_id})
    return wallet_id


# ── use cases ───────────────────────────────────────────────────────────────────────────────────────


@transactional
def credit(
    *,
    amount: Decimal,
    idempotency_key: str,
    reference_type: str,
    reference_id: Any,
    reason: str,
    actor: Actor,
    wallet_id: int | None = None,
    family_id: int | None = None,
    type: str = TransactionType.RECHARGE,
    **more: Any,
) -> Posting:
    """Add a positive amount of yuan to a wallet, as a transaction of its own. `more` goes to `post`."""
    roles.require(actor, Permission.ADJUSTMENT_DIRECT)
    _require_positive(amount)
    wallet = lock_wallet(wallet_id=wallet_id, family_id=family_id)
    return post(wallet, type=type, amount=amount, idempotency_key=idempotency_key, reference_type=reference_type,
                reference_id=reference_id, reason=reason, actor=actor, **more)  # fmt: skip


@transactional
def debit(
    *,
    amount: Decimal,
    idempotency_key: str,
    reference_type: str,
    reference_id: Any,
    reason: str,
    actor: Actor,
    wallet_id: int | None = None,
    family_id: int | None = None,
    type: str = TransactionType.DEDUCTION,
    **more: Any,
) -> Posting:
    """Take a positive amount of yuan from a wallet, as a transaction of its own. `more` goes to `post`."""
    roles.require(actor, Permission.ADJUSTMENT_DIRECT)
    _require_positive(amount)
    wallet = lock_wallet(wallet_id=wallet_id, family_id=family_id)
    return post(wallet, type=type, amount=-amount, idempotency_key=idempotency_key, reference_type=reference_type,
                reference_id=reference_id, reason=reason, actor=actor, **more)  # fmt: skip


@transactional
def transfer(
    *,
    from_wallet_id: int,
    to_wallet_id: int,
    amount: Decimal,
    idempotency_key: str,
    reason: str,
    actor: Actor,
) -> Transfer:
    """Move a positive amount of yuan between two wallets: two rows, both or none."""
    roles.require(actor, Permission.ADJUSTMENT_DIRECT)
    _require_positive(amount)
    if from_wallet_id == to_wallet_id:
        raise Invalid.field("to_wallet_id", "转出和转入不能是同一个钱包")
    locked = lock_wallets([from_wallet_id, to_wallet_id])
    out = post(locked[from_wallet_id], type=TransactionType.TRANSFER_OUT, amount=-amount,
               idempotency_key=f"{idempotency_key}:out", reference_type="transfer", reference_id=to_wallet_id,
               reason=reason, actor=actor)  # fmt: skip
    into = post(locked[to_wallet_id], type=TransactionType.TRANSFER_IN, amount=amount,
                idempotency_key=f"{idempotency_key}:in", reference_type="transfer", reference_id=from_wallet_id,
                reason=reason, actor=actor)  # fmt: skip
    return Transfer(out, into)


# ── the steps of a posting ──────────────────────────────────────────────────────────────────────────


def _require_positive(amount: Decimal) -> None:
    if not amount.is_finite() or amount <= 0:
        raise Invalid.field("amount", "金额必须大于 0")


_KEY = re.compile(r"[!-~]{1,96}")


def _checked_key(key: str) -> str:
    # No spaces: MySQL compares keys without regard to those at the end, SQLite does not.
    if not _KEY.fullmatch(key):
        raise Invalid.field("idempotency_key", "幂等键须为 1 到 96 个可见的 ASCII 字符，不含空格")
    return key


# Nearly every look finds nothing, and even an empty answer costs by the column.
_by_key = Prepared(sa.select(_rows.c.id).where(_rows.c.idempotency_key == sa.bindparam("key")))
_by_id = sa.select(_rows).where(_rows.c.id == sa.bindparam("key"))
_SAME = ("wallet_id", "type", "amount", "reference_type", "reference_id", "reverses_id", "profile_id", "user_id",
         "reason")  # fmt: skip


def _recall(wallet: LockedWallet, facts: dict[str, Any]) -> Posting | None:
    found = _by_key.row({"key": facts["idempotency_key"]})
    if found is None:
        return None
    row = execute(_by_id, {"key": found[0]}).mappings().one()
    if any(row[name] != facts[name] for name in _SAME) or row["metadata"] != facts["details"]:
        raise IdempotencyKeyReused
    return Posting(row["id"], wallet.id, wallet.family_id, row["seq"], row["type"], row["amount"],
                   row["balance_before"], row["balance_after"], row["created_at"], replayed=True)  # fmt: skip


_insert_row = Prepared(_rows.insert())
_move_wallet = Prepared(
    _wallets.update()
    .where(_wallets.c.id == sa.bindparam("wallet_key"), _wallets.c.version == sa.bindparam("version_was"))
    .values(balance=sa.bindparam("new_balance"), version=sa.bindparam("new_version"),
            head_hash=sa.bindparam("new_head"), arrears_since=sa.bindparam("owing_since"),
            updated_at=sa.bindparam("moment"))
)  # fmt: skip


def _write(wallet: LockedWallet, facts: dict[str, Any], actor: Actor) -> Posting:
    details = facts["details"]
    row = {
        **facts,
        "seq": wallet.version + 1,
        "balance_before": wallet.balance,
        "balance_after": wallet.balance + facts["amount"],
        "performed_by": actor.id if actor.type == ActorType.STAFF else None,
        "created_at": clock.now(),
        "metadata": None if details is None else canonical_json(details),
        "prev_hash": wallet.head_hash,
    }
    row["hash"] = hashing.digest(wallet.head_hash, hashing.encode(row))
    row["metadata"] = row.pop("details")
    try:
        row_id = _insert_row(row).lastrowid
    except IntegrityError as error:
        raise _taken(error, facts) from error
    owing_since = rules.arrears_since(wallet.arrears_since, row["balance_after"], row["created_at"])
    moved = _move_wallet(
        {"wallet_key": wallet.id, "version_was": wallet.version, "new_balance": row["balance_after"],
         "new_version": row["seq"], "new_head": row["hash"], "owing_since": owing_since,
         "moment": row["created_at"]},
    )  # fmt: skip
    if moved.rowcount != 1:
        raise RuntimeError(f"wallet {wallet.id} moved although it was locked")
    wallet.balance, wallet.version, wallet.head_hash = row["balance_after"], row["seq"], row["hash"]
    wallet.arrears_since = owing_since
    forget_loaded(wallet.id)
    return Posting(row_id, wallet.id, wallet.family_id, row["seq"], row["type"], row["amount"],
                   row["balance_before"], row["balance_after"], row["created_at"])  # fmt: skip


def _taken(error: IntegrityError, facts: dict[str, Any]) -> Exception:
    """What a refused insert means. The wallet is locked, so its own keys were seen: a key that is taken now was
    used for another wallet at the same moment."""
    if _by_key.row({"key": facts["idempotency_key"]}) is not None:
        return IdempotencyKeyReused()
    if (
        facts["reverses_id"] is not None
        and execute(sa.select(_rows.c.id).where(_rows.c.reverses_id == facts["reverses_id"])).first()
    ):
        return AlreadyReversed(data={"transaction_id": facts["reverses_id"]})
    return error


def forget_loaded(wallet_id: int) -> None:
    """Whoever has loaded the wallet as an object reads it anew: the ledger's statements go past the session."""
    session = require_transaction().session
    loaded = session.identity_map.get(sa.orm.util.identity_key(Wallet, wallet_id))
    if loaded is not None:
        session.expire(loaded)


def _record(posting: Posting, facts: dict[str, Any], actor: Actor) -> None:
    audit.record(
        actor,
        "wallet.posted",
        target_type="wallet",
        target_id=posting.wallet_id,
        family_id=posting.family_id,
        transaction_id=posting.id,
        before={"balance": f"{posting.balance_before:.2f}"},
        after={
            "balance": f"{posting.balance_after:.2f}",
            "amount": f"{posting.amount:.2f}",
            "type": posting.type,
            "reference": f"{facts['reference_type']}:{facts['reference_id']}",
        },
        reason=facts["reason"],
    )


def _notify(posting: Posting, reason: str) -> None:
    """W22: after every change low when below the threshold, after a debit arrears when below zero."""
    after = posting.balance_after
    arrears = posting.amount < 0 and after < 0
    outbox.balance_changed(
        family_id=posting.family_id,
        transaction_id=posting.id,
        type=posting.type,
        amount=posting.amount,
        balance=after,
        reason=reason,
        low=after < policy.get("low_balance_threshold"),
        arrears=arrears,
        first_arrears=arrears and posting.balance_before >= 0,
    )
