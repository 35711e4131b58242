"""How an adjustment ends: it moves the money, or it is cancelled. Building blocks of every use case of the desk."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

import sqlalchemy as sa

from app import money
from app.db import db, lock_row, require_transaction
from app.domain.audit import service as audit
from app.domain.audit.actor import Actor
from app.domain.desk import cards, rules, words
from app.domain.desk.errors import AdjustmentNotFound, Stale
from app.domain.desk.models import AdjustmentStatus, AdjustmentType, WalletAdjustment
from app.domain.desk.rules import Event
from app.domain.ledger import service as ledger
from app.domain.ledger.models import TransactionType, WalletStatus
from app.domain.ledger.service import LockedWallet


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an adjustment. Balances in yuan, None while no money has moved."""

    adjustment_id: int
    family_id: int
    amount: Decimal
    status: str
    cause: str | None
    missing_receipt: bool
    approval_reasons: tuple[str, ...]
    undoes_id: int | None = None
    balance_before: Decimal | None = None
    balance_after: Decimal | None = None


def lock(adjustment_id: int, *, version: int | None = None) -> WalletAdjustment:
    """The adjustment, locked. Raises AdjustmentNotFound; Stale when the person saw an older version of it."""
    adjustment = lock_row(WalletAdjustment, adjustment_id)
    if adjustment is None:
        raise AdjustmentNotFound
    if version is not None and adjustment.status == AdjustmentStatus.PENDING and adjustment.version != version:
        raise Stale
    return adjustment


def author_of(adjustment_id: int) -> int:
    """Whose it is, read without a lock: people are locked before adjustments. Raises AdjustmentNotFound."""
    author = db.session.scalar(sa.select(WalletAdjustment.asked_by).where(WalletAdjustment.id == adjustment_id))
    if author is None:
        raise AdjustmentNotFound
    return author


def complete(
    adjustment: WalletAdjustment,
    wallet: LockedWallet,
    actor: Actor,
    now: datetime,
    *,
    approver: int | None = None,
    note: str | None = None,
) -> Outcome:
    """Post it. On a closed wallet it fails for good; what else the ledger refuses is raised, and nothing changed."""
    require_transaction()
    status, _ = rules.next_state(adjustment.status, Event.COMPLETE, cause=adjustment.cause)
    if wallet.status == WalletStatus.CLOSED:
        return cancel(adjustment, Event.FAIL, actor, now, "钱包已关闭，无法入账")
    posting = ledger.post(
        wallet,
        type=_posted_as(adjustment),
        amount=adjustment.amount,
        idempotency_key=f"adjustment:{adjustment.id}",
        reference_type="adjustment",
        reference_id=adjustment.id,
        reason=words.for_parent(adjustment.type, adjustment.reason_code),
        actor=actor,
        reverses_id=_reversed_by(adjustment),
        details={"payment_method": str(adjustment.payment_method)},
    )
    adjustment.status = status
    adjustment.transaction_id = posting.id
    adjustment.decided_by, adjustment.decided_at = approver, now
    adjustment.lapses_at = None
    adjustment.version += 1
    db.session.flush()
    audit.record(
        actor, "adjustment.completed", target_type="adjustment", target_id=adjustment.id,
        family_id=adjustment.family_id, transaction_id=posting.id, old_status=AdjustmentStatus.PENDING,
        new_status=status, before={"balance": money.plain(posting.balance_before)},
        after={"balance": money.plain(posting.balance_after), **cards.facts(adjustment)}, reason=adjustment.note,
    )  # fmt: skip
    cards.completed(adjustment, actor, posting.balance_before, posting.balance_after, note)
    return outcome(adjustment, balances=(posting.balance_before, posting.balance_after))


#: what the audit log calls each way of being cancelled
_ENDED_AS = {
    Event.WITHDRAW: "adjustment.withdrawn",
    Event.REJECT: "adjustment.rejected",
    Event.LAPSE: "adjustment.lapsed",
    Event.FAIL: "adjustment.failed",
}


def cancel(adjustment: WalletAdjustment, event: Event, actor: Actor, now: datetime, note: str) -> Outcome:
    """End it without moving money. Its transfer number and what it was to undo are free again."""
    require_transaction()
    status, cause = rules.next_state(adjustment.status, event, cause=adjustment.cause)
    adjustment.status, adjustment.cause, adjustment.cause_note = status, cause, note
    adjustment.external_no_live = adjustment.undoes_live = adjustment.lapses_at = None
    adjustment.decided_at = now
    adjustment.decided_by = actor.id if event == Event.REJECT else None
    adjustment.version += 1
    db.session.flush()
    audit.record(
        actor, _ENDED_AS[event], target_type="adjustment", target_id=adjustment.id, family_id=adjustment.family_id,
        old_status=AdjustmentStatus.PENDING, new_status=status, before=cards.facts(adjustment), reason=note,
    )  # fmt: skip
    if event == Event.REJECT:
        cards.cancelled(adjustment, actor, "调整被驳回", "grey")
    elif event == Event.FAIL:
        cards.cancelled(adjustment, actor, "调整执行失败", "red")
    return outcome(adjustment)


def outcome(
    adjustment: WalletAdjustment,
    *,
    balances: tuple[Decimal, Decimal] | tuple[None, None] = (None, None),
    missing_receipt: bool = False,
) -> Outcome:
    return Outcome(
        adjustment_id=adjustment.id,
        family_id=adjustment.family_id,
        amount=adjustment.amount,
        status=str(adjustment.status),
        cause=adjustment.cause,
        missing_receipt=missing_receipt,
        approval_reasons=tuple(filter(None, adjustment.approval_reasons.split(","))),
        undoes_id=adjustment.undoes_id,
        balance_before=balances[0],
        balance_after=balances[1],
    )


def _posted_as(adjustment: WalletAdjustment) -> str:
    return (
        TransactionType.RECHARGE if adjustment.type == AdjustmentType.RECHARGE else TransactionType.ADJUSTMENT
    )  # fmt: skip


def _reversed_by(adjustment: WalletAdjustment) -> int | None:
    if adjustment.undoes_id is None:
        return None
    return db.session.scalar(
        sa.select(WalletAdjustment.transaction_id).where(WalletAdjustment.id == adjustment.undoes_id)
    )
