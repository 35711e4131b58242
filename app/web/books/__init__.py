"""日结 and 课消: a day's report and its close, revenue by month (W24, W25, W29)."""

from __future__ import annotations

from app.web.books import closing, days, revenue  # noqa: F401 - each hangs its views on it
from app.web.books.blueprint import bp

__all__ = ["bp"]
