"""The second person of a batch: approving starts its long job, rejecting, what nobody decided in time (W12, W20)."""

from __future__ import annotations

import sqlalchemy as sa

from app.db import RequestKey, db, db_now, transactional
from app.domain.audit import service as audit
from app.domain.audit.actor import Actor, system
from app.domain.desk import bulk, bulk_check, persons, rules
from app.domain.desk.bulk_models import AdjustmentBatch, AdjustmentBatchRow, BatchStatus
from app.domain.desk.bulk_states import Event, next_state
from app.domain.desk.errors import Lapsed, OwnAdjustment, OwnFamily
from app.domain.longjobs import service as longjobs
from app.domain.people import proof, roles
from app.domain.people.roles import Permission
from app.errors import Invalid
from app.text import clean

#: what the long job is called; app/flows/longjobs.py names the use case of its rows
KIND = "bulk_adjustments"
#: how many one run of the job ends; the next run takes the rest
BATCH = 50

_rows = AdjustmentBatchRow.__table__


@transactional
def approve(*, batch_id: int, actor: Actor, request_key: RequestKey | None = None) -> int:
    """Approve another's batch; returns the id of the long job that does its rows.

    Raises BatchNotFound, OwnAdjustment, OwnFamily, Lapsed, InvalidState, Forbidden, StepUpRequired.
    """
    batch = _to_decide(batch_id, actor, Event.APPROVE)
    now = db_now()
    if rules.has_lapsed(batch.lapses_at, now):
        raise Lapsed
    job_id = longjobs.create(
        kind=KIND, title=f"批量调整 #{batch.id}", total=batch.rows_count, params={"batch_id": batch.id}, actor=actor
    )
    batch.status, batch.job_id = next_state(batch.status, Event.APPROVE), job_id
    batch.decided_by, batch.decided_at, batch.lapses_at = actor.id, now, None
    db.session.flush()
    audit.record(
        actor, "batch.approved", target_type="batch", target_id=batch.id, old_status=BatchStatus.ASKED,
        new_status=batch.status, after={**bulk.facts(batch), "job": job_id},
    )  # fmt: skip
    return job_id


@transactional
def reject(*, batch_id: int, reason: str, actor: Actor, request_key: RequestKey | None = None) -> None:
    """Reject another's batch, with a reason. Raises as `approve` does, but Lapsed; Invalid."""
    reason = clean(reason, rules.NOTE_MAX)
    if not reason:
        raise Invalid.field("reason", "请填写原因")
    bulk.end(_to_decide(batch_id, actor, Event.REJECT), Event.REJECT, actor, reason)


def _to_decide(batch_id: int, actor: Actor, event: Event) -> AdjustmentBatch:
    roles.require(actor, Permission.ADJUSTMENT_APPROVE)
    proof.require_recent(actor)
    person = persons.hold(actor)[actor.id]
    batch = bulk.lock(batch_id)
    next_state(batch.status, event)
    if batch.asked_by == actor.id:
        raise OwnAdjustment("这是您自己提交的批次，须由另一位同事审批")
    own = bulk_check.own_families(person)
    line = db.session.scalar(
        sa.select(sa.func.min(_rows.c.line)).where(_rows.c.batch_id == batch.id, _rows.c.family_id.in_(own))
    )
    if line is not None:
        raise OwnFamily(f"第 {line} 行是您自己的家庭，这个批次请交给另一位同事审批")
    return batch


# ── nobody decided in time ──────────────────────────────────────────────────────────────────────────


def lapse_due() -> int:
    """End what waited for approval past its deadline, and throw away old drafts; returns how many."""
    now = db_now()
    late = sa.or_(
        sa.and_(AdjustmentBatch.status == BatchStatus.ASKED, AdjustmentBatch.lapses_at < now),
        sa.and_(AdjustmentBatch.status == BatchStatus.DRAFT, AdjustmentBatch.created_at < now - bulk.DRAFT_AGE),
    )
    found = list(
        db.session.scalars(sa.select(AdjustmentBatch.id).where(late).order_by(AdjustmentBatch.id).limit(BATCH))
    )
    db.session.rollback()
    return sum(_lapse(batch_id=batch_id) for batch_id in found)


@transactional
def _lapse(*, batch_id: int) -> bool:
    batch, now = bulk.lock(batch_id), db_now()
    actor = system("batches_lapse")
    if batch.status == BatchStatus.ASKED and rules.has_lapsed(batch.lapses_at, now):
        bulk.end(batch, Event.LAPSE, actor, "超过审批时限，没有人处理")
        return True
    if batch.status == BatchStatus.DRAFT:
        bulk.throw_away(batch, actor)
        return True
    return False  # somebody decided between our look and our lock
