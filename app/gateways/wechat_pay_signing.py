"""WeChat Pay's signatures, ours and theirs: over bytes as they were sent, never over JSON written again (90 S6)."""

from __future__ import annotations

import functools
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from wechatpayv3.utils import load_private_key, load_public_key

from app.gateways.base64_text import decode

SIGNATURE_TYPE = "WECHATPAY2-SHA256-RSA2048"


@functools.lru_cache(maxsize=8)
def private_key(pem: str):
    """The merchant's key, parsed once."""
    return load_private_key(pem)


@functools.lru_cache(maxsize=8)
def public_key(pem: str):
    """A platform key, parsed once."""
    return load_public_key(pem)


def moment_of(stamp: str) -> int | None:
    """A signed timestamp as seconds since 1970; None for what is none."""
    return int(stamp) if stamp.isascii() and stamp.isdigit() and len(stamp) <= 12 else None


def verify(key: Any, timestamp: str, nonce: str, body: bytes, signature: str) -> bool:
    """Whether the platform signed exactly these bytes. Never raises."""
    signed = decode(signature)
    if signed is None:
        return False
    try:
        key.verify(signed, f"{timestamp}\n{nonce}\n".encode() + body + b"\n", PKCS1v15(), SHA256())
    except (InvalidSignature, ValueError, UnicodeEncodeError):
        return False
    return True
