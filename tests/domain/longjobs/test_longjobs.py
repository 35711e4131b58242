"""Long work: leases, checkpoints, cancelling, failing and going on (U11)."""

from __future__ import annotations

from datetime import timedelta

import pytest
import sqlalchemy as sa

from app import clock
from app.db import LOCK_ORDER, lock_row, transaction
from app.domain.desk import bulk_decide
from app.domain.desk.bulk_models import AdjustmentBatch
from app.domain.longjobs import queries, rules, service
from app.domain.longjobs.errors import LeaseLost, LongJobNotFound
from app.domain.longjobs.models import LongJob, LongJobStatus, RowOutcome
from app.domain.longjobs.rules import TRANSITIONS, Event, next_state
from app.domain.people.models import Family, Staff
from app.errors import Busy, Conflict, Forbidden, InvalidState, OutcomeUnknown
from app.flows import longjobs
from tests.domain.desk.batches import approved, cells, job, results, run
from tests.domain.desk.desk import movements
from tests.factories import make_family
from tests.portal import actor_of, make_staff


@pytest.fixture
def manager(app):
    return make_staff("manager")


def make(manager, rows: int = 3, kind: str = "test") -> int:
    with transaction():
        return service.create(kind=kind, title="测试", total=rows, params={"a": 1}, actor=actor_of(manager))


def steps(monkeypatch, *acts):
    """A kind whose rows do these things, one after another: an exception is raised, else the row is done."""
    left = list(acts)

    @service.transactional
    def step(*, job_id: int, owner: str) -> int:
        held = service.hold(job_id, owner)
        act = left.pop(0) if left else None
        if act is not None:
            raise act
        return service.note(held, RowOutcome.DONE, made_id=held.checkpoint)

    monkeypatch.setitem(longjobs.STEPS, "test", step)
    monkeypatch.setattr(longjobs.time, "sleep", lambda _seconds: None)


@pytest.mark.parametrize("status", list(LongJobStatus))
@pytest.mark.parametrize("event", list(Event))
def test_states(status, event):
    if (status, event) in TRANSITIONS:
        assert next_state(status, event) == TRANSITIONS[(status, event)]
    else:
        with pytest.raises(InvalidState):
            next_state(status, event)


def test_a_lease_is_one_workers(manager):
    job_id = make(manager)
    assert service.take(job_id=job_id, owner="a") == "test"
    assert service.take(job_id=job_id, owner="b") is None
    assert service.due() == []
    assert service.give_back(job_id=job_id, owner="a") == 0
    assert [job[:2] for job in service.due()] == [(job_id, 0)]
    assert service.take(job_id=job_id, owner="b") == "test"
    for act in (service.give_back, service.finish):
        with pytest.raises(LeaseLost):
            act(job_id=job_id, owner="a")
    with pytest.raises(LeaseLost):
        service.refuse(job_id=job_id, owner="a", code="X", message="x")
    assert results(job_id) == []
    with clock.travel(by=rules.LEASE - timedelta(seconds=2)):
        assert service.take(job_id=job_id, owner="c") is None
    with clock.travel(by=rules.LEASE + timedelta(seconds=1)):
        assert [job[:2] for job in service.due()] == [(job_id, 0)]
        assert service.take(job_id=job_id, owner="c") == "test"
    assert job(job_id).deaths == 1
    assert service.take(job_id=job_id + 1000, owner="c") is None


def test_a_word_with_each_row_keeps_the_lease(manager):
    job_id = make(manager, rows=2)
    service.take(job_id=job_id, owner="a")
    with clock.travel(by=timedelta(seconds=15)):
        assert service.refuse(job_id=job_id, owner="a", code="X", message="m" * 900) == 1
    with clock.travel(by=timedelta(seconds=30)):
        assert service.take(job_id=job_id, owner="b") is None


def test_a_row_that_kills_its_workers_stops_the_job(manager):
    job_id = make(manager)
    for number in range(rules.DEATHS_MAX):
        with clock.travel(by=number * (rules.LEASE + timedelta(seconds=1))):
            assert service.take(job_id=job_id, owner=f"w{number}") == "test"
    with clock.travel(by=rules.DEATHS_MAX * (rules.LEASE + timedelta(seconds=1))):
        assert service.take(job_id=job_id, owner="last") is None
    assert (job(job_id).status, job(job_id).checkpoint) == ("failed", 0)
    assert "第 1 行" in job(job_id).error


def test_a_slice_ends_and_the_next_goes_on(manager, monkeypatch):
    steps(monkeypatch)
    job_id = make(manager)
    longjobs.run(job_id, seconds=0)
    assert (job(job_id).status, job(job_id).checkpoint, job(job_id).lease_until) == ("running", 0, None)
    assert run(job_id).status == "done"
    assert results(job_id) == [(1, "done", None), (2, "done", None), (3, "done", None)]
    longjobs.run(job_id)
    assert job(job_id).done == 3, "an ended job is left alone"


def test_refused_rows_are_noted_and_the_rest_is_done(manager, monkeypatch):
    steps(monkeypatch, None, Conflict("不行", code="NO"), None)
    job_id = make(manager)
    done = run(job_id)
    assert (done.status, done.done, done.refused) == ("done", 2, 1)
    assert results(job_id)[1] == (2, "refused", "NO")
    assert [(r.number, r.message) for r in queries.refused(job_id)] == [(2, "不行")]


@pytest.mark.parametrize("trouble", [Busy(), OutcomeUnknown()])
def test_what_may_pass_is_tried_again_and_never_a_refusal(manager, monkeypatch, trouble):
    steps(monkeypatch, trouble, trouble, None, trouble)
    job_id = make(manager)
    assert (run(job_id).done, job(job_id).refused) == (3, 0)


def test_a_database_that_stays_away_leaves_it_to_the_sweep(manager, monkeypatch):
    steps(monkeypatch, *[Busy() for _ in range(longjobs.PATIENCE + 1)])
    job_id = make(manager)
    assert run(job_id).status == "running"
    assert longjobs.sweep() == 0, "its lease still holds"
    with clock.travel(by=rules.LEASE + timedelta(seconds=1)):
        assert longjobs.sweep() == 1  # without Redis the sweep does it here
        assert (job(job_id).status, job(job_id).done) == ("done", 3)


def test_a_row_that_breaks_the_program_stops_it_until_a_person_looked(manager, monkeypatch):
    steps(monkeypatch, None, KeyError("boom"))
    job_id = make(manager)
    stopped = run(job_id)
    assert (stopped.status, stopped.checkpoint, stopped.refused) == ("failed", 1, 0)
    assert "KeyError" in stopped.error
    assert longjobs.sweep() == 0
    with pytest.raises(Forbidden):
        service.resume(job_id=job_id, actor=actor_of(make_staff("front_desk")))
    service.resume(job_id=job_id, actor=actor_of(manager))
    assert run(job_id).status == "done"
    with pytest.raises(InvalidState):
        service.resume(job_id=job_id, actor=actor_of(manager))


def test_cancelled_between_two_rows(manager, monkeypatch):
    steps(monkeypatch)
    job_id = make(manager)
    service.take(job_id=job_id, owner="a")
    step = longjobs.STEPS["test"]
    assert step(job_id=job_id, owner="a") == 2
    with pytest.raises(Forbidden):
        service.cancel(job_id=job_id, actor=actor_of(make_staff("auditor")))
    service.cancel(job_id=job_id, actor=actor_of(manager))
    with pytest.raises(LeaseLost):
        step(job_id=job_id, owner="a")
    shown = queries.progress(job_id)
    assert (shown.row.status, shown.row.done, shown.untouched, shown.live) == ("cancelled", 1, 2, False)
    assert service.due() == []
    for act in (service.cancel, service.resume):
        with pytest.raises(InvalidState):
            act(job_id=job_id, actor=actor_of(manager))
        with pytest.raises(LongJobNotFound):
            act(job_id=job_id + 1000, actor=actor_of(manager))


def test_a_queued_and_a_failed_one_can_be_cancelled(manager, monkeypatch):
    queued, failed = make(manager), make(manager)
    service.cancel(job_id=queued, actor=actor_of(manager))
    assert run(queued).status == "cancelled"
    steps(monkeypatch, KeyError("boom"))
    run(failed)
    service.cancel(job_id=failed, actor=actor_of(manager))
    assert job(failed).status == "cancelled"


def test_cancelled_while_the_batch_runs(manager):
    family = make_family()
    job_id = approved(make_staff("finance"), manager, [cells(family) for _ in range(4)])
    step, asked = longjobs.STEPS[bulk_decide.KIND], []

    def and_cancel(**kwargs):
        left = step(**kwargs)
        if len(asked) == 0:
            asked.append(service.cancel(job_id=job_id, actor=actor_of(manager)))
        return left

    longjobs.STEPS[bulk_decide.KIND] = and_cancel
    try:
        done = run(job_id)
    finally:
        longjobs.STEPS[bulk_decide.KIND] = step
    assert (done.status, done.done, movements(family)) == ("cancelled", 1, 1)


@pytest.mark.parametrize("values", [{"checkpoint": 2}, {"done": 9, "checkpoint": 9}, {"status": "done"}])
def test_the_database_keeps_the_figures_together(manager, values):
    job_id = make(manager)
    with pytest.raises(sa.exc.DBAPIError), transaction() as state:
        state.session.execute(sa.update(LongJob).where(LongJob.id == job_id).values(**values))


def test_rows_of_a_batch_are_one_use_case():
    assert longjobs.STEPS[bulk_decide.KIND].is_use_case


def test_a_job_is_held_first_then_the_person_then_the_batch(app):
    """Each row locks its job and then whatever its use case locks: who held a family first would wait crosswise."""
    ranks = [LOCK_ORDER.index(name) for name in ("long_jobs", "staff", "adjustment_batches", "families", "wallets")]
    assert ranks == sorted(ranks)
    family = make_family()
    for model in (LongJob, Staff, AdjustmentBatch):
        with transaction():
            lock_row(Family, family.id)
            with pytest.raises(RuntimeError, match=f"{model.__tablename__} is locked after families"):
                lock_row(model, 1)
