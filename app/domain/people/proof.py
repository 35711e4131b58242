"""Whether a person has proved who they are lately enough for money and power (P9)."""

from __future__ import annotations

from app.domain.audit.actor import Actor
from app.domain.people.roles import require_proof
from app.domain.policy import service as policy


def require_recent(actor: Actor) -> None:
    """Raises StepUpRequired when the last password or TOTP is older than the policy `step_up_ttl`."""
    require_proof(actor, policy.get("step_up_ttl").total_seconds())
