"""Each periodic job, once, and what it says."""

from __future__ import annotations

import dataclasses
from datetime import timedelta

import pytest

from app import clock, health
from app.db import KeptRequest, db
from app.domain.outbox import housekeeping, queries
from app.domain.outbox.schedule import JOBS
from app.domain.people.models import SignInFailure
from tasks import periodic, schedule
from tests import factories
from tests.domain.outbox.families import rows


@pytest.mark.parametrize("job", JOBS, ids=lambda job: job.name)
def test_runs_on_an_empty_database(app, job, monkeypatch):
    # Nobody's account, so that no job asks the outside.
    before = app.extensions["desk.settings"]
    nobody = dataclasses.replace(before, wxpay=dataclasses.replace(before.wxpay, mchid=""))
    monkeypatch.setitem(app.extensions, "desk.settings", nobody)
    app.extensions["desk.doorbell"]["closed_until"] = 0.0
    ran, result = schedule.run(job, "test")
    assert ran
    assert result


def test_the_morning_anchor_goes_to_the_system_group(app):
    factories.make_family(balance="120.00")
    assert periodic.ledger_anchor().startswith("检查点")
    [card] = rows(type="ledger.anchor")
    assert card.recipient == "system"
    [root] = [value for label, value in card.payload["lines"] if label == "根"]
    assert len(root) == 64
    assert ["余额合计", "120.00"] in card.payload["lines"]
    periodic.ledger_anchor()
    assert len(rows(type="ledger.anchor")) == 1


def test_how_far_the_clock_is(app, monkeypatch):
    monkeypatch.setattr(health, "clock_offset", lambda: -3.25)
    assert periodic.clock_offset() == "相差 -3.250 秒"


def test_kept_answers_are_forgotten_after_three_days_in_batches(app, monkeypatch):
    monkeypatch.setattr(housekeeping, "BATCH", 2)
    for number, age in enumerate((0, 2, 4, 5, 6, 7, 8)):
        db.session.add(
            KeptRequest(scope="t", key=str(number), fingerprint="f", created_at=clock.now() - timedelta(days=age))
        )
    db.session.commit()
    assert periodic.request_keys_cleanup() == "清理 5 条"
    assert {row.key for row in db.session.query(KeptRequest).filter_by(scope="t")} == {"0", "1"}


def test_old_sign_in_failures_are_forgotten(app):
    for days in (0, 6, 8):
        db.session.add(SignInFailure(account="a", address="-", created_at=clock.now() - timedelta(days=days)))
    db.session.commit()
    periodic.sign_in_cleanup()
    assert db.session.query(SignInFailure).filter_by(account="a").count() == 2


def test_the_state_of_the_system_names_every_job(app):
    schedule.run(schedule.BY_NAME["audit_seal"], "test")
    states = {state.name: state for state in queries.job_runs()}
    assert list(states) == [job.name for job in JOBS]
    assert states["audit_seal"].last_success_at is not None
    assert not states["audit_seal"].running
    assert states["ledger_verify"].last_success_at is None
    backlog = queries.backlog()
    assert (backlog.pending, backlog.due, backlog.age) == (0, 0, 0.0)
