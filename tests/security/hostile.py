"""Hostile text in every column that holds people's words, so that whatever page shows one shows it (S4, I-48).

The columns are found, not listed: a new one is hostile from its first day on. Codes (ASCII), sealed values and JSON are
left alone; rows that no trigger lets anybody change keep what they have.
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects import mysql
from sqlalchemy.exc import DatabaseError

from app.db import db, transaction
from app.domain.audit import service as audit
from app.domain.audit.actor import Actor
from tests.security.page import MARK

#: out of text, out of a double-quoted and of a single-quoted attribute, as an address, as a template, out of a script
TEXTS = (
    f"<{MARK}>", f'"><{MARK} y="', f"' {MARK}='", f"javascript:{MARK}()", f"{{{{7*7}}}}<{MARK}>", f"</script><{MARK}>",
    f"\u202e<{MARK}>&lt;{MARK}&gt;", f"]]><{MARK}>--><!--",
)  # fmt: skip
_DIALECT = mysql.dialect()
#: hashes, and figures that are parsed before they are stored: nobody's words
_KEPT = {"staff.password_hash", "change_requests.old_value", "change_requests.new_value"}


def columns() -> list[sa.Column]:
    """The columns of people's words."""
    return [
        column
        for table in db.metadata.sorted_tables
        for column in table.columns
        if type(column.type) is sa.String and "ascii" not in column.type.compile(_DIALECT) and column.computed is None
        and str(column) not in _KEPT and "id" in table.columns
    ]  # fmt: skip


def spoil() -> set[str]:
    """Write one text after the other into all rows of each such column; returns `table.column` of what was changed.

    Rows differ by their id at the end, for the columns that are unique.
    """
    # In a transaction that commits: the first use case afterwards would begin by rolling back an open one.
    with transaction():
        # The log takes no change; what it holds came as text once, by whatever action.
        words = {"reason": TEXTS[0], "error": TEXTS[1], "before": {TEXTS[0]: TEXTS[1]}, "after": {TEXTS[0]: TEXTS[2]}}
        author = Actor(type="staff", id=1, name=TEXTS[1], role="admin", ip="127.0.0.1", user_agent=TEXTS[0])
        audit.record(author, "staff.updated", target_type="staff", target_id=1, **words)
        return {str(column) for number, column in enumerate(columns()) if _spoil(column, number)}


def _spoil(column: sa.Column, number: int) -> bool:
    text = TEXTS[number % len(TEXTS)][: (column.type.length or 64) - 6]
    if MARK not in text:
        return False
    value = sa.literal(text).concat(sa.cast(column.table.c.id % 1000, sa.String(4)))
    for rows in (sa.true(), column.is_not(None)):
        try:
            with db.session.begin_nested():
                return bool(db.session.execute(column.table.update().where(rows).values({column: value})).rowcount)
        except DatabaseError:
            continue  # append-only, or checked by the database; perhaps only where nothing stands yet
    return False
