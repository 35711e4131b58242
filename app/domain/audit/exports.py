"""Taking the audit log out of the house is itself recorded."""

from __future__ import annotations

from app.db import transactional
from app.domain.audit import service as audit
from app.domain.audit.actor import Actor


@transactional
def note_export(*, what: str, filters: dict[str, str], actor: Actor) -> None:
    """Record that a list was exported, and under which filters."""
    audit.record(actor, "export.made", target_type="export", target_id=what, after={"filters": filters})
