"""行为报表: the page, the rows behind its figures, and both as files."""

from __future__ import annotations

from app.web.behaviour import files  # noqa: F401 - offers its lists
from app.web.behaviour.report import bp

__all__ = ["bp"]
