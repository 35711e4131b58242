"""Taking a list out of the house is itself recorded."""

from __future__ import annotations

from app.db import transactional
from app.domain.audit import service as audit
from app.domain.audit.actor import Actor


@transactional
def note_export(
    *, what: str, filters: dict[str, str], rows: int, form: str, actor: Actor, family_id: int | None = None
) -> None:
    """Record that a list was exported: under which filters, in words, how many rows it had when it was asked for, and
    as what (csv, xlsx). Written before the first byte leaves, so that a file without its row cannot be.

    `family_id` is set where the list is one family's.
    """
    audit.record(actor, "export.made", target_type="export", target_id=what, family_id=family_id,
                 after={"filters": filters, "rows": rows, "format": form})  # fmt: skip
