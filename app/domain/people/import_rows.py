"""What an import file of families says, checked row by row without the database (95, 96.8). Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal

from app import money
from app.domain.people import levels, rules
from app.domain.people.models import MemberStatus
from app.errors import Invalid
from app.money import ZERO
from app.sheets import CellError, Row
from app.vault import phone_digits

COLUMNS = (
    "family", "parent_name", "openid", "phone", "student", "birthday", "level", "member_status", "opening_balance",
)  # fmt: skip
REQUIRED = {"family": "家庭名称", "parent_name": "家长姓名", "openid": "openid", "student": "学员姓名"}
_OPENID = re.compile(r"[!-~]{1,64}")
_PHONE = re.compile(r"1[0-9]{10}", re.ASCII)
_DATE = re.compile(r"([0-9]{4})[-/]([0-9]{1,2})[-/]([0-9]{1,2})", re.ASCII)


@dataclass(slots=True)
class ParentLine:
    """A parent as the file describes them; empty means that the file does not say."""

    openid: str
    name: str
    phone: str
    member_status: str
    line: int


@dataclass(slots=True)
class StudentLine:
    name: str
    birthday: str
    level: str
    line: int


@dataclass(slots=True)
class FamilyLines:
    """All rows of one family. `opening_balance` in yuan; `balance_line` is where it stands."""

    name: str
    line: int
    parents: dict[str, ParentLine] = field(default_factory=dict)
    students: dict[str, StudentLine] = field(default_factory=dict)
    opening_balance: Decimal = ZERO
    balance_line: int = 0


def gather(rows: Iterable[Row]) -> tuple[list[FamilyLines], list[CellError]]:
    """The families of the rows, in the order of the file, and everything that is wrong with them."""
    book = _Book()
    for row in rows:
        book.take(row)
    return list(book.families.values()), book.errors


class _Book:
    """What was read so far: who was seen where, so that a contradiction names the line that brought it."""

    def __init__(self) -> None:
        self.families: dict[str, FamilyLines] = {}
        self.errors: list[CellError] = []
        self.openids: dict[str, FamilyLines] = {}
        self.phones: dict[str, ParentLine] = {}

    def wrong(self, row: Row, column: str, message: str) -> None:
        self.errors.append(CellError(row.line, column, message))

    def take(self, row: Row) -> None:
        cells = row.cells
        values = {name: self.checked(row, name) for name in COLUMNS}
        if not cells["family"] or values["family"] is None:
            return
        family = self.families.setdefault(cells["family"], FamilyLines(cells["family"], row.line))
        if values["openid"]:
            self.take_parent(row, family, values)
        if values["student"]:
            self.take_student(row, family, values)
        if values["opening_balance"]:
            self.take_balance(row, family, values["opening_balance"])

    def checked(self, row: Row, name: str) -> str | Decimal | None:
        """The cell's value in its one form, or None after noting what is wrong with it."""
        text = row.cells[name]
        if not text:
            if name in REQUIRED:
                self.wrong(row, name, f"请填写{REQUIRED[name]}")
                return None
            return ZERO if name == "opening_balance" else ""
        try:
            return _CHECKS[name](text)
        except ValueError as error:
            self.wrong(row, name, str(error))
        except Invalid as error:
            self.wrong(row, name, error.message)
        return None

    def take_parent(self, row: Row, family: FamilyLines, values: dict) -> None:
        openid = values["openid"]
        owner = self.openids.setdefault(openid, family)
        if owner is not family:
            self.wrong(row, "openid", f"这位家长已在第 {owner.parents[openid].line} 行归入「{owner.name}」")
            return
        parent = ParentLine(
            openid, values["parent_name"] or "", values["phone"] or "", values["member_status"] or "", row.line
        )
        known = family.parents.setdefault(openid, parent)
        for column, attribute in (("parent_name", "name"), ("phone", "phone"), ("member_status", "member_status")):
            self.agree(row, column, known, attribute, getattr(parent, attribute))
        if known.phone and self.phones.setdefault(known.phone, known) is not known:
            self.wrong(row, "phone", f"这个手机号已在第 {self.phones[known.phone].line} 行给了另一位家长")

    def take_student(self, row: Row, family: FamilyLines, values: dict) -> None:
        student = StudentLine(values["student"], values["birthday"] or "", values["level"] or "", row.line)
        known = family.students.setdefault(student.name, student)
        self.agree(row, "birthday", known, "birthday", student.birthday)
        self.agree(row, "level", known, "level", student.level)

    def take_balance(self, row: Row, family: FamilyLines, amount: Decimal) -> None:
        if family.opening_balance not in (ZERO, amount):
            told = money.yuan(family.opening_balance)
            self.wrong(row, "opening_balance", f"与第 {family.balance_line} 行的 {told} 不一致，一个家庭只有一个余额")
        elif family.opening_balance == ZERO:
            family.opening_balance, family.balance_line = amount, row.line

    def agree(self, row: Row, column: str, known: ParentLine | StudentLine, attribute: str, value: str) -> None:
        """Two rows may describe the same person; what both say must be the same."""
        before = getattr(known, attribute)
        if before and value and before != value:
            self.wrong(row, column, f"与第 {known.line} 行不一致")
        elif value:
            setattr(known, attribute, value)


# ── cells ───────────────────────────────────────────────────────────────────────────────────────────


def _openid(text: str) -> str:
    if not _OPENID.fullmatch(text):
        raise ValueError("openid 为 1–64 个字母、数字或符号，不含空格")
    return text


def _phone(text: str) -> str:
    digits = phone_digits(text)
    if not _PHONE.fullmatch(digits):
        raise ValueError("手机号为 11 位数字，可留空")
    return digits


def _birthday(text: str) -> str:
    found = _DATE.fullmatch(text)
    try:
        day = date(*map(int, found.groups())) if found else None
    except ValueError:
        day = None
    if day is None:
        raise ValueError("日期写作 2018-05-20")
    return rules.birthday(day).isoformat()


def _member_status(text: str) -> str:
    if text not in set(MemberStatus):
        raise ValueError("会员状态为 trial、formal 或 left")
    return text


def _opening_balance(text: str) -> Decimal:
    if text.startswith("-"):
        raise ValueError("期初余额不能为负；欠费的家庭填 0.00，导入后用余额调整登记欠费")
    return money.parse(text, name="opening_balance")


_CHECKS = {
    "family": lambda text: rules.person_name(text, field="family", label="家庭名称"),
    "parent_name": lambda text: rules.person_name(text, field="parent_name", label="家长姓名"),
    "openid": _openid,
    "phone": _phone,
    "student": lambda text: rules.person_name(text, field="student", label="学员姓名"),
    "birthday": _birthday,
    "level": levels.checked,
    "member_status": _member_status,
    "opening_balance": _opening_balance,
}
