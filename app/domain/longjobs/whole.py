"""Long work that is one piece: a file, a verification. It shows its progress and can be cancelled at each word of it,
and after a kill it begins again, since half a zip and half a snapshot are worth nothing (U11)."""

from __future__ import annotations

from typing import Any

from app.db import db_now, transactional
from app.domain.longjobs import rules, service
from app.domain.longjobs.models import LongJob


@transactional
def begin(*, job_id: int, owner: str) -> LongJob:
    """From the first row on, whatever a worker before us had reached; returns the job. Raises LeaseLost."""
    job = service.hold(job_id, owner)
    _reached(job, 0)
    return job


@transactional
def advance(*, job_id: int, owner: str, done: int) -> None:
    """So many rows are read or written. Raises LeaseLost: it was cancelled, or another worker has it.

    The count of deaths stays: work that kills its worker at the same place every time must stop in the end.
    """
    job = service.hold(job_id, owner)
    _reached(job, min(done, job.total))


@transactional
def end(*, job_id: int, owner: str, done: int, result: dict[str, Any]) -> None:
    """All is done: how many rows there really were, and what came of it, as plain data. Raises LeaseLost."""
    job = service.hold(job_id, owner)
    job.total = max(done, 1)
    _reached(job, done)
    job.params = job.params | {"result": result}


def _reached(job: LongJob, row: int) -> None:
    now = db_now()
    job.done, job.refused, job.checkpoint = row, 0, row
    job.heartbeat_at, job.lease_until = now, now + rules.LEASE
