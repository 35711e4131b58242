"""What a policy figure was at a moment of the past, told from the audit log (R9): reports judge by the rule of then."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import sqlalchemy as sa

from app.db import db
from app.domain.audit.models import AuditEntry
from app.domain.policy import service as policy
from app.domain.policy.registry import POLICIES

_log = AuditEntry.__table__


class Past:
    """The named figures over time, by one read. A change that nobody recorded did not happen."""

    def __init__(self, *names: str):
        self._now = {name: policy.text(name) for name in names}
        self._changes: dict[str, list[tuple[datetime, str]]] = {name: [] for name in names}
        query = (
            sa.select(_log.c.target_id, _log.c.created_at, _log.c.before)
            .where(_log.c.target_type == "policy", _log.c.target_id.in_(names), _log.c.action == "policy.changed")
            .order_by(_log.c.id)
        )
        for row in db.session.execute(query):
            self._changes[row.target_id].append((row.created_at, row.before["value"]))

    def text(self, name: str, moment: datetime) -> str:
        """As it was written. A change is in force from the moment that it was recorded."""
        return next((before for at, before in self._changes[name] if moment < at), self._now[name])

    def get(self, name: str, moment: datetime) -> Any:
        """The typed value."""
        return POLICIES[name].parse(self.text(name, moment))

    def moments(self) -> list[datetime]:
        """When any of them changed, ascending."""
        return sorted({at for changes in self._changes.values() for at, _ in changes})
