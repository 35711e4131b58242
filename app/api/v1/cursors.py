"""Opaque cursors: where a list goes on. A cursor of another list, or a made-up one, is refused (96.15)."""

from __future__ import annotations

import base64
import re

from app.errors import Invalid

_TEXT = re.compile(r"[A-Za-z0-9_-]{4,64}\Z")
_BODY = re.compile(r"1:([a-z]+):([1-9][0-9]{0,17})(?::([1-9][0-9]{0,17}))?\Z")


def encode(kind: str, position: int, second: int | None = None) -> str:
    """`kind` names the list, `position` is the seq or id of the last item that was shown; `second` is for lists in an
    order of two values."""
    more = "" if second is None else f":{second}"
    return base64.urlsafe_b64encode(f"1:{kind}:{position}{more}".encode()).decode().rstrip("=")


def decode(kind: str, cursor: str | None) -> int | None:
    """The position, None for the first page. Raises Invalid naming `cursor`."""
    found = _read(kind, cursor, pair=False)
    return None if found is None else found[0]


def decode_pair(kind: str, cursor: str | None) -> tuple[int, int] | None:
    """Both positions of a list in an order of two values. Raises Invalid naming `cursor`."""
    return _read(kind, cursor, pair=True)


def invalid() -> Invalid:
    """The refusal of a cursor that no list gave out."""
    return Invalid.field("cursor", "分页位置无效，请从第一页重新开始")


def _read(kind: str, cursor: str | None, *, pair: bool) -> tuple[int, int] | None:
    if cursor is None:
        return None
    found = None
    if _TEXT.match(cursor):
        try:
            body = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
            found = _BODY.match(body.decode("ascii"))
        except ValueError:
            found = None
    if found is None or found[1] != kind or (found[3] is not None) != pair:
        raise invalid()
    return int(found[2]), int(found[3] or 0)
