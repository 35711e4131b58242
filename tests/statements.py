"""Which statements something runs, with their parameters, for tests of query plans."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import sqlalchemy as sa

from app.db import db


def run_by(read: Callable[[], object]) -> list[tuple[str, Any]]:
    """Call `read` within an application context; each statement that it sent, in order."""
    ran = []

    def note(_connection, _cursor, statement, parameters, *_rest):
        ran.append((statement, parameters))

    engine = db.session.get_bind().engine
    sa.event.listen(engine, "before_cursor_execute", note)
    try:
        read()
    finally:
        sa.event.remove(engine, "before_cursor_execute", note)
    return ran
