"""What the exceptions board shows: the list, the counts, one case with its history (O19)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from app.db import db
from app.domain.audit import queries as audit_queries
from app.domain.cases.models import CaseKind, CaseStatus, MoneyCase
from app.domain.people.models import Family, Staff
from app.paging import Listing, Page, keyset, whole

_c, _family, _staff = MoneyCase.__table__, Family.__table__, Staff.__table__

#: steps of a history that a page shows
HISTORY = 100


@dataclass(frozen=True, slots=True)
class CaseFilter:
    """What a person asked for; None means all. Open ones unless `status` says otherwise."""

    status: str | None = CaseStatus.OPEN
    kind: str | None = None
    family_id: int | None = None
    order_id: str | None = None
    refund_no: str | None = None


_rows = (
    sa.select(
        *_c.c, _family.c.name.label("family_name"), _staff.c.display_name.label("settled_by_name")
    )
    .outerjoin(_family, _family.c.id == _c.c.family_id)
    .outerjoin(_staff, _staff.c.id == _c.c.settled_by)
)  # fmt: skip


def select(asked: CaseFilter) -> sa.Select:
    """The rows asked for, unordered."""
    query = _rows
    for name in ("status", "kind", "family_id", "order_id", "refund_no"):
        value = getattr(asked, name)
        if value is not None:
            query = query.where(_c.c[name] == value)
    return query


def page(asked: CaseFilter, *, before: int | None = None, after: int | None = None, limit: int = 50) -> Page:
    """One page: of open ones what waits longest first, else the newest. Rows carry the table's columns, `family_name`
    and `settled_by_name`."""
    waiting = asked.status == CaseStatus.OPEN
    return keyset(select(asked), _c.c.id, before=before, after=after, limit=limit, oldest_first=waiting)


def every(asked: CaseFilter, dress: Callable[[Sequence[Any]], Sequence[Any]] = list) -> Listing:
    """All of them in the order of the pages, for an export."""
    return whole(select(asked), _c.c.id, oldest_first=asked.status == CaseStatus.OPEN, dress=dress)


def case(case_id: int) -> sa.Row | None:
    """One case, open or settled; None if there is none."""
    return db.session.execute(_rows.where(_c.c.id == case_id)).first()


def history(row: Any) -> list[sa.Row]:
    """What happened around a case, oldest first: the steps of itself, of its order and of its refund."""
    about = [("money_case", row.id), ("order", row.order_id), ("refund", row.refund_no), ("booking", row.booking_id)]
    return audit_queries.of_targets([(kind, number) for kind, number in about if number], newest=HISTORY)


#: how many wait: one read of the index on the status
OPEN = sa.select(sa.func.count()).select_from(_c).where(_c.c.status == CaseStatus.OPEN)


def counts() -> dict[str, int]:
    """Open cases by kind, in the order of the kinds; those of which there is none are 0."""
    query = sa.select(_c.c.kind, sa.func.count()).where(_c.c.status == CaseStatus.OPEN).group_by(_c.c.kind)
    found = dict(db.session.execute(query).all())
    return {kind: found.get(kind, 0) for kind in CaseKind}
