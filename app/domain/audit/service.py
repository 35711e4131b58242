"""Writing the audit log. One building block; every use case calls it in its own transaction (R7)."""

from __future__ import annotations

from typing import Any

from app import clock, ids
from app.domain.audit.actor import Actor, ActorType
from app.domain.audit.models import AuditEntry
from app.prepared import Prepared

_insert = Prepared(AuditEntry.__table__.insert())


def record(
    actor: Actor,
    action: str,
    *,
    target_type: str,
    target_id: Any,
    family_id: int | None = None,
    order_id: str | None = None,
    transaction_id: Any = None,
    old_status: str | None = None,
    new_status: str | None = None,
    before: dict | None = None,
    after: dict | None = None,
    request: dict | None = None,
    answer: dict | None = None,
    reason: str | None = None,
    error: str | None = None,
) -> None:
    """Append one row. `before`, `after`, `request`, `answer` are plain JSON data, already redacted."""
    _insert(
        {
            "created_at": clock.now(),
            "actor_type": actor.type,
            "actor_id": actor.id,
            "actor_name": _name(actor),
            "action": action,
            "target_type": target_type,
            "target_id": str(target_id),
            "family_id": family_id,
            "order_id": order_id,
            "transaction_id": None if transaction_id is None else str(transaction_id),
            "old_status": old_status,
            "new_status": new_status,
            "before": before,
            "after": after,
            "request": request,
            "answer": answer,
            "reason": None if reason is None else reason[:500],
            "error": None if error is None else error[:500],
            "ip": actor.ip,
            "user_agent": None if actor.user_agent is None else actor.user_agent[:255],
            "request_id": actor.request_id or ids.request_id(),
        },
    )


def _name(actor: Actor) -> str:
    """Staff by name. A parent by number: what is written here can never be deleted, and their names must be (S8)."""
    if actor.type == ActorType.PARENT:
        return "家长" if actor.id is None else f"家长 {actor.id}"
    return actor.name[:64]
