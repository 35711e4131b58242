"""Where receipts are kept: a folder of this machine, or any S3-compatible store (DESK_STORAGE_URL).

What comes in is already encrypted; keys are random names that only our database knows. The S3 side is the four
calls that we need, signed as AWS Signature Version 4 asks, over the project's own bounded HTTP client.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol
from urllib.parse import parse_qs, quote, urlsplit

from app import clock
from app.gateways import http
from app.gateways.errors import Permanent, Temporary
from app.guards import refuse_in_transaction

#: seconds for one object of some megabytes
TIMEOUT = 30.0
MAX_OBJECT = 64 * 1024 * 1024
_KEY = re.compile(r"[0-9a-z]{2}/[0-9a-z]{30,80}", re.ASCII)


class Missing(Permanent):
    """There is no object of that name."""


@dataclass(frozen=True, slots=True)
class Stored:
    """An object in the store and when it was written."""

    key: str
    written_at: datetime


class Store(Protocol):
    """All raise Temporary when the store is away (trying again is safe: names are never reused), Permanent when it
    refuses, RuntimeError inside a database transaction, ValueError for a name that is not one of `new_key`."""

    def put(self, key: str, data: bytes) -> None: ...

    def get(self, key: str) -> bytes:
        """Raises Missing."""

    def delete(self, key: str) -> None:
        """Quiet about an object that is not there."""

    def stored(self) -> Iterator[Stored]:
        """Every object, in no particular order."""


def new_key() -> str:
    """A name that says nothing and can't be guessed."""
    name = secrets.token_hex(20)
    return f"{name[:2]}/{name[2:]}"


def open_store(url: str, *, access_key: str = "", secret_key: str = "") -> Store:
    """The store of a setting: `file:folder` or `s3://bucket/prefix?endpoint=https://…&region=…`."""
    if url.startswith("s3://"):
        return S3Store(url, access_key, secret_key)
    return FileStore(Path(url.removeprefix("file:")))


def _check(key: str, what: str) -> None:
    refuse_in_transaction(what)
    if not _KEY.fullmatch(key):
        raise ValueError("not a name of the receipt store")


class FileStore:
    """A folder outside the web root. An object appears whole or not at all: written beside, synced, renamed."""

    def __init__(self, folder: Path):
        self.folder = folder

    def put(self, key: str, data: bytes) -> None:
        _check(key, "storing a file")
        path = self.folder / key
        draft = path.with_name(f"{path.name}.{secrets.token_hex(4)}.part")
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with open(draft, "xb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            draft.rename(path)
            _sync_folder(path.parent)
        except OSError as error:
            with suppress(OSError):
                draft.unlink(missing_ok=True)
            raise Temporary("storage.put", "disk", error.strerror or "") from None

    def get(self, key: str) -> bytes:
        _check(key, "reading a file")
        try:
            return (self.folder / key).read_bytes()
        except FileNotFoundError:
            raise Missing("storage.get", "missing") from None
        except OSError as error:
            raise Temporary("storage.get", "disk", error.strerror or "") from None

    def delete(self, key: str) -> None:
        _check(key, "deleting a file")
        try:
            (self.folder / key).unlink(missing_ok=True)
        except OSError as error:
            raise Temporary("storage.delete", "disk", error.strerror or "") from None

    def stored(self) -> Iterator[Stored]:
        refuse_in_transaction("listing files")
        for path in self.folder.glob("??/*"):
            key = f"{path.parent.name}/{path.name}"
            try:
                if _KEY.fullmatch(key):
                    yield Stored(key, datetime.fromtimestamp(path.stat().st_mtime, UTC))
            except FileNotFoundError:
                continue


def _sync_folder(folder: Path) -> None:
    # Without it a power cut can lose the name of a file whose content is safe on the disk.
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class S3Store:
    """An S3-compatible bucket, addressed by path so that any endpoint works."""

    def __init__(self, url: str, access_key: str, secret_key: str):
        parts = urlsplit(url)
        options = {name: values[0] for name, values in parse_qs(parts.query).items()}
        self.region = options.get("region", "us-east-1")
        self.endpoint = options.get("endpoint", f"https://s3.{self.region}.amazonaws.com").rstrip("/")
        self.bucket = parts.netloc
        self.prefix = f"{parts.path.strip('/')}/" if parts.path.strip("/") else ""
        self._keys = (access_key, secret_key)

    def put(self, key: str, data: bytes) -> None:
        _check(key, "storing a file")
        self._call("PUT", "storage.put", self.prefix + key, body=data)

    def get(self, key: str) -> bytes:
        _check(key, "reading a file")
        return self._call("GET", "storage.get", self.prefix + key)

    def delete(self, key: str) -> None:
        _check(key, "deleting a file")
        try:
            self._call("DELETE", "storage.delete", self.prefix + key)
        except Missing:
            return

    def stored(self) -> Iterator[Stored]:
        more = ""
        while True:
            query = {"list-type": "2", "prefix": self.prefix}
            if more:
                query["continuation-token"] = more
            listing = ET.fromstring(self._call("GET", "storage.list", "", query=query))  # noqa: S314 - our own store
            space = listing.tag.partition("}")[0] + "}" if listing.tag.startswith("{") else ""
            for item in listing.iter(f"{space}Contents"):
                key = (item.findtext(f"{space}Key") or "").removeprefix(self.prefix)
                if _KEY.fullmatch(key):
                    yield Stored(key, datetime.fromisoformat(item.findtext(f"{space}LastModified") or ""))
            more = listing.findtext(f"{space}NextContinuationToken") or ""
            if not more:
                return

    def _call(self, method: str, label: str, name: str, *, query: dict | None = None, body: bytes = b"") -> bytes:
        path = quote(f"/{self.bucket}/{name}")
        text = "&".join(f"{quote(k, safe='')}={quote(v, safe='')}" for k, v in sorted((query or {}).items()))
        headers = {"host": urlsplit(self.endpoint).netloc, "x-amz-content-sha256": hashlib.sha256(body).hexdigest()}
        headers = signed(method, path, text, headers, self._keys, self.region, clock.now())
        url = f"{self.endpoint}{path}" + (f"?{text}" if text else "")
        response = http.request(
            method, url, label=label, seconds=TIMEOUT, max_bytes=MAX_OBJECT, data=body or None, headers=headers
        )
        if response.status_code == 404:
            raise Missing(label, "missing")
        return http.check(response, label).content


def signed(
    method: str, path: str, query: str, headers: dict[str, str], keys: tuple[str, str], region: str, now: datetime
) -> dict[str, str]:
    """The headers with `x-amz-date` and the `authorization` of Signature Version 4; path and query as sent."""
    stamp = now.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
    headers = headers | {"x-amz-date": stamp}
    names = ";".join(sorted(headers))
    lines = "".join(f"{name}:{headers[name].strip()}\n" for name in sorted(headers))
    canonical = "\n".join((method, path, query, lines, names, headers["x-amz-content-sha256"]))
    scope = f"{stamp[:8]}/{region}/s3/aws4_request"
    to_sign = "\n".join(("AWS4-HMAC-SHA256", stamp, scope, hashlib.sha256(canonical.encode()).hexdigest()))
    key = b"AWS4" + keys[1].encode()
    for part in (*scope.split("/"), to_sign):
        key = hmac.digest(key, part.encode(), "sha256")
    headers["authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={keys[0]}/{scope}, SignedHeaders={names}, Signature={key.hex()}"
    )
    return headers
