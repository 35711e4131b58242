"""Ids that leave the system, and request ids."""

from __future__ import annotations

import re
import secrets
import uuid
from contextvars import ContextVar

_request_id: ContextVar[str] = ContextVar("request_id", default="-")
_SAFE = re.compile(r"[0-9A-Za-z._-]{8,64}\Z")


def new_hex() -> str:
    """32 hex digits of a random UUID: fits WeChat's `out_trade_no` and every key column."""
    return uuid.uuid4().hex


def new_secret(nbytes: int = 32) -> str:
    """A URL-safe random secret."""
    return secrets.token_urlsafe(nbytes)


def set_request_id(offered: str | None = None) -> str:
    """Take a proxy's well-formed id or make one; every log line and audit row of this request carries it."""
    value = offered if offered and _SAFE.match(offered) else uuid.uuid4().hex
    _request_id.set(value)
    return value


def request_id() -> str:
    return _request_id.get()
