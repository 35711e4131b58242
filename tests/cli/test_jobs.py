"""`flask jobs list` and `flask jobs run NAME` (96.7)."""

from __future__ import annotations

import dataclasses
from datetime import timedelta

import pytest

from app import clock
from app.cli import jobs as commands
from app.domain.outbox import jobs
from app.domain.outbox.schedule import JOBS


@pytest.fixture
def flask(app, monkeypatch):
    # Nobody's account at WeChat Pay, so that no job asks the outside.
    before = app.extensions["desk.settings"]
    nobody = dataclasses.replace(before, wxpay=dataclasses.replace(before.wxpay, mchid=""))
    monkeypatch.setitem(app.extensions, "desk.settings", nobody)
    runner = app.test_cli_runner()
    return lambda *args: runner.invoke(args=["jobs", *args])


def test_one_job_a_line_name_first(flask):
    result = flask("list")
    assert result.exit_code == 0
    assert [line.split()[0] for line in result.output.splitlines()] == [job.name for job in JOBS]


def test_runs_once_and_says_what_it_did(flask, app):
    result = flask("run", "audit_seal")
    assert result.exit_code == 0, result.output
    assert result.output.startswith("封存")
    assert jobs.runs()["audit_seal"].last_success_at is not None
    assert "T" in flask("list").output.split("audit_seal")[1].splitlines()[0]


def test_every_job_can_be_run_by_hand(flask):
    for job in JOBS:
        result = flask("run", job.name)
        assert result.exit_code == 0, (job.name, result.output)


def test_an_unknown_name_is_refused(flask):
    result = flask("run", "nonsense")
    assert result.exit_code == 2
    assert "没有名为 nonsense 的任务" in result.output


def test_one_that_runs_elsewhere_is_waited_for_and_then_refused(flask, app, monkeypatch):
    monkeypatch.setattr(commands, "PATIENCE", 0.3)
    assert jobs.take(name="audit_seal", holder="another process", seconds=600)
    result = flask("run", "audit_seal")
    assert result.exit_code == 1
    assert "正由另一个进程运行" in result.output
    with clock.travel(by=timedelta(seconds=601)):
        assert flask("run", "audit_seal").exit_code == 0


def test_a_failure_is_an_exit_code(flask, app, monkeypatch):
    from tasks import periodic

    def broken() -> str:
        raise RuntimeError("坏了")

    monkeypatch.setattr(periodic, "audit_seal", broken)
    result = flask("run", "audit_seal")
    assert result.exit_code == 1
    assert "audit_seal 失败：RuntimeError: 坏了" in result.output
    assert jobs.runs()["audit_seal"].last_error == "RuntimeError: 坏了"
