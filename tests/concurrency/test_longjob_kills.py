"""A batch of adjustments whose workers are killed at any statement, and two workers at one job: each row once (U11).

Every guard is taken away in a control, which must then do rows twice.
"""

from __future__ import annotations

import threading
from decimal import Decimal

import pytest
import sqlalchemy as sa

from app import ids
from app.db import RequestKey, db
from app.domain.desk import bulk, bulk_decide, bulk_run
from app.domain.desk.errors import BatchAskedBefore
from app.domain.ledger import verify
from app.domain.longjobs import service
from app.domain.longjobs.models import LongJob, LongJobRow
from app.flows import longjobs
from tests.concurrency.dying import in_a_child, killed_until_done
from tests.domain.desk.batches import approved, batch, cells, draft, job
from tests.domain.desk.desk import balance, movements
from tests.factories import make_family
from tests.portal import actor_of, make_staff

pytestmark = [pytest.mark.concurrency, pytest.mark.faults]

ROWS = 60
FAMILIES = 6
LESS = {"类型": "纠错", "原因": "金额录错", "收款方式": "无"}


@pytest.fixture
def desk(live_app):
    with live_app.app_context():
        yield live_app
        db.session.remove()


def make_batch(rows: int = ROWS) -> tuple[int, list]:
    """A job of rows of 1.00, of which every tenth is refused, over a few families."""
    families = [make_family() for _ in range(FAMILIES)]
    made = [
        cells(families[n % FAMILIES], **({"amount": "-5000", **LESS} if n % 10 == 9 else {"amount": "1"}))
        for n in range(rows)
    ]
    return approved(make_staff("finance"), make_staff("manager"), made), families


def each_once(job_id: int, families: list, rows: int = ROWS) -> None:
    done = job(job_id)
    refused = sum(1 for n in range(rows) if n % 10 == 9)
    assert (done.status, done.done, done.refused) == ("done", rows - refused, refused)
    assert db.session.query(LongJobRow).filter_by(job_id=job_id).count() == rows
    assert sum(movements(family) for family in families) == rows - refused
    assert sum(balance(family) for family in families) == Decimal(rows - refused)
    assert verify.run(full=True).sound


def test_killed_at_random_statements_each_row_is_done_once(desk):
    job_id, families = make_batch()
    assert killed_until_done(job_id, (20, 260), seed=20) >= 5
    each_once(job_id, families)


def test_two_workers_at_one_job_do_each_row_once(desk):
    job_id, families = make_batch(20)
    run_together(desk, lambda: longjobs.run(job_id, seconds=30), 3)
    each_once(job_id, families, 20)


def run_together(desk, act, count: int) -> list:
    gate, said = threading.Barrier(count), []

    def work() -> None:
        with desk.app_context():
            gate.wait()
            try:
                act()
            except Exception as error:
                said.append(error)
            finally:
                db.session.remove()

    threads = [threading.Thread(target=work) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return said


def test_a_cancel_waits_for_one_row_and_no_more(desk):
    job_id, families = make_batch()
    manager, seen = make_staff("manager"), []

    def cancel() -> None:
        while job(job_id).checkpoint < 5:
            db.session.rollback()
        seen.append(job(job_id).checkpoint)
        service.cancel(job_id=job_id, actor=actor_of(manager))
        seen.append(job(job_id).checkpoint)

    acts = iter((cancel, lambda: longjobs.run(job_id, seconds=30)))
    assert run_together(desk, lambda: next(acts)(), 2) == []
    done = job(job_id)
    assert done.status == "cancelled"
    assert done.checkpoint == seen[1] < ROWS, "not a row after the cancel"
    assert sum(movements(family) for family in families) == done.done


def test_the_same_rows_asked_for_by_two_at_once_wait_once(desk):
    family, people = make_family(), [make_staff("finance"), make_staff("finance")]
    drafts = [draft(person, [cells(family, note="同一张")]) for person in people]
    acts = iter([
        lambda person=person, batch_id=batch_id: bulk.ask(batch_id=batch_id, note="奖励", actor=actor_of(person))
        for person, batch_id in zip(people, drafts, strict=True)
    ])  # fmt: skip
    said = run_together(desk, lambda: next(acts)(), 2)
    assert [type(error) for error in said] == [BatchAskedBefore]
    assert sorted(batch(one).status for one in drafts) == ["asked", "draft"]


# ── controls ────────────────────────────────────────────────────────────────────────────────────────


def unguarded(monkeypatch) -> None:
    """The checkpoint in a transaction of its own after the row's, no lease, no lock, no key of the row."""
    monkeypatch.setattr(bulk_run, "key_of", lambda batch_id, number: RequestKey("loose", ids.new_hex(), ""))
    monkeypatch.setattr(service, "hold", lambda job_id, owner: db.session.get(LongJob, job_id, populate_existing=True))
    monkeypatch.setattr(service, "note", lambda job, outcome, **_: job.total - job.checkpoint - 1)
    step = bulk_run.do_row

    def row_then_checkpoint(*, job_id: int, owner: str) -> int:
        left = step(job_id=job_id, owner=owner)
        _checkpoint(job_id=job_id)
        return left

    monkeypatch.setitem(longjobs.STEPS, bulk_decide.KIND, row_then_checkpoint)


@service.transactional
def _checkpoint(*, job_id: int) -> None:
    db.session.execute(
        sa.update(LongJob).where(LongJob.id == job_id).values(checkpoint=LongJob.checkpoint + 1, done=LongJob.done + 1)
    )


def test_control_a_checkpoint_in_its_own_transaction_does_a_row_twice(desk, monkeypatch):
    families = [make_family()]
    job_id = approved(make_staff("finance"), make_staff("manager"), [cells(families[0], "1") for _ in range(3)])
    unguarded(monkeypatch)
    ended, statements = in_a_child(lambda: bulk_run.do_row(job_id=job_id, owner="w"), None)
    assert ended is None
    assert statements[-1] == "COMMIT"
    # Killed after the row's COMMIT and before the checkpoint's: the row is there, and comes once more.
    assert (movements(families[0]), job(job_id).checkpoint) == (1, 0)
    longjobs.STEPS[bulk_decide.KIND](job_id=job_id, owner="w")
    assert (movements(families[0]), job(job_id).checkpoint) == (2, 1)
