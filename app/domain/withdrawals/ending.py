"""What all steps of a withdrawal share: its row locked with whose it is, its money back once, its traces.

Building blocks of the use cases beside this file.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from app.db import db, lock_row, require_transaction
from app.domain.audit import service as audit
from app.domain.audit.actor import Actor, ActorType
from app.domain.desk.errors import Stale
from app.domain.desk.models import Withdrawal, WithdrawalStatus
from app.domain.ledger import merging
from app.domain.ledger import service as ledger
from app.domain.ledger.models import TransactionType, Wallet
from app.domain.withdrawals import rules, telling
from app.domain.withdrawals.errors import WithdrawalNotFound
from app.domain.withdrawals.rules import Event

#: what the audit log calls each event
_ACTIONS = {
    Event.APPROVE: "withdrawal.approved",
    Event.PAY: "withdrawal.paid",
    Event.REJECT: "withdrawal.rejected",
    Event.FAIL: "withdrawal.failed",
    Event.CANCEL: "withdrawal.cancelled",
}


@dataclass(slots=True)
class Held:
    """A withdrawal whose row this transaction holds, and the family whose wallet paid it, or which that one was
    merged into since."""

    row: Withdrawal
    family_id: int


def hold(withdrawal_id: int, *, version: int | None = None) -> Held:
    """Lock it. Raises WithdrawalNotFound; Stale when the person saw an older version of one that is still open."""
    row = lock_row(Withdrawal, withdrawal_id)
    if row is None:
        raise WithdrawalNotFound
    if version is not None and row.status in rules.OPEN and row.version != version:
        raise Stale
    wallet_id = ledger.follow_merge(row.wallet_id)
    return Held(row, db.session.scalar(sa.select(Wallet.family_id).where(Wallet.id == wallet_id)))


def move(held: Held, event: Event, actor: Actor, now: datetime, note: str | None = None) -> None:
    """Go on to the next state. An end that pays nothing puts the money back, once, into the wallet that it came from
    or the one that it was merged into since (P11). Raises InvalidState."""
    require_transaction()
    row = held.row
    before, after = row.status, rules.next_status(row.status, event)
    row.status, row.decided_at = after, now
    row.decision_note = note
    row.version += 1
    posting = _give_back(row, actor) if after in rules.RETURNED else None
    db.session.flush()
    audit.record(
        actor, _ACTIONS[event], target_type="withdrawal", target_id=row.id, family_id=held.family_id,
        transaction_id=posting.id if posting else None, old_status=before, new_status=after,
        after=telling.facts(row), reason=note,
    )  # fmt: skip
    family_id = posting.family_id if posting else held.family_id
    telling.decided(row, family_id, actor, note)


def _give_back(row: Withdrawal, actor: Actor) -> ledger.Posting:
    wallet = merging.lock_heir(row.wallet_id)
    posting = ledger.post(
        wallet, type=TransactionType.WITHDRAWAL_REVERSAL, amount=row.amount, actor=actor,
        idempotency_key=f"withdrawal:{row.id}:reversal", reference_type="withdrawal", reference_id=row.id,
        reverses_id=row.debit_id, user_id=actor.id if actor.type == ActorType.PARENT else None,
        reason=f"提现{_WHY[row.status]}，退回钱包",
    )  # fmt: skip
    row.reversal_id = posting.id
    return posting


_WHY = {WithdrawalStatus.REJECTED: "驳回", WithdrawalStatus.FAILED: "打款失败", WithdrawalStatus.CANCELLED: "取消"}
