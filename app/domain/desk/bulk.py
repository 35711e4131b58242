"""A sheet of adjustments before anybody decided: uploaded as a draft, asked for as one batch, taken back (W20)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from app.db import RequestKey, db, db_now, execute, lock_row, transactional
from app.domain.audit import service as audit
from app.domain.audit.actor import Actor
from app.domain.desk import bulk_check, bulk_sheet, persons, rules
from app.domain.desk.bulk_check import BulkLine
from app.domain.desk.bulk_models import AdjustmentBatch, AdjustmentBatchRow, BatchStatus
from app.domain.desk.bulk_states import Event, next_state
from app.domain.desk.errors import BatchAskedBefore, BatchNotFound, NotTheAuthor
from app.domain.desk.rules import Wish
from app.domain.longjobs.models import LongJob, LongJobStatus
from app.domain.people import proof, roles
from app.domain.people.roles import Permission
from app.domain.policy import service as policy
from app.domain.policy.switches import FeatureOff
from app.errors import Invalid
from app.text import clean

_batches = AdjustmentBatch.__table__
_rows = AdjustmentBatchRow.__table__

#: a draft that nobody asked for by then is thrown away
DRAFT_AGE = timedelta(hours=24)
#: rows of one INSERT
PART = 500


@dataclass(frozen=True, slots=True)
class StoredSheet:
    """The file as it lies in the receipt store. Hashes are hex."""

    storage_key: str
    name: str
    media_type: str
    bytes: int
    sha256: str


@transactional
def draft(*, sheet: StoredSheet, lines: Sequence[BulkLine], actor: Actor, request_key: RequestKey | None = None) -> int:
    """Keep a sheet that was read and checked, for its author to look at; returns the batch's id. No money, no promise.

    Raises Invalid for a sheet without rows, or with more than 5000; Forbidden, FeatureOff.
    """
    roles.require(actor, Permission.ADJUSTMENT_BULK)
    if not policy.get("bulk_adjustments"):
        raise FeatureOff("批量调整暂停使用，请逐笔调整；已提交的批次照常处理")
    persons.hold(actor)
    if not 1 <= len(lines) <= bulk_sheet.MAX_ROWS:
        raise Invalid.field("sheet", f"表格要有 1 到 {bulk_sheet.MAX_ROWS} 行")
    batch = AdjustmentBatch(
        status=BatchStatus.DRAFT, name=sheet.name, storage_key=sheet.storage_key, media_type=sheet.media_type,
        bytes=sheet.bytes, sha256=sheet.sha256,
        rows_sha256=bulk_sheet.digest((one.family_id, one.wish) for one in lines), rows_count=len(lines),
        asked_by=actor.id, created_at=db_now(),
    )  # fmt: skip
    db.session.add(batch)
    db.session.flush()
    for start in range(0, len(lines), PART):
        execute(_rows.insert(), [_row(batch.id, number, one) for number, one in _numbered(lines, start)])
    audit.record(
        actor, "batch.uploaded", target_type="batch", target_id=batch.id, new_status=batch.status,
        after={"rows": len(lines), "sha256": sheet.sha256},
    )  # fmt: skip
    return batch.id


@transactional
def discard(*, batch_id: int, actor: Actor, request_key: RequestKey | None = None) -> None:
    """Throw one's own draft away. Raises BatchNotFound, InvalidState."""
    roles.require(actor, Permission.ADJUSTMENT_BULK)
    batch = lock(batch_id)
    next_state(batch.status, Event.DISCARD)
    _refuse_others(batch, actor)
    throw_away(batch, actor)


@transactional
def ask(
    *, batch_id: int, note: str, actor: Actor, repeat_reason: str = "", request_key: RequestKey | None = None
) -> None:
    """Ask another person to approve the batch. The rows are checked once more.

    Raises BatchNotFound, InvalidState, StepUpRequired, Forbidden; Invalid where a row can't be asked for
    any more, without a note, or without a reason where the same rows were done before; BatchAskedBefore while the same
    rows wait or are being done.
    """
    roles.require(actor, Permission.ADJUSTMENT_BULK)
    proof.require_recent(actor)
    note, repeat_reason = clean(note, rules.NOTE_MAX), clean(repeat_reason, rules.NOTE_MAX)
    if not note:
        raise Invalid.field("note", "请填写这批调整是什么，例如「十一月老带新奖励」")
    person = persons.hold(actor)[actor.id]
    batch = lock(batch_id)
    status = next_state(batch.status, Event.ASK)
    _refuse_others(batch, actor)
    earlier = asked_before(batch)
    if earlier is not None and not repeat_reason:
        raise Invalid.field("repeat_reason", f"同样内容的批次 #{earlier} 已办理过，如确需再办一次，请填写原因")
    found = bulk_check.check(lines_of(batch.id), person, batch_id=batch.id)
    if found.errors:
        first = found.errors[0]
        raise Invalid(f"第 {first.line} 行：{first.message}。请改好表格后重新上传", errors={"sheet": [first.message]})
    now = db_now()
    batch.status, batch.note, batch.repeat_reason = status, note, repeat_reason or None
    batch.asked_at, batch.lapses_at = now, now + policy.get("adjustment_approval_ttl")
    try:
        db.session.flush()
    except IntegrityError as error:
        raise BatchAskedBefore from error
    audit.record(
        actor, "batch.asked", target_type="batch", target_id=batch.id, old_status=BatchStatus.DRAFT,
        new_status=batch.status, reason=note, after=facts(batch),
    )  # fmt: skip


@transactional
def withdraw(*, batch_id: int, reason: str, actor: Actor, request_key: RequestKey | None = None) -> None:
    """Take back what one asked for. Raises BatchNotFound, NotTheAuthor, InvalidState, Invalid."""
    roles.require(actor, Permission.ADJUSTMENT_BULK)
    reason = clean(reason, rules.NOTE_MAX)
    if not reason:
        raise Invalid.field("reason", "请填写原因")
    batch = lock(batch_id)
    _refuse_others(batch, actor)
    end(batch, Event.WITHDRAW, actor, reason)


# ── building blocks, shared with deciding ───────────────────────────────────────────────────────────


def lock(batch_id: int) -> AdjustmentBatch:
    """The batch, locked. Raises BatchNotFound."""
    batch = lock_row(AdjustmentBatch, batch_id)
    if batch is None:
        raise BatchNotFound
    return batch


def end(batch: AdjustmentBatch, event: Event, actor: Actor, reason: str) -> None:
    """End it without moving money: withdrawn, rejected, lapsed."""
    before, now = batch.status, db_now()
    batch.status = next_state(batch.status, event)
    batch.decision_note, batch.decided_at, batch.lapses_at = reason, now, None
    batch.decided_by = actor.id if event == Event.REJECT else None
    db.session.flush()
    audit.record(
        actor, _ENDED_AS[event], target_type="batch", target_id=batch.id, old_status=before, new_status=batch.status,
        reason=reason, before=facts(batch),
    )  # fmt: skip


_ENDED_AS = {
    Event.WITHDRAW: "batch.withdrawn",
    Event.REJECT: "batch.rejected",
    Event.LAPSE: "batch.lapsed",
}


def throw_away(batch: AdjustmentBatch, actor: Actor) -> None:
    """Remove a draft with its rows; its file belongs to nobody then, and the sweep of the store removes it."""
    audit.record(
        actor, "batch.discarded", target_type="batch", target_id=batch.id, old_status=batch.status,
        before={"rows": batch.rows_count, "sha256": batch.sha256},
    )  # fmt: skip
    execute(_rows.delete().where(_rows.c.batch_id == batch.id))
    db.session.delete(batch)
    db.session.flush()


def asked_before(batch: AdjustmentBatch) -> int | None:
    """The latest batch with the same rows that was approved and is over. Raises BatchAskedBefore while one waits, or
    is being done."""
    query = (
        sa.select(_batches.c.id, _batches.c.status, LongJob.status.label("job_status"))
        .outerjoin(LongJob, LongJob.id == _batches.c.job_id)
        .where(
            _batches.c.rows_sha256 == batch.rows_sha256,
            _batches.c.id != batch.id,
            _batches.c.status.in_((BatchStatus.ASKED, BatchStatus.APPROVED)),
        )
        .order_by(_batches.c.id.desc())
    )
    earlier = db.session.execute(query).all()
    for row in earlier:
        if row.job_status not in (LongJobStatus.DONE, LongJobStatus.CANCELLED):
            raise BatchAskedBefore(data={"batch_id": row.id})
    return earlier[0].id if earlier else None


def lines_of(batch_id: int) -> list[BulkLine]:
    """The batch's rows, in order."""
    found = db.session.execute(sa.select(_rows).where(_rows.c.batch_id == batch_id).order_by(_rows.c.number))
    return [BulkLine(row.line, row.family_id, wish_of(row)) for row in found]


def wish_of(row: sa.Row) -> Wish:
    """What a kept row asks for."""
    return Wish(row.amount, row.type, row.payment_method, row.reason_code, row.note, row.external_no)


def facts(batch: AdjustmentBatch) -> dict:
    """A batch as plain data for the audit log."""
    kept = {"rows": batch.rows_count, "sha256": batch.sha256, "repeat_reason": batch.repeat_reason}
    return {name: value for name, value in kept.items() if value is not None}


def _refuse_others(batch: AdjustmentBatch, actor: Actor) -> None:
    if batch.asked_by == actor.id:
        return
    if batch.status == BatchStatus.DRAFT:
        raise BatchNotFound  # a draft is its author's alone
    raise NotTheAuthor("这是同事提交的批次，只有提交的人可以撤回")


def _numbered(lines: Sequence[BulkLine], start: int):
    return enumerate(lines[start : start + PART], start + 1)


def _row(batch_id: int, number: int, one: BulkLine) -> dict:
    wish = one.wish
    return {
        "batch_id": batch_id, "number": number, "line": one.line, "family_id": one.family_id, "amount": wish.amount,
        "type": wish.type, "payment_method": wish.payment_method, "external_no": wish.external_no,
        "reason_code": wish.reason_code, "note": wish.note,
    }  # fmt: skip
