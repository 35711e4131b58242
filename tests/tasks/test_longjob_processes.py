"""Long work with real worker and scheduler processes: a killed worker's job goes on by itself within a minute (U11)."""

from __future__ import annotations

import os
import signal
import time

import pytest

from app.db import db
from app.domain.longjobs.models import LongJobRow
from sandbox.testing import running_sandbox
from tests.domain.desk.batches import approved, cells, job
from tests.domain.desk.desk import movements
from tests.factories import make_family
from tests.portal import make_staff
from tests.tasks.processes import desk as running_desk
from tests.tasks.processes import wait_for

pytestmark = [pytest.mark.concurrency, pytest.mark.faults]

ROWS = 120


@pytest.fixture(scope="module")
def sandbox():
    with running_sandbox() as running:
        yield running


@pytest.fixture
def desk(live_app, tmp_path, sandbox, monkeypatch):
    sandbox.reset()
    folder = tmp_path / "logs"
    folder.mkdir()
    with running_desk(live_app, folder, sandbox, monkeypatch) as running, live_app.app_context():
        yield running
        db.session.remove()


def test_a_killed_workers_job_goes_on_within_a_minute_and_each_row_is_done_once(desk):
    families = [make_family() for _ in range(5)]
    job_id = approved(make_staff("finance"), make_staff("manager"), [cells(families[n % 5]) for n in range(ROWS)])
    desk.start("scheduler")
    desk.start("worker", "--processes", "1")
    wait_for(lambda: job(job_id).checkpoint > 5, 60)
    held = job(job_id)
    assert held.lease_owner
    os.kill(int(held.lease_owner.split(":")[-2]), signal.SIGKILL)
    began, stopped = time.monotonic(), job(job_id).checkpoint
    assert stopped < ROWS, "killed too late to show anything"
    wait_for(lambda: job(job_id).checkpoint > stopped + 1, 60)
    assert time.monotonic() - began < 60
    wait_for(lambda: job(job_id).status == "done", 60)
    assert job(job_id).done == ROWS
    assert [movements(family) for family in families] == [ROWS // 5] * 5
    assert db.session.query(LongJobRow).filter_by(job_id=job_id).count() == ROWS
