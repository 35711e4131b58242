"""Which rows a person chose: those ticked, or all that a filter finds, resolved again each time (U15)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from decimal import Decimal
from hashlib import sha256
from typing import Any

import sqlalchemy as sa

from app.column_types import canonical_json
from app.db import db
from app.domain.chosen.actions import Action, Row
from app.money import ZERO
from app.paging import capped_count

#: rows of one choice; what is more is narrowed by the filter, or comes as a sheet
MOST = 1000


@dataclass(frozen=True, slots=True)
class Chosen:
    """The rows as they are now. `digest` changes whenever a row, its version or its amount does."""

    rows: Sequence[sa.Row]
    digest: str
    #: there are more than MOST, and these are the first
    more: bool = False

    @property
    def items(self) -> list[Row]:
        return [Row(row.key, row.version) for row in self.rows]

    def sums(self) -> tuple[Decimal, Decimal]:
        """(what comes in, what goes out) in yuan, both positive; rows without an amount count as none."""
        amounts = [row.amount for row in self.rows if row.amount is not None]
        return sum((a for a in amounts if a > 0), ZERO), -sum((a for a in amounts if a < 0), ZERO)


def resolve(action: Action, listed: sa.Select, ticked: Collection[int] | None = None) -> Chosen:
    """The rows of a list, under its filters, that the action makes sense for; with `ticked`, of these ids alone."""
    query = _eligible(action, listed)
    if ticked is not None:
        query = query.where(action.id.in_(sorted(ticked)[: MOST + 1]))
    query = query.with_only_columns(
        action.id.label("id"), action.key.label("key"), _or_null(action.version, "version"),
        _or_null(action.amount, "amount"), _or_null(action.family_id, "family_id"), maintain_column_froms=True,
    )  # fmt: skip
    found = list(db.session.execute(query.order_by(None).order_by(action.id).limit(MOST + 1)))
    rows = found[:MOST]
    return Chosen(rows, _digest(rows), more=len(found) > MOST)


def count(action: Action, listed: sa.Select) -> int:
    """How many a filter finds, counting no further than one more than a choice may hold."""
    return capped_count(_eligible(action, listed), MOST + 1)


def _eligible(action: Action, listed: sa.Select) -> sa.Select:
    return listed.where(*action.eligible())


def _or_null(column: Any, name: str) -> sa.ColumnElement:
    return sa.null().label(name) if column is None else column.label(name)


def _digest(rows: Sequence[sa.Row]) -> str:
    seen = [[row.key, row.version, None if row.amount is None else f"{row.amount:.2f}"] for row in rows]
    return sha256(canonical_json(seen).encode()).hexdigest()
