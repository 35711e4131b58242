"""The second person: approving and rejecting; and what nobody decided in time (W12, P10)."""

from __future__ import annotations

import sqlalchemy as sa

from app.db import RequestKey, db, db_now, transactional
from app.domain.audit import service as audit
from app.domain.audit.actor import Actor, system
from app.domain.audit.models import AuditEntry
from app.domain.desk import cards, completion, persons, rules
from app.domain.desk.adjustments import checked_reason
from app.domain.desk.completion import Outcome
from app.domain.desk.errors import Lapsed, OwnAdjustment, ReceiptMissing
from app.domain.desk.models import AdjustmentStatus, Receipt, WalletAdjustment
from app.domain.desk.rules import Event
from app.domain.ledger import service as ledger
from app.domain.people import proof, roles
from app.domain.people.roles import Permission

#: how many one run of the job ends; the next run takes the rest
BATCH = 200


@transactional
def approve(
    *, adjustment_id: int, actor: Actor, version: int | None = None, request_key: RequestKey | None = None
) -> Outcome:
    """Approve another's adjustment: the money moves. What the ledger refuses is raised and it stays pending; on a
    closed wallet it is cancelled as failed.

    Raises AdjustmentNotFound, OwnAdjustment, OwnFamily, ReceiptMissing, Lapsed, Stale, InvalidState, Forbidden,
    StepUpRequired, OverdraftLimitExceeded, WalletFrozen, BalanceOutOfRange.
    """
    adjustment = _lock_to_decide(adjustment_id, version, actor)
    now = db_now()
    if rules.has_lapsed(adjustment.lapses_at, now):
        raise Lapsed
    if missing_receipt(adjustment):
        raise ReceiptMissing
    wallet = ledger.lock_wallet(wallet_id=adjustment.wallet_id)
    note = "申请与审批来自同一台设备" if _same_device(adjustment.id, actor) else None
    audit.record(
        actor, "adjustment.approved", target_type="adjustment", target_id=adjustment.id,
        family_id=adjustment.family_id, old_status=AdjustmentStatus.PENDING, after=cards.facts(adjustment),
        reason=note,
    )  # fmt: skip
    return completion.complete(adjustment, wallet, actor, now, approver=actor.id, note=note)


@transactional
def reject(
    *, adjustment_id: int, reason: str, actor: Actor, version: int | None = None, request_key: RequestKey | None = None
) -> Outcome:
    """Reject another's adjustment, with a reason. Raises as `approve` does, but for the ledger."""
    reason = checked_reason(reason)
    adjustment = _lock_to_decide(adjustment_id, version, actor)
    return completion.cancel(adjustment, Event.REJECT, actor, db_now(), reason)


def _lock_to_decide(adjustment_id: int, version: int | None, actor: Actor) -> WalletAdjustment:
    roles.require(actor, Permission.ADJUSTMENT_APPROVE)
    proof.require_recent(actor)
    person = persons.hold(actor)[actor.id]
    adjustment = completion.lock(adjustment_id, version=version)
    rules.next_state(adjustment.status, Event.COMPLETE, cause=adjustment.cause)
    if adjustment.asked_by == actor.id:
        raise OwnAdjustment
    persons.refuse_own_family(person, adjustment.family_id)
    return adjustment


def missing_receipt(adjustment: WalletAdjustment) -> bool:
    """Whether it still waits for its receipt (W13)."""
    return adjustment.needs_receipt and not db.session.scalar(
        sa.select(sa.exists().where(Receipt.adjustment_id == adjustment.id))
    )


def _same_device(adjustment_id: int, actor: Actor) -> bool:
    """One person with two accounts approves from the browser that asked. Two people may share a desk, so it is
    said and not refused."""
    asked = db.session.execute(
        sa.select(AuditEntry.ip, AuditEntry.user_agent).where(
            AuditEntry.target_type == "adjustment",
            AuditEntry.target_id == str(adjustment_id),
            AuditEntry.action == "adjustment.asked",
        )
    ).first()
    return asked is not None and actor.ip is not None and tuple(asked) == (actor.ip, actor.user_agent)


# ── nobody decided in time ──────────────────────────────────────────────────────────────────────────


def lapse_due() -> int:
    """Cancel what waited for approval past its deadline; returns how many. Each in a transaction of its own."""
    due = sa.select(WalletAdjustment.id).where(
        WalletAdjustment.status == AdjustmentStatus.PENDING, WalletAdjustment.lapses_at < db_now()
    )
    found = list(db.session.scalars(due.order_by(WalletAdjustment.lapses_at).limit(BATCH)))
    db.session.rollback()
    return sum(_lapse(adjustment_id=adjustment_id) for adjustment_id in found)


@transactional
def _lapse(*, adjustment_id: int) -> bool:
    adjustment = completion.lock(adjustment_id)
    now = db_now()
    if adjustment.status != AdjustmentStatus.PENDING or not rules.has_lapsed(adjustment.lapses_at, now):
        return False  # somebody decided between our look and our lock
    completion.cancel(adjustment, Event.LAPSE, system("adjustments_lapse"), now, "超过审批时限，没有人处理")
    return True
