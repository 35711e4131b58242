"""Whole months of the audit log that leave it for a file (S12): which seals belong to one, and how its rows go.

An archive ends at a seal, so that the chain of the rows that stay begins at a hash which the archive ends with. Rows of
a seal that reaches over the end of a month go with the next one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import sqlalchemy as sa

from app import clock
from app.db import db, transactional
from app.domain.audit import seals
from app.domain.audit import service as audit
from app.domain.audit.actor import Actor
from app.domain.audit.models import AuditArchive, AuditEntry, AuditSeal
from app.domain.policy import service as policy
from app.errors import Conflict, Invalid

_log, _seals, _archives = AuditEntry.__table__, AuditSeal.__table__, AuditArchive.__table__

#: rows of one transaction when they leave
BATCH = 500


class NotArchivable(Conflict):
    code = "NOT_ARCHIVABLE"


class AlreadyCut(Conflict):
    code = "ALREADY_ARCHIVED"
    message = "这个月已经归档移出"


@dataclass(frozen=True, slots=True)
class Month:
    """One month that can be archived: `first` is its first day; ids of rows and seals, both ends included."""

    first: date
    first_id: int
    last_id: int
    first_seal: int
    last_seal: int
    rows: int
    prev_hash: bytes | None
    head_hash: bytes


@dataclass(frozen=True, slots=True)
class Chapter:
    """One seal with its rows as the canonical lines that its hash covers."""

    seal: sa.Row
    lines: list[str]


def newest() -> sa.Row | None:
    """The archive that the log now begins after, or None."""
    return db.session.execute(_archives.select().order_by(_archives.c.last_id.desc()).limit(1)).first()


def all_of_them() -> list[sa.Row]:
    """Oldest first."""
    return list(db.session.execute(_archives.select().order_by(_archives.c.first_id)))


def next_month(before: date, *, early: bool = False, after: Month | None = None) -> Month | None:
    """The oldest month in the log, or after one that was found before, that ends by `before`; None if there is none.

    `early` allows a month that is younger than its retention. Raises Invalid, NotArchivable.
    """
    if before.day != 1:
        raise Invalid.field("before", "只归档整月，请写某月 1 日，例如 2016-04-01")
    if before > clock.today():
        raise Invalid.field("before", "这个月还没有结束")
    cut = newest()
    start = after.last_id if after else cut.last_id if cut else 0
    oldest = _edge(start)
    if oldest is None or (first := clock.local(oldest.created_at).date().replace(day=1)) >= before:
        return None
    following = (first + timedelta(days=32)).replace(day=1)
    youngest = _years_ago(policy.get("retention_audit"))
    if following > youngest and not early:
        raise NotArchivable(f"{first:%Y-%m} 的审计记录还没有满保留期限；确要提前归档，请加 --early")
    return _sealed_month(first, start, clock.day_bounds(following)[0])


def _edge(start: int) -> sa.Row | None:
    query = sa.select(_log.c.id, _log.c.created_at).where(_log.c.id > start)
    return db.session.execute(query.order_by(_log.c.id).limit(1)).first()


def _years_ago(years: int) -> date:
    today = clock.today()
    return today.replace(year=today.year - years, day=min(today.day, 28))


def _sealed_month(first: date, start: int, end: datetime) -> Month | None:
    later = sa.select(_log.c.id).where(_log.c.id > start, _log.c.created_at >= end).order_by(_log.c.id).limit(1)
    upto = db.session.scalar(later) or (db.session.scalar(sa.select(sa.func.max(_log.c.id))) or 0) + 1
    sealed = db.session.scalar(sa.select(sa.func.max(_seals.c.last_id))) or 0
    if sealed < upto - 1:
        raise NotArchivable(f"{first:%Y-%m} 的审计记录还没有全部封存，请稍后再归档")
    query = _seals.select().where(_seals.c.first_id > start, _seals.c.last_id < upto)
    found = list(db.session.execute(query.order_by(_seals.c.id)))
    if not found:
        return None
    return Month(
        first=first, first_id=found[0].first_id, last_id=found[-1].last_id, first_seal=found[0].id,
        last_seal=found[-1].id, rows=sum(seal.rows for seal in found), prev_hash=found[0].prev_hash,
        head_hash=found[-1].hash,
    )  # fmt: skip


def chapters(month: Month) -> Iterator[Chapter]:
    """Its seals with their rows, in order; nothing more than one seal's rows is in memory."""
    query = _seals.select().where(_seals.c.id >= month.first_seal, _seals.c.id <= month.last_seal)
    for seal in list(db.session.execute(query.order_by(_seals.c.id))):
        rows = db.session.execute(
            sa.select(_log).where(_log.c.id >= seal.first_id, _log.c.id <= seal.last_id).order_by(_log.c.id)
        )
        yield Chapter(seal, [seals.line(row) for row in rows])


@transactional
def note_made(*, month: Month, file_name: str, sha256: str, actor: Actor) -> None:
    """Record that a month was written to a file."""
    audit.record(
        actor, "audit.archived", target_type="audit_archive", target_id=file_name,
        after={"first_id": month.first_id, "last_id": month.last_id, "rows": month.rows, "sha256": sha256},
    )  # fmt: skip


@transactional
def cut(*, month: Month, file_name: str, sha256: str, actor: Actor) -> None:
    """Write down that this month is in that file, so that its rows may go. The file was read again from disk before.

    Raises AlreadyCut, and NotArchivable where the month does not follow the archive before. The database refuses it to
    everybody but `migrate`.
    """
    last = newest()
    if month.first_id != (last.last_id if last else 0) + 1:
        raise AlreadyCut if last and month.last_id <= last.last_id else NotArchivable("前面还有没有归档的月份")
    try:
        values = {"month": month.first, "file_name": file_name, "sha256": sha256, "first_id": month.first_id,
                  "last_id": month.last_id, "rows": month.rows, "head_hash": month.head_hash,
                  "made_by": actor.name[:64], "created_at": clock.now()}  # fmt: skip
        db.session.execute(_archives.insert().values(**values))
    except sa.exc.IntegrityError as error:
        raise AlreadyCut from error
    audit.record(
        actor, "audit.archive_cut", target_type="audit_archive", target_id=file_name,
        after={"first_id": month.first_id, "last_id": month.last_id, "rows": month.rows, "sha256": sha256},
    )  # fmt: skip


def left_behind() -> sa.Row | None:
    """The oldest archive of which rows are still in the log: a run was stopped while they went."""
    oldest = db.session.scalar(sa.select(sa.func.min(_log.c.id)))
    query = _archives.select().where(_archives.c.last_id >= (oldest or 0)).order_by(_archives.c.first_id).limit(1)
    return None if oldest is None else db.session.execute(query).first()


def drop_rows(archive: sa.Row) -> int:
    """Let its rows leave the log, each batch in a transaction of its own; returns how many went."""
    total = 0
    while gone := _drop_batch(first_id=archive.first_id, last_id=archive.last_id):
        total += gone
    return total


@transactional
def _drop_batch(*, first_id: int, last_id: int) -> int:
    span = sa.select(_log.c.id).where(_log.c.id >= first_id, _log.c.id <= last_id).order_by(_log.c.id).limit(BATCH)
    keys = list(db.session.scalars(span))
    return db.session.execute(_log.delete().where(_log.c.id.in_(keys))).rowcount if keys else 0
