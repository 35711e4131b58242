"""What a sheet of adjustments says, checked row by row without the database (W20). Pure."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from app import money
from app.column_types import canonical_json
from app.domain.desk import rules
from app.domain.desk.rules import DECREASE, INCREASE, Wish
from app.domain.desk.words import METHODS, REASON_WORDS, TYPES, UNDO
from app.errors import Invalid
from app.sheets import CellError, Row
from app.vault import phone_digits

FAMILY_ID, PHONE, FAMILY = "家庭编号", "手机号", "家庭名称"
AMOUNT, TYPE, METHOD, NUMBER, REASON, NOTE = "金额", "类型", "收款方式", "转账单号", "原因", "说明"
COLUMNS = (FAMILY_ID, PHONE, FAMILY, AMOUNT, TYPE, METHOD, NUMBER, REASON, NOTE)
#: rows of one sheet
MAX_ROWS = 5000
MAX_BYTES = 5 * 1024 * 1024
NAME_MAX = 120

#: field of a wish → column
_COLUMN_OF = {
    "direction": AMOUNT, "amount": AMOUNT, "type": TYPE, "payment_method": METHOD, "reason_code": REASON,
    "note": NOTE, "external_no": NUMBER,
}  # fmt: skip
_ID = re.compile(r"[0-9]{1,18}", re.ASCII)
_PHONE = re.compile(r"1[0-9]{10}", re.ASCII)


def _codes(words: Mapping[str, str]) -> dict[str, str]:
    """By the word that people write, and by the code."""
    return {**{str(code): str(code) for code in words}, **{word: str(code) for code, word in words.items()}}


_TYPES, _METHODS = _codes(TYPES), _codes(METHODS)
_REASONS = _codes({code: word for code, word in REASON_WORDS.items() if code != UNDO[0]})


@dataclass(frozen=True, slots=True)
class SheetLine:
    """One row as the sheet says it: whose it is in up to three ways, and what is wished."""

    line: int
    family_id: int | None
    phone: str
    family_name: str
    wish: Wish


def gather(rows: Iterable[Row]) -> tuple[list[SheetLine], list[CellError]]:
    """The rows that can be read, in the order of the sheet, and everything that is wrong with the others."""
    lines: list[SheetLine] = []
    errors: list[CellError] = []
    for row in rows:
        wrong: dict[str, str] = {}
        who, wish = _who(row.cells, wrong), _wish(row.cells, wrong)
        errors += [CellError(row.line, column, sentence) for column, sentence in wrong.items()]
        if not wrong and wish is not None:
            lines.append(SheetLine(row.line, *who, wish))
    errors += _twice(lines)
    return lines, errors


def digest(lines: Iterable[tuple[int, Wish]]) -> str:
    """Hex SHA-256 over (family, wish) in order: the same for a sheet that was saved again or in another format."""
    told = [
        [family_id, money.plain(w.amount), w.type, w.payment_method, w.external_no, w.reason_code, w.note]
        for family_id, w in lines
    ]
    return hashlib.sha256(canonical_json(told).encode()).hexdigest()


def _who(cells: dict[str, str], wrong: dict[str, str]) -> tuple[int | None, str, str]:
    number, phone, name = cells[FAMILY_ID], cells[PHONE], cells[FAMILY]
    if number and not _ID.fullmatch(number):
        wrong[FAMILY_ID] = "家庭编号只能是数字，可从家庭页的地址看到"
    digits = phone_digits(phone) if phone else ""
    if phone and not _PHONE.fullmatch(digits):
        wrong[PHONE] = "手机号为 11 位数字，可留空"
    if not (number or phone or name):
        wrong[FAMILY_ID] = "请至少填写家庭编号、手机号、家庭名称中的一项"
    return (int(number) if number and FAMILY_ID not in wrong else None), digits, name


def _wish(cells: dict[str, str], wrong: dict[str, str]) -> Wish | None:
    amount, decrease = Decimal("1.00"), cells[AMOUNT].startswith("-")
    try:
        amount = money.parse(cells[AMOUNT].removeprefix("-") if decrease else cells[AMOUNT].removeprefix("+"))
    except Invalid as error:
        wrong[AMOUNT] = error.message if cells[AMOUNT] else "请填写金额，减少写作 -200.00"
    try:
        return rules.checked_wish(
            direction=DECREASE if decrease else INCREASE, amount=amount, type=_TYPES.get(cells[TYPE], ""),
            payment_method=_METHODS.get(cells[METHOD], ""), reason_code=_REASONS.get(cells[REASON], ""),
            note=cells[NOTE], external_no=cells[NUMBER],
        )  # fmt: skip
    except Invalid as error:
        for field, sentences in (error.errors or {}).items():
            wrong.setdefault(_COLUMN_OF[field], _sentence(field, sentences[0]))
    return None


def _sentence(field: str, sentence: str) -> str:
    """In a sheet a word is written, not chosen."""
    words = {"type": TYPES.values(), "payment_method": METHODS.values()}.get(field)
    if words is not None:
        return f"请填写{'、'.join(words)}之一"
    if field == "reason_code":
        return "不在原因列表里，可填写的原因见模板的第二页；都不合适时写「其他」"
    return sentence


def _twice(lines: list[SheetLine]) -> list[CellError]:
    """The same transfer's number, and rows that say exactly the same, which nobody means (W14)."""
    errors: list[CellError] = []
    numbers: dict[tuple, int] = {}
    same: dict[tuple, int] = {}
    for one in lines:
        wish = one.wish
        if wish.external_no is not None:
            first = numbers.setdefault((wish.payment_method, wish.external_no), one.line)
            if first != one.line:
                errors.append(CellError(one.line, NUMBER, f"与第 {first} 行的转账单号相同"))
                continue
        first = same.setdefault((one.family_id, one.phone, one.family_name, wish), one.line)
        if first != one.line:
            errors.append(CellError(one.line, NOTE, f"与第 {first} 行完全相同；如果确实是两笔，请在说明里写清区别"))
    return errors
