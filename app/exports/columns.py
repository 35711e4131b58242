"""What an exported list is made of: its columns, and the mark that says who took it, when, and under which filters."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from operator import attrgetter
from typing import Any

from app import clock

# What a spreadsheet may take for the beginning of a formula, full-width forms too (OWASP).
RISKY = ("=", "+", "-", "@", "＝", "＋", "－", "＠")
_BREAKS = ("\t", "\r", "\n")


class Kind(StrEnum):
    """What stands in a column, and so how each format writes it. Only `TEXT` can be hostile: the others are written
    from typed values."""

    TEXT = "text"
    NUMBER = "number"  # whole numbers: ids, counts, seconds
    MONEY = "money"  # Decimal yuan
    TIME = "time"  # aware moments, on the studio's clock
    DAY = "day"
    SHARE = "share"  # Decimal, a part of one
    YES = "yes"  # 是 or 否


@dataclass(frozen=True, slots=True)
class Column:
    """One column. `value` is an attribute of the row, dots allowed, or a function of it."""

    title: str
    value: str | Callable[[Any], Any]
    kind: Kind = Kind.TEXT

    def reader(self) -> Callable[[Any], Any]:
        return attrgetter(self.value) if isinstance(self.value, str) else self.value


@dataclass(frozen=True, slots=True)
class Mark:
    """The watermark. It comes last: a file that ends without it is not whole."""

    title: str
    who: str
    at: datetime
    #: filter → its value, both in words; empty where everything was asked for
    filters: Mapping[str, str]

    def facts(self, count: int) -> list[tuple[str, str]]:
        """(what, value) pairs; `count` is how many rows were written."""
        asked = "；".join(f"{name}：{value}" for name, value in self.filters.items())
        return [
            ("导出说明", self.title),
            ("导出人", self.who),
            ("导出时间", clock.local(self.at).strftime("%Y-%m-%d %H:%M:%S")),
            ("筛选", asked or "全部"),
            ("行数", str(count)),
        ]


def is_risky(text: str) -> bool:
    """Whether a spreadsheet might run this text."""
    return text.startswith(_BREAKS) or text.lstrip().startswith(RISKY)
