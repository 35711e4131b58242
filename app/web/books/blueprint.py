"""The blueprint of the books, and how their addresses name days and months."""

from __future__ import annotations

from datetime import date

from flask import Blueprint, abort, request

from app import clock
from app.domain.books import revenue
from app.web.filter_args import date_arg

bp = Blueprint("books", __name__)


def day_of(text: str) -> date:
    """The studio day in an address. Aborts with 404 for what is none, or lies ahead."""
    try:
        on = date.fromisoformat(text)
    except ValueError:
        abort(404)
    if on.year < 2000 or on > clock.today():
        abort(404)
    return on


def day_arg() -> date:
    """The day that an export is of; today where none is named."""
    on = date_arg("on") or clock.today()
    return min(on, clock.today())


def month_arg() -> date:
    """The first day of the month that is asked for, as `2026-11`; this month where none is named or it lies ahead."""
    this = revenue.month_of(clock.today())
    try:
        first = date.fromisoformat(f"{request.args.get('month', '')}-01")
    except ValueError:
        return this
    return min(first, this) if first.year >= 2000 else this
