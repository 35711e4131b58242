"""Reading the audit log: by who, what, whom and when (U9)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import sqlalchemy as sa

from app import clock
from app.db import db
from app.domain.audit.models import AuditEntry, AuditSeal
from app.paging import Listing, Page, keyset, whole

_log = AuditEntry.__table__


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """What a person asked for; None means all."""

    family_id: int | None = None
    actor_type: str | None = None
    actor_id: int | None = None
    #: an action, or its first word with a dot: `adjustment.`
    action: str | None = None
    target_type: str | None = None
    target_id: str | None = None
    date_from: date | None = None
    date_to: date | None = None
    request_id: str | None = None


def select(asked: AuditFilter) -> sa.Select:
    """The rows asked for, unordered; each condition has its index."""
    query = sa.select(_log)
    codes = (asked.action, asked.target_type, asked.target_id, asked.request_id)
    if not all(code is None or code.isascii() for code in codes):
        return query.where(sa.false())  # no row has such a code, and MariaDB refuses to compare
    if asked.action and asked.action.endswith("."):
        query = query.where(_log.c.action >= asked.action, _log.c.action < asked.action[:-1] + "/")
    elif asked.action:
        query = query.where(_log.c.action == asked.action)
    for name in ("family_id", "actor_type", "actor_id", "target_type", "target_id", "request_id"):
        value = getattr(asked, name)
        if value is not None:
            query = query.where(_log.c[name] == value)
    if asked.date_from:
        query = query.where(_log.c.created_at >= clock.day_bounds(asked.date_from)[0])
    if asked.date_to:
        query = query.where(_log.c.created_at < clock.day_bounds(asked.date_to)[1])
    return query


def page(asked: AuditFilter, *, before: int | None = None, after: int | None = None, limit: int = 50) -> Page:
    """One page of the log, newest first."""
    return keyset(select(asked), _log.c.id, before=before, after=after, limit=limit)


def entry(entry_id: int):
    """One row, or None."""
    return db.session.execute(sa.select(_log).where(_log.c.id == entry_id)).first()


def sealed_up_to() -> int:
    """Id of the newest row that a seal covers; 0 before the first seal."""
    return db.session.execute(sa.select(sa.func.max(AuditSeal.last_id))).scalar() or 0


def last_seal():
    """The newest seal, or None."""
    return db.session.execute(sa.select(AuditSeal.__table__).order_by(AuditSeal.id.desc()).limit(1)).first()


def of_target(target_type: str, target_id: object) -> list:
    """Everything that happened to one thing, oldest first."""
    return of_targets([(target_type, target_id)])


def of_targets(targets: Sequence[tuple[str, object]], *, newest: int = 500) -> list:
    """What happened to several things, oldest first; where there is more, the newest. Each is found by its index."""
    these = [sa.and_(_log.c.target_type == kind, _log.c.target_id == str(number)) for kind, number in targets]
    rows = db.session.execute(sa.select(_log).where(sa.or_(*these)).order_by(_log.c.id.desc()).limit(newest))
    return rows.all()[::-1]


def every(asked: AuditFilter) -> Listing:
    """All rows asked for, newest first: an export is exactly the list on the screen (U15)."""
    return whole(select(asked), _log.c.id)
