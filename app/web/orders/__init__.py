"""Trial orders and refunds in the portal (O14, O23, O25, O26)."""

from __future__ import annotations

from app.web.orders import lists, offline, refund_ask, refunds, report  # noqa: F401 - each hangs its views on it
from app.web.orders.blueprint import bp

__all__ = ["bp"]
