"""Putting whole months of the audit log away: write the file, read it again from disk, then let the rows go (S12).

Killed anywhere it can be run again: a file has its name only once it is whole, rows go only after the database has
written down which file holds them, and what was left half way goes first in the next run.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from sqlalchemy.exc import OperationalError, ProgrammingError

from app import clock
from app.db import db
from app.domain.audit import archives
from app.domain.audit.actor import Actor
from app.domain.audit.archives import Month
from app.errors import Forbidden
from app.flows import audit_file
from app.flows.audit_file import ArchiveBroken, ArchiveExists, Manifest

#: the server's words for a user without the privilege: on a table, a column, a schema
_DENIED = {1142, 1143, 1044}


@dataclass(frozen=True, slots=True)
class Archived:
    """One month's file. `dropped` rows left the log; None where that was not asked for."""

    path: Path
    rows: int
    dropped: int | None


def create(before: date, folder: Path, actor: Actor, *, drop: bool = False, early: bool = False) -> Iterator[Archived]:
    """Archive every whole month before that day, oldest first; with `drop`, let its rows leave the log.

    Raises Invalid, NotArchivable, ArchiveExists, ArchiveBroken, Forbidden for a database user who may not drop.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if drop:
        yield from _finish(folder)
    month = archives.next_month(before, early=early)
    while month is not None:
        path = folder / f"audit-{month.first:%Y-%m}.desk"
        if drop and path.exists():
            _same(path, month)
        else:
            _write(path, month, actor)
        said = audit_file.check(path)
        yield Archived(path, said.rows, _cut(path, month, actor) if drop else None)
        month = archives.next_month(before, early=early, after=None if drop else month)
    db.session.rollback()


def _write(path: Path, month: Month, actor: Actor) -> None:
    audit_file.write(path, _manifest(month, actor), archives.chapters(month))
    db.session.rollback()
    try:
        archives.note_made(month=month, file_name=path.name, sha256=audit_file.digest(path), actor=actor)
    except BaseException:
        path.unlink()  # a file of which the log knows nothing would stand in the next run's way
        raise


def _manifest(month: Month, actor: Actor) -> Manifest:
    return Manifest(
        format=audit_file.FORMAT, month=f"{month.first:%Y-%m}", first_id=month.first_id, last_id=month.last_id,
        first_seal=month.first_seal, last_seal=month.last_seal, rows=month.rows,
        prev_hash=month.prev_hash.hex() if month.prev_hash else None, head_hash=month.head_hash.hex(),
        made_at=clock.now().isoformat(), made_by=actor.name,
    )  # fmt: skip


def _same(path: Path, month: Month) -> None:
    """A file of an earlier run without `drop`, or of one that was stopped: it must be this very month."""
    said = audit_file.check(path)
    if (said.first_id, said.last_id, said.head_hash) != (month.first_id, month.last_id, month.head_hash.hex()):
        raise ArchiveExists(f"{path} 已经存在，装的却不是同样的记录；请移走它再归档")


def _cut(path: Path, month: Month, actor: Actor) -> int:
    with _only_migrate():
        archives.cut(month=month, file_name=path.name, sha256=audit_file.digest(path), actor=actor)
        return archives.drop_rows(archives.newest())


def _finish(folder: Path) -> Iterator[Archived]:
    """What a stopped run left: its file is read again before anything more goes."""
    while (archive := archives.left_behind()) is not None:
        path = folder / archive.file_name
        audit_file.check(path)
        if audit_file.digest(path) != archive.sha256:
            raise ArchiveBroken(f"{path} 不是当初归档的那个文件，没有移出任何记录")
        with _only_migrate():
            yield Archived(path, archive.rows, archives.drop_rows(archive))


@contextmanager
def _only_migrate() -> Iterator[None]:
    try:
        yield
    except (OperationalError, ProgrammingError) as error:
        if error.orig.args[0] not in _DENIED:
            raise
        raise Forbidden("只有数据库用户 migrate 可以移出审计记录；文件已经写好，请换用 migrate 再运行一次") from error
