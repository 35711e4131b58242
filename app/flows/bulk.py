"""Sheets of adjustments between the outside and the desk: read, checked, stored; approved and handed to the workers.

Like a receipt, the file is stored before the transaction that names it: a crash leaves a file that the sweep removes.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass

from app import sheets, vault
from app.db import RequestKey, db
from app.domain.audit.actor import Actor
from app.domain.desk import bulk, bulk_check, bulk_decide, bulk_queries, bulk_sheet
from app.domain.desk.bulk import StoredSheet
from app.domain.desk.bulk_check import BulkLine
from app.domain.desk.errors import BatchNotFound
from app.domain.people import roles
from app.domain.people.models import Staff
from app.domain.people.roles import Permission
from app.errors import Invalid, Unavailable
from app.flows import longjobs
from app.flows.receipts import PURPOSE, Upload, receipt_store
from app.gateways import storage
from app.gateways.errors import GatewayError
from app.sheets import BadSheet, CellError, Row
from app.text import clean

log = logging.getLogger("desk.bulk")

CSV, XLSX = "text/csv", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"


@dataclass(frozen=True, slots=True)
class Review:
    """A sheet that was looked at: its batch, or what is wrong with it, and then nothing was kept."""

    batch_id: int | None
    rows: Sequence[Row]
    errors: Sequence[CellError]


@dataclass(frozen=True, slots=True)
class SheetFile:
    """A sheet to be served."""

    data: bytes
    media_type: str
    filename: str


def upload(sent: Upload, *, actor: Actor, request_key: RequestKey | None = None) -> Review:
    """Read and check a sheet; without errors it is stored and kept as a draft.

    Raises Invalid for a file that is no sheet or too large, Forbidden, Unavailable when the store is away, Replayed.
    """
    roles.require(actor, Permission.ADJUSTMENT_BULK)
    data = sent.stream.read(bulk_sheet.MAX_BYTES + 1)
    if len(data) > bulk_sheet.MAX_BYTES:
        raise Invalid.field("sheet", f"文件超过 {bulk_sheet.MAX_BYTES / 1048576:.2g} MB，请拆成几个表格")
    if not data:
        raise Invalid.field("sheet", "这是空文件，请选择填好的表格")
    db.session.rollback()  # reading a large sheet takes seconds: no connection is held meanwhile
    try:
        sheet = sheets.read(data, bulk_sheet.COLUMNS, max_rows=bulk_sheet.MAX_ROWS)
    except BadSheet as error:
        return Review(None, (), error.errors)
    lines, errors = _checked(sheet, actor)
    if errors:
        return Review(None, sheet.rows, errors)
    if not lines:
        raise Invalid.field("sheet", "表格里没有可以办理的行，请填写后再传")
    stored = _store(data, clean(sent.name.replace("\\", "/").rsplit("/", 1)[-1], bulk_sheet.NAME_MAX) or "未命名")
    return Review(bulk.draft(sheet=stored, lines=lines, actor=actor, request_key=request_key), sheet.rows, ())


def _checked(sheet: sheets.Sheet, actor: Actor) -> tuple[list[BulkLine], list[CellError]]:
    lines, errors = bulk_sheet.gather(sheet.rows)
    known, unknown = bulk_check.identify(lines)
    found = bulk_check.check(known, db.session.get(Staff, actor.id))
    db.session.rollback()
    # A cell that could not be read is empty afterwards: only the first complaint about it is worth saying.
    first: dict[tuple[int, str], CellError] = {}
    for error in sheet.errors + errors + unknown + found.errors:
        first.setdefault((error.line, error.column), error)
    return known, sorted(first.values(), key=lambda error: error.line)


def _store(data: bytes, name: str) -> StoredSheet:
    key = storage.new_key()
    try:
        receipt_store().put(key, vault.seal(data, PURPOSE))
    except GatewayError as error:
        log.error("sheet not stored", extra={"error_code": error.code})
        raise Unavailable("表格暂时无法保存，请稍后再试") from None
    media_type = XLSX if data.startswith(sheets.ZIP) else CSV
    return StoredSheet(key, name, media_type, len(data), hashlib.sha256(data).hexdigest())


def read(batch_id: int, *, actor: Actor) -> SheetFile:
    """A batch's file, checked against what was kept. Raises BatchNotFound, Forbidden, Unavailable."""
    roles.require(actor, Permission.RECEIPT_VIEW)
    found = bulk_queries.find(batch_id, actor)
    if found is None:
        raise BatchNotFound
    db.session.rollback()
    try:
        data = vault.unseal(receipt_store().get(found.storage_key), PURPOSE)
    except (GatewayError, vault.CannotDecrypt) as error:
        log.error("sheet not readable", extra={"batch": batch_id, "why": str(error)})
        raise Unavailable("表格文件暂时无法读取，请稍后再试或联系管理员") from None
    if hashlib.sha256(data).hexdigest() != found.sha256:
        log.error("sheet altered", extra={"batch": batch_id})
        raise Unavailable("表格文件与上传时不一致，请联系管理员")
    return SheetFile(data, found.media_type, f"batch-{batch_id}.{'xlsx' if found.media_type == XLSX else 'csv'}")


def approve(*, batch_id: int, actor: Actor, request_key: RequestKey | None = None) -> int:
    """Approve a batch and wake the workers; returns the long job's id. Raises as `bulk_decide.approve`."""
    job_id = bulk_decide.approve(batch_id=batch_id, actor=actor, request_key=request_key)
    longjobs.start(job_id)
    return job_id
