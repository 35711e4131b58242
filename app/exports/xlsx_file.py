"""A list as xlsx, written straight into a zip that is sent while it grows: nothing is kept, in memory or on disk.

openpyxl, which reads such files for us, writes a whole sheet to disk before the first byte can go, and takes longer
(docs/performance.md). What is needed of the format is little: inline strings, a few number formats, a
second sheet. Text is always a string cell, never a formula, and what begins like one is marked so that it stays text
when somebody edits the cell.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import date, datetime
from html import escape
from typing import IO, Any

from app import clock
from app.exports import xlsx_parts as parts
from app.exports.columns import Column, Kind, Mark, is_risky

MIMETYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"

#: of one sheet; Excel takes 1,048,576 with the header
MAX_ROWS = 1_000_000
#: of one sheet before compression: from 2 GiB on a zip needs fields that not every reader knows
MAX_BYTES = 1_500_000_000
#: of one cell, in UTF-16 units
MAX_TEXT = 32_767
#: larger whole numbers lose digits in a spreadsheet
MAX_NUMBER = 10**15
#: 60,000 rows took zlib's own 6 up to a sixth more processor time, for a file a quarter smaller
COMPRESSION = 1

_CUT = "…（过长，已截断；完整内容请导出 csv）"
_ILLEGAL = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
# `_x0041_` in a cell means a character by its number; text that only looks so has its underscore written that way.
_LOOKS_ESCAPED = re.compile("_(?=x[0-9A-Fa-f]{4}_)")
_DAY_ZERO = datetime(1899, 12, 30)  # noqa: DTZ001 - spreadsheets count local days and know no zone
_EMPTY = "<c/>"


class _Sink:
    """What the zip writes to, and what is sent from. Without `tell` and `seek` zipfile writes a stream."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def write(self, data: bytes) -> int:
        self._parts.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        """Zipfile asks; there is nothing between us and the list."""

    def take(self) -> bytes:
        taken = b"".join(self._parts)
        self._parts.clear()
        return taken


# ── cells ───────────────────────────────────────────────────────────────────────────────────────────


def _string(text: str, style: int) -> str:
    text = _LOOKS_ESCAPED.sub("_x005F_", _ILLEGAL.sub("", text))
    if len(text) > MAX_TEXT // 2 and len(text.encode("utf-16-le")) // 2 > MAX_TEXT:
        text = text[: MAX_TEXT // 2 - len(_CUT)] + _CUT
    # A parser would turn a bare carriage return into a line feed.
    plain = escape(text, quote=False).replace("\r", "&#13;")
    return f'<c t="inlineStr" s="{style}"><is><t xml:space="preserve">{plain}</t></is></c>'


def _text(value: Any) -> str:
    text = str(value)
    return _string(text, parts.RISKY if is_risky(text) else parts.TEXT) if text else _EMPTY


def _number(value: Any) -> str:
    if abs(value) >= MAX_NUMBER:
        return _string(str(value), parts.TEXT)
    return f'<c s="{parts.NUMBER}"><v>{value}</v></c>'


def _time(value: datetime) -> str:
    local = clock.local(value).replace(tzinfo=None, microsecond=0)
    return f'<c s="{parts.TIME}"><v>{_serial(local)}</v></c>'


def _day(value: date) -> str:
    return f'<c s="{parts.DAY}"><v>{(value - _DAY_ZERO.date()).days}</v></c>'


def _serial(moment: datetime) -> str:
    since = moment - _DAY_ZERO
    return f"{since.days + since.seconds / 86400:.9f}"


_WRITTEN: dict[Kind, Callable[[Any], str]] = {
    Kind.TEXT: _text,
    Kind.NUMBER: _number,
    Kind.MONEY: lambda value: f'<c s="{parts.MONEY}"><v>{value:.2f}</v></c>',
    Kind.TIME: _time,
    Kind.DAY: _day,
    Kind.SHARE: lambda value: f'<c s="{parts.SHARE}"><v>{value:.6f}</v></c>',
    Kind.YES: lambda value: _string("是" if value else "否", parts.TEXT),
}


# ── the file ────────────────────────────────────────────────────────────────────────────────────────


def stream(columns: Sequence[Column], pieces: Iterable[Sequence[Any]], mark: Mark) -> Iterator[bytes]:
    """The file piece by piece. More rows than one sheet holds go on in the next; the watermark is the last sheet, and
    its person and time are the file's properties."""
    book = _Book(columns, mark)
    try:
        yield book.begin()
        for piece in pieces:
            yield book.add(piece)
        yield book.end()
    finally:
        book.drop()


class _Book:
    """The zip with its sheets, one after the other; each step gives the bytes that may be sent."""

    def __init__(self, columns: Sequence[Column], mark: Mark):
        self._columns, self._mark = columns, mark
        self._cells = [(column.reader(), _WRITTEN[column.kind]) for column in columns]
        self._sink = _Sink()
        self._zip = zipfile.ZipFile(self._sink, "w", zipfile.ZIP_DEFLATED, compresslevel=COMPRESSION)
        self._names: list[str] = []
        self._sheet: IO[bytes] | None = None
        self._rows = self._bytes = self._count = 0

    def begin(self) -> bytes:
        self._open()
        return self._sink.take()

    def add(self, piece: Sequence[Any]) -> bytes:
        if self._rows + len(piece) > MAX_ROWS or self._bytes > MAX_BYTES:
            self._close()
            self._open()
        rows = []
        for row in piece:
            cells = [_EMPTY if (value := read(row)) is None else written(value) for read, written in self._cells]
            rows.append(f"<row>{''.join(cells)}</row>")
        self._write("".join(rows))
        self._rows += len(piece)
        self._count += len(piece)
        return self._sink.take()

    def end(self) -> bytes:
        self._close()
        self._names.append("导出说明")
        facts = "".join(f"<row>{_text(name)}{_text(value)}</row>" for name, value in self._mark.facts(self._count))
        self._part(f"xl/worksheets/sheet{len(self._names)}.xml", parts.SHEET_OF_MARK.format(facts))
        for name, content in parts.around(self._names, self._mark):
            self._part(name, content)
        self._zip.close()
        return self._sink.take()

    def drop(self) -> None:
        """Nobody reads on, or all is sent: what is still open is closed, into nothing."""
        if self._sheet is not None:
            self._sheet.close()
        self._zip.close()

    def _open(self) -> None:
        number = len(self._names) + 1
        self._names.append(parts.sheet_name(self._mark.title, number))
        self._sheet = self._zip.open(f"xl/worksheets/sheet{number}.xml", "w")
        self._rows = self._bytes = 0
        head = "".join(_string(column.title, parts.HEAD) for column in self._columns)
        self._write(parts.sheet_begin([column.kind for column in self._columns]) + f"<row>{head}</row>")

    def _close(self) -> None:
        self._write(parts.sheet_end(len(self._columns), self._rows + 1))
        self._sheet.close()
        self._sheet = None

    def _write(self, text: str) -> None:
        data = text.encode()
        self._sheet.write(data)
        self._bytes += len(data)

    def _part(self, name: str, content: str) -> None:
        self._zip.writestr(name, content.encode())
