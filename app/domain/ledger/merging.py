"""Money between two families' wallets, and the end of a wallet whose family was merged into another (P3, P11).

Building blocks: the caller holds both wallets, locked in one go and sorted.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

import sqlalchemy as sa

from app.db import execute, require_transaction
from app.domain.audit.actor import Actor
from app.domain.ledger.models import TransactionType, Wallet, WalletStatus
from app.domain.ledger.service import LockedWallet, Posting, follow_merge, forget_loaded, lock_wallet, post
from app.money import ZERO

_wallets = Wallet.__table__


@dataclass(frozen=True, slots=True)
class Moved:
    """Both rows of a transfer, linked by each naming the other's wallet."""

    out: Posting
    into: Posting


def lock_heir(wallet_id: int) -> LockedWallet:
    """Lock the wallet to which goes what is owed back to this one: itself, or the one that it was merged into.

    Raises WalletNotFound.
    """
    wallet = lock_wallet(wallet_id=follow_merge(wallet_id))
    while wallet.merged_into is not None:
        # Merged between our look and our lock. A closed wallet is nobody's queue, so letting go of it in the order of
        # locks cannot make two wait for each other.
        require_transaction().memo["wallets"].pop(wallet.id)
        wallet = lock_wallet(wallet_id=follow_merge(wallet.merged_into))
    return wallet


def move(
    source: LockedWallet, target: LockedWallet, amount: Decimal, *, key: str, reason: str, actor: Actor
) -> Moved | None:
    """Move signed yuan from one wallet to the other as two rows; None for 0.00.

    A negative amount is a debt that moves: the money goes the other way, and no limit stands against it, since it is
    owed already. Raises WalletFrozen, WalletClosed, BalanceOutOfRange, and OverdraftLimitExceeded for a positive one.
    """
    if amount == ZERO:
        return None
    giver, taker = (source, target) if amount > ZERO else (target, source)
    out = post(
        giver, type=TransactionType.TRANSFER_OUT, amount=-abs(amount), idempotency_key=f"{key}:out",
        reference_type="transfer", reference_id=taker.id, reason=reason, actor=actor, enforce_limit=amount > ZERO,
    )  # fmt: skip
    into = post(
        taker, type=TransactionType.TRANSFER_IN, amount=abs(amount), idempotency_key=f"{key}:in",
        reference_type="transfer", reference_id=giver.id, reason=reason, actor=actor,
    )  # fmt: skip
    return Moved(out, into)


def close_into(wallet: LockedWallet, target: LockedWallet) -> None:
    """End an emptied wallet for good; what is owed back to it later goes to the target. Raises ValueError while it
    holds or owes money."""
    if wallet.balance != ZERO:
        raise ValueError(f"wallet {wallet.id} is not empty")
    ended = {"status": WalletStatus.CLOSED, "merged_into": target.id, "bypass_until": None}
    execute(sa.update(_wallets).where(_wallets.c.id == wallet.id).values(**ended))
    wallet.status, wallet.merged_into, wallet.bypass_until = WalletStatus.CLOSED, target.id, None
    forget_loaded(wallet.id)
