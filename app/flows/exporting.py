"""Writing a long list into the store, and reading it back (U11).

A whole file in one turn of a worker: a zip cannot be handed on half written, so after a kill it is written again from
its first row, and the parts of the first try are swept. Parts are sealed like receipts (S11).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from app import vault
from app.db import db
from app.domain.exporting.service import KIND, File
from app.domain.longjobs import service as longjobs
from app.domain.longjobs import whole
from app.domain.longjobs.errors import LeaseLost
from app.domain.longjobs.models import LongJob
from app.domain.people.models import Staff, StaffStatus
from app.errors import Forbidden, Unavailable
from app.exports import csv_file, xlsx_file
from app.exports.columns import Column, Mark
from app.flows import receipts
from app.gateways import storage
from app.gateways.errors import GatewayError

__all__ = ["KIND", "do_row", "install", "read"]

log = logging.getLogger("desk.exports")

FORMATS = {"csv": csv_file, "xlsx": xlsx_file}
#: bytes of one part in the store: what a worker holds in memory
PART = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Listed:
    """A list that is being written: its columns, its rows some at a time, and its watermark."""

    columns: Sequence[Column]
    pieces: Iterator[Sequence[Any]]
    mark: Mark


#: (list's name, address, who asked) → the list as that person may see it; raises Forbidden. Pages know their lists
#: (app/web/downloads.py), and a worker has no page: they install it here.
Lister = Callable[[str, str, Staff], AbstractContextManager[Listed]]
_installed: list[Lister] = []


def install(lister: Lister) -> None:
    """Say who knows the lists; the last one counts."""
    _installed[:] = [lister]


def do_row(*, job_id: int, owner: str) -> int:
    """Write the whole file; returns 0. Raises LeaseLost when it was cancelled, and GatewayError where the store is
    away, which stops the job for a person to let it go on."""
    job = whole.begin(job_id=job_id, owner=owner)
    person, params = db.session.get(Staff, job.asked_by), dict(job.params)
    db.session.rollback()
    try:
        if person.status != StaffStatus.ACTIVE:
            raise Forbidden("导出人的账号已停用")
        with _installed[0](params["name"], params["address"], person) as listed:
            return _write(job, owner, params["form"], listed)
    except Forbidden as error:
        longjobs.fail(job_id=job_id, owner=owner, error=error.message)
        raise LeaseLost from error  # there is nothing more to do in it


def _write(job: LongJob, owner: str, form: str, listed: Listed) -> int:
    job_id, parts, rows = job.id, _Parts(), 0

    def counted() -> Iterator[Sequence[Any]]:
        nonlocal rows
        for piece in listed.pieces:
            yield piece
            rows += len(piece)
            db.session.rollback()
            whole.advance(job_id=job_id, owner=owner, done=rows)

    for data in FORMATS[form].stream(listed.columns, counted(), listed.mark):
        parts.add(data)
    parts.flush()
    whole.end(job_id=job_id, owner=owner, done=rows, result={"parts": parts.names, "bytes": parts.bytes})
    return 0


class _Parts:
    """Puts what comes into the store, a part at a time."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.bytes = self._waiting = 0
        self._store, self._buffer = receipts.receipt_store(), []

    def add(self, data: bytes) -> None:
        self._buffer.append(data)
        self._waiting += len(data)
        if self._waiting >= PART:
            self.flush()

    def flush(self) -> None:
        if not self._waiting:
            return
        data, name = b"".join(self._buffer), storage.new_key()
        db.session.rollback()  # a store may take seconds: no connection is held meanwhile
        self._store.put(name, vault.seal(data, receipts.PURPOSE))
        self.names.append(name)
        self.bytes += len(data)
        self._buffer, self._waiting = [], 0


def read(file: File) -> Iterator[bytes]:
    """The file's parts, in order. The first is read at once: Unavailable where the store is away, or it is gone."""
    store = receipts.receipt_store()

    def part(name: str) -> bytes:
        try:
            return vault.unseal(store.get(name), receipts.PURPOSE)
        except (GatewayError, vault.CannotDecrypt) as error:
            log.error("export not readable", extra={"why": str(error)})
            raise Unavailable("文件暂时无法读取，请稍后再试或重新导出") from None

    first = part(file.parts[0]) if file.parts else b""
    return _after(first, (part(name) for name in file.parts[1:]))


def _after(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from rest
