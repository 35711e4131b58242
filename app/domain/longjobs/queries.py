"""What pages show of long work."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from app.db import db
from app.domain.longjobs.models import LongJob, LongJobRow, LongJobStatus, RowOutcome
from app.paging import Listing, Page, keyset, whole

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
    return keyset(_select(status), _jobs.c.id, before=before, after=after)


def every(status: str | None) -> Listing:
    """All of them, for an export."""
    return whole(_select(status), _jobs.c.id)


def _select(status: str | None) -> sa.Select:
    return sa.select(_jobs).where(_jobs.c.status == status) if status else sa.select(_jobs)


def progress(job_id: int) -> Progress | None:
    """None if there is none."""
    row = db.session.execute(sa.select(_jobs).where(_jobs.c.id == job_id)).first()
    return None if row is None else Progress(row)


def refused(job_id: int, limit: int = 200) -> list[sa.Row]:
    """The first refused rows."""
    query = sa.select(_rows).where(_rows.c.job_id == job_id, _rows.c.outcome == RowOutcome.REFUSED)
    return list(db.session.execute(query.order_by(_rows.c.number).limit(limit)))


def every_row(job_id: int) -> Listing:
    """Every row that was dealt with, for an export."""
    return whole(sa.select(_rows).where(_rows.c.job_id == job_id), _rows.c.number, oldest_first=True)
