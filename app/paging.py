"""Keyset paging for staff lists: newest first, never slow at depth, a link to the page before and after."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from app.db import db

COUNT_CAP = 10_000


@dataclass(frozen=True, slots=True)
class Page:
    """Rows newest first; `newer` and `older` are the ids to go on from, None at the ends."""

    items: Sequence[Any]
    newer: int | None
    older: int | None


def keyset(
    query: sa.Select, id_column, *, before: int | None = None, after: int | None = None, limit: int = 50
) -> Page:
    """One page of `query` ordered by `id_column` descending: rows below `before`, or the nearest above `after`.

    The rows of the query must carry the id as `.id`.
    """
    if after is not None:
        rows = list(db.session.execute(query.where(id_column > after).order_by(id_column.asc()).limit(limit + 1)))
        more = len(rows) > limit
        items = list(reversed(rows[:limit]))
        return Page(items, items[0].id if more and items else None, items[-1].id if items else None)
    if before is not None:
        query = query.where(id_column < before)
    rows = list(db.session.execute(query.order_by(id_column.desc()).limit(limit + 1)))
    items = rows[:limit]
    older = items[-1].id if len(rows) > limit else None
    return Page(items, items[0].id if before is not None and items else None, older)


def capped_count(query: sa.Select, cap: int = COUNT_CAP) -> int:
    """How many rows a query has, counting no further than `cap`: pages say 「10000+」."""
    inner = query.with_only_columns(sa.literal(1)).order_by(None).limit(cap).subquery()
    return db.session.execute(sa.select(sa.func.count()).select_from(inner)).scalar_one()
