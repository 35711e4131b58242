"""Long work row by row: taken under a lease, each row in one transaction with its checkpoint, cancelled between two.

The job's row is locked first in every row's transaction. So a cancel waits for the row that runs and no longer, a
worker that lost its lease can do no more, and what a killed one left half done is rolled back with its checkpoint.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from app.db import RequestKey, db, db_now, execute, lock_row, require_transaction, transactional
from app.domain.audit import service as audit
from app.domain.audit.actor import Actor, system
from app.domain.longjobs import rules
from app.domain.longjobs.errors import LeaseLost, LongJobNotFound
from app.domain.longjobs.models import LongJob, LongJobRow, LongJobStatus, RowOutcome
from app.domain.longjobs.rules import Event
from app.domain.outbox import service as outbox
from app.domain.people import roles
from app.domain.people.roles import Permission

_rows = LongJobRow.__table__
_jobs = LongJob.__table__
_WORKER = system("long_jobs")


# ── building blocks ─────────────────────────────────────────────────────────────────────────────────


def create(*, kind: str, title: str, total: int, params: dict[str, Any], actor: Actor) -> int:
    """A job that waits for a worker; returns its id. `total` is its number of rows, at least one."""
    require_transaction()
    job = LongJob(
        kind=kind, title=title[:120], params=params, status=LongJobStatus.QUEUED, total=total, done=0, refused=0,
        checkpoint=0, deaths=0, asked_by=actor.id, created_at=db_now(),
    )  # fmt: skip
    db.session.add(job)
    db.session.flush()
    return job.id


def hold(job_id: int, owner: str) -> LongJob:
    """The job, locked for its next row (`checkpoint` + 1). Raises LeaseLost when it is not this worker's any more."""
    require_transaction()
    job = lock_row(LongJob, job_id)
    if job is None or job.status != LongJobStatus.RUNNING or job.lease_owner != owner:
        raise LeaseLost
    return job


def note(
    job: LongJob,
    outcome: RowOutcome,
    *,
    code: str | None = None,
    message: str | None = None,
    made_id: int | None = None,
) -> int:
    """Write down what became of the next row, and that the worker lives; returns how many rows are left."""
    require_transaction()
    now = db_now()
    job.checkpoint += 1
    job.done += outcome == RowOutcome.DONE
    job.refused += outcome == RowOutcome.REFUSED
    job.deaths, job.heartbeat_at, job.lease_until = 0, now, now + rules.LEASE
    execute(
        _rows.insert(),
        {"job_id": job.id, "number": job.checkpoint, "outcome": outcome, "code": code,
         "message": message and message[:500], "made_id": made_id, "created_at": now},
    )  # fmt: skip
    return job.total - job.checkpoint


# ── what a worker does ──────────────────────────────────────────────────────────────────────────────


def due(limit: int = 50) -> list[tuple[int, int, str]]:
    """(id, checkpoint, kind) of the jobs that a worker may take."""
    now = db_now()
    free = sa.or_(
        _jobs.c.status == LongJobStatus.QUEUED,
        sa.and_(
            _jobs.c.status == LongJobStatus.RUNNING, sa.or_(_jobs.c.lease_until.is_(None), _jobs.c.lease_until < now)
        ),
    )
    query = sa.select(_jobs.c.id, _jobs.c.checkpoint, _jobs.c.kind).where(free).order_by(_jobs.c.id).limit(limit)
    found = [tuple(row) for row in db.session.execute(query)]
    db.session.rollback()
    return found


@transactional
def take(*, job_id: int, owner: str) -> str | None:
    """Take the lease; the job's kind, or None where another worker has it, nothing is left to do, or too many workers
    died at the same row, which stops it for a person to look."""
    job, now = lock_row(LongJob, job_id), db_now()
    if job is None or not rules.is_free(job.status, job.lease_until, now):
        return None
    job.deaths += job.lease_until is not None
    if job.deaths >= rules.DEATHS_MAX:
        _stop(job, f"第 {job.checkpoint + 1} 行连续 {job.deaths} 次使后台进程中断")
        return None
    job.status = rules.next_state(job.status, Event.TAKE)
    job.started_at = job.started_at or now
    job.lease_owner, job.heartbeat_at, job.lease_until = owner, now, now + rules.LEASE
    return job.kind


@transactional
def give_back(*, job_id: int, owner: str) -> int:
    """Let the next worker go on at once; returns the checkpoint. Raises LeaseLost."""
    job = hold(job_id, owner)
    job.lease_owner = job.lease_until = None
    return job.checkpoint


@transactional
def refuse(*, job_id: int, owner: str, code: str, message: str) -> int:
    """Note that the rules refused the next row; returns how many are left. Raises LeaseLost."""
    return note(hold(job_id, owner), RowOutcome.REFUSED, code=code, message=message)


@transactional
def finish(*, job_id: int, owner: str) -> None:
    """The last row is dealt with: end the job, and tell the money group how it went. Raises LeaseLost."""
    job = hold(job_id, owner)
    _end(job, Event.FINISH)
    audit.record(
        _WORKER, "long_job.finished", target_type="long_job", target_id=job.id, old_status=LongJobStatus.RUNNING,
        new_status=job.status, after={"done": job.done, "refused": job.refused},
    )  # fmt: skip
    if not job.params.get("quiet"):  # few rows, done before the eyes of who asked
        _tell(job, "已完成", "orange" if job.refused else "green")


@transactional
def fail(*, job_id: int, owner: str, error: str) -> None:
    """Stop it at a row that broke the program, for a person to look. Raises LeaseLost."""
    _stop(hold(job_id, owner), error)


# ── what people do ──────────────────────────────────────────────────────────────────────────────────


@transactional
def cancel(*, job_id: int, actor: Actor, request_key: RequestKey | None = None) -> None:
    """Stop for good after the row that runs now; what is done stays. Raises LongJobNotFound, InvalidState,
    Forbidden."""
    roles.require(actor, Permission.JOB_STOP)
    job = _locked(job_id)
    before = job.status
    _end(job, Event.CANCEL)
    job.cancelled_by = actor.id
    audit.record(
        actor, "long_job.cancelled", target_type="long_job", target_id=job.id, old_status=before,
        new_status=job.status, after={"done": job.done, "refused": job.refused, "left": job.total - job.checkpoint},
    )  # fmt: skip
    _tell(job, "已取消", "grey", by=actor.name)


@transactional
def resume(*, job_id: int, actor: Actor, request_key: RequestKey | None = None) -> None:
    """Let a failed job go on where it stopped. Raises LongJobNotFound, InvalidState, Forbidden."""
    roles.require(actor, Permission.JOB_STOP)
    job = _locked(job_id)
    job.status = rules.next_state(job.status, Event.RESUME)
    job.deaths, job.error = 0, None
    audit.record(
        actor, "long_job.resumed", target_type="long_job", target_id=job.id, old_status=LongJobStatus.FAILED,
        new_status=job.status,
    )  # fmt: skip


# ── the steps ───────────────────────────────────────────────────────────────────────────────────────


def _locked(job_id: int) -> LongJob:
    job = lock_row(LongJob, job_id)
    if job is None:
        raise LongJobNotFound
    return job


def _end(job: LongJob, event: Event) -> None:
    status, now = rules.next_state(job.status, event), db_now()
    job.status, job.finished_at = status, now
    job.lease_owner = job.lease_until = None


def _stop(job: LongJob, error: str) -> None:
    job.status = rules.next_state(job.status, Event.FAIL)
    job.lease_owner = job.lease_until = None
    job.error = error[:500]
    audit.record(
        _WORKER, "long_job.failed", target_type="long_job", target_id=job.id, old_status=LongJobStatus.RUNNING,
        new_status=job.status, reason=job.error,
    )  # fmt: skip
    _tell(job, "中断，需要处理", "red")


def _tell(job: LongJob, what: str, colour: str, *, by: str | None = None) -> None:
    lines = [["完成", f"{job.done} 行"], ["被拒", f"{job.refused} 行"], ["未执行", f"{job.total - job.checkpoint} 行"]]
    if by:
        lines.append(["操作", by])
    if job.error:
        lines.append(["原因", job.error[:100]])
    card = {
        "title": f"{job.title} {what}",
        "colour": colour,
        "lines": lines,
        "link": {"text": "查看结果", "path": f"/long-jobs/{job.id}"},
    }
    # A job may fail at one row, go on, and fail at another: each is told, the same one once.
    outbox.tell_staff("money", "staff.long_job", card, dedupe=f"longjob:{job.id}:{job.status}:{job.checkpoint}")
