"""候补: the board of queues, one wait with what staff may do about it, the story of each freed seat (Q18, Q19)."""

from __future__ import annotations

from app.web.waitlist import add, board, entry, releases  # noqa: F401 - each hangs its views on it
from app.web.waitlist.blueprint import bp

__all__ = ["bp"]
