"""Backups: one consistent dump, the receipts that it names, and a manifest of hashes; restored only when all fit (Z9).

A folder of backups holds one folder each, and one pool of receipts for all of them: a stored receipt never changes and
its name is never used again, so only new ones are copied. The dump is sealed with the data keys (S11); receipts are
sealed already. The receipts are copied after the dump, so that no row lacks its file.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import shutil
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import make_url

from app import clock, config, sealed_stream, vault
from app.db import db
from app.domain.desk.bulk_models import AdjustmentBatch
from app.domain.desk.models import Receipt
from app.domain.ledger import verify
from app.errors import Conflict
from app.flows.receipts import PURPOSE as RECEIPT
from app.flows.receipts import receipt_store
from app.gateways import database_dump as dumps
from app.gateways.database_dump import DumpError, Position, Server
from app.gateways.errors import GatewayError
from app.gateways.storage import Missing
from app.vault import CannotDecrypt

FORMAT = 1
DATABASE, RECEIPTS, MANIFEST = "database.gz.sealed", "receipts.txt", "manifest.json"
_PURPOSE, _MAC = "backup", "backup-manifest"
_PIECE, _HEAD = 1 << 20, 64
_receipts, _batches = Receipt.__table__, AdjustmentBatch.__table__
#: (name in the store, hex SHA-256 of what is sealed there) of all that rows name
_FILES = sa.union_all(
    sa.select(_receipts.c.storage_key, _receipts.c.stored_sha256), sa.select(_batches.c.storage_key, _batches.c.sha256)
).order_by("storage_key")


class BackupBroken(Conflict):
    code = "BACKUP_BROKEN"


class NotEmpty(Conflict):
    code = "DATABASE_NOT_EMPTY"
    message = "目标数据库不是空的：恢复只写入空库，以免盖掉还有用的数据"


class BackupFailed(Conflict):
    """A tool or the store did not do its part."""

    code = "BACKUP_FAILED"


@contextlib.contextmanager
def _outside() -> Iterator[None]:
    try:
        yield
    except (DumpError, GatewayError) as error:
        raise BackupFailed(f"没有完成：{error}") from error


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup says of itself. `anchor` is the ledger's last kept root before the dump began, which a restore must
    contain; None if there was none yet."""

    format: int
    made_at: str
    database: str
    schema: str
    revision: str
    sha256: str
    bytes: int
    position: list | None
    anchor: str | None
    receipts: int
    receipts_sha256: str


@dataclass(frozen=True, slots=True)
class Restored:
    """What a restore found when it looked at what it had loaded."""

    report: verify.Report
    receipts: int


# ── making one ──────────────────────────────────────────────────────────────────────────────────────


@_outside()
def create(folder: Path) -> tuple[Path, Manifest]:
    """Write a new backup into `folder`; returns where, and what it says. Nothing is there under its name until it is
    whole. The database is only read: its user `backup` may do no more. Raises BackupBroken where a file is missing or
    the ledger is not sound, BackupFailed."""
    report = verify.run(keep_anchor=False)
    if not report.sound:
        raise BackupBroken(f"账本核对有 {len(report.findings)} 处不符，先处理再备份")
    at = clock.now()
    target = folder / f"desk-{at:%Y%m%dT%H%M%S%f}Z"
    draft = target.with_name(target.name + ".part")
    draft.mkdir(parents=True, mode=0o700)
    try:
        position, revision = _dump(draft), _revision()
        count = _copy_receipts(folder / "receipts", draft / RECEIPTS)
        url = make_url(config.current().database_url)
        manifest = Manifest(
            format=FORMAT, made_at=at.isoformat(), database=url.get_backend_name(), schema=url.database or "",
            revision=revision, sha256=_sha256(draft / DATABASE), bytes=(draft / DATABASE).stat().st_size,
            position=None if position is None else [position.file, position.offset], anchor=report.base,
            receipts=count, receipts_sha256=_sha256(draft / RECEIPTS),
        )  # fmt: skip
        said = json.dumps(asdict(manifest), ensure_ascii=False, indent=1).encode()
        _write(draft / MANIFEST, [json.dumps({"manifest": said.decode(), "mac": vault.mac(said, _MAC)}).encode()])
        draft.rename(target)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return target, manifest


def _dump(draft: Path) -> Position | None:
    url = make_url(config.current().database_url)
    if url.get_backend_name() == "sqlite":
        _write(draft / DATABASE, _packed(dumps.copy_sqlite(Path(url.database), draft)))
        return None
    binary_log = bool(db.session.execute(sa.text("SELECT @@log_bin")).scalar_one())
    db.session.rollback()
    dump = dumps.Dump(_server(url), binary_log=binary_log)
    _write(draft / DATABASE, _packed(dump))
    return dump.position


def _packed(pieces: Iterable[bytes]) -> Iterator[bytes]:
    return sealed_stream.seal(_gzip(pieces), _PURPOSE)


def _gzip(pieces: Iterable[bytes]) -> Iterator[bytes]:
    # Level 1: the dump must not take longer than the database needs to make it.
    packer = zlib.compressobj(level=1, wbits=31)
    for piece in pieces:
        if packed := packer.compress(piece):
            yield packed
    yield packer.flush()


def _copy_receipts(pool: Path, listing: Path) -> int:
    """Copy what the pool lacks, and write down every file with the hash of what it holds."""
    rows = list(db.session.execute(_FILES))
    db.session.rollback()
    kept = receipt_store()
    for key, _digest in rows:
        path = pool / key
        # After a change of keys the store has the file sealed anew, and the old key will go.
        if path.exists() and vault.sealed_with_newest(_head(path)):
            continue
        try:
            data = kept.get(key)
        except Missing as error:
            raise BackupBroken(f"文件 {key} 不在存储里，备份不完整") from error
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        _write(path, [data])
    _write(listing, (f"{digest} {key}\n".encode() for key, digest in rows))
    return len(rows)


# ── looking at one ──────────────────────────────────────────────────────────────────────────────────


def check(backup: Path) -> Manifest:
    """Everything in it is as it was written: the manifest by its keyed hash, the rest by the manifest's. Raises
    BackupBroken with what is not."""
    manifest = read_manifest(backup)
    for name, expected in ((DATABASE, manifest.sha256), (RECEIPTS, manifest.receipts_sha256)):
        if _sha256(backup / name) != expected:
            raise BackupBroken(f"{name} 与清单不符：文件已损坏或被改动")
    pool = backup.parent / "receipts"
    for expected, key in _listed(backup):
        _check_file(key, expected, (pool / key).read_bytes if (pool / key).is_file() else None)
    return manifest


def read_manifest(backup: Path) -> Manifest:
    try:
        outer = json.loads((backup / MANIFEST).read_bytes())
        said = outer["manifest"].encode()
        if outer["mac"] != vault.mac(said, _MAC):
            raise BackupBroken("清单已被改动，或不是用现在的密钥写的")
        return Manifest(**json.loads(said))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BackupBroken(f"读不到备份的清单：{backup / MANIFEST}") from error


def _listed(backup: Path) -> Iterator[tuple[str, str]]:
    for line in (backup / RECEIPTS).read_text().splitlines():
        digest, _, key = line.partition(" ")
        yield digest, key


# ── bringing one back ───────────────────────────────────────────────────────────────────────────────


@_outside()
def restore(backup: Path, *, logs: Sequence[Path] = (), stop: int | None = None) -> Restored:
    """Load a backup into the configured database, which must be empty, and its receipts into the configured store; with
    binary logs, go on to the offset `stop` in the last of them. Then look at all of it.

    Nothing is touched before the whole backup was found sound. Raises BackupBroken, NotEmpty, BackupFailed.
    """
    manifest = check(backup)
    url = make_url(config.current().database_url)
    if url.get_backend_name() != manifest.database:
        raise BackupBroken(f"备份来自 {manifest.database}，不能恢复到 {url.get_backend_name()}")
    if logs and manifest.position is None:
        raise BackupBroken("备份里没有二进制日志的位置，不能接着重放")
    _refuse_tables()
    with (backup / DATABASE).open("rb") as file:
        pieces = _unpacked(file)
        if manifest.database == "sqlite":
            Path(url.database).unlink(missing_ok=True)  # the empty file that asking for its tables made
            dumps.write_sqlite(Path(url.database), pieces)
        else:
            dumps.load(_server(url), pieces)
    if logs:
        dumps.replay(_server(url), logs, Position(*manifest.position), stop, manifest.schema)
    kept = receipt_store()
    for _digest, key in _listed(backup):
        kept.put(key, (backup.parent / "receipts" / key).read_bytes())
    return inspect(manifest)


def inspect(manifest: Manifest) -> Restored:
    """The loaded database is the one that was dumped, or a later one: its schema, its ledger to the last fen, its
    receipts to the last byte. Raises BackupBroken."""
    if (revision := _revision()) != manifest.revision:
        raise BackupBroken(f"恢复后的结构版本是 {revision}，备份是 {manifest.revision}")
    report = verify.run(full=True, anchor_root=manifest.anchor, keep_anchor=False)
    if not report.sound:
        raise BackupBroken(f"恢复后账本核对有 {len(report.findings)} 处不符：{report.findings[0]}")
    return Restored(report, _check_receipts())


def _check_receipts() -> int:
    rows = list(db.session.execute(_FILES))
    db.session.rollback()
    kept = receipt_store()
    for key, expected in rows:
        _check_file(key, expected, functools.partial(kept.get, key))
    return len(rows)


def _check_file(key: str, expected: str, read: Callable[[], bytes] | None) -> None:
    try:
        plain = b"" if read is None else vault.unseal(read(), RECEIPT)
    except (GatewayError, CannotDecrypt, OSError) as error:
        raise BackupBroken(f"文件 {key} 读不出来：缺失、损坏，或密钥不对") from error
    if hashlib.sha256(plain).hexdigest() != expected:
        raise BackupBroken(f"文件 {key} 缺失，或内容与登记的不符")


def _unpacked(file) -> Iterator[bytes]:
    unpacker = zlib.decompressobj(wbits=31)
    try:
        for piece in sealed_stream.unseal(file, _PURPOSE):
            yield unpacker.decompress(piece)
    except (CannotDecrypt, zlib.error) as error:
        raise BackupBroken("数据库文件解不开：密钥不对，或文件已损坏") from error
    yield unpacker.flush()


def _refuse_tables() -> None:
    tables = sa.inspect(db.engine).get_table_names()
    db.session.remove()
    db.engine.dispose()
    if tables:
        raise NotEmpty


# ── small things ────────────────────────────────────────────────────────────────────────────────────


def _server(url: Any) -> Server:
    return Server(url.host or "127.0.0.1", url.port or 3306, url.username or "", url.password or "", url.database)


def _revision() -> str:
    revision = db.session.execute(sa.text("SELECT version_num FROM alembic_version")).scalar_one()
    db.session.rollback()
    return revision


def _write(path: Path, pieces: Iterable[bytes]) -> None:
    """Whole and on the disk, or not there."""
    draft = path.with_name(path.name + ".part")
    with open(draft, "wb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        for piece in pieces:
            file.write(piece)
        file.flush()
        os.fsync(file.fileno())
    draft.rename(path)


def _head(path: Path) -> bytes:
    """The beginning of a sealed file: its key's name stands there."""
    with path.open("rb") as file:
        return file.read(_HEAD)


def _sha256(path: Path) -> str | None:
    """Hex; None for a file that is not there."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while piece := file.read(_PIECE):
                digest.update(piece)
    except OSError:
        return None
    return digest.hexdigest()
