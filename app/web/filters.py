"""How figures, times and sizes are written on pages. Money is Decimal, times are aware UTC (R1, R2)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from flask import Flask

from app import clock
from app.web import labels

WEEKDAYS = "一二三四五六日"
NONE = "—"
COUNT_CAP = 10_000

# name, before, after, and added / removed / changed / same
DiffRow = tuple[str, str, str, str]


def money(value: Decimal | None, *, signed: bool = False) -> str:
    """`¥1,234.50`, `-¥200.00`, with `signed` also `+¥500.00`. A float is a mistake and raises TypeError."""
    if value is None:
        return NONE
    if isinstance(value, float) or not isinstance(value, (Decimal, int)):
        raise TypeError(f"money is Decimal, not {type(value).__name__}")
    sign = "-" if value < 0 else "+" if signed and value > 0 else ""
    return f"{sign}¥{abs(value):,.2f}"


def _aware(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise ValueError("times are aware; a naive one has lost its zone")
    return clock.local(moment)


def day(value: date | datetime | None) -> str:
    """「今天」「明天」「昨天」「11月25日 周三」, with the year when it is not this one."""
    if value is None:
        return NONE
    if isinstance(value, datetime):
        value = _aware(value).date()
    today = clock.today()
    near = {today: "今天", today + timedelta(days=1): "明天", today - timedelta(days=1): "昨天"}
    if value in near:
        return near[value]
    year = "" if value.year == today.year else f"{value.year}年"
    return f"{year}{value.month}月{value.day}日 周{WEEKDAYS[value.weekday()]}"


def when(moment: datetime | None) -> str:
    """「今天 19:00」「明天 09:30」「11月25日 周三 19:00」 on the studio's clock."""
    return NONE if moment is None else f"{day(moment)} {_aware(moment):%H:%M}"


def clock_time(moment: datetime | None) -> str:
    """`19:00`, where the day is already said."""
    return NONE if moment is None else f"{_aware(moment):%H:%M}"


def full_time(moment: date | datetime | None) -> str:
    """「2026年11月25日 周三 19:00:05」, for hovers and print."""
    if moment is None:
        return NONE
    if not isinstance(moment, datetime):
        return f"{moment.year}年{moment.month}月{moment.day}日 周{WEEKDAYS[moment.weekday()]}"
    at = _aware(moment)
    return f"{at.year}年{at.month}月{at.day}日 周{WEEKDAYS[at.weekday()]} {at:%H:%M:%S}"


def ago(moment: datetime | None) -> str:
    """「刚刚」「5 分钟前」「3 小时前」, from two days on 「6 天前」; the future counts as now."""
    if moment is None:
        return NONE
    _aware(moment)
    minutes = int((clock.now() - moment).total_seconds() // 60)
    if minutes < 1:
        return "刚刚"
    if minutes < 60:
        return f"{minutes} 分钟前"
    if minutes < 48 * 60:
        return f"{minutes // 60} 小时前"
    return f"{minutes // (24 * 60)} 天前"


def percent(value: Decimal | None, places: int = 1) -> str:
    """A share of one as `95.3%`; whole ones lose the `.0`."""
    if value is None:
        return NONE
    scaled = (Decimal(value) * 100).quantize(Decimal(1).scaleb(-places), rounding=ROUND_HALF_UP)
    text = f"{scaled:f}"
    return f"{text.rstrip('0').rstrip('.') if '.' in text else text}%"


def count(value: int | None, cap: int = COUNT_CAP) -> str:
    """`1,234`, and `10000+` from the cap on: queries stop counting there."""
    if value is None:
        return NONE
    return f"{cap}+" if value >= cap else f"{value:,}"


def filesize(size: int | None) -> str:
    """`812 B`, `36 KB`, `1.2 MB`."""
    if size is None:
        return NONE
    if size < 1024:
        return f"{size} B"
    if size < 1024 * 1024:
        return f"{round(size / 1024)} KB"
    return f"{size / 1024 / 1024:.1f} MB".replace(".0 MB", " MB")


def duration(seconds: int | None) -> str:
    """「45 秒」「12 分 05 秒」「3 小时 20 分」「2 天 4 小时」."""
    if seconds is None:
        return NONE
    minutes, second = divmod(max(int(seconds), 0), 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    if days:
        return f"{days} 天 {hour} 小时" if hour else f"{days} 天"
    if hours:
        return f"{hours} 小时 {minute:02d} 分" if minute else f"{hours} 小时"
    return f"{minutes} 分 {second:02d} 秒" if minutes else f"{second} 秒"


def diff_rows(before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> list[DiffRow]:
    """What each key of either side was and is, in the order of the older side."""
    old, new = before or {}, after or {}
    rows = []
    for key in [*old, *(key for key in new if key not in old)]:
        if key not in old:
            kind = "added"
        elif key not in new:
            kind = "removed"
        else:
            kind = "same" if old[key] == new[key] else "changed"
        rows.append((str(key), _plain(old.get(key)), _plain(new.get(key)), kind))
    return rows


def _plain(value: Any) -> str:
    if value is None or value == "":
        return NONE
    if isinstance(value, bool):
        return "是" if value else "否"
    if isinstance(value, Decimal):
        return money(value)
    if isinstance(value, datetime) and value.tzinfo is not None:
        return full_time(value)
    return str(value)


def html_attrs(values: Mapping[str, Any]) -> dict[str, Any]:
    """Keyword arguments of a macro as attributes: `hx_get` becomes `hx-get`; None and "" are left out.

    An empty `data_…` stays, since its presence is the message.
    """
    return {
        name.replace("_", "-"): value
        for name, value in values.items()
        if value is not None and (value != "" or name.startswith("data_"))
    }


FILTERS = {
    "money": money,
    "day": day,
    "when": when,
    "clock_time": clock_time,
    "full_time": full_time,
    "ago": ago,
    "percent": percent,
    "count_capped": count,
    "filesize": filesize,
    "duration": duration,
    "diff_rows": diff_rows,
    "html_attrs": html_attrs,
}


def register(app: Flask) -> None:
    """Give templates the filters above, `label(kind, value)` with its word and tone, and `label_choices(kind)`."""
    app.jinja_env.filters.update(FILTERS)
    app.jinja_env.globals["label"] = labels.label
    app.jinja_env.globals["label_choices"] = labels.choices
