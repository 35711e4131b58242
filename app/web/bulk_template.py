"""The empty sheet of 批量调整 to download: its head, and on a second page the words that its columns take."""

from __future__ import annotations

import io

from openpyxl import Workbook
from openpyxl.styles import Font, PatternFill
from openpyxl.utils import get_column_letter

from app.domain.desk import bulk_sheet, words

_HELP = (
    ("家庭编号、手机号、家庭名称", "填其中一项就能认出家庭；填了几项时必须是同一家"),
    ("金额", "增加写 500.00，减少写 -200.00；最多两位小数，不写 ¥ 和逗号"),
    ("类型", "、".join(words.TYPES.values()) + "；充值和赠送不能减少"),
    ("收款方式", "、".join(words.METHODS.values())),
    ("转账单号", "转账类可填，同一单号只能入账一次；现金和「无」留空"),
    ("原因", "见下面的列表，都不合适时写「其他」"),
    ("说明", "必填，只有员工能看到"),
)


def workbook() -> bytes:
    """An xlsx of two pages. Everything is text, so that a phone or a transfer's number keeps all its digits."""
    book = Workbook()
    sheet = book.active
    sheet.title = "批量调整"
    sheet.append(list(bulk_sheet.COLUMNS))
    for number, cell in enumerate(sheet[1], 1):
        cell.font, cell.fill = Font(bold=True), PatternFill("solid", fgColor="E3F1EF")
        letter = get_column_letter(number)
        sheet.column_dimensions[letter].width = 16
        sheet.column_dimensions[letter].number_format = "@"
    sheet.freeze_panes = "A2"
    notes = book.create_sheet("填写说明")
    for line in _HELP:
        notes.append(line)
    notes.append(())
    notes.append(("类型", "原因"))
    for kind, pairs in words.REASONS.items():
        for _, word in pairs:
            notes.append((words.TYPES[kind], word))
    notes.append(("都可以", words.OTHER[1]))
    notes.column_dimensions["A"].width, notes.column_dimensions["B"].width = 30, 60
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def reason(code: str) -> str:
    """The word of a reason, as the sheet takes it."""
    return words.REASON_WORDS.get(code, code)
