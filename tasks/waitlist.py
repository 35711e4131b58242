"""Jobs about the waitlist. Ids in, one use case called: the rows say what happened."""

from __future__ import annotations

from app.domain.offers import advance as offers


def advance(schedule_id: int) -> None:
    """Move on what is due in the queue of one session."""
    offers.advance(schedule_id=schedule_id)
