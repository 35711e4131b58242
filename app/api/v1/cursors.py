"""Opaque cursors: where a list goes on. A cursor of another list, or a made-up one, is refused (96.15)."""

from __future__ import annotations

import base64
import re
from datetime import UTC, datetime, timedelta

from app.errors import Invalid

_TEXT = re.compile(r"[A-Za-z0-9_-]{4,64}\Z")
_BODY = re.compile(r"1:([a-z]+)((?::[1-9][0-9]{0,17})+)\Z")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TICK = timedelta(microseconds=1)


def encode(kind: str, *positions: int) -> str:
    """`kind` names the list, `positions` are the values by which it is ordered, of the last item that was shown; each
    is 1 or more."""
    body = ":".join(("1", kind, *map(str, positions)))
    return base64.urlsafe_b64encode(body.encode()).decode().rstrip("=")


def decode(kind: str, cursor: str | None) -> int | None:
    """The position, None for the first page. Raises Invalid naming `cursor`."""
    found = _read(kind, cursor, 1)
    return None if found is None else found[0]


def decode_pair(kind: str, cursor: str | None) -> tuple[int, int] | None:
    """Both positions of a list in an order of two values. Raises Invalid naming `cursor`."""
    return _read(kind, cursor, 2)


def decode_triple(kind: str, cursor: str | None) -> tuple[int, int, int] | None:
    """The positions of a list in an order of three values. Raises Invalid naming `cursor`."""
    return _read(kind, cursor, 3)


def ticks(moment: datetime) -> int:
    """A moment as a position."""
    return (moment - _EPOCH) // _TICK


def moment(position: int) -> datetime:
    """The moment of a position. Raises Invalid naming `cursor`."""
    try:
        return _EPOCH + position * _TICK
    except OverflowError:
        # A forged one, past the end of the calendar.
        raise invalid() from None


def invalid() -> Invalid:
    """The refusal of a cursor that no list gave out."""
    return Invalid.field("cursor", "分页位置无效，请从第一页重新开始")


def _read(kind: str, cursor: str | None, count: int) -> tuple[int, ...] | None:
    if cursor is None:
        return None
    found = None
    if _TEXT.match(cursor):
        try:
            body = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
            found = _BODY.match(body.decode("ascii"))
        except ValueError:
            found = None
    positions = () if found is None else tuple(map(int, found[2].split(":")[1:]))
    if found is None or found[1] != kind or len(positions) != count:
        raise invalid()
    return positions
