"""Everything in money that a person must settle, from the tables where it is kept, as one list (O19).

Nothing is copied: a case, a difference of reconciling and an adjustment without its receipt each stay with their own
page, which settles them, and leave the list by that. The oldest waits on top. Each source is read by its own index from
the same place, and the three short lists become one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from heapq import merge, nlargest, nsmallest
from typing import Any

import sqlalchemy as sa

from app.db import db
from app.domain.cases import queries as cases
from app.domain.cases import rules
from app.domain.cases.models import MoneyCase
from app.domain.cases.queries import CaseFilter
from app.domain.cases.service import KIND_TEXTS
from app.domain.desk import queries as desk
from app.domain.desk.models import WalletAdjustment
from app.domain.desk.queries import AdjustmentFilter
from app.domain.desk.words import TYPES
from app.domain.reconcile import queries as reconcile
from app.domain.reconcile import words
from app.domain.reconcile.models import ReconcileDifference
from app.domain.reconcile.queries import DifferenceFilter
from app.paging import Listing, Page

_c, _d, _a = MoneyCase.__table__, ReconcileDifference.__table__, WalletAdjustment.__table__
_EPOCH, _TICK = datetime(1970, 1, 1, tzinfo=UTC), timedelta(microseconds=1)
_PLACE = re.compile(r"(\d{1,17})-([a-z]{1,12})-(\d{1,18})", re.ASCII)
#: rows read at a time for an export
PIECE = 500


class Source(StrEnum):
    """Where a row is kept; in this order where two began in the same moment."""

    CASE = "case"
    DIFFERENCE = "difference"
    RECEIPT = "receipt"


#: kinds of the filter beside those of cases
KINDS: dict[str, str] = {Source.DIFFERENCE: "对账差异", Source.RECEIPT: "调整待补凭证"}


@dataclass(frozen=True, slots=True)
class BoardFilter:
    """What a person asked for, and may see; `kind` is a case's, or one of KINDS."""

    sources: frozenset[str] = frozenset(Source)
    kind: str | None = None
    family_id: int | None = None

    def of(self) -> list[str]:
        """The sources that can have rows of this kind."""
        wanted = self.kind if self.kind in KINDS else Source.CASE if self.kind else None
        return [one for one in Source if one in self.sources and wanted in (None, one)]


@dataclass(frozen=True, slots=True)
class Item:
    """One thing to settle. `amount` in signed yuan, None where there is none; `owner` says who is to do it."""

    source: str
    id: int
    kind: str
    what: str
    title: str
    advice: str
    family_id: int | None
    family_name: str | None
    amount: Decimal | None
    opened_at: datetime
    #: the row of its own table, for what only that has
    row: Any = field(compare=False, repr=False)

    @property
    def place(self) -> tuple[datetime, str, int]:
        return self.opened_at, self.source, self.id

    def owner(self, now: datetime) -> str:
        """Who deals with it: after a day the finance, after three the manager (Z16)."""
        waited = now - self.opened_at
        if waited >= rules.VERY_LATE:
            return "店长"
        return self.row.asked_by_name if self.source == Source.RECEIPT and waited < rules.LATE else "财务"


# ── where the rows come from ────────────────────────────────────────────────────────────────────────


def case_item(row: Any) -> Item:
    """A case as the board shows it, open or settled."""
    return Item(
        Source.CASE, row.id, row.kind, KIND_TEXTS.get(row.kind, row.kind), row.title, rules.GUIDES[row.kind].advice,
        row.family_id, row.family_name, row.amount, row.opened_at, row,
    )  # fmt: skip


def case_items(found: Sequence[Any]) -> list[Item]:
    """The same of several, for an export."""
    return [case_item(row) for row in found]


def _difference_item(row: Any) -> Item:
    should, is_here = words.sides(row.source)
    title = f"{words.KIND_TEXTS.get(row.kind, row.kind)}。{should}：{row.expected}；{is_here}：{row.found}"
    amount = row.found_amount if row.expected_amount is None else row.expected_amount
    advice = words.ADVICE.get(row.kind, "查明原因后写明结果。")
    return Item(Source.DIFFERENCE, row.id, Source.DIFFERENCE, KINDS[Source.DIFFERENCE], title, advice, row.family_id,
                row.family_name, amount, row.opened_at, row)  # fmt: skip


def _receipt_item(row: Any) -> Item:
    title = f"{TYPES.get(row.type, row.type)}，{row.asked_by_name}提交，没有凭证，还没有入账"
    advice = "向经办人要凭证后上传，上传后才会入账；不该有的调整请撤回。"
    return Item(Source.RECEIPT, row.id, Source.RECEIPT, KINDS[Source.RECEIPT], title, advice, row.family_id,
                row.family_name, row.amount, row.asked_at, row)  # fmt: skip


@dataclass(frozen=True, slots=True)
class _From:
    """A table's part of the board: its rows under a filter, when each began, and how one is shown."""

    select: Callable[[BoardFilter], sa.Select]
    at: sa.Column
    id: sa.Column
    item: Callable[[Any], Item]


_FROM: dict[str, _From] = {
    Source.CASE: _From(
        lambda asked: cases.select(CaseFilter(kind=asked.kind, family_id=asked.family_id)), _c.c.opened_at, _c.c.id,
        case_item,
    ),
    Source.DIFFERENCE: _From(
        lambda asked: reconcile.select(DifferenceFilter(family_id=asked.family_id)), _d.c.opened_at, _d.c.id,
        _difference_item,
    ),
    Source.RECEIPT: _From(
        lambda asked: desk.select(AdjustmentFilter(status="awaiting_receipt", family_id=asked.family_id)),
        _a.c.asked_at, _a.c.id, _receipt_item,
    ),
}  # fmt: skip


# ── the list ────────────────────────────────────────────────────────────────────────────────────────


def page(asked: BoardFilter, *, before: str | None = None, after: str | None = None, limit: int = 50) -> Page:
    """One page, what waits longest first. `before` and `after` are places that a page gave; others count as none."""
    below, above = _read_place(after), _read_place(before)
    backwards = above is not None and below is None
    found = _nearest(asked, above if backwards else below, limit + 1, backwards=backwards)
    more, found = len(found) > limit, found[:limit]
    if not found:
        return Page([], None, None)
    found = found[::-1] if backwards else found
    newer = _place(found[-1]) if more or backwards else None
    older = _place(found[0]) if below is not None or (backwards and more) else None
    return Page(found, newer, older)


def every(asked: BoardFilter) -> Listing:
    """All of them in the same order, for an export."""

    def pieces() -> Iterator[Sequence[Item]]:
        last: str | None = None
        while True:
            found = page(asked, after=last, limit=PIECE)
            if found.items:
                yield found.items
            if found.newer is None:
                return
            last = found.newer

    return Listing(pieces, lambda: total(asked))


def total(asked: BoardFilter) -> int:
    """How many rows a filter finds."""
    parts = [(_FROM[source].select(asked), _FROM[source].id) for source in asked.of()]
    inner = [query.with_only_columns(column, maintain_column_froms=True).subquery() for query, column in parts]
    numbers = [sa.select(sa.func.count()).select_from(one).scalar_subquery() for one in inner]
    return db.session.scalar(sa.select(sum(numbers, start=sa.literal(0)))) if numbers else 0


def counts(asked: BoardFilter) -> dict[str, int]:
    """How many wait, by kind; those of which there is none are 0. The filter's own kind is left out of account."""
    found: dict[str, int] = {}
    if Source.CASE in asked.sources:
        found |= cases.counts()
    if Source.DIFFERENCE in asked.sources:
        found[Source.DIFFERENCE] = reconcile.open_count()
    if Source.RECEIPT in asked.sources:
        found[Source.RECEIPT] = desk.missing_receipts_count()
    return found


def _nearest(
    asked: BoardFilter, place: tuple[datetime, str, int] | None, limit: int, *, backwards: bool = False
) -> list[Item]:  # fmt: skip
    """The `limit` items next to a place, going on from it."""
    parts = []
    for source in asked.of():
        part = _FROM[source]
        query = part.select(asked)
        if place is not None:
            query = query.where(*_beyond(part, source, place, backwards=backwards))
        order = (part.at.desc(), part.id.desc()) if backwards else (part.at, part.id)
        parts.append([part.item(row) for row in db.session.execute(query.order_by(*order).limit(limit))])
    pick = nlargest if backwards else nsmallest
    return pick(limit, merge(*parts, key=lambda one: one.place, reverse=backwards), key=lambda one: one.place)


def _beyond(part: _From, source: str, place: tuple[datetime, str, int], *, backwards: bool) -> list[Any]:
    at, last, row_id = place
    same = sa.true() if source == last else sa.false()
    if backwards:
        earlier = sa.true() if source < last else sa.false()
        return [part.at <= at, sa.or_(part.at < at, earlier, sa.and_(same, part.id < row_id))]
    later = sa.true() if source > last else sa.false()
    return [part.at >= at, sa.or_(part.at > at, later, sa.and_(same, part.id > row_id))]


def _place(item: Item) -> str:
    return f"{(item.opened_at - _EPOCH) // _TICK}-{item.source}-{item.id}"


def _read_place(text: str | None) -> tuple[datetime, str, int] | None:
    found = _PLACE.fullmatch(text or "")
    if found is None or found[2] not in iter(Source):
        return None
    return _EPOCH + int(found[1]) * _TICK, found[2], int(found[3])
