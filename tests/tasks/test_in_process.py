"""The worker's and the scheduler's loops inside the test, on a database that really commits."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time

import pytest
import sqlalchemy as sa
from rq import Queue
from rq.serializers import JSONSerializer
from sqlalchemy.exc import OperationalError

from app.db import db, transaction
from app.domain.outbox import jobs, service
from app.domain.outbox.models import JobRun, Notification, Status
from sandbox.testing import running_sandbox
from tasks import periodic, worker
from tasks.scheduler import Scheduler
from tests.domain.outbox.families import make_family
from tests.tasks.processes import desk as running_desk
from tests.tasks.processes import wait_for

CARD = {"title": "余额调整", "colour": "green", "lines": [["金额", "+¥1.00"]]}


@pytest.fixture(scope="module")
def sandbox():
    with running_sandbox() as running:
        yield running


@pytest.fixture
def desk(live_app, tmp_path, sandbox, monkeypatch):
    sandbox.reset()
    handlers = {name: signal.getsignal(name) for name in (signal.SIGTERM, signal.SIGINT)}
    with running_desk(live_app, tmp_path, sandbox, monkeypatch) as running, live_app.app_context():
        live_app.extensions["desk.redis"].clear()
        live_app.extensions["desk.doorbell"]["closed_until"] = 0.0
        yield running
        db.session.remove()
    for name, handler in handlers.items():
        signal.signal(name, handler)


def card(dedupe: str) -> int:
    with transaction():
        return service.tell_staff("money", "staff.test", CARD, dedupe=dedupe)


def status(row_id: int) -> str:
    db.session.rollback()
    return db.session.scalar(sa.select(Notification.status).where(Notification.id == row_id))


def test_a_burst_sends_what_is_queued(desk, live_app, sandbox):
    row_id = card("1")
    worker.work(live_app, burst=True)
    assert status(row_id) == Status.SENT
    assert len(sandbox.cards("money")) == 1


def test_a_job_that_fails_is_told_in_the_log_and_the_next_one_runs(desk, live_app, sandbox, caplog):
    queue = Queue("urgent", connection=desk.redis(), serializer=JSONSerializer)
    queue.enqueue_call("tasks.notifications.deliver", args=("not a number", "too many"), job_id="bad-args")
    queue.enqueue_call("shutil.rmtree", args=("/nowhere",), job_id="evil")
    row_id = card("1")
    with caplog.at_level(logging.ERROR, logger="desk.worker"):
        worker.work(live_app, burst=True)
    assert status(row_id) == Status.SENT
    assert [record.message for record in caplog.records if record.name == "desk.worker"] == [
        "job failed",
        "refused a job that is no task",
    ]


def test_the_sweep_queues_what_nobody_rang_for(desk, live_app):
    family, _ = make_family(consents={"payment_result": 3})
    with transaction():
        service.tell_family(family, "payment_result", {}, dedupe="1")
    time.sleep(1.2)
    desk.redis().flushall()
    assert periodic.outbox_sweep() == "交给后台 1 条"
    assert periodic.outbox_sweep() == "交给后台 1 条"
    assert desk.redis().llen("rq:queue:urgent") <= 2


def test_the_sweep_sends_by_itself_while_redis_is_away(desk, live_app, sandbox):
    family, [user] = make_family(consents={"payment_result": 3})
    openid = db.session.scalar(sa.text("SELECT openid FROM users WHERE id = :id"), {"id": user})
    sandbox.consent(openid, "payment_result", 3)
    with transaction():
        [row_id] = service.tell_family(family, "payment_result", {}, dedupe="1")
    time.sleep(1.2)
    live_app.extensions["desk.doorbell"]["closed_until"] = time.monotonic() + 60
    assert periodic.outbox_sweep() == "Redis 不可用：直接发送 1 条，0 条等待"
    assert status(row_id) == Status.SENT


def test_a_tick_leads_starts_what_is_due_and_notes_it(desk, live_app, sandbox):
    row_id = card("1")
    scheduler = Scheduler(live_app)
    db.session.remove()
    scheduler.tick()
    assert scheduler.leads
    wait_for(lambda: status(row_id) == Status.SENT and not scheduler._running)
    scheduler.stop()
    db.session.rollback()
    noted = dict(db.session.execute(sa.select(JobRun.name, JobRun.last_success_at)).all())
    assert noted["outbox_sweep"] is not None
    assert noted["audit_seal"] is not None
    assert "ledger_verify" not in noted  # its hour has not come
    assert db.session.scalar(sa.select(JobRun.held_by).where(JobRun.name == "scheduler")) is None


def test_a_second_scheduler_starts_nothing(desk, live_app):
    first, second = Scheduler(live_app), Scheduler(live_app)
    db.session.remove()
    first.tick()
    second.tick()
    assert not second.leads
    assert second._running == set()
    first.stop()
    second.stop()


def test_a_job_that_fails_does_not_end_the_scheduler(desk, live_app, monkeypatch):
    def broken() -> str:
        raise RuntimeError("坏了")

    monkeypatch.setattr(periodic, "cards_collect", broken)
    scheduler = Scheduler(live_app)
    db.session.remove()
    scheduler.tick()
    wait_for(lambda: not scheduler._running)
    scheduler.tick()
    scheduler.stop()
    db.session.rollback()
    assert db.session.scalar(sa.select(JobRun.last_error).where(JobRun.name == "cards_collect")) == "RuntimeError: 坏了"


def test_without_a_lease_the_scheduler_waits_and_comes_back(desk, live_app, monkeypatch):
    scheduler, real = Scheduler(live_app), jobs.take

    def away(**_kwargs):
        raise OperationalError("SELECT 1", {}, Exception(2003))

    monkeypatch.setattr(jobs, "take", away)
    scheduler.tick()
    assert (scheduler.leads, scheduler._away, scheduler._running) == (False, True, set())
    monkeypatch.setattr(jobs, "take", real)
    scheduler.tick()
    assert (scheduler.leads, scheduler._away) == (True, False)
    wait_for(lambda: not scheduler._running)
    scheduler.stop()


def test_sigterm_ends_the_scheduler(desk, live_app):
    scheduler = Scheduler(live_app)
    db.session.remove()
    threading.Timer(1.5, os.kill, (os.getpid(), signal.SIGTERM)).start()
    scheduler.run()
    db.session.rollback()
    assert db.session.scalar(sa.select(JobRun.held_by).where(JobRun.name == "scheduler")) is None
