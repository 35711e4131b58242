"""Encryption at rest for what is too long for memory (S11): AES-256-GCM in chunks, for backups.

Each chunk is sealed with its number and whether it is the last, so that none can be changed, dropped, swapped or cut
off unseen. The nonce is a random half for the stream and the chunk's number: no two chunks under one key share it.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable, Iterator
from typing import IO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from app import vault
from app.vault import CannotDecrypt

CHUNK = 1 << 20
_MAGIC = b"DESK1|"
_TAG = 16
_LENGTH = struct.Struct(">I")


def seal(plain: Iterable[bytes], purpose: str) -> Iterator[bytes]:
    """The sealed stream, piece by piece, with the newest key."""
    name, key = vault.newest_key()
    prefix = os.urandom(8)
    yield _MAGIC + name.encode() + b"|" + prefix
    box, number, waiting = AESGCM(key), 0, None
    for chunk in _chunks(plain):
        if waiting is not None:
            yield _sealed(box, prefix, number, waiting, purpose, last=False)
            number += 1
        waiting = chunk
    yield _sealed(box, prefix, number, waiting or b"", purpose, last=True)


def unseal(sealed: IO[bytes], purpose: str) -> Iterator[bytes]:
    """What `seal` was given. Raises CannotDecrypt at the first chunk that is not as it was sealed."""
    name, prefix = _head(sealed)
    box, number = AESGCM(vault.key_named(name)), 0
    current = _read_chunk(sealed)
    while True:
        if current is None:
            raise CannotDecrypt("the file ends too early")
        following = _read_chunk(sealed)
        try:
            yield box.decrypt(_nonce(prefix, number), current, _bound(purpose, number, last=following is None))
        except InvalidTag:
            raise CannotDecrypt("the file was altered or cut off") from None
        if following is None:
            return
        current, number = following, number + 1


def _chunks(plain: Iterable[bytes]) -> Iterator[bytes]:
    held = bytearray()
    for piece in plain:
        held += piece
        while len(held) >= CHUNK:
            yield bytes(held[:CHUNK])
            del held[:CHUNK]
    if held:
        yield bytes(held)


def _sealed(box: AESGCM, prefix: bytes, number: int, chunk: bytes, purpose: str, *, last: bool) -> bytes:
    sealed = box.encrypt(_nonce(prefix, number), chunk, _bound(purpose, number, last=last))
    return _LENGTH.pack(len(sealed)) + sealed


def _nonce(prefix: bytes, number: int) -> bytes:
    return prefix + struct.pack(">I", number)


def _bound(purpose: str, number: int, *, last: bool) -> bytes:
    return f"{purpose}|{number}|{'last' if last else 'more'}".encode()


def _head(sealed: IO[bytes]) -> tuple[str, bytes]:
    if sealed.read(len(_MAGIC)) != _MAGIC:
        raise CannotDecrypt("not a sealed file of this product")
    name = bytearray()
    while (byte := sealed.read(1)) != b"|":
        if not byte or len(name) > 32:
            raise CannotDecrypt("the file ends too early")
        name += byte
    return name.decode("ascii", "replace"), sealed.read(8)


def _read_chunk(sealed: IO[bytes]) -> bytes | None:
    head = sealed.read(_LENGTH.size)
    if not head:
        return None
    length = _LENGTH.unpack(head)[0] if len(head) == _LENGTH.size else 0
    if not _TAG <= length <= CHUNK + _TAG:
        raise CannotDecrypt("the file was altered or cut off")
    chunk = sealed.read(length)
    if len(chunk) != length:
        raise CannotDecrypt("the file ends too early")
    return chunk
