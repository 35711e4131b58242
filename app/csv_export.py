"""Lists as csv: streamed, and safe to open in a spreadsheet.

A cell that begins like a formula would be run by Excel on the desk of whoever opens the file (S4), so such text gets
an apostrophe in front, as OWASP advises. Real negative figures are left alone.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from app import clock

_RISKY = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
_FIGURE = re.compile(r"-?[0-9]+(\.[0-9]+)?", re.ASCII)
BATCH = 200


def cell(value: Any) -> str:
    """One value as text: times on the studio's clock, money with two places, hostile text disarmed."""
    if value is None:
        return ""
    if isinstance(value, datetime):
        return clock.local(value).strftime("%Y-%m-%d %H:%M:%S")
    if isinstance(value, Decimal):
        return f"{value:.2f}"
    text = str(value)
    if text.lstrip().startswith(_RISKY) and not _FIGURE.fullmatch(text):
        return "'" + text
    return text


def stream(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> Iterator[bytes]:
    """The file in pieces: UTF-8 with a mark, which Excel needs to read Chinese."""
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(head)
    yield b"\xef\xbb\xbf"
    for number, row in enumerate(rows, 1):
        writer.writerow([cell(value) for value in row])
        if number % BATCH == 0:
            yield buffer.getvalue().encode()
            buffer.seek(0)
            buffer.truncate()
    yield buffer.getvalue().encode()
