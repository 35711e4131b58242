"""Reading filters from the address. A value that makes no sense counts as not given: a list is never an error page."""

from __future__ import annotations

from collections.abc import Collection
from datetime import date, time

from flask import request, url_for

from app.paging import Page
from app.text import clean


def text_arg(name: str, max_length: int = 64) -> str | None:
    return clean(request.args.get(name), max_length) or None


def int_arg(name: str) -> int | None:
    """A positive id; what does not fit a BIGINT is no id."""
    text = request.args.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else None


def choice_arg(name: str, allowed: Collection[str]) -> str | None:
    value = request.args.get(name)
    return value if value in allowed else None


def date_arg(name: str) -> date | None:
    """A studio day as the browser's date field sends it."""
    try:
        day = date.fromisoformat(request.args.get(name, ""))
    except ValueError:
        return None
    # The ends of the calendar have no day before or after them, and nothing here is that old or that far away.
    return day if 2000 <= day.year <= 2199 else None


def time_arg(name: str) -> time | None:
    """A time of the day as `19:00`, on the studio's clock."""
    try:
        return time.fromisoformat(request.args.get(name, "")).replace(tzinfo=None)
    except ValueError:
        return None


def page_links(page: Page, endpoint: str, **values) -> dict[str, str | None]:
    """Addresses of the pages 「更新」 and 「更早」 under the filters of this address."""
    kept = {k: v for k, v in request.args.items() if v and k not in ("before", "after")} | values
    return {
        "newer": url_for(endpoint, **kept, after=page.newer) if page.newer else None,
        "older": url_for(endpoint, **kept, before=page.older) if page.older else None,
    }
