"""A list as csv. A text that begins like a formula would be run by Excel on the desk of whoever opens the file (S4):
it gets an apostrophe in front, as OWASP advises. Figures come from typed columns and are left alone."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from app import clock
from app.exports.columns import Column, Kind, Mark, is_risky

MIMETYPE = "text/csv"


def text(value: Any) -> str:
    """Hostile text disarmed."""
    found = str(value)
    return "'" + found if is_risky(found) else found


def share(value: Decimal) -> str:
    """A part of one as `95.3%`; whole ones lose the `.0`."""
    scaled = (value * 100).quantize(Decimal("0.1"), rounding=ROUND_HALF_UP)
    return f"{scaled:f}".removesuffix(".0") + "%"


def _time(value: Any) -> str:
    return clock.local(value).strftime("%Y-%m-%d %H:%M:%S")


_WRITTEN: dict[Kind, Callable[[Any], str]] = {
    Kind.TEXT: text,
    Kind.NUMBER: str,
    Kind.MONEY: lambda value: f"{value:.2f}",
    Kind.TIME: _time,
    Kind.DAY: lambda value: value.isoformat(),
    Kind.SHARE: share,
    Kind.YES: lambda value: "是" if value else "否",
}


def stream(columns: Sequence[Column], pieces: Iterable[Sequence[Any]], mark: Mark) -> Iterator[bytes]:
    """The file piece by piece: UTF-8 with a mark of its own, which Excel needs to read Chinese; the watermark is the
    last line."""
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow([column.title for column in columns])
    yield b"\xef\xbb\xbf" + buffer.getvalue().encode()
    cells = [(column.reader(), _WRITTEN[column.kind]) for column in columns]
    count = 0
    for piece in pieces:
        buffer.seek(0)
        buffer.truncate()
        writer.writerows(
            ["" if (value := read(row)) is None else written(value) for read, written in cells] for row in piece
        )
        count += len(piece)
        yield buffer.getvalue().encode()
    buffer.seek(0)
    buffer.truncate()
    writer.writerow([text(part) for fact in mark.facts(count) for part in fact])
    yield buffer.getvalue().encode()
