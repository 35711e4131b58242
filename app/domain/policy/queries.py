"""Policy figures and pending changes as the page and the command show them (U10)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from app.db import db
from app.domain.policy.models import ChangeRequest, PolicyValue
from app.domain.policy.registry import GROUPS, POLICIES, Policy

# Staff come after policies in the order of imports, so their table is named, as in a foreign key.
_staff = sa.table("staff", sa.column("id"), sa.column("display_name"))


@dataclass(frozen=True, slots=True)
class PendingChange:
    """A change that waits for a second person."""

    id: int
    policy: Policy
    old_value: str
    new_value: str
    reason: str
    asked_by: int
    asked_by_name: str
    asked_at: datetime


@dataclass(frozen=True, slots=True)
class PolicyLine:
    """One figure as it stands; `updated_at` and `updated_by` are None while it has its default."""

    policy: Policy
    value: str
    updated_at: datetime | None = None
    updated_by: str | None = None
    pending: PendingChange | None = None

    @property
    def is_default(self) -> bool:
        return self.value == self.policy.default


def lines() -> list[PolicyLine]:
    """Every figure in the order of the registry."""
    rows = {row.name: row for row in db.session.execute(sa.select(PolicyValue.__table__))}
    waiting = {change.policy.name: change for change in pending_changes()}
    found = []
    for name, policy in POLICIES.items():
        row = rows.get(name)
        facts = (row.value, row.updated_at, row.updated_by) if row else (policy.default, None, None)
        found.append(PolicyLine(policy, *facts, pending=waiting.get(name)))
    return found


def line(name: str) -> PolicyLine | None:
    """One figure; None for an unknown name."""
    return next((found for found in lines() if found.policy.name == name), None)


def by_group() -> list[tuple[str, str, list[PolicyLine]]]:
    """(group, what it governs, its figures) in the order of the page."""
    known = lines()
    return [(group, hint, [one for one in known if one.policy.group == group]) for group, hint in GROUPS.items()]


#: how many changes wait for somebody else than `me`
ASKED_BY_OTHERS = (
    sa.select(sa.func.count())
    .select_from(ChangeRequest)
    .where(
        ChangeRequest.kind == "policy", ChangeRequest.status == "pending", ChangeRequest.asked_by != sa.bindparam("me")
    )
)


def pending_changes() -> list[PendingChange]:
    """Changes that wait for a second person, oldest first."""
    query = (
        sa.select(ChangeRequest.__table__, _staff.c.display_name)
        .join(_staff, _staff.c.id == ChangeRequest.asked_by)
        .where(ChangeRequest.kind == "policy", ChangeRequest.status == "pending")
        .order_by(ChangeRequest.asked_at, ChangeRequest.id)
    )
    return [
        PendingChange(row.id, POLICIES[row.target], row.old_value, row.new_value, row.reason, row.asked_by,
                      row.display_name, row.asked_at)
        for row in db.session.execute(query)
        if row.target in POLICIES
    ]  # fmt: skip
