"""Reading csv and xlsx files that people made: every cell as text, every row with the line it stands on.

Nothing here knows what the columns mean. Errors name line and column, so that the person can mend the file. Cells
are text in the end, whatever the spreadsheet thought of them, so that money never passes through a float's arithmetic.
"""

from __future__ import annotations

import csv
import io
import zipfile
import zlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import date, datetime, time
from typing import Any

from openpyxl import load_workbook
from openpyxl.utils.exceptions import InvalidFileException

from app.text import clean

MAX_BYTES = 64 * 1024 * 1024
#: of an xlsx when it is unpacked: a few kilobytes may swell to gigabytes
MAX_UNPACKED = 256 * 1024 * 1024
MAX_ROWS = 200_000
CELL_MAX = 1000
#: stands where an error belongs to no column
NO_COLUMN = "-"
#: how every xlsx begins
ZIP = b"PK\x03\x04"
# What openpyxl lets through when an archive, its XML or a part is broken.
_BROKEN_XLSX = (
    InvalidFileException, zipfile.BadZipFile, zlib.error, LookupError, ValueError, SyntaxError, OSError, TypeError,
    AttributeError,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class CellError:
    """What is wrong, where; the header is line 1."""

    line: int
    column: str
    message: str

    def __str__(self) -> str:
        return f"line {self.line}, column {self.column}: {self.message}"


class BadSheet(Exception):
    """The file is no table; `errors` says where and why."""

    def __init__(self, *errors: CellError):
        self.errors = errors
        super().__init__("; ".join(map(str, errors[:3])))


@dataclass(frozen=True, slots=True)
class Row:
    """One line: column name → text without control and bidi characters, empty where there is none."""

    line: int
    cells: dict[str, str]


@dataclass(frozen=True, slots=True)
class Sheet:
    rows: list[Row]
    errors: list[CellError]


def read(data: bytes, columns: Collection[str], *, max_rows: int = MAX_ROWS) -> Sheet:
    """The rows of a file that has at least these columns; empty lines are left out, other columns ignored.

    A cell that cannot be used is an error of the sheet and empty in its row. Raises BadSheet where there is no table.
    """
    if len(data) > MAX_BYTES:
        raise BadSheet(CellError(1, NO_COLUMN, f"文件超过 {MAX_BYTES // 1024 // 1024} MB，请拆成几个文件"))
    lines = _xlsx_lines(data) if data.startswith(ZIP) else _csv_lines(data)
    number, header = next(lines, (1, []))
    names = _header(number, header, columns)
    sheet = Sheet([], [])
    for number, cells in lines:
        if not any(str(cell).strip() for cell in cells if cell is not None):
            continue
        if len(sheet.rows) >= max_rows:
            raise BadSheet(CellError(number, NO_COLUMN, f"超过 {max_rows} 行，请拆成几个文件"))
        sheet.rows.append(_row(number, cells, names, columns, sheet.errors))
    return sheet


def _header(number: int, header: list[Any], columns: Collection[str]) -> list[str]:
    names = [clean(str(cell), 64).lower() if cell is not None else "" for cell in header]
    errors = [CellError(number, name, "缺少这一列") for name in columns if name not in names]
    errors += [CellError(number, name, "这一列出现了两次") for name in columns if names.count(name) > 1]
    if errors:
        raise BadSheet(*errors)
    return names


def _row(number: int, cells: list[Any], names: list[str], columns: Collection[str], errors: list[CellError]) -> Row:
    if any(cell not in (None, "") for cell in cells[len(names) :]):
        errors.append(CellError(number, NO_COLUMN, "这一行的格子比表头多，请检查逗号和引号"))
    found = dict.fromkeys(columns, "")
    for name, cell in zip(names, cells, strict=False):
        if name not in found:
            continue
        try:
            found[name] = _text(cell)
        except ValueError as error:
            errors.append(CellError(number, name, str(error)))
    return Row(number, found)


def _text(cell: Any) -> str:
    """A cell as a person would type it. Raises ValueError for a formula and for what is too long."""
    if cell is None:
        return ""
    if isinstance(cell, datetime):
        return cell.date().isoformat() if cell.time() == time.min else cell.isoformat(" ")
    if isinstance(cell, date):
        return cell.isoformat()
    if isinstance(cell, float):
        # A spreadsheet keeps 500 and 500.50 as floats; their shortest text is what was typed.
        return str(int(cell)) if cell.is_integer() else repr(cell)
    text = clean(str(cell), CELL_MAX + 1)
    # What a spreadsheet would compute is never what was typed, and it is how a hostile cell begins.
    if text.startswith("="):
        raise ValueError("单元格是公式，请改成填好的值")
    if len(text) > CELL_MAX:
        raise ValueError(f"内容太长，最多 {CELL_MAX} 个字")
    return text


def _csv_lines(data: bytes) -> Iterator[tuple[int, list[Any]]]:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        sentence = "不是 UTF-8 编码：请在表格软件里另存为「CSV UTF-8」或 xlsx"
        raise BadSheet(CellError(line, NO_COLUMN, sentence)) from None
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    number = 1
    try:
        for cells in reader:
            yield number, cells
            number = reader.line_num + 1
    except csv.Error:
        raise BadSheet(CellError(number, NO_COLUMN, "引号没有成对，从这一行起读不下去")) from None


def _xlsx_lines(data: bytes) -> Iterator[tuple[int, list[Any]]]:
    number = 0
    try:
        if sum(part.file_size for part in zipfile.ZipFile(io.BytesIO(data)).infolist()) > MAX_UNPACKED:
            raise BadSheet(CellError(1, NO_COLUMN, "文件展开后太大，请只留要导入的一页，另存后再试"))
        book = load_workbook(io.BytesIO(data), read_only=True, keep_links=False)
        sheet = book.worksheets[0]
        sheet.reset_dimensions()  # what a writer noted there may be too small, and rows would be lost
        for number, cells in enumerate(sheet.iter_rows(values_only=True), start=1):
            yield number, list(cells)
        book.close()
    except _BROKEN_XLSX:
        raise BadSheet(CellError(number + 1, NO_COLUMN, "不是完好的 xlsx 文件，请重新另存")) from None
