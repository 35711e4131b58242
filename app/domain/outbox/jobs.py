"""Periodic jobs as data, and the rows that say when each last ran and who holds it (Z5).

The entry points are named by string: this package never imports the workers' code. `tests/tasks` resolves each.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from app.db import db, db_now, transactional
from app.domain.outbox.models import JobRun

_table = JobRun.__table__

#: the scheduler that acts holds this row
LEADER = "scheduler"


@dataclass(frozen=True, slots=True)
class Job:
    """One periodic job. Either `every` seconds, or `cron` on the studio's clock."""

    name: str
    entry: str
    description: str
    every: int | None = None
    cron: str | None = None
    #: seconds after which a run that says nothing is taken for dead
    lease: int = 300

    @property
    def light(self) -> bool:
        """A sweep of every few seconds: repeating it does no harm, so its runs take no lease and are noted rarely."""
        return self.every is not None and self.every < 30

    @property
    def period(self) -> int:
        """Seconds between two successes that are noted: a light job's are noted once a minute, and one that has the
        hours of a day to run in must have succeeded once."""
        if self.every is not None:
            return max(self.every, 60)
        _minute, hour, day, _month, weekday = str(self.cron).split()
        if hour == "*":
            return 3600
        return 86400 if day == "*" and weekday == "*" else 7 * 86400

    @property
    def schedule(self) -> str:
        """When it runs, in words."""
        if self.every is not None:
            return f"每 {self.every} 秒" if self.every < 60 else f"每 {self.every // 60} 分钟"
        minute, hour, day, _month, weekday = str(self.cron).split()
        if hour == "*":
            return f"每小时第 {int(minute)} 分"
        when = "每天" if day == "*" and weekday == "*" else f"每周{'日一二三四五六'[int(weekday)]}"
        if "-" in hour:
            return f"{when} {hour.replace('-', '–')} 时第 {int(minute)} 分"
        return f"{when} {int(hour):02d}:{int(minute):02d}"


@dataclass(frozen=True, slots=True)
class Run:
    """What is known of a job's runs."""

    name: str
    last_started_at: datetime | None = None
    last_success_at: datetime | None = None
    last_result: str | None = None
    last_error: str | None = None
    running: bool = False


def runs() -> dict[str, Run]:
    """Name → what is known of it."""
    now = db_now()
    return {
        row.name: Run(
            row.name,
            row.last_started_at,
            row.last_success_at,
            row.last_result,
            row.last_error,
            row.held_until is not None and row.held_until > now,
        )
        for row in db.session.execute(sa.select(_table))
    }


@transactional
def take(*, name: str, holder: str, seconds: float, due_before: datetime | None = None) -> bool:
    """Take or keep the lease of a job; False while somebody else holds it.

    With `due_before` also False when it was started at that moment or later: another scheduler was faster.
    """
    _ensure(name)
    now = db_now()
    free = sa.or_(_table.c.held_until.is_(None), _table.c.held_until <= now, _table.c.held_by == holder)
    query = _table.update().where(_table.c.name == name, free)
    values: dict[str, Any] = {"held_by": holder, "held_until": now + timedelta(seconds=seconds)}
    if name != LEADER:
        values["last_started_at"] = now
        if due_before is not None:
            query = query.where(sa.or_(_table.c.last_started_at.is_(None), _table.c.last_started_at < due_before))
    return db.session.execute(query.values(values)).rowcount == 1


@transactional
def finish(*, name: str, holder: str, result: str | None = None, error: str | None = None) -> None:
    """Give the lease back and say how it went."""
    now = db_now()
    values: dict[str, Any] = {"held_by": None, "held_until": None, "last_finished_at": now}
    if error is None:
        values |= {"last_success_at": now, "last_result": (result or "")[:255] or None, "last_error": None}
    else:
        values |= {"last_error": error[:500]}
    db.session.execute(_table.update().where(_table.c.name == name, _table.c.held_by == holder).values(values))


@transactional
def note(*, name: str, result: str | None = None, error: str | None = None) -> None:
    """Say how a light job went."""
    _ensure(name)
    now = db_now()
    values: dict[str, Any] = {"last_started_at": now, "last_finished_at": now, "last_error": error and error[:500]}
    if error is None:
        values |= {"last_success_at": now, "last_result": (result or "")[:255] or None}
    db.session.execute(_table.update().where(_table.c.name == name).values(values))


@transactional
def release(*, name: str, holder: str) -> None:
    """Give the lease back without a word: a leader that goes."""
    mine = sa.and_(_table.c.name == name, _table.c.held_by == holder)
    db.session.execute(_table.update().where(mine).values(held_by=None, held_until=None))


def _ensure(name: str) -> None:
    if db.session.scalar(sa.select(sa.exists().where(_table.c.name == name))):
        return
    with contextlib.suppress(IntegrityError):  # another process wrote it between our look and our insert
        db.session.execute(_table.insert().values(name=name))
