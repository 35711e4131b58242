"""What names, birthdays and the like may be (96.26). Pure; raise Invalid naming the field."""

from __future__ import annotations

from datetime import date
from enum import StrEnum

from app import clock
from app.errors import Invalid
from app.text import clean

NAME_MAX = 64
OLDEST = date(1900, 1, 1)


class Gender(StrEnum):
    MALE = "male"
    FEMALE = "female"
    UNKNOWN = "unknown"


def person_name(text: str, *, field: str = "name", label: str = "姓名") -> str:
    """A name of 1–64 characters without control and bidi characters; emoji stay."""
    name = clean(text, NAME_MAX + 1)
    if not name:
        raise Invalid.field(field, f"请填写{label}")
    if len(name) > NAME_MAX:
        raise Invalid.field(field, f"{label}最多 {NAME_MAX} 个字")
    return name


def optional_name(text: str | None, *, field: str, label: str) -> str | None:
    """As `person_name`, but empty means none."""
    return person_name(text, field=field, label=label) if text and clean(text, 1) else None


def birthday(value: date, *, field: str = "birthday") -> date:
    """A day that is not in the future by the studio's calendar."""
    if value > clock.today():
        raise Invalid.field(field, "生日不能晚于今天")
    if value < OLDEST:
        raise Invalid.field(field, "生日不能早于 1900 年")
    return value


def family_name(real_name: str | None, nickname: str | None, family_id: int) -> str:
    """What staff see until somebody gives the family a better name."""
    who = real_name or nickname
    return f"{who[: NAME_MAX - 2]}家庭" if who else f"新家庭{family_id}"
