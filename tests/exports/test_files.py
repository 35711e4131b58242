"""Exported files read back: hostile text is text, figures are figures, what was asked stands in the file (U8, S4)."""

from __future__ import annotations

import csv
import io
import zipfile
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from openpyxl import load_workbook

from app.exports import csv_file, xlsx_file
from app.exports.columns import Column, Kind, Mark

HOSTILE = [
    "=1+1", "=HYPERLINK(\"http://x\",\"y\")", "+86 138", "-1+2", "-5", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "  =1",
    "\u00a0=1", "\u3000@x", "＝1", "＋1", "－1", "＠a", "=cmd|' /C calc'!A0", "a,b\"c\r\nd", "<b>&amp;</b>", "_x0041_",
    "]]>", "😀=", "'=1", "正常",
]  # fmt: skip
AT = datetime(2026, 11, 20, 17, 30, 5, tzinfo=UTC)
MARK = Mark("测试/列表", "=员工（财务）", AT, {"状态": "=1"})


def columns(*kinds: Kind) -> list[Column]:
    return [Column(str(kind), lambda row, at=at: row[at], kind) for at, kind in enumerate(kinds)]


def as_csv(cols, *pieces) -> list[list[str]]:
    data = b"".join(csv_file.stream(cols, pieces, MARK))
    return list(csv.reader(io.StringIO(data.decode("utf-8-sig"), newline="")))


def as_book(cols, *pieces):
    return load_workbook(io.BytesIO(b"".join(xlsx_file.stream(cols, pieces, MARK))))


def test_hostile_text_in_csv_is_text():
    head, *rows, _mark = as_csv(columns(Kind.TEXT), [(text,) for text in HOSTILE])
    assert head == ["text"]
    for (written,), text in zip(rows, HOSTILE, strict=True):
        assert written.removeprefix("'") == text.removeprefix("'")
        assert not written.lstrip().startswith(("=", "+", "-", "@", "＝", "＋", "－", "＠"))
        assert not written.startswith(("\t", "\r", "\n"))


def test_hostile_text_in_xlsx_is_text():
    sheet = as_book(columns(Kind.TEXT), [(text,) for text in HOSTILE]).worksheets[0]
    cells = [row[0] for row in sheet.iter_rows(min_row=2)]
    assert [cell.value for cell in cells] == [text if text != "_x0041_" else "_x005F_x0041_" for text in HOSTILE]
    assert {cell.data_type for cell in cells} == {"s"}
    # Whoever edits such a cell and leaves it again does not make a formula of it either.
    assert cells[0].quotePrefix
    assert not cells[-1].quotePrefix


def test_what_would_break_the_xml_is_left_out_and_long_text_is_cut():
    sheet = as_book(columns(Kind.TEXT), [("a\x00\x08b\ud800c",), ("长" * 40_000,), ("x" * 32_767,), ("",), (None,)])
    values = [row[0].value for row in sheet.worksheets[0].iter_rows(min_row=2)]
    assert values[0] == "abc"
    assert len(values[1]) <= 32_767
    assert values[1].endswith("请导出 csv）")
    assert values[2] == "x" * 32_767
    assert values[3:] == [None, None]


def test_figures_stay_figures():
    kinds = (Kind.NUMBER, Kind.MONEY, Kind.TIME, Kind.DAY, Kind.SHARE, Kind.YES)
    row = (-7, Decimal("-1234.50"), AT, date(2026, 11, 21), Decimal(1) / 3, True)
    _, first, second, mark = as_csv(columns(*kinds), [row, (None,) * 6])
    assert first == ["-7", "-1234.50", "2026-11-21 01:30:05", "2026-11-21", "33.3%", "是"]
    assert second == [""] * 6
    assert mark == ["导出说明", "测试/列表", "导出人", "'=员工（财务）", "导出时间", "2026-11-21 01:30:05", "筛选",
                    "状态：=1", "行数", "2"]  # fmt: skip
    cells = as_book(columns(*kinds), [row, (None,) * 6]).worksheets[0][2]
    assert [cell.value for cell in cells[:5]] == [
        -7, -1234.5, datetime(2026, 11, 21, 1, 30, 5), datetime(2026, 11, 21), pytest.approx(1 / 3, abs=1e-6)
    ]  # fmt: skip
    assert [cell.data_type for cell in cells] == ["n", "n", "d", "d", "n", "s"]
    assert [cell.number_format for cell in cells[1:5]] == ["#,##0.00", "yyyy-mm-dd hh:mm:ss", "yyyy-mm-dd", "0.0%"]


@pytest.mark.parametrize(("share", "text"), [("1", "100%"), ("0", "0%"), ("0.10", "10%"), ("0.9995", "100%")])
def test_whole_shares_have_no_fraction(share, text):
    assert csv_file.share(Decimal(share)) == text


def test_numbers_too_long_for_a_spreadsheet_are_text():
    sheet = as_book(columns(Kind.NUMBER), [(10**15 - 1,), (10**15,), (-(10**18),)]).worksheets[0]
    assert [row[0].value for row in sheet.iter_rows(min_row=2)] == [10**15 - 1, str(10**15), str(-(10**18))]


def test_the_book_says_who_took_it_and_when():
    book = as_book(columns(Kind.TEXT), [("a",)], [("b",)])
    assert book.sheetnames == ["测试 列表", "导出说明"]
    assert (book.properties.creator, book.properties.created) == (MARK.who, AT.replace(tzinfo=None))
    assert [[cell.value for cell in row] for row in book["导出说明"]] == [
        ["导出说明", "测试/列表"], ["导出人", "=员工（财务）"], ["导出时间", "2026-11-21 01:30:05"],
        ["筛选", "状态：=1"], ["行数", "2"],
    ]  # fmt: skip
    assert book["导出说明"]["B2"].data_type == "s"
    assert book.worksheets[0].freeze_panes == "A2"
    assert book.worksheets[0].auto_filter.ref == "A1:A3"


def test_more_rows_than_a_sheet_holds_go_on_in_the_next(monkeypatch):
    monkeypatch.setattr(xlsx_file, "MAX_ROWS", 3)
    book = as_book(columns(Kind.NUMBER), [(1,), (2,)], [(3,), (4,)], [(5,)])
    assert book.sheetnames == ["测试 列表", "测试 列表 2", "导出说明"]
    values = [[row[0].value for row in sheet.iter_rows(min_row=2)] for sheet in book.worksheets[:2]]
    assert values == [[1, 2], [3, 4, 5]]


@pytest.mark.parametrize("form", [csv_file, xlsx_file])
def test_nothing_is_kept_and_the_first_bytes_come_before_the_first_row(form):
    read = []

    def pieces():
        for number in range(3):
            read.append(number)
            yield [(f"{number}" * 50,)] * 1000

    stream = form.stream(columns(Kind.TEXT), pieces(), MARK)
    assert next(stream)
    assert read == []
    next(stream)
    assert read == [0]
    stream.close()  # the browser has gone: no warning, no more rows
    assert read == [0]


def test_a_file_that_broke_off_shows_it():
    def pieces():
        yield [("a",)]
        raise RuntimeError("database gone")

    got = []
    with pytest.raises(RuntimeError, match="gone"):
        got.extend(iter_into(got, csv_file.stream(columns(Kind.TEXT), pieces(), MARK)))
    assert "导出说明" not in b"".join(got).decode("utf-8-sig")
    got = []
    with pytest.raises(RuntimeError, match="gone"):
        iter_into(got, xlsx_file.stream(columns(Kind.TEXT), pieces(), MARK))
    with pytest.raises(zipfile.BadZipFile):
        zipfile.ZipFile(io.BytesIO(b"".join(got)))


def iter_into(got: list[bytes], stream) -> list[bytes]:
    for part in stream:
        got.append(part)
    return []
