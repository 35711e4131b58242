"""A list too long to stream while a person waits: written by a worker, fetched when it is there, gone after some days
(U11, S2)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from app.db import db, db_now, lock_row, transactional
from app.domain.audit import service as audit
from app.domain.audit.actor import Actor
from app.domain.longjobs import service as longjobs
from app.domain.longjobs.models import LongJob, LongJobStatus
from app.domain.people import roles
from app.domain.people.models import Staff
from app.domain.people.roles import Permission
from app.domain.policy import service as policy
from app.errors import InvalidState, NotFound

KIND = "export"

_jobs = LongJob.__table__
_OPEN = (LongJobStatus.QUEUED, LongJobStatus.RUNNING)


@dataclass(frozen=True, slots=True)
class Wanted:
    """A list to write: its name and title, csv or xlsx, the address that its filters are read from, and these in words.
    `rows` is how many there were when it was asked for."""

    name: str
    title: str
    form: str
    address: str
    filters: dict[str, str]
    rows: int
    family_id: int | None = None


@dataclass(frozen=True, slots=True)
class File:
    """A written file: its parts in the store, in order. `until` is when it goes."""

    name: str
    form: str
    parts: list[str]
    bytes: int
    until: datetime


def is_long(rows: int) -> bool:
    """Whether so many rows are written by a worker."""
    return rows >= policy.get("export_long_from")


@transactional
def ask(*, wanted: Wanted, actor: Actor) -> int:
    """Ask for the file; returns the long job's id, the same one while it is not done. Raises Forbidden."""
    roles.require(actor, Permission.EXPORT)
    lock_row(Staff, actor.id)  # two clicks of one person queue here, and the second finds the first's job
    asked = {"name": wanted.name, "form": wanted.form, "address": wanted.address}
    for job in _open_of(actor):
        if all(job.params.get(name) == value for name, value in asked.items()):
            return job.id
    job_id = longjobs.create(
        kind=KIND, title=f"导出 {wanted.title}", total=max(wanted.rows, 1), actor=actor,
        params=asked | {"filters": wanted.filters, "family_id": wanted.family_id, "quiet": True},
    )  # fmt: skip
    audit.record(
        actor, "export.made", target_type="export", target_id=wanted.name, family_id=wanted.family_id,
        after={"filters": wanted.filters, "rows": wanted.rows, "format": wanted.form, "job": job_id},
    )  # fmt: skip
    return job_id


@transactional
def fetch(*, job_id: int, actor: Actor) -> File:
    """Record that somebody fetches the file, and say where it is. Raises NotFound, InvalidState, Forbidden."""
    roles.require(actor, Permission.EXPORT)
    job = db.session.get(LongJob, job_id, populate_existing=True)
    if job is None or job.kind != KIND:
        raise NotFound("没有找到这个导出")
    found = file_of(job)
    if found is None:
        raise InvalidState("文件还没有写完，请稍后再下载")
    if found.until <= db_now():
        raise InvalidState("文件已过保留期，请重新导出")
    audit.record(actor, "export.fetched", target_type="export", target_id=found.name,
                 family_id=job.params.get("family_id"), after={"job": job_id, "bytes": found.bytes})  # fmt: skip
    return found


def file_of(job: Any) -> File | None:
    """The file of an export's job; None while it is not written, and for jobs of other kinds."""
    result = job.params.get("result")
    if job.kind != KIND or job.status != LongJobStatus.DONE or result is None:
        return None
    until = job.finished_at + policy.get("export_keep")
    return File(job.params["name"], job.params["form"], result["parts"], result["bytes"], until)


def kept_parts() -> set[str]:
    """Names in the store of all files that may still be fetched: what is swept leaves them alone."""
    since = db_now() - policy.get("export_keep")
    query = sa.select(_jobs).where(
        _jobs.c.kind == KIND, _jobs.c.status == LongJobStatus.DONE, _jobs.c.finished_at > since
    )
    return {part for job in db.session.execute(query) if (file := file_of(job)) for part in file.parts}


def _open_of(actor: Actor) -> list[LongJob]:
    query = sa.select(LongJob).where(LongJob.status.in_(_OPEN), LongJob.kind == KIND, LongJob.asked_by == actor.id)
    return list(db.session.scalars(query))
