"""A sheet of 5000 adjustments, its workers killed again and again: `python -m bench.bulk [--engine sqlite] [--rows N]`.

The sheet is uploaded as a file, asked for by one person, approved by another, and done by worker processes that are
killed with SIGKILL at random moments. Afterwards each row must have exactly one adjustment, one movement and one
result. The wait for a dead worker's lease is skipped by moving the clock: how long it is in truth, with real processes,
is tests/tasks/test_longjob_processes.py's matter.
"""

from __future__ import annotations

import argparse
import io
import os
import random
import resource
import signal
import tempfile
import time
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import sqlalchemy as sa

from app import clock
from app.db import db, install_doorbell
from app.domain.desk import bulk as asking
from app.domain.ledger import verify
from app.domain.longjobs import rules
from app.domain.longjobs.models import LongJob
from app.flows import bulk, longjobs
from app.flows.receipts import Upload
from tests.conftest import build_app
from tests.databases import FreshDatabase
from tests.domain.desk.batches import cells, xlsx_of
from tests.factories import make_family
from tests.portal import actor_of, make_staff

FAMILIES = 500


@dataclass
class Outcome:
    """Seconds of reading and checking the file, of asking, and of the rows; peak memory of a worker in MB."""

    rows: int
    read: float = 0.0
    ask: float = 0.0
    run: float = 0.0
    kills: int = 0
    memory: float = 0.0
    figures: dict[str, int] | None = None
    sound: bool = False

    @property
    def exact(self) -> bool:
        """Each row once: as many adjustments, movements, results and distinct rows as the sheet has."""
        return set((self.figures or {}).values()) == {self.rows} and self.sound


def run(app, *, rows: int, kill: bool) -> Outcome:
    """The whole trial in an application context of its own."""
    outcome = Outcome(rows)
    with app.app_context():
        clerk, manager = make_staff("finance"), make_staff("manager")
        families = [make_family() for _ in range(min(FAMILIES, rows))]
        sheet = xlsx_of([cells(families[n % len(families)], f"{n % 97 + 1}.00") for n in range(rows)])
        began = time.perf_counter()
        review = bulk.upload(Upload("bench.xlsx", io.BytesIO(sheet)), actor=actor_of(clerk))
        outcome.read = time.perf_counter() - began
        began = time.perf_counter()
        asking.ask(batch_id=review.batch_id, note="压力测试", actor=actor_of(clerk))
        job_id = bulk.approve(batch_id=review.batch_id, actor=actor_of(manager))
        outcome.ask = time.perf_counter() - began
        began = time.perf_counter()
        while _status(job_id) in ("queued", "running"):
            outcome.kills += _work(job_id, outcome.kills, random.uniform(1.0, max(2.0, rows / 400)) if kill else None)
        outcome.run = time.perf_counter() - began
        outcome.memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        outcome.figures, outcome.sound = _count(job_id, review.batch_id), verify.run(full=True).sound
        db.session.remove()
    return outcome


def _status(job_id: int) -> str:
    db.session.rollback()
    return db.session.scalar(sa.select(LongJob.status).where(LongJob.id == job_id))


def _work(job_id: int, dead: int, seconds: float | None) -> bool:
    """A worker process until it has nothing left, or is killed after so many seconds; whether it was killed."""
    db.session.remove()
    db.engine.dispose()
    child = os.fork()
    if child == 0:
        with clock.travel(by=dead * (rules.LEASE + timedelta(seconds=1))):
            longjobs.run(job_id, seconds=3600)
        os._exit(0)
    if seconds is not None:
        time.sleep(seconds)
        os.kill(child, signal.SIGKILL)  # a child that ended is not reaped yet, so its number is still its own
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


def _count(job_id: int, batch_id: int) -> dict[str, int]:
    counts = {
        "adjustments": f"SELECT COUNT(*) FROM wallet_adjustments WHERE batch = '{batch_id}' AND status = 'completed'",
        "rows": f"SELECT COUNT(DISTINCT request_key) FROM wallet_adjustments WHERE batch = '{batch_id}'",
        "movements": "SELECT COUNT(*) FROM wallet_transactions WHERE reference_type = 'adjustment'",
        "results": f"SELECT COUNT(*) FROM long_job_rows WHERE job_id = {job_id} AND outcome = 'done'",
    }
    return {name: int(db.session.execute(sa.text(query)).scalar_one()) for name, query in counts.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--engine", default="mysql", choices=("mysql", "sqlite"))
    parser.add_argument("--rows", type=int, default=5000)
    parser.add_argument("--no-kills", action="store_true", help="let one worker do all of it")
    asked = parser.parse_args()
    database = FreshDatabase(asked.engine, "bulk")
    with tempfile.TemporaryDirectory(prefix="desk-bench-") as folder:
        app = build_app(database, Path(folder), DESK_RATE_LIMITS="off")
        install_doorbell(None)
        try:
            outcome = run(app, rows=asked.rows, kill=not asked.no_kills)
        finally:
            with app.app_context():
                db.engine.dispose()
            database.drop()
    print(
        f"{asked.engine}: {outcome.rows} rows; read and checked in {outcome.read:.1f} s, asked and approved in"
        f" {outcome.ask:.1f} s, done in {outcome.run:.1f} s ({outcome.rows / outcome.run:.0f} rows/s) with"
        f" {outcome.kills} kills; worker's peak {outcome.memory:.0f} MB; {outcome.figures};"
        f" {'each row once' if outcome.exact else 'NOT EXACT'}"
    )
    raise SystemExit(0 if outcome.exact else 1)


if __name__ == "__main__":
    main()
