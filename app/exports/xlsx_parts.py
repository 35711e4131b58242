"""The fixed parts of an xlsx file: styles, the beginning and end of a sheet, and what ties the parts together."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from html import escape

from app.exports.columns import Kind, Mark

#: cell styles, by their place in STYLES; `RISKY` is text that stays text when somebody edits the cell
PLAIN, HEAD, TEXT, RISKY, NUMBER, MONEY, TIME, DAY, SHARE = range(9)

_XML = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
_MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006"
_TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml"

STYLES = (
    f'{_XML}<styleSheet xmlns="{_MAIN}"><numFmts count="3"><numFmt numFmtId="164" formatCode="yyyy-mm-dd hh:mm:ss"/>'
    '<numFmt numFmtId="165" formatCode="yyyy-mm-dd"/><numFmt numFmtId="166" formatCode="0.0%"/></numFmts>'
    '<fonts count="2"><font><sz val="11"/><name val="Calibri"/></font>'
    '<font><b/><sz val="11"/><name val="Calibri"/></font></fonts>'
    '<fills count="2"><fill><patternFill patternType="none"/></fill><fill><patternFill patternType="gray125"/></fill>'
    '</fills><borders count="1"><border><left/><right/><top/><bottom/><diagonal/></border></borders>'
    '<cellStyleXfs count="1"><xf numFmtId="0" fontId="0" fillId="0" borderId="0"/></cellStyleXfs>'
    '<cellXfs count="9"><xf numFmtId="0" fontId="0" fillId="0" borderId="0" xfId="0"/>'
    '<xf numFmtId="0" fontId="1" fillId="0" borderId="0" xfId="0" applyFont="1"/>'
    + "".join(
        f'<xf numFmtId="{number}" fontId="0" fillId="0" borderId="0" xfId="0" applyNumberFormat="1"{more}/>'
        for number, more in ((49, ""), (49, ' quotePrefix="1"'), (1, ""), (4, ""), (164, ""), (165, ""), (166, ""))
    )
    + '</cellXfs><cellStyles count="1"><cellStyle name="Normal" xfId="0" builtinId="0"/></cellStyles></styleSheet>'
)

_SHEET = f'{_XML}<worksheet xmlns="{_MAIN}">'
SHEET_OF_MARK = (
    _SHEET + '<cols><col min="1" max="1" width="14" customWidth="1"/><col min="2" max="2" width="60" customWidth="1"/>'
    "</cols><sheetData>{}</sheetData></worksheet>"
)
_WIDTHS = {Kind.TEXT: 18, Kind.NUMBER: 10, Kind.MONEY: 13, Kind.TIME: 20, Kind.DAY: 12, Kind.SHARE: 10, Kind.YES: 8}


def sheet_begin(kinds: Sequence[Kind]) -> str:
    """Up to the first row; the header stays in sight."""
    columns = "".join(
        f'<col min="{n}" max="{n}" width="{_WIDTHS[kind]}" customWidth="1"/>' for n, kind in enumerate(kinds, 1)
    )
    return (
        f'{_SHEET}<sheetViews><sheetView workbookViewId="0"><pane ySplit="1" topLeftCell="A2" activePane="bottomLeft"'
        f' state="frozen"/></sheetView></sheetViews><cols>{columns}</cols><sheetData>'
    )


def sheet_end(columns: int, rows: int) -> str:
    """From after the last row; the header can filter."""
    return f'</sheetData><autoFilter ref="A1:{_letters(columns)}{rows}"/></worksheet>'


def _letters(number: int) -> str:
    """1 → A, 27 → AA."""
    letters = ""
    while number:
        number, rest = divmod(number - 1, 26)
        letters = chr(65 + rest) + letters
    return letters


def sheet_name(title: str, number: int) -> str:
    """What Excel takes as a name: at most 31 characters, some not allowed."""
    name = re.sub(r"[\[\]:*?/\\']", " ", title).strip() or "导出"
    return name[:26] if number == 1 else f"{name[:26]} {number}"


def around(names: Sequence[str], mark: Mark) -> Iterator[tuple[str, str]]:
    """(path, content) of everything but the sheets, which are named in order."""
    numbers = range(1, len(names) + 1)
    yield "xl/styles.xml", STYLES
    sheets = "".join(
        f'<sheet name="{escape(name)}" sheetId="{n}" r:id="rId{n}"/>' for n, name in zip(numbers, names, strict=True)
    )
    yield (
        "xl/workbook.xml",
        f'{_XML}<workbook xmlns="{_MAIN}" xmlns:r="{_OFFICE}"><sheets>{sheets}</sheets></workbook>',
    )
    links = "".join(
        f'<Relationship Id="rId{n}" Type="{_OFFICE}/worksheet" Target="worksheets/sheet{n}.xml"/>' for n in numbers
    )
    links += f'<Relationship Id="rId{len(names) + 1}" Type="{_OFFICE}/styles" Target="styles.xml"/>'
    yield "xl/_rels/workbook.xml.rels", _relationships(links)
    yield "docProps/core.xml", _properties(mark)
    yield (
        "_rels/.rels",
        _relationships(
            f'<Relationship Id="rId1" Type="{_OFFICE}/officeDocument" Target="xl/workbook.xml"/><Relationship'
            f' Id="rId2" Type="{_PACKAGE}/relationships/metadata/core-properties" Target="docProps/core.xml"/>'
        ),
    )
    yield "[Content_Types].xml", _types(numbers)


def _types(numbers: Sequence[int]) -> str:
    parts = [
        ("workbook", "sheet.main"),
        *((f"worksheets/sheet{n}", "worksheet") for n in numbers),
        ("styles", "styles"),
    ]
    overrides = "".join(
        f'<Override PartName="/xl/{name}.xml" ContentType="{_TYPE}.{kind}+xml"/>' for name, kind in parts
    )
    return (
        f'{_XML}<Types xmlns="{_PACKAGE}/content-types"><Default Extension="rels"'
        ' ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        f'<Default Extension="xml" ContentType="application/xml"/>{overrides}<Override'
        ' PartName="/docProps/core.xml" ContentType="application/vnd.openxmlformats-package.core-properties+xml"/>'
        "</Types>"
    )


def _relationships(links: str) -> str:
    return f'{_XML}<Relationships xmlns="{_PACKAGE}/relationships">{links}</Relationships>'


def _properties(mark: Mark) -> str:
    return (
        f'{_XML}<cp:coreProperties xmlns:cp="{_PACKAGE}/metadata/core-properties"'
        ' xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:dcterms="http://purl.org/dc/terms/"'
        f' xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><dc:title>{escape(mark.title)}</dc:title>'
        f"<dc:creator>{escape(mark.who)}</dc:creator>"
        f'<dcterms:created xsi:type="dcterms:W3CDTF">{mark.at:%Y-%m-%dT%H:%M:%SZ}</dcterms:created>'
        "</cp:coreProperties>"
    )
