"""How often each colleague did what fraud is made of, in a span of days: counted from the audit log (S1)."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import sqlalchemy as sa

from app.db import db
from app.domain.audit.models import AuditEntry
from app.domain.reports.payments import Span

_log = AuditEntry.__table__

#: column → the actions that it counts
COUNTED: dict[str, tuple[str, ...]] = {
    "adjustments": ("adjustment.asked",),
    "undone": ("adjustment.withdrawn", "adjustment.rejected"),
    "refunds": ("refund.asked", "late_refund.asked", "order.offline_asked"),
    "credits": ("compensation.adjusted", "credit.extended", "credit.voided"),
    "queues": ("waitlist.offered", "waitlist.moved", "waitlist.skipped", "waitlist.removed"),
    "reveals": ("people.revealed",),
    "exports": ("export.made",),
}
_COLUMN = {action: column for column, actions in COUNTED.items() for action in actions}


@dataclass(frozen=True, slots=True)
class Person:
    """`counts` by the names of COUNTED; zero where there was nothing."""

    staff_id: int
    name: str
    counts: Counter[str]


def table(span: Span) -> list[Person]:
    """Whoever did any of it, those with the most first."""
    start, end = span.bounds
    rows = db.session.execute(
        sa.select(_log.c.actor_id, sa.func.max(_log.c.actor_name).label("name"), _log.c.action, sa.func.count())
        .where(
            _log.c.action.in_(_COLUMN), _log.c.actor_type == "staff", _log.c.actor_id.is_not(None),
            _log.c.created_at >= start, _log.c.created_at < end,
        )
        .group_by(_log.c.actor_id, _log.c.action)
    )  # fmt: skip
    found: dict[int, Person] = {}
    for actor_id, name, action, number in rows:
        person = found.setdefault(actor_id, Person(actor_id, name, Counter()))
        person.counts[_COLUMN[action]] += number
    return sorted(found.values(), key=lambda person: (-person.counts.total(), person.staff_id))
