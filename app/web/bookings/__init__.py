"""Bookings at the desk (B3, B4, B8): book, cancel and take leave for a parent, and refunds after the cutoff."""

from __future__ import annotations

from app.web.bookings import ending, late, new  # noqa: F401 - each hangs its views on the blueprint
from app.web.bookings.blueprint import bp

__all__ = ["bp"]
