"""The types that fields of the contract have. Requests are strict: nothing is guessed (96.15–17).

Each refuses with a sentence of its own and shows in the OpenAPI document as what it takes.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date, datetime, time
from decimal import Decimal
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, PlainSerializer, Strict, StringConstraints, WithJsonSchema
from pydantic_core import PydanticCustomError

from app import clock, money
from app.api.v1.sentences import OWN
from app.domain.makeups import asking
from app.domain.people import rules
from app.domain.questions import service as questions
from app.domain.withdrawals import rules as withdrawals
from app.errors import Invalid

_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}\Z")
_TIME = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]\Z")
_CODE = re.compile(r"[!-~]{1,32}\Z")
_NUMBER = re.compile(r"[0-9A-Za-z_-]+\Z")
_WHOLE = re.compile(r"[1-9][0-9]{0,17}\Z")


def refuse(sentence: str) -> PydanticCustomError:
    """An error of a field; `{label}` in the sentence becomes the field's Chinese name."""
    return PydanticCustomError(OWN, "refused", {"sentence": sentence})


def _by_rule(rule: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A domain rule as a validator: its sentence is the field's."""

    def check(value: Any) -> Any:
        try:
            return rule(value)
        except Invalid as error:
            raise refuse(error.message.replace("{", "{{").replace("}", "}}")) from None

    return check


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise refuse("{label}应为文字")
    return value


def _optional_name(label: str, field: str) -> Callable[[Any], str | None]:
    def read(value: Any) -> str | None:
        return None if value is None else rules.optional_name(_text(value), field=field, label=label)

    return _by_rule(read)


def _day(value: Any) -> date:
    if isinstance(value, str) and _DAY.match(value):
        try:
            return date.fromisoformat(value)
        except ValueError:
            pass
    raise refuse("{label}应为日期，如 2018-05-01")


def _query_day(value: Any) -> date:
    day = _day(value)
    # The first and last days of the calendar have no day beside them to make an interval with.
    if not 1900 <= day.year <= 2199:
        raise refuse("{label}应在 1900 年到 2199 年之间")
    return day


def _birthday(value: Any) -> date | None:
    return None if value is None else rules.birthday(_day(value))


def _query_whole(low: int, high: int) -> Callable[[Any], int]:
    def read(value: Any) -> int:
        # Of an absent parameter the default comes through as it is.
        if isinstance(value, int):
            return value
        if not isinstance(value, str) or not _WHOLE.match(value) or not low <= int(value) <= high:
            raise refuse(f"{{label}}应为 {low} 到 {high} 之间的整数")
        return int(value)

    return read


def _query_id(value: Any) -> int:
    if not isinstance(value, str) or not _WHOLE.match(value):
        raise refuse("{label}应为编号")
    return int(value)


def _query_time(value: Any) -> time:
    if not isinstance(value, str) or not _TIME.match(value):
        raise refuse("{label}应为时刻，如 09:30")
    return time.fromisoformat(value)


def _query_code(value: Any) -> str:
    # The column is ASCII: MySQL refuses to compare it with anything else.
    if not isinstance(value, str) or not _CODE.match(value):
        raise refuse("{label}应为代码，由 1 到 32 个可见的 ASCII 字符组成")
    return value


def _query_name(value: Any) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= 32 or "\0" in value:
        raise refuse("{label}应为 1 到 32 个字")
    return value


def _query_switch(value: Any) -> bool:
    if value not in ("true", "false"):
        raise refuse("{label}只能是 true 或 false")
    return value == "true"


def _moment(value: datetime) -> str:
    return clock.local(value).isoformat(timespec="milliseconds")


# ── in requests ─────────────────────────────────────────────────────────────────────────────────────

Text = Annotated[str, StringConstraints(strict=True)]
Secret = Annotated[str, StringConstraints(strict=True, min_length=1, max_length=512)]
Name = Annotated[
    str,
    BeforeValidator(_by_rule(lambda value: rules.person_name(_text(value)))),
    WithJsonSchema({"type": "string", "minLength": 1, "maxLength": rules.NAME_MAX}),
]
_name_schema = WithJsonSchema({"type": ["string", "null"], "maxLength": rules.NAME_MAX})
Nickname = Annotated[str | None, BeforeValidator(_optional_name("昵称", "nickname")), _name_schema]
RealName = Annotated[str | None, BeforeValidator(_optional_name("真实姓名", "real_name")), _name_schema]
Birthday = Annotated[
    date | None,
    BeforeValidator(_by_rule(_birthday)),
    WithJsonSchema({"type": ["string", "null"], "format": "date"}),
]


def _price(value: Any) -> Decimal | None:
    return None if value is None else money.parse(_text(value), name="price")


Price = Annotated[
    Decimal | None,
    BeforeValidator(_by_rule(_price)),
    WithJsonSchema({"type": ["string", "null"], "pattern": r"^[0-9]{1,8}(\.[0-9]{1,2})?$", "examples": ["200.00"]}),
]


def _withdrawn(value: Any) -> Decimal:
    amount = money.parse(_text(value))
    withdrawals.check_amount(amount)
    return amount


WithdrawalAmount = Annotated[
    Decimal,
    BeforeValidator(_by_rule(_withdrawn)),
    WithJsonSchema({"type": "string", "pattern": r"^[0-9]{1,8}(\.[0-9]{1,2})?$", "examples": ["300.00"]}),
]
WithdrawalReason = Annotated[
    str,
    BeforeValidator(_by_rule(lambda value: withdrawals.checked_reason(_text(value)))),
    WithJsonSchema({"type": "string", "minLength": 1, "maxLength": withdrawals.REASON_MAX}),
]
RequestText = Annotated[
    str,
    StringConstraints(strict=True, max_length=asking.TEXT_LENGTH),
    AfterValidator(_by_rule(asking.checked_text)),
]
QuestionText = Annotated[
    str,
    BeforeValidator(_by_rule(lambda value: questions.checked_text(_text(value)))),
    WithJsonSchema({"type": "string", "minLength": 1, "maxLength": questions.TEXT_LENGTH}),
]
Note = Annotated[str | None, StringConstraints(strict=True, max_length=500)]


def _existing_id(value: int) -> int:
    # A database refuses to compare with what no BIGINT holds; 0 is nobody's id, as that number is.
    return value if abs(value) < 10**18 else 0


BodyId = Annotated[int, Strict(), AfterValidator(_existing_id)]


def _existing_number(value: str) -> str:
    # Numbers are ASCII columns, which cannot even be asked for other signs; no order has the number "-".
    return value if _NUMBER.match(value) else "-"


#: an order's number; what is none is nobody's
PublicNumber = Annotated[
    str, StringConstraints(strict=True, min_length=1, max_length=64), AfterValidator(_existing_number)
]

# ── in queries ──────────────────────────────────────────────────────────────────────────────────────

Limit = Annotated[
    int,
    BeforeValidator(_query_whole(1, 100)),
    WithJsonSchema({"type": "integer", "minimum": 1, "maximum": 100, "default": 20}),
]
Cursor = Annotated[str | None, WithJsonSchema({"type": "string"})]
Day = Annotated[date | None, BeforeValidator(_query_day), WithJsonSchema({"type": "string", "format": "date"})]
Id = Annotated[int | None, BeforeValidator(_query_id), WithJsonSchema({"type": "integer", "minimum": 1})]
NeededId = Annotated[int, BeforeValidator(_query_id), WithJsonSchema({"type": "integer", "minimum": 1})]
Weekday = Annotated[
    int | None,
    BeforeValidator(_query_whole(1, 7)),
    WithJsonSchema({"type": "integer", "minimum": 1, "maximum": 7}),
]
TimeOfDay = Annotated[
    time | None,
    BeforeValidator(_query_time),
    WithJsonSchema({"type": "string", "pattern": "^([01][0-9]|2[0-3]):[0-5][0-9]$", "examples": ["09:30"]}),
]
Code = Annotated[
    str | None,
    BeforeValidator(_query_code),
    WithJsonSchema({"type": "string", "minLength": 1, "maxLength": 32, "pattern": "^[!-~]+$"}),
]
LevelName = Annotated[
    str | None,
    BeforeValidator(_query_name),
    WithJsonSchema({"type": "string", "minLength": 1, "maxLength": 32}),
]
Switch = Annotated[bool, BeforeValidator(_query_switch), WithJsonSchema({"type": "boolean"})]

# ── in answers ──────────────────────────────────────────────────────────────────────────────────────

Money = Annotated[
    Decimal,
    PlainSerializer(money.plain, return_type=str),
    WithJsonSchema({"type": "string", "pattern": r"^-?[0-9]{1,8}\.[0-9]{2}$", "examples": ["-200.00"]}),
]
Moment = Annotated[
    datetime,
    PlainSerializer(_moment, return_type=str),
    WithJsonSchema({"type": "string", "format": "date-time", "examples": ["2026-11-20T19:00:00.000+08:00"]}),
]
