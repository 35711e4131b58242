"""课表: the week calendar, one session with its roll, making and changing sessions, and the catalog (U6, C2, C5)."""

from __future__ import annotations

from app.web.schedule import book, catalog, change, copy, roll, week  # noqa: F401 - each hangs its views on it
from app.web.schedule.blueprint import bp

__all__ = ["bp"]
