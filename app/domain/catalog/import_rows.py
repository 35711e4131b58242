"""What an import file of sessions says, checked row by row without the database (95, 96.8). Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from decimal import Decimal
from functools import lru_cache
from typing import Any

from app import clock, money
from app.domain.catalog import rules
from app.domain.people import levels
from app.errors import Invalid
from app.sheets import CellError, Row

COLUMNS = (
    "course_type", "course_type_name", "waitlist_capacity", "is_trial", "course", "level", "duration_minutes", "price",
    "coach", "venue", "starts_at", "capacity",
)  # fmt: skip
REQUIRED = {
    "course_type": "课程类型代码", "course": "课程名称", "duration_minutes": "时长（分钟）", "price": "价格",
    "coach": "教练姓名", "venue": "场馆名称", "starts_at": "开始时间", "capacity": "人数上限",
}  # fmt: skip
#: a year outside is a slip of the pen
FIRST_YEAR, LAST_YEAR = 2000, 2100
_WHOLE = re.compile(r"[0-9]{1,6}", re.ASCII)
_MOMENT = re.compile(
    r"(\d{4})[-/](\d{1,2})[-/](\d{1,2})[T ](\d{1,2}):(\d{2})(?::(\d{2})(?:\.(\d{1,6}))?)? ?(Z|[+-]\d{2}(?::?\d{2})?)?",
    re.ASCII,
)

#: what makes two rows the same session: type, course, coach, venue, start
SessionKey = tuple[str, str, str, str, datetime]


@dataclass(slots=True)
class TypeLine:
    """A course type as the file describes it; None means that the file does not say."""

    code: str
    name: str | None
    waitlist_capacity: int | None
    is_trial: bool | None
    line: int


@dataclass(slots=True)
class CourseLine:
    """A course as the file describes it; `price` in yuan, `level` None where the file does not say."""

    type_code: str
    name: str
    level: str | None
    minutes: int
    price: Decimal
    line: int


@dataclass(slots=True)
class SessionLine:
    course: CourseLine
    coach: str
    venue: str
    starts_at: datetime
    capacity: int
    line: int

    @property
    def ends_at(self) -> datetime:
        return self.starts_at + timedelta(minutes=self.course.minutes)

    @property
    def key(self) -> SessionKey:
        return (self.course.type_code, self.course.name, self.coach, self.venue, self.starts_at)


@dataclass(slots=True)
class CatalogLines:
    """Everything a file says, each thing once, in the order of the file."""

    types: dict[str, TypeLine] = field(default_factory=dict)
    courses: dict[tuple[str, str], CourseLine] = field(default_factory=dict)
    #: name → the line that names it first
    coaches: dict[str, int] = field(default_factory=dict)
    venues: dict[str, int] = field(default_factory=dict)
    sessions: dict[SessionKey, SessionLine] = field(default_factory=dict)


def gather(rows: Iterable[Row]) -> tuple[CatalogLines, list[CellError]]:
    """What the rows say, and everything that is wrong with them."""
    book = _Book()
    for row in rows:
        book.take(row)
    return book.lines, book.errors


class _Book:
    def __init__(self) -> None:
        self.lines = CatalogLines()
        self.errors: list[CellError] = []

    def wrong(self, row: Row, column: str, message: str) -> None:
        self.errors.append(CellError(row.line, column, message))

    def take(self, row: Row) -> None:
        before = len(self.errors)
        values = {name: self.checked(row, name) for name in COLUMNS}
        if values["course_type"] is not None:
            self.take_type(row, values)
        if len(self.errors) > before:
            return  # what follows would only repeat that the row is wrong
        course = self.take_course(row, values)
        self.lines.coaches.setdefault(values["coach"], row.line)
        self.lines.venues.setdefault(values["venue"], row.line)
        session = SessionLine(
            course, values["coach"], values["venue"], values["starts_at"], values["capacity"], row.line
        )
        known = self.lines.sessions.setdefault(session.key, session)
        if known is not session:
            self.wrong(row, "starts_at", f"与第 {known.line} 行是同一节课")

    def checked(self, row: Row, name: str) -> Any:
        """The cell's value, or None where it is empty or after noting what is wrong with it."""
        text = row.cells[name]
        if not text:
            if name in REQUIRED:
                self.wrong(row, name, f"请填写{REQUIRED[name]}")
            return None
        try:
            return _CHECKS[name](text)
        except ValueError as error:
            self.wrong(row, name, str(error))
        except Invalid as error:
            self.wrong(row, name, error.message)
        return None

    def take_type(self, row: Row, values: dict[str, Any]) -> None:
        code = values["course_type"]
        known = self.lines.types.setdefault(code, TypeLine(code, None, None, None, row.line))
        self.agree(row, known, "name", values["course_type_name"], "course_type_name")
        self.agree(row, known, "waitlist_capacity", values["waitlist_capacity"])
        self.agree(row, known, "is_trial", values["is_trial"])

    def take_course(self, row: Row, values: dict[str, Any]) -> CourseLine:
        code, name = values["course_type"], values["course"]
        made = CourseLine(code, name, values["level"], values["duration_minutes"], values["price"], row.line)
        known = self.lines.courses.setdefault((code, name), made)
        self.agree(row, known, "level", made.level)
        self.agree(row, known, "minutes", made.minutes, "duration_minutes")
        self.agree(row, known, "price", made.price)
        return known

    def agree(self, row: Row, known: Any, attribute: str, value: Any, column: str | None = None) -> None:
        """Many rows describe the same type and course; what they say must be the same."""
        before = getattr(known, attribute)
        if value is None:
            return
        if before is None:
            setattr(known, attribute, value)
        elif before != value:
            self.wrong(row, column or attribute, f"与第 {known.line} 行起的「{_shown(before)}」不一致")


def _shown(value: Any) -> str:
    return str(int(value)) if isinstance(value, bool) else str(value)


# ── cells ───────────────────────────────────────────────────────────────────────────────────────────


def _whole(text: str) -> int:
    if not _WHOLE.fullmatch(text):
        raise ValueError("请填写整数")
    return int(text)


def _flag(text: str) -> bool:
    if text not in ("0", "1"):
        raise ValueError("体验课标记为 0 或 1")
    return text == "1"


def _moment(text: str) -> datetime:
    found = _MOMENT.fullmatch(text)
    if not found:
        raise ValueError("开始时间写作 2026-12-01 19:00，或带时区的 ISO 时间")
    *numbers, second, fraction, offset = found.groups()
    microsecond = int((fraction or "0").ljust(6, "0"))
    try:
        moment = datetime(*map(int, numbers), int(second or 0), microsecond, tzinfo=_zone(offset))
    except ValueError:
        raise ValueError("没有这个日期或时间") from None
    if not FIRST_YEAR <= moment.year <= LAST_YEAR:
        raise ValueError(f"年份为 {FIRST_YEAR}–{LAST_YEAR}")
    return moment.astimezone(UTC)


def _zone(offset: str | None) -> tzinfo:
    if offset is None:
        return clock.STUDIO_ZONE
    if offset == "Z":
        return UTC
    hours, minutes = int(offset[1:3]), int(offset[3:].lstrip(":") or 0)
    away = timedelta(hours=hours, minutes=minutes)
    return timezone(-away if offset[0] == "-" else away)


@lru_cache(maxsize=4096)
def _name(text: str, column: str) -> str:
    """A file names the same few coaches and rooms thousands of times."""
    return rules.name(text, field=column, label=REQUIRED.get(column, "课程类型名称"))


_CHECKS = {
    "course_type": lambda text: rules.code(text, field="course_type"),
    "course_type_name": lambda text: _name(text, "course_type_name"),
    "waitlist_capacity": lambda text: rules.waitlist_capacity(_whole(text)),
    "is_trial": _flag,
    "course": lambda text: _name(text, "course"),
    "level": levels.checked,
    "duration_minutes": lambda text: rules.minutes(_whole(text), field="duration_minutes"),
    "price": lambda text: money.parse(text, name="price"),
    "coach": lambda text: _name(text, "coach"),
    "venue": lambda text: _name(text, "venue"),
    "starts_at": _moment,
    "capacity": lambda text: rules.capacity(_whole(text)),
}
