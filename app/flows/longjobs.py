"""Running long work: a slice of rows under a lease, then the next worker's turn (U11).

A slice is short, so that messages do not wait behind five thousand rows. RQ carries the job's id and no promise: the
sweep finds whatever nobody works on, after a kill, a lost Redis, or a deploy.
"""

from __future__ import annotations

import logging
import os
import platform
import secrets
import time
from collections.abc import Callable

from app import doorbell
from app.domain.chosen import service as chosen
from app.domain.desk import bulk_decide, bulk_run
from app.domain.longjobs import service as longjobs
from app.domain.longjobs.errors import LeaseLost
from app.domain.reconcile import runs
from app.errors import DomainError, Kind, OutcomeUnknown
from app.flows import exporting, reconcile, verifying

log = logging.getLogger("desk.longjobs")

#: kind → the use case that does the row after the checkpoint, in one transaction with it, and returns how many are left
STEPS: dict[str, Callable[..., int]] = {
    bulk_decide.KIND: bulk_run.do_row,
    chosen.KIND: chosen.do_row,
    runs.KIND: reconcile.do_row,
    exporting.KIND: exporting.do_row,
    verifying.KIND: verifying.do_row,
}

RUN = "tasks.longjobs.run"
QUEUE = "bulk"
#: seconds of a worker's turn, and of the scheduler's own while Redis is away
SLICE, BY_HAND = 5.0, 2.0
#: seconds of rest after each row: SQLite has one writer at a time, and people at the desk are writers too
REST = 0.002
#: of these a whole job is one step, which takes as long as it takes: a worker's alone, never the scheduler's
WHOLE = frozenset({exporting.KIND, verifying.KIND})
#: seconds that a worker's turn may last at most; a lease that nobody renews ends long before
TURN = 2 * 3600
#: times in a row that the database may be away or busy before the slice is given up
PATIENCE = 5


def start(job_id: int, turn: str = "0") -> bool:
    """Hand a job to the workers; False while Redis is away, and then the sweep begins it. The same turn is queued
    once."""
    return doorbell.enqueue(QUEUE, RUN, job_id, job_id=f"longjob-{job_id}-{turn}", timeout=TURN)


def begin(job_id: int, *, at_once: bool) -> None:
    """Begin a job that a person just asked for: few rows here and now, while they wait, many by the workers. Whatever
    is away or busy now, the sweep goes on: the job is kept."""
    if not at_once:
        start(job_id)
        return
    try:
        run(job_id)
    except DomainError:
        log.warning("long job could not begin at once", extra={"long_job": job_id})


def sweep() -> int:
    """Go on with what nobody works on; returns how many jobs."""
    found = longjobs.due()
    turn = int(time.time()) // 5
    for job_id, checkpoint, kind in found:
        if not start(job_id, f"{checkpoint}-{turn}") and kind not in WHOLE:
            run(job_id, seconds=BY_HAND)
    return len(found)


def run(job_id: int, *, seconds: float = SLICE) -> None:
    """Do rows for so many seconds, and hand the rest on. Does nothing where another worker has the job."""
    owner = f"{platform.node()[:40]}:{os.getpid()}:{secrets.token_hex(6)}"
    kind = longjobs.take(job_id=job_id, owner=owner)
    if kind is None:
        return
    try:
        if _rows(job_id, owner, STEPS[kind], seconds):
            checkpoint = longjobs.give_back(job_id=job_id, owner=owner)
            start(job_id, f"{checkpoint}-on")
    except LeaseLost:
        log.info("long job is no longer ours", extra={"long_job": job_id})


def _rows(job_id: int, owner: str, step: Callable[..., int], seconds: float) -> bool:
    """Whether the next worker should go on at once. Raises LeaseLost."""
    until, away = time.monotonic() + seconds, 0
    while time.monotonic() < until:
        try:
            left = _one(job_id, owner, step)
            away = 0
        except DomainError:
            away += 1  # busy, away, or an answer that was lost: what the rules refuse was noted
            if away > PATIENCE:
                return False  # the lease runs out, and the sweep goes on when the database is back
            time.sleep(min(1.0, 0.05 * 2**away))
            continue
        except LeaseLost:
            raise
        except Exception as error:
            log.exception("long job stopped at a row", extra={"long_job": job_id})
            longjobs.fail(job_id=job_id, owner=owner, error=f"{type(error).__name__}: {error}")
            return False
        if left == 0:
            longjobs.finish(job_id=job_id, owner=owner)
            return False
        time.sleep(REST)
    return True


def _one(job_id: int, owner: str, step: Callable[..., int]) -> int:
    """One row, done or refused; returns how many are left."""
    try:
        return step(job_id=job_id, owner=owner)
    except DomainError as refusal:
        if _may_pass(refusal):
            raise
        # Its transaction is rolled back, and the checkpoint with it: noting why is the row's second and last word.
        return longjobs.refuse(job_id=job_id, owner=owner, code=refusal.code, message=refusal.message)


def _may_pass(error: DomainError) -> bool:
    """Whether trying again may help. After a lost COMMIT the checkpoint tells whether the row was done."""
    return error.kind == Kind.UNAVAILABLE or isinstance(error, OutcomeUnknown)
