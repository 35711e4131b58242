"""Receipts between the outside and the desk: uploads made safe and stored, files read back, orphans swept.

Files are stored before the transaction that names them, so a crash in between leaves a file without a row and
never a row without a file. `sweep_orphans` removes what nobody named.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import islice
from typing import IO

from app import clock, config, vault
from app.db import db
from app.domain.audit.actor import Actor
from app.domain.desk import queries, rules
from app.domain.desk.errors import ReceiptNotFound
from app.domain.desk.receipts import NewReceipt
from app.domain.exporting import service as exporting
from app.domain.people import roles
from app.domain.people.roles import Permission
from app.domain.policy import service as policy
from app.errors import Invalid, Unavailable
from app.gateways import pictures, storage
from app.gateways.errors import GatewayError
from app.gateways.pictures import BadFile
from app.text import clean

log = logging.getLogger("desk.receipts")

PURPOSE = "receipt"
#: a stored file that no adjustment names by then never will be: its form is long expired
ORPHAN_AGE = timedelta(hours=24)
#: how many names one query asks about
BATCH = 500

_REFUSALS = {
    "empty": "是空文件，没有上传",
    "unknown_type": "不是 JPG、PNG、WebP、HEIC 图片或 PDF，没有上传（按内容判断，与文件名无关）",
    "too_many_pixels": "像素太大（超过 4000 万），请截图或压缩后再传",
    "too_large": "图片太大，无法处理，请截图或压缩后再传",
    "animated": "是动图，请换成静态图片",
    "unreadable": "已损坏或无法读取，请重新截图或导出后再传",
    "active_pdf": "这份 PDF 带有脚本或附件，为安全起见不能上传，请打印成普通 PDF 或截图",
}
_SUFFIXES = {"image/jpeg": "jpg", "image/png": "png", "application/pdf": "pdf"}


@dataclass(frozen=True, slots=True)
class Upload:
    """A file as the browser sent it; its name is only ever shown back."""

    name: str
    stream: IO[bytes]


@dataclass(frozen=True, slots=True)
class ReceiptFile:
    """A receipt to be served."""

    data: bytes
    media_type: str
    filename: str


def keep(uploads: Sequence[Upload], *, actor: Actor, already: int = 0) -> list[NewReceipt]:
    """Check all files, then store all: one bad file and none is kept.

    `already` is how many the form holds by now. Raises Invalid naming the file and what to do, Unavailable when
    the store is away.
    """
    roles.require(actor, Permission.ADJUSTMENT_ASK)
    if already + len(uploads) > rules.MAX_RECEIPTS:
        raise Invalid.field("receipts", f"最多 {rules.MAX_RECEIPTS} 个凭证，您选了 {already + len(uploads)} 个")
    limit = policy.get("receipt_max_bytes")
    db.session.rollback()  # decoding takes a second or two: no connection is held meanwhile
    files = [_cleaned(upload, limit) for upload in uploads]
    store = receipt_store()
    return [_stored(store, file) for file in files]


def _cleaned(upload: Upload, limit: int) -> pictures.CleanFile:
    data = upload.stream.read(limit + 1)
    name = clean(upload.name.replace("\\", "/").rsplit("/", 1)[-1], 60) or "未命名"
    if len(data) > limit:
        raise Invalid.field("receipts", f"「{name}」超过 {_megabytes(limit)}，没有上传，请压缩后再传")
    try:
        return pictures.clean(data)
    except BadFile as error:
        log.info("receipt refused", extra={"error_code": error.code, "bytes": len(data)})
        raise Invalid.field("receipts", f"「{name}」{_REFUSALS[error.code]}") from None


def _stored(store: storage.Store, file: pictures.CleanFile) -> NewReceipt:
    key = storage.new_key()
    try:
        store.put(key, vault.seal(file.data, PURPOSE))
    except GatewayError as error:
        log.error("receipt not stored", extra={"error_code": error.code})
        raise Unavailable("凭证暂时无法保存，请稍后再试；也可以先不传凭证提交，之后补上") from None
    return NewReceipt(
        storage_key=key,
        media_type=file.media_type,
        bytes=len(file.data),
        sha256=file.sha256,
        stored_sha256=hashlib.sha256(file.data).hexdigest(),
        pixel_hash=file.pixel_hash,
        lookalike_hash=file.lookalike_hash,
        detail_hash=file.detail_hash,
    )


def read(receipt_id: int, *, actor: Actor) -> ReceiptFile:
    """A receipt's file, checked against what was kept. Raises ReceiptNotFound, Forbidden, Unavailable."""
    roles.require(actor, Permission.RECEIPT_VIEW)
    row = queries.receipt(receipt_id)
    if row is None:
        raise ReceiptNotFound
    db.session.rollback()
    try:
        data = vault.unseal(receipt_store().get(row.storage_key), PURPOSE)
    except (GatewayError, vault.CannotDecrypt) as error:
        log.error("receipt not readable", extra={"receipt": receipt_id, "why": str(error)})
        raise Unavailable("凭证文件暂时无法读取，请稍后再试或联系管理员") from None
    if hashlib.sha256(data).hexdigest() != row.stored_sha256:
        log.error("receipt altered", extra={"receipt": receipt_id})
        raise Unavailable("凭证文件与入库时不一致，请联系管理员")
    return ReceiptFile(data, row.media_type, f"receipt-{receipt_id}.{_SUFFIXES[row.media_type]}")


def sweep_orphans() -> int:
    """Delete stored files that belong to no receipt and to no export that may still be fetched, and are older than a
    day; returns how many."""
    store = receipt_store()
    limit = clock.now() - ORPHAN_AGE
    removed = 0
    old = (item.key for item in store.stored() if item.written_at < limit)
    while keys := list(islice(old, BATCH)):
        known = _known(keys)
        for key in keys:
            if key not in known:
                store.delete(key)
                removed += 1
    return removed


def rotate() -> int:
    """Seal again with the newest data key what an older one sealed (S11); returns how many files.

    A file is replaced whole, so the run may be stopped and begun again. Raises Unavailable where the store is away
    or a file's key is no longer configured: the old keys must stay until it runs through.
    """
    store, renewed = receipt_store(), 0
    try:
        for item in store.stored():
            sealed = store.get(item.key)
            if not vault.sealed_with_newest(sealed):
                store.put(item.key, vault.seal(vault.unseal(sealed, PURPOSE), PURPOSE))
                renewed += 1
    except (GatewayError, vault.CannotDecrypt) as error:
        log.error("receipts not rotated", extra={"why": str(error)})
        raise Unavailable(f"凭证文件没有全部换完，旧密钥不能删去；请排除后再运行一次：{error}") from None
    return renewed


def _known(keys: list[str]) -> set[str]:
    found = queries.known_storage_keys(keys) | exporting.kept_parts()
    db.session.rollback()  # a store's answer may take seconds: no connection is held meanwhile
    return found


def receipt_store() -> storage.Store:
    settings = config.current()
    return storage.open_store(
        settings.storage_url, access_key=settings.storage_access_key, secret_key=settings.storage_secret_key
    )


def _megabytes(size: int) -> str:
    return f"{size / 1048576:.0f} MB" if size >= 1048576 else f"{size / 1024:.0f} KB"
