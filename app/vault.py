"""Encryption at rest for what identifies people (S11), and keyed blind indexes to search it.

AES-256-GCM; a value is `key id | nonce | ciphertext+tag`, and its purpose is authenticated with it, so a phone
number can't be pasted into a birthday column. The newest key encrypts, every configured key decrypts.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
from collections.abc import Sequence

import sqlalchemy as sa
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy.types import TypeDecorator

_keys: dict[str, bytes] = {}
_newest = ""
_index_key = b""


class CannotDecrypt(Exception):
    """The key that sealed this value is not configured, or the value was altered."""


def install(keys: Sequence[tuple[str, bytes]], index_secret: str) -> None:
    """Called once by `create_app`: the data keys, newest first, and the secret behind the blind indexes."""
    global _newest, _index_key
    _keys.clear()
    _keys.update(keys)
    _newest = keys[0][0]
    _index_key = hashlib.sha256(b"blind-index|" + index_secret.encode()).digest()


def seal(plain: bytes, purpose: str) -> bytes:
    nonce = os.urandom(12)
    box = AESGCM(_keys[_newest]).encrypt(nonce, plain, purpose.encode())
    return _newest.encode() + b"|" + nonce + box


def unseal(sealed: bytes, purpose: str) -> bytes:
    """Raises CannotDecrypt."""
    name, _, rest = sealed.partition(b"|")
    key = key_named(name.decode("ascii", "replace"))
    try:
        return AESGCM(key).decrypt(rest[:12], rest[12:], purpose.encode())
    except InvalidTag:
        raise CannotDecrypt("the value was altered or sealed for another purpose") from None


def newest_key() -> tuple[str, bytes]:
    """Name and key that seal from now on; for streams (app/sealed_stream.py)."""
    return _newest, _keys[_newest]


def key_named(name: str) -> bytes:
    """Raises CannotDecrypt for one that is not configured."""
    if name not in _keys:
        raise CannotDecrypt(f"data key {name[:8]!r} is not configured")
    return _keys[name]


def mac(data: bytes, purpose: str) -> str:
    """64 hex digits that only who has the keys can make: a manifest is as it was written."""
    return hmac.new(_index_key, purpose.encode() + b"|" + data, hashlib.sha256).hexdigest()


def sealed_with_newest(sealed: bytes) -> bool:
    return sealed.partition(b"|")[0].decode("ascii", "replace") == _newest


def blind_index(value: str, purpose: str) -> str:
    """32 hex digits that are equal for equal values and tell nothing else."""
    return hmac.new(_index_key, f"{purpose}|{value}".encode(), hashlib.sha256).hexdigest()[:32]


def phone_digits(text: str) -> str:
    """A phone number as its digits, without +86 and separators."""
    digits = re.sub(r"[\s()+-]", "", text)
    return digits[2:] if digits.startswith("86") and len(digits) == 13 else digits


def mask_phone(phone: str | None) -> str | None:
    """`137****1234` (96.23)."""
    return None if not phone else f"{phone[:3]}****{phone[-4:]}"


class Sealed(TypeDecorator):
    """Text that the database only ever sees encrypted."""

    impl = sa.LargeBinary
    cache_ok = True

    def __init__(self, purpose: str, length: int = 512):
        super().__init__(length)
        self.purpose = purpose

    def process_bind_param(self, value, dialect):
        return None if value is None else seal(value.encode(), self.purpose)

    def process_result_value(self, value, dialect):
        return None if value is None else unseal(bytes(value), self.purpose).decode()
