"""补课安排: open credits with the sessions that fit, requests of parents, several students onto one session, minutes,
and what to open (M9, M11, M12)."""

from __future__ import annotations

from app.web.makeups import credit, lists, minutes, needs, sessions, students  # noqa: F401 - each hangs its views on it
from app.web.makeups.blueprint import bp

__all__ = ["bp"]
