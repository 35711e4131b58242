"""One row of an approved batch: asked, approved and completed in one transaction with the job's checkpoint (W20).

It goes through the same building blocks as an adjustment of the form, so that ledger, audit rows and messages are the
same. What the rules refuse rolls back this row alone; the job notes why and goes on.
"""

from __future__ import annotations

import sqlalchemy as sa

from app import ids
from app.db import RequestKey, db, db_now, transactional
from app.domain.audit import service as audit
from app.domain.audit.actor import Actor, ActorType
from app.domain.desk import adjustments, bulk, bulk_check, cards, completion
from app.domain.desk.bulk_models import AdjustmentBatch, AdjustmentBatchRow
from app.domain.desk.errors import OwnFamily
from app.domain.desk.models import AdjustmentStatus, WalletAdjustment
from app.domain.desk.words import ApprovalReason
from app.domain.ledger import merging
from app.domain.ledger.models import Wallet
from app.domain.ledger.service import LockedWallet
from app.domain.longjobs import service as longjobs
from app.domain.longjobs.models import RowOutcome
from app.domain.people.models import Staff

_rows = AdjustmentBatchRow.__table__


@transactional
def do_row(*, job_id: int, owner: str) -> int:
    """Do the row after the checkpoint; returns how many are left.

    Raises LeaseLost, and what the rules refuse: WalletFrozen, WalletClosed, OverdraftLimitExceeded, BalanceOutOfRange,
    ExternalNumberUsed, OwnFamily.
    """
    job = longjobs.hold(job_id, owner)
    batch = db.session.get(AdjustmentBatch, job.params["batch_id"])
    row = db.session.execute(
        sa.select(_rows).where(_rows.c.batch_id == batch.id, _rows.c.number == job.checkpoint + 1)
    ).one()
    people = [db.session.get(Staff, batch.asked_by), db.session.get(Staff, batch.decided_by)]
    wallet = _wallet_of(row.family_id, people)
    adjustment = _complete(batch, row, wallet, *(_as_actor(person) for person in people))
    return longjobs.note(job, RowOutcome.DONE, made_id=adjustment)


def key_of(batch_id: int, number: int) -> RequestKey:
    """The row's own key, kept for ever on the adjustment that it made (R5)."""
    return RequestKey(f"batch:{batch_id}", str(number), "")


def _complete(batch: AdjustmentBatch, row: sa.Row, wallet: LockedWallet, asker: Actor, approver: Actor) -> int:
    wish, now = bulk.wish_of(row), db_now()
    adjustments.check_wallet(wallet, wish)
    adjustment = adjustments.insert(wallet, wish, asker, now, key_of(batch.id, row.number))
    _belong(adjustment, batch)
    audit.record(
        approver, "adjustment.approved", target_type="adjustment", target_id=adjustment.id,
        family_id=adjustment.family_id, old_status=AdjustmentStatus.PENDING, after=cards.facts(adjustment),
    )  # fmt: skip
    completion.complete(adjustment, wallet, approver, now, approver=approver.id)
    return adjustment.id


def _belong(adjustment: WalletAdjustment, batch: AdjustmentBatch) -> None:
    """Of the batch: asked with it, approved with it, and the sheet is its receipt."""
    adjustment.batch, adjustment.asked_at = str(batch.id), batch.asked_at
    adjustment.needs_receipt, adjustment.approval_reasons = False, ApprovalReason.BATCH


def _wallet_of(family_id: int, people: list[Staff]) -> LockedWallet:
    """The family's wallet, or the one that it was merged into since the batch was asked for (P11). Raises OwnFamily."""
    wallet = merging.lock_heir(db.session.scalar(sa.select(Wallet.id).where(Wallet.family_id == family_id)))
    if wallet.family_id != family_id and wallet.family_id in bulk_check.own_families(*people):
        raise OwnFamily("这个家庭已并入申请人或审批人自己的家庭，请交给同事单独办理")
    return wallet


def _as_actor(person: Staff) -> Actor:
    """Who asked and who approved stand by each row. They decided with proof and rights then, at no browser now."""
    return Actor(
        type=ActorType.STAFF, id=person.id, name=person.display_name, role=person.role, family_id=person.family_id,
        request_id=ids.request_id(),
    )  # fmt: skip
