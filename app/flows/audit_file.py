"""The file that a month of the audit log is kept in (S12): one line that says what it is, under a keyed hash, then the
rows, packed and sealed with the data keys. It can be checked by itself, without any database.

Inside, each seal is a line, followed by its rows as the very text that its hash covers.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import shutil
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from app import sealed_stream, vault
from app.domain.audit import seals
from app.domain.audit.archives import Chapter
from app.errors import Conflict
from app.vault import CannotDecrypt

FORMAT = 1
_PURPOSE, _MAC = "audit-archive", "audit-archive-manifest"
_PIECE, _HEAD = 1 << 20, 1 << 16


class ArchiveBroken(Conflict):
    code = "ARCHIVE_BROKEN"


class ArchiveExists(Conflict):
    code = "ARCHIVE_EXISTS"


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a file says of itself; hashes in hex. `sha256` is of the sealed part."""

    format: int
    month: str
    first_id: int
    last_id: int
    first_seal: int
    last_seal: int
    rows: int
    prev_hash: str | None
    head_hash: str
    made_at: str
    made_by: str
    sha256: str = ""


def write(path: Path, said: Manifest, chapters: Iterable[Chapter]) -> Manifest:
    """Write the file, whole and on the disk or not at all; returns what it says. Raises ArchiveExists, and
    ArchiveBroken where a seal does not hold: a broken chain is not put away."""
    if path.exists():
        raise ArchiveExists(f"{path} 已经存在：先用 flask audit check 核对，再决定移走它还是保留它")
    body, draft = path.with_name(path.name + ".body.part"), path.with_name(path.name + ".part")
    try:
        digest = hashlib.sha256()
        with _private(body) as file:
            for piece in sealed_stream.seal(_packed(_lines(said, chapters)), _PURPOSE):
                digest.update(piece)
                file.write(piece)
        said = Manifest(**asdict(said) | {"sha256": digest.hexdigest()})
        text = json.dumps(asdict(said), ensure_ascii=False)
        with _private(draft) as file, body.open("rb") as sealed:
            signed = {"manifest": text, "mac": vault.mac(text.encode(), _MAC)}
            file.write(json.dumps(signed, ensure_ascii=False).encode() + b"\n")
            shutil.copyfileobj(sealed, file, _PIECE)
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, path)  # unlike a rename, this never puts one file over another
    except FileExistsError as error:
        raise ArchiveExists(f"{path} 已经存在") from error
    finally:
        body.unlink(missing_ok=True)
        draft.unlink(missing_ok=True)
    return said


def check(path: Path) -> Manifest:
    """Read all of a file again: what it says by its keyed hash, the sealed part by its hash, each seal by its rows, and
    the chain from its first hash to its last. Raises ArchiveBroken with what is not as it was written."""
    try:
        with path.open("rb") as file:
            said = _signed(file)
            begins = file.tell()
            if hashlib.file_digest(file, "sha256").hexdigest() != said.sha256:
                raise ArchiveBroken(f"{path.name}：内容与清单不符，文件已损坏或被改动")
            file.seek(begins)
            _check_chain(path.name, said, _unpacked(file))
    except OSError as error:
        raise ArchiveBroken(f"读不到归档文件 {path}") from error
    except (CannotDecrypt, zlib.error) as error:
        raise ArchiveBroken(f"{path.name} 解不开：密钥不对，或文件已损坏") from error
    return said


def digest(path: Path) -> str:
    """SHA-256 of the whole file, hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _lines(said: Manifest, chapters: Iterable[Chapter]) -> Iterator[bytes]:
    previous = bytes.fromhex(said.prev_hash) if said.prev_hash else None
    after, rows = said.first_id - 1, 0
    for one in chapters:
        seal, lines = one.seal, [text.encode() for text in one.lines]
        whole = seal.first_id == after + 1 and seal.prev_hash == previous and len(lines) == seal.rows
        if not whole or seals.chained(previous, lines) != seal.hash:
            raise ArchiveBroken(f"封条 {seal.id} 不符：审计记录 {seal.first_id}–{seal.last_id} 已被改动，不能归档")
        head = {"seal": seal.id, "first_id": seal.first_id, "last_id": seal.last_id, "rows": seal.rows,
                "hash": seal.hash.hex()}  # fmt: skip
        yield json.dumps(head).encode() + b"\n"
        yield from (text + b"\n" for text in lines)
        previous, after, rows = seal.hash, seal.last_id, rows + seal.rows
    if (after, rows) != (said.last_id, said.rows):
        raise ArchiveBroken("写文件时审计记录有变化，没有归档")


def _check_chain(name: str, said: Manifest, lines: Iterator[bytes]) -> None:
    previous = bytes.fromhex(said.prev_hash) if said.prev_hash else None
    after, rows = said.first_id - 1, 0
    for text in lines:
        seal = json.loads(text)
        held = [one for _, one in zip(range(seal["rows"]), lines, strict=False)]
        found = seals.chained(previous, held)
        if seal["first_id"] != after + 1 or len(held) != seal["rows"] or found.hex() != seal["hash"]:
            raise ArchiveBroken(f"{name}：封条 {seal['seal']} 与其记录不符")
        previous, after, rows = found, seal["last_id"], rows + len(held)
    if (after, rows, previous.hex() if previous else None) != (said.last_id, said.rows, said.head_hash):
        raise ArchiveBroken(f"{name}：记录与清单不符")


def _signed(file: IO[bytes]) -> Manifest:
    try:
        outer = json.loads(file.readline(_HEAD))
        text = outer["manifest"]
        if not hmac.compare_digest(outer["mac"], vault.mac(text.encode(), _MAC)):
            raise ArchiveBroken("清单已被改动，或不是用现在的密钥写的")
        return Manifest(**json.loads(text))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ArchiveBroken("这不是审计归档文件，或它的清单已损坏") from error


def _packed(lines: Iterable[bytes]) -> Iterator[bytes]:
    packer = zlib.compressobj(level=6, wbits=31)
    for text in lines:
        if piece := packer.compress(text):
            yield piece
    yield packer.flush()


def _unpacked(file: IO[bytes]) -> Iterator[bytes]:
    """Its lines, without their ends."""
    unpacker, held = zlib.decompressobj(wbits=31), b""
    for piece in sealed_stream.unseal(file, _PURPOSE):
        *whole, held = (held + unpacker.decompress(piece)).split(b"\n")
        yield from whole
    *whole, held = (held + unpacker.flush()).split(b"\n")
    yield from whole
    if held:
        raise CannotDecrypt("the file ends in the middle of a line")


def _private(path: Path) -> IO[bytes]:
    return open(path, "wb", opener=lambda name, flags: os.open(name, flags, 0o600))
