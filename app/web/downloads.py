"""A list as a file to take away. The view that offers it is a POST, and records it first (S2)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any

from flask import Response, stream_with_context

from app import csv_export
from app.web.filters import percent


def csv(name: str, head: Sequence[str], rows: Iterable[Sequence[Any]]) -> Response:
    """Streamed while the request's database session lives."""
    return Response(
        stream_with_context(csv_export.stream(head, rows)),
        mimetype="text/csv",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


def share(rate: Decimal | None) -> str:
    """A rate in a cell; empty where there is none."""
    return "" if rate is None else percent(rate)
