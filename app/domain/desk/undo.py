"""Undoing an adjustment by an opposite one that names it, never by editing (W19). Undone once at most."""

from __future__ import annotations

import sqlalchemy as sa

from app.db import RequestKey, db, db_now, transactional
from app.domain.audit.actor import Actor
from app.domain.desk import completion, persons, rules
from app.domain.desk.adjustments import check_ask, check_wallet, checked_reason, insert, wait
from app.domain.desk.completion import Outcome
from app.domain.desk.models import AdjustmentType, WalletAdjustment
from app.domain.desk.rules import Wish
from app.domain.desk.words import UNDO, ApprovalReason
from app.domain.ledger import merging
from app.domain.ledger.service import LockedWallet
from app.domain.people import roles
from app.domain.people.models import Staff
from app.domain.people.roles import Permission
from app.domain.policy import service as policy


@transactional
def undo(*, adjustment_id: int, actor: Actor, request_key: RequestKey | None = None) -> Outcome:
    """One click for its author within some minutes: free of the limits and the second person, not of the wallet's.

    The proof that let the adjustment through lets its undoing through as well, so it stays one click. Raises
    AdjustmentNotFound, UndoWindowOver, AlreadyUndone, InvalidState, OwnFamily, StepUpRequired,
    OverdraftLimitExceeded, WalletFrozen, WalletClosed.
    """
    roles.require(actor, Permission.ADJUSTMENT_ASK)
    window = policy.get("adjustment_undo_window")
    roles.require_proof(actor, (policy.get("step_up_ttl") + window).total_seconds())
    person = persons.hold(actor)[actor.id]
    original = _lock_original(adjustment_id)
    persons.refuse_own_family(person, original.family_id)
    now = db_now()
    rules.check_undo_now(
        is_author=original.asked_by == actor.id, decided_at=original.decided_at, now=now, window=window
    )
    wallet = _wallet_of(original, person)
    wish = _opposite(original, f"撤销 #{original.id}")
    check_wallet(wallet, wish)
    adjustment = insert(wallet, wish, actor, now, request_key, undoes_id=original.id)
    wait(adjustment, (), now, missing_receipt=False)
    return completion.complete(adjustment, wallet, actor, now)


@transactional
def ask(*, adjustment_id: int, note: str, actor: Actor, request_key: RequestKey | None = None) -> Outcome:
    """Later, or by someone else: a new adjustment that waits for approval. Raises as `undo` does, and Invalid."""
    roles.require(actor, Permission.ADJUSTMENT_ASK)
    roles.require_proof(actor, policy.get("step_up_ttl").total_seconds())
    note = checked_reason(note)
    person = persons.hold(actor)[actor.id]
    original = _lock_original(adjustment_id)
    persons.refuse_own_family(person, original.family_id)
    wish = _opposite(original, note)
    check_ask(person, wish)
    wallet = _wallet_of(original, person)
    check_wallet(wallet, wish)
    now = db_now()
    adjustment = insert(wallet, wish, actor, now, request_key, undoes_id=original.id)
    wait(adjustment, (ApprovalReason.LATE_UNDO,), now, missing_receipt=False)
    return completion.outcome(adjustment)


def _lock_original(adjustment_id: int) -> WalletAdjustment:
    original = completion.lock(adjustment_id)
    undone_by = db.session.scalar(sa.select(WalletAdjustment.id).where(WalletAdjustment.undoes_live == original.id))
    rules.check_undoable(status=original.status, undoes_id=original.undoes_id, undone_by=undone_by)
    return original


def _wallet_of(original: WalletAdjustment, person: Staff) -> LockedWallet:
    """The wallet that was adjusted, or the one that it was merged into since (P11). Raises OwnFamily."""
    wallet = merging.lock_heir(original.wallet_id)
    persons.refuse_own_family(person, wallet.family_id)
    return wallet


def _opposite(original: WalletAdjustment, note: str) -> Wish:
    return Wish(
        amount=-original.amount,
        type=AdjustmentType.CORRECTION,
        payment_method=original.payment_method,
        reason_code=UNDO[0],
        note=note,
    )
