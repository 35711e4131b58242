"""When a periodic job is due, and how one is run. The jobs themselves: app/domain/outbox/schedule.py."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from importlib import import_module

from croniter import croniter

from app import clock, ids
from app.domain.outbox import jobs
from app.domain.outbox.jobs import Job
from app.domain.outbox.schedule import JOBS

log = logging.getLogger("desk.jobs")

BY_NAME = {job.name: job for job in JOBS}


def resolve(entry: str) -> Callable[[], str | None]:
    """The function behind a job's entry point."""
    module, _, name = entry.rpartition(".")
    return getattr(import_module(module), name)


def slot(job: Job, now: datetime, since: datetime) -> datetime:
    """The newest moment at or before `now` at which the job should have started, for one that last did at `since`."""
    if job.every is not None:
        return now if since + timedelta(seconds=job.every) <= now else since
    # croniter reckons on the wall clock it is given, and the studio's has no summer time.
    newest = croniter(job.cron, clock.local(now + timedelta(microseconds=1))).get_prev(datetime)
    return max(newest.astimezone(UTC), since)


def is_due(job: Job, now: datetime, last_started: datetime | None, began: datetime) -> bool:
    """Whether to start it now. Slots that were missed while nobody ran are made up for once; a job that never ran
    starts at once when it is periodic, and at its first slot after `began` when it has a time of day."""
    if last_started is None and job.every is not None:
        return True
    since = last_started or began
    return slot(job, now, since) > since


def run(job: Job, holder: str, *, due_before: datetime | None = None) -> tuple[bool, str | None]:
    """Run a job here and now, noting how it went: (whether it ran, its line). Raises what the job raises.

    A job that somebody else is running, or has started since `due_before`, is left alone.
    """
    ids.set_request_id(f"job-{job.name}")
    if not job.light and not jobs.take(name=job.name, holder=holder, seconds=job.lease, due_before=due_before):
        return False, None
    try:
        result = resolve(job.entry)()
    except Exception as error:
        log.exception("periodic job failed", extra={"job": job.name})
        words = f"{type(error).__name__}: {error}"
        if job.light:
            jobs.note(name=job.name, error=words)
        else:
            jobs.finish(name=job.name, holder=holder, error=words)
        raise
    if not job.light:
        jobs.finish(name=job.name, holder=holder, result=result)
    return True, result
