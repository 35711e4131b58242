"""What courses and sessions may be (C1, C2). Pure; each raises Invalid that names the field."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from decimal import Decimal

from app import money
from app.errors import Invalid
from app.text import clean

NAME_MAX = 64
MINUTES_MAX = 24 * 60
CAPACITY_MAX = 999
WAITLIST_MAX = 99
#: how a freed seat may go round a queue (Q8); waitlist/models.py WaitlistPolicy says what each means
WAITLIST_POLICIES = ("open_then_sequential", "sequential", "auto_promote")
#: how far ahead a session may lie: a year that was typed wrong is told, not kept
AHEAD = timedelta(days=2 * 366)
_CODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}", re.ASCII)


def name(text: str | None, *, field: str = "name", label: str = "名称") -> str:
    """1–64 characters without control and bidi characters."""
    found = clean(text, NAME_MAX + 1)
    if not found:
        raise Invalid.field(field, f"请填写{label}")
    if len(found) > NAME_MAX:
        raise Invalid.field(field, f"{label}最多 {NAME_MAX} 个字")
    return found


def code(text: str | None, *, field: str = "code") -> str:
    """A course type's code stands in the JSON contract and never changes."""
    if not isinstance(text, str) or not _CODE.fullmatch(text):
        raise Invalid.field(field, "代码为 1–32 个字母、数字、下划线或连字符，如 regular")
    return text


def minutes(value: int, *, field: str = "minutes") -> int:
    return _between(value, 1, MINUTES_MAX, field, "时长（分钟）")


def capacity(value: int, *, field: str = "capacity") -> int:
    return _between(value, 1, CAPACITY_MAX, field, "人数上限")


def waitlist_capacity(value: int | None, *, field: str = "waitlist_capacity") -> int | None:
    """None leaves it to what stands above: the course, or its type."""
    return None if value is None else _between(value, 0, WAITLIST_MAX, field, "候补人数")


def waitlist_policy(value: str, *, field: str = "waitlist_policy") -> str:
    if value not in WAITLIST_POLICIES:
        raise Invalid.field(field, "请选择候补方式")
    return value


def price(value: Decimal, *, field: str = "price") -> Decimal:
    """Yuan with at most two places; 0.00 is a class that costs nothing."""
    if not value.is_finite() or not 0 <= value <= money.MAX_AMOUNT or value != value.quantize(money.CENT):
        raise Invalid.field(field, "价格为 0.00 至 99999999.99，最多两位小数")
    return value.quantize(money.CENT)


def ahead(starts_at: datetime, now: datetime, *, field: str = "starts_at") -> datetime:
    """A start that staff may choose: not before now, and not absurdly far off."""
    if starts_at <= now:
        raise Invalid.field(field, "开始时间已过，不能再安排课次")
    if starts_at > now + AHEAD:
        raise Invalid.field(field, "最多提前两年安排课次，请检查年份")
    return starts_at


def _between(value: int, low: int, high: int, field: str, label: str) -> int:
    if not low <= value <= high:
        raise Invalid.field(field, f"{label}为 {low}–{high}")
    return value
