"""The list of periodic jobs, when each is due, and that one of several schedulers acts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from app import clock, doorbell
from app.db import db
from app.domain.outbox import jobs
from app.domain.outbox.jobs import Job
from app.domain.outbox.models import JobRun
from app.domain.outbox.schedule import JOBS
from tasks import schedule
from tasks.schedule import is_due, run, slot
from tasks.scheduler import Scheduler

NOW = datetime(2026, 11, 20, 0, 0, tzinfo=UTC)  # 08:00 at the studio
EVERY = Job("t_every", "tests.tasks.jobs_for_tests.count", "", every=60)
DAILY = Job("t_daily", "tests.tasks.jobs_for_tests.count", "", cron="30 7 * * *")
FAILS = Job("t_fails", "tests.tasks.jobs_for_tests.fail", "", every=60)
LIGHT = Job("t_light", "tests.tasks.jobs_for_tests.count", "", every=5)
LIGHT_FAILS = Job("t_light_fails", "tests.tasks.jobs_for_tests.fail", "", every=5)


@pytest.mark.parametrize("job", JOBS, ids=lambda job: job.name)
def test_every_name_resolves_and_every_job_has_a_time(job):
    assert callable(schedule.resolve(job.entry))
    assert (job.every is None) != (job.cron is None)
    assert job.description
    assert job.schedule
    assert len(job.name) <= 48


def test_what_the_web_side_names_exists():
    assert callable(schedule.resolve(doorbell.DELIVER))


def test_names_of_the_contract():
    names = [job.name for job in JOBS]
    assert len(set(names)) == len(names)
    assert {"outbox_sweep", "audit_seal", "ledger_verify", "receipts_remind", "adjustments_lapse"} <= set(names)


@pytest.mark.parametrize(
    ("job", "last", "due"),
    [
        (EVERY, None, True),
        (EVERY, NOW - timedelta(seconds=59), False),
        (EVERY, NOW - timedelta(seconds=60), True),
        (DAILY, None, False),  # the studio's 07:30 was before anybody ran
        (DAILY, NOW - timedelta(minutes=29), False),
        (DAILY, NOW - timedelta(minutes=30), False),
        (DAILY, NOW - timedelta(minutes=31), True),
        (DAILY, NOW - timedelta(days=9), True),  # missed ones are made up for once
    ],
)
def test_when_a_job_is_due(job, last, due):
    assert is_due(job, NOW, last, began=NOW - timedelta(minutes=1)) is due


def test_a_slot_is_on_the_studios_clock_and_exact():
    seven_thirty = datetime(2026, 11, 19, 23, 30, tzinfo=UTC)
    assert slot(DAILY, NOW, NOW - timedelta(days=9)) == seven_thirty
    assert slot(DAILY, seven_thirty, NOW - timedelta(days=9)) == seven_thirty
    assert is_due(DAILY, seven_thirty, seven_thirty - timedelta(days=1), NOW)


@pytest.mark.parametrize(
    ("job", "words"),
    [
        (LIGHT, "每 5 秒"),
        (EVERY, "每 1 分钟"),
        (DAILY, "每天 07:30"),
        (Job("x", "", "", cron="5 * * * *"), "每小时第 5 分"),
        (Job("x", "", "", cron="5 9 * * 1"), "每周一 09:05"),
    ],
)
def test_schedules_in_words(job, words):
    assert job.schedule == words


def kept(name: str) -> JobRun | None:
    db.session.expire_all()
    return db.session.get(JobRun, name)


def test_a_run_is_noted(app):
    assert run(EVERY, "me") == (True, "数了 1")
    row = kept("t_every")
    assert (row.last_result, row.last_error, row.held_by, row.held_until) == ("数了 1", None, None, None)
    assert row.last_started_at <= row.last_finished_at == row.last_success_at


def test_a_failure_is_noted_and_raised_and_the_last_success_kept(app):
    with pytest.raises(ZeroDivisionError):
        run(FAILS, "me")
    row = kept("t_fails")
    assert row.last_error == "ZeroDivisionError: nobody"
    assert row.last_success_at is None
    assert row.held_until is None


def test_a_job_that_runs_is_left_alone_until_its_lease_ends(app):
    assert jobs.take(name="t_every", holder="other", seconds=30)
    assert run(EVERY, "me") == (False, None)
    with clock.travel(by=timedelta(seconds=31)):
        assert run(EVERY, "me")[0]


def test_of_two_schedulers_the_slower_finds_it_started(app):
    due = clock.now()
    assert run(EVERY, "one", due_before=due)[0]
    assert run(EVERY, "two", due_before=due) == (False, None)


def test_a_light_job_takes_no_lease_and_notes_its_failure(app):
    assert run(LIGHT, "me") == (True, "数了 1")
    assert kept("t_light") is None
    with pytest.raises(ZeroDivisionError):
        run(LIGHT_FAILS, "me")
    assert kept("t_light_fails").last_error == "ZeroDivisionError: nobody"
    jobs.note(name="t_light_fails", result="好了")
    row = kept("t_light_fails")
    assert (row.last_error, row.last_result) == (None, "好了")


def test_two_schedulers_one_leads(app):
    one, two = Scheduler(app, "one"), Scheduler(app, "two")
    assert one._lead()
    assert not two._lead()
    with clock.travel(by=timedelta(seconds=11)):  # the first says nothing any more
        assert two._lead()
        one._renewed = 0.0
        assert not one._lead()


def test_a_leader_that_leaves_lets_the_next_one_lead_at_once(app):
    one, two = Scheduler(app, "one"), Scheduler(app, "two")
    assert one._lead()
    jobs.release(name=jobs.LEADER, holder="two")  # not his to give
    assert not two._lead()
    jobs.release(name=jobs.LEADER, holder="one")
    assert two._lead()
