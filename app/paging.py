"""Keyset paging for staff lists: never slow at depth, a link to the page before and after."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from app.db import db

COUNT_CAP = 10_000


@dataclass(frozen=True, slots=True)
class Page:
    """Rows in the order asked for; `newer` and `older` are the ids or positions to go on from, None at the ends."""

    items: Sequence[Any]
    newer: int | str | None
    older: int | str | None


def keyset(
    query: sa.Select, id_column, *, before: int | None = None, after: int | None = None, limit: int = 50,
    oldest_first: bool = False,
) -> Page:  # fmt: skip
    """One page of `query` by `id_column`, the newest first unless `oldest_first`: the nearest rows below `before`, or
    above `after`, or those that the list begins with.

    The rows of the query must carry the id as `.id`.
    """
    upwards = before is None and (after is not None or oldest_first)
    if after is not None:
        query = query.where(id_column > after)
    elif before is not None:
        query = query.where(id_column < before)
    order = id_column.asc() if upwards else id_column.desc()
    rows = list(db.session.execute(query.order_by(order).limit(limit + 1)))
    more, rows = len(rows) > limit, rows[:limit]
    if not rows:
        return Page([], None, None)
    low, high = (rows[0].id, rows[-1].id) if upwards else (rows[-1].id, rows[0].id)
    items = rows if upwards == oldest_first else rows[::-1]
    if upwards:
        return Page(items, high if more else None, low if after is not None else None)
    return Page(items, high if before is not None else None, low if more else None)


def keyset_by_time(
    query: sa.Select, time_column, id_column, *, before: str | None = None, after: str | None = None, limit: int = 50
) -> Page:  # fmt: skip
    """One page of `query` by a time and then by the id, the earliest first. `newer` and `older` are positions in words,
    which come back as `after` and `before`; a position that no page gave counts as none.

    The rows carry id and time by the columns' names.
    """
    above, below = _position(after), _position(before)
    backwards = below is not None and above is None
    # The first half of each alone lets the index of the time be entered at the right place.
    if above is not None:
        beyond = sa.or_(time_column > above[0], id_column > above[1])
        query = query.where(time_column >= above[0], beyond)
    elif below is not None:
        beyond = sa.or_(time_column < below[0], id_column < below[1])
        query = query.where(time_column <= below[0], beyond)
    order = (time_column.desc(), id_column.desc()) if backwards else (time_column, id_column)
    found = list(db.session.execute(query.order_by(*order).limit(limit + 1)))
    more, found = len(found) > limit, found[:limit]
    if not found:
        return Page([], None, None)
    found = found[::-1] if backwards else found

    def place(row: sa.Row) -> str:
        return f"{(getattr(row, time_column.key) - _EPOCH) // _TICK}-{getattr(row, id_column.key)}"

    later = place(found[-1]) if more or backwards else None
    sooner = place(found[0]) if above is not None or (backwards and more) else None
    return Page(found, later, sooner)


#: microseconds since 1970, and an id
_POSITION = re.compile(r"([0-9]{1,16})-([0-9]{1,18})")
_EPOCH, _TICK = datetime(1970, 1, 1, tzinfo=UTC), timedelta(microseconds=1)


def _position(text: str | None) -> tuple[datetime, int] | None:
    found = _POSITION.fullmatch(text or "")
    return None if found is None else (_EPOCH + int(found[1]) * _TICK, int(found[2]))


def capped_count(query: sa.Select, cap: int = COUNT_CAP) -> int:
    """How many rows a query has, counting no further than `cap`: pages say 「10000+」."""
    inner = query.with_only_columns(sa.literal(1), maintain_column_froms=True).order_by(None).limit(cap).subquery()
    return db.session.execute(sa.select(sa.func.count()).select_from(inner)).scalar_one()


# ── a whole list, for exports ───────────────────────────────────────────────────────────────────────

#: rows read at a time: flat memory, and no statement runs long
PIECE = 1000


@dataclass(frozen=True, slots=True)
class Listing:
    """Everything that a list shows page by page, in its order. Reading it again reads it anew."""

    pieces: Callable[[], Iterator[Sequence[Any]]]
    count: Callable[[], int]


def whole(
    query: sa.Select, id_column, *, oldest_first: bool = False, dress: Callable[[Sequence[Any]], Sequence[Any]] = list
) -> Listing:
    """The whole of what `keyset` pages. The rows carry the id column by its name; `dress` makes of each piece what the
    page shows.

    Counting fixes the lowest and the highest id: what is added later is in neither the count nor the pieces. No cursor
    and no snapshot stays open from piece to piece, so a row that leaves the list meanwhile is left out.
    """
    ends: tuple[int, int | None, int | None] | None = None

    def looked() -> tuple[int, int | None, int | None]:
        ids = query.with_only_columns(id_column.label("id"), maintain_column_froms=True).order_by(None).subquery()
        return tuple(db.session.execute(sa.select(sa.func.count(), sa.func.min(ids.c.id), sa.func.max(ids.c.id))).one())

    def count() -> int:
        nonlocal ends
        ends = looked()
        return ends[0]

    def pieces() -> Iterator[Sequence[Any]]:
        _, low, high = ends or looked()
        if low is None or high is None:
            return
        ordered = query.order_by(id_column.asc() if oldest_first else id_column.desc()).limit(PIECE)
        step, at, width = (1, low, PIECE) if oldest_first else (-1, high, PIECE)
        while low <= at <= high:
            # Both ends are named: given one alone, MariaDB may read a long list from its beginning for every piece.
            edge = min(max(at + step * (width - 1), low), high)
            rows = list(db.session.execute(ordered.where(id_column.between(min(at, edge), max(at, edge)))))
            if rows:
                yield dress(rows)
            if len(rows) == PIECE:
                last = getattr(rows[-1], id_column.key)
                at, width = last + step, max(PIECE, 2 * abs(last - at))
            else:
                at, width = edge + step, 4 * width

    return Listing(pieces, count)
