"""Uploaded files: what they really are, and a clean copy of them. Names and declared types are never believed (W14).

Pictures are decoded in a process of their own with limits of memory, processor and wall-clock time, so that a
decompression bomb ends that process and not the one that serves people (S5).
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

from app.guards import refuse_in_transaction

#: of the decoded picture, checked before decoding
MAX_PIXELS = 40_000_000
#: seconds from start to answer
TIMEOUT = 15.0
#: bytes that the child may answer with; a clean copy is never larger
MAX_ANSWER = 64 * 1024 * 1024

#: decodings at once in this process: each may take half a gigabyte for a second
_slots = threading.BoundedSemaphore(2)
_CHILD = Path(__file__).with_name("picture_child.py")
_HEIF_BRANDS = frozenset({b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1"})
#: names of a PDF that make a reader act by itself; their bytes may be written with #xx escapes
_ACTIVE_PDF = (b"/JavaScript", b"/JS", b"/Launch", b"/EmbeddedFile", b"/EmbeddedFiles", b"/RichMedia")


class BadFile(Exception):
    """The file is not kept; `code` says why: empty, unknown_type, too_many_pixels, animated, unreadable, too_large,
    active_pdf."""

    def __init__(self, code: str, detail: str = ""):
        self.code = code
        super().__init__(f"{code} {detail}".rstrip())


@dataclass(frozen=True, slots=True)
class CleanFile:
    """What may be kept. Hashes are hex; those of looks are None for a PDF."""

    data: bytes
    media_type: str
    #: of the bytes as they were uploaded
    sha256: str
    pixel_hash: str | None = None
    lookalike_hash: str | None = None
    detail_hash: str | None = None


def sniff(data: bytes) -> str | None:
    """The media type by content, or None for what is not accepted."""
    if data.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    if data[4:8] == b"ftyp" and data[8:12] in _HEIF_BRANDS:
        return "image/heic"
    # Readers look for the magic within the first kilobyte; a file that begins otherwise is a polyglot.
    return "application/pdf" if data.startswith((b"%PDF-1.", b"%PDF-2.")) else None


def clean(data: bytes, *, max_pixels: int = MAX_PIXELS) -> CleanFile:
    """A copy of the file that is safe to keep and to show. Raises BadFile."""
    if not data:
        raise BadFile("empty")
    kind = sniff(data)
    if kind is None:
        raise BadFile("unknown_type")
    digest = hashlib.sha256(data).hexdigest()
    if kind == "application/pdf":
        _check_pdf(data)
        return CleanFile(data, kind, digest)
    answer, body = _in_child(data, max_pixels)
    return CleanFile(body, sha256=digest, **answer)


def _check_pdf(data: bytes) -> None:
    """A PDF is kept as it is, so it may hold nothing that acts: a transfer slip has no scripts.

    Compressed object streams can hide these names, so this is one layer of several: it is served as an attachment,
    under a sandboxing policy, and never rendered by us.
    """
    if b"%%EOF" not in data[-2048:]:
        raise BadFile("unreadable", "no end of file mark")
    plain = _unescaped(data)
    for name in _ACTIVE_PDF:
        found = plain.find(name)
        while found >= 0:
            after = plain[found + len(name) : found + len(name) + 1]
            # `/JS` is a script, `/JSMath` may be the name of a font
            if not after.isalnum():
                raise BadFile("active_pdf", name.decode())
            found = plain.find(name, found + 1)


def _unescaped(data: bytes) -> bytes:
    parts = data.split(b"#")
    out = [parts[0]]
    for part in parts[1:]:
        try:
            out.append(bytes([int(part[:2].decode("ascii"), 16)]) + part[2:])
        except ValueError:
            out.append(b"#" + part)
    return b"".join(out)


def _in_child(data: bytes, max_pixels: int) -> tuple[dict, bytes]:
    refuse_in_transaction("decoding an upload")
    request = json.dumps({"pixels": max_pixels}).encode() + b"\n" + data
    try:
        # -I: neither the environment nor the working folder decides what the child imports; -B: it writes no file
        with _slots:
            done = subprocess.run(  # noqa: S603 - our own interpreter and script
                [sys.executable, "-IB", str(_CHILD)],
                input=request,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                timeout=TIMEOUT,
                env={},
                check=False,
            )
    except subprocess.TimeoutExpired:
        raise BadFile("unreadable", "timeout") from None
    head, _, body = done.stdout.partition(b"\n")
    if done.returncode != 0 or not head or len(done.stdout) > MAX_ANSWER:
        raise BadFile("unreadable", f"exit {done.returncode}")
    answer = json.loads(head)
    if "refused" in answer:
        raise BadFile(answer["refused"], answer.get("detail", ""))
    return answer, body
