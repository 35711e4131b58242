"""How the deletion of a family's personal data stands, for its page (S8)."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from app.db import db
from app.domain.people.models import Staff
from app.domain.retention import proof, requests
from app.domain.retention.obstacles import obstacles
from app.domain.retention.scope import scope_of


@dataclass(frozen=True, slots=True)
class Plan:
    """`certificate` once it is done; `pending` while somebody is asked; `obstacles` while it can't be. `names` are
    those of staff by id; `parents`, `students` how many people it is about."""

    certificate: sa.Row | None
    pending: sa.Row | None
    obstacles: list[str]
    parents: int
    students: int
    names: dict[int, str]


def plan(family_id: int) -> Plan:
    """Of a family that exists."""
    certificate, pending, scope = proof.certificate(family_id), requests.pending(family_id), scope_of(family_id)
    people = [row.asked_by for row in (certificate, pending) if row is not None]
    people += [certificate.approved_by] if certificate is not None else []
    names = db.session.execute(sa.select(Staff.id, Staff.display_name).where(Staff.id.in_(people))).all()
    return Plan(
        certificate, pending, [] if certificate is not None else obstacles(scope), len(scope.users),
        len(scope.profiles), dict(names),
    )  # fmt: skip
