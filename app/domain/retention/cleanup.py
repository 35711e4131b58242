"""Forgetting what has been kept long enough (S12): what would go, and letting it go in short transactions.

A run may be stopped anywhere and begun again, and two at once share the work: each batch looks again, under lock, at
the rows that it takes.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from app import clock
from app.db import db, transactional
from app.domain.audit import service as audit
from app.domain.audit.actor import Actor
from app.domain.policy import service as policy
from app.domain.retention.kinds import KINDS, Kind

#: rows of one transaction, so that nobody waits for a large delete
BATCH = 500


@dataclass(frozen=True, slots=True)
class Line:
    """One kind: kept for so long (as the policy is written), so what is older than `before` goes; how many rows."""

    kind: str
    word: str
    kept: str
    before: datetime
    rows: int


def look() -> list[Line]:
    """What would go now; changes nothing. A hold or attempt that only an order keeps counts once the order is gone."""
    lines = []
    for kind in KINDS:
        line = _line(kind, rows=0)
        count = sa.select(sa.func.count()).select_from(kind.find(line.before).subquery())
        lines.append(_line(kind, before=line.before, rows=db.session.scalar(count)))
    db.session.rollback()
    return lines


def run(actor: Actor) -> list[Line]:
    """Let it go; returns what went. One audit row for each kind of which anything did."""
    return [_clean(kind, actor) for kind in KINDS]


def _line(kind: Kind, *, rows: int, before: datetime | None = None) -> Line:
    before = before or clock.now() - policy.get(kind.policy)
    return Line(kind.name, kind.word, policy.text(kind.policy), before, rows)


def _clean(kind: Kind, actor: Actor) -> Line:
    line = _line(kind, rows=0)
    db.session.rollback()
    rows, last = 0, None
    try:
        while True:
            count, gone, last = _batch(kind=kind, before=line.before, after=last)
            rows += gone
            if count < BATCH:
                break
    finally:
        # What went is written down even when a batch fails: the batches before it are gone for good.
        if rows:
            _record(line=line, rows=rows, actor=actor)
    return Line(line.kind, line.word, line.kept, line.before, rows)


@transactional
def _batch(*, kind: Kind, before: datetime, after: Any) -> tuple[int, int, Any]:
    """How many were found and how many went, and the last key; of keys beyond `after`."""
    query = kind.find(before).order_by(kind.key).limit(BATCH)
    if after is not None:
        query = query.where(kind.key > after)
    keys = list(db.session.scalars(query.with_for_update()))
    if not keys:
        return 0, 0, after
    return len(keys), kind.drop(keys), keys[-1]


@transactional
def _record(*, line: Line, rows: int, actor: Actor) -> None:
    audit.record(
        actor, "data.cleaned", target_type="data", target_id=line.kind,
        after={"rows": rows, "kept_for": line.kept, "before": line.before.isoformat()},
    )  # fmt: skip
