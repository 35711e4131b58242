"""What pages show of long work."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import sqlalchemy as sa

from app.db import db
from app.domain.longjobs.models import LongJob, LongJobRow, LongJobStatus, RowOutcome
from app.paging import Page, keyset

_jobs = LongJob.__table__
_rows = LongJobRow.__table__

OPEN = (LongJobStatus.QUEUED, LongJobStatus.RUNNING)


@dataclass(frozen=True, slots=True)
class Progress:
    """One job as its page shows it; `revision` changes whenever it does."""

    row: sa.Row

    @property
    def untouched(self) -> int:
        return self.row.total - self.row.checkpoint

    @property
    def live(self) -> bool:
        return self.row.status in OPEN

    @property
    def revision(self) -> str:
        return f"{self.row.status}.{self.row.checkpoint}"

    @property
    def seconds(self) -> int | None:
        """How long it has run, or ran; None before it began."""
        began = self.row.started_at
        last = self.row.finished_at or self.row.heartbeat_at
        return None if began is None or last is None else max(0, round((last - began).total_seconds()))


def page(*, status: str | None = None, before: int | None = None, after: int | None = None) -> Page:
    """The newest first."""
    query = sa.select(_jobs)
    if status:
        query = query.where(_jobs.c.status == status)
    return keyset(query, _jobs.c.id, before=before, after=after)


def progress(job_id: int) -> Progress | None:
    """None if there is none."""
    row = db.session.execute(sa.select(_jobs).where(_jobs.c.id == job_id)).first()
    return None if row is None else Progress(row)


def refused(job_id: int, limit: int = 200) -> list[sa.Row]:
    """The first refused rows."""
    query = sa.select(_rows).where(_rows.c.job_id == job_id, _rows.c.outcome == RowOutcome.REFUSED)
    return list(db.session.execute(query.order_by(_rows.c.number).limit(limit)))


def results(job_id: int) -> Iterator[sa.Row]:
    """Every row that was dealt with, in order."""
    yield from db.session.execute(sa.select(_rows).where(_rows.c.job_id == job_id).order_by(_rows.c.number))
