"""The money desk: adjusting a balance, approving, receipts to come, and a wallet's controls (U4, U5)."""

from __future__ import annotations

from app.web.desk import adjust, control, decide, lists  # noqa: F401 - each hangs its views on the blueprint
from app.web.desk.blueprint import bp

__all__ = ["bp"]
