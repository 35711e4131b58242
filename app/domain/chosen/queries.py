"""What became of each chosen row, for its job's page and as a file (U15)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from app.db import db
from app.domain.chosen.actions import ACTIONS, Action
from app.domain.chosen.service import KIND
from app.domain.longjobs import queries as longjobs
from app.domain.longjobs.models import LongJob
from app.domain.people.models import Family
from app.paging import Listing

_f = Family.__table__


@dataclass(frozen=True, slots=True)
class Result:
    """One row: `outcome` is None while it is untouched."""

    number: int
    id: int
    #: what its page is called by
    key: Any
    family: str | None
    outcome: str | None
    code: str | None
    message: str | None
    at: datetime | None


def action_of(job: Any) -> Action | None:
    """What a long job does to chosen rows; None for one of another kind."""
    return ACTIONS.get(job.params["action"]) if job.kind == KIND else None


def results(job: Any, limit: int | None = None) -> list[Result]:
    """Every chosen row in its order, with what became of it; the first `limit`."""
    params = job.params
    families = names(params["families"][:limit])
    done = {row.number: row for piece in longjobs.every_row(job.id).pieces() for row in piece}
    return [
        _result(number, row_id, params["rows"][number - 1][0], families.get(family_id), done.get(number))
        for number, (row_id, family_id) in enumerate(zip(params["ids"], params["families"], strict=True), 1)
    ][:limit]


def every(job_id: int) -> Listing:
    """The same, for an export; empty for a job of another kind."""
    job = db.session.execute(sa.select(LongJob.__table__).where(LongJob.id == job_id)).first()
    found = results(job) if job is not None and job.kind == KIND else []
    return Listing(lambda: iter([found] if found else []), lambda: len(found))


def names(family_ids: Iterable[int | None]) -> dict[int, str]:
    """Families' names by id."""
    wanted = sorted({one for one in family_ids if one is not None})
    return dict(iter(db.session.execute(sa.select(_f.c.id, _f.c.name).where(_f.c.id.in_(wanted)))))


def _result(number: int, row_id: int, key: Any, family: str | None, done: Any) -> Result:
    if done is None:
        return Result(number, row_id, key, family, None, None, None, None)
    return Result(number, row_id, key, family, done.outcome, done.code, done.message, done.created_at)
