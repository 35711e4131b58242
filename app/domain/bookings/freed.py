"""A seat is free again. Whatever frees one comes here (C4, Q5): from here a waitlist will take it."""

from __future__ import annotations

from app.domain.seats import service as seats


def seat_freed(schedule_id: int) -> None:
    """Building block: a live booking of this session has ended in this transaction. The session's row is locked."""
    seats.give_back(schedule_id)
