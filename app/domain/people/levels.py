"""The order of levels (P4), where a file brings ones that are not there yet (96.8)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa

from app.db import db
from app.domain.people.models import Level

NAME_MAX = 32


def checked(text: str) -> str:
    """A level's name as a file may write it. Raises ValueError."""
    if len(text) > NAME_MAX:
        raise ValueError(f"级别名称最多 {NAME_MAX} 个字")
    return text


def known() -> dict[str, Level]:
    """Every level, by name without case."""
    return {level.name.casefold(): level for level in db.session.scalars(sa.select(Level))}


def missing(names: Iterable[str], levels: dict[str, Level]) -> list[str]:
    """The names that no level has, each once, in the order in which they would be made: L2 before L10."""
    asked: dict[str, str] = {}
    for name in names:
        asked.setdefault(name.casefold(), name)
    return sorted((name for key, name in asked.items() if key not in levels), key=_natural)


def make(names: list[str], levels: dict[str, Level]) -> None:
    """Building block: add levels above the highest, in this order, to the table and to `levels`."""
    highest = db.session.execute(sa.select(sa.func.max(Level.rank))).scalar() or 0
    for rank, name in enumerate(names, start=highest + 1):
        level = Level(name=name, rank=rank)
        db.session.add(level)
        levels[name.casefold()] = level
    db.session.flush()


def _natural(name: str) -> list[Any]:
    return [(0, int(part), "") if part.isdigit() else (1, 0, part.casefold()) for part in re.split(r"([0-9]+)", name)]
