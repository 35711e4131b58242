"""Hostile text in every column that holds people's words, so that whatever page shows one shows it (S4, I-48).

The columns are found, not listed: a new one is hostile from its first day on. Codes (ASCII), sealed values and JSON are
left alone; rows that no trigger lets anybody change keep what they have.
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects import mysql
from sqlalchemy.exc import DatabaseError

from app.db import db
from tests.security.page import MARK

#: out of text, out of a double-quoted and of a single-quoted attribute, as an address, as a template, out of a script
TEXTS = (
    f"<{MARK}>", f'"><{MARK} y="', f"' {MARK}='", f"javascript:{MARK}()", f"{{{{7*7}}}}<{MARK}>", f"</script><{MARK}>",
    f"\u202e<{MARK}>&lt;{MARK}&gt;", f"]]><{MARK}>--><!--",
)  # fmt: skip
_DIALECT = mysql.dialect()
#: what is compared and not shown
_KEPT = {("staff", "password_hash"), ("policy_values", "value"), ("policy_changes", "value")}


def columns() -> list[sa.Column]:
    """The columns of people's words."""
    return [
        column
        for table in db.metadata.sorted_tables
        for column in table.columns
        if type(column.type) is sa.String and "ascii" not in column.type.compile(_DIALECT) and column.computed is None
        and (table.name, column.name) not in _KEPT and "id" in table.columns
    ]  # fmt: skip


def spoil() -> set[str]:
    """Write one text after the other into all rows of each such column; returns `table.column` of what was changed.

    Rows differ by their id at the end, for the columns that are unique.
    """
    done = set()
    for number, column in enumerate(columns()):
        text = TEXTS[number % len(TEXTS)][: (column.type.length or 64) - 6]
        if MARK not in text:
            continue
        value = sa.literal(text).concat(sa.cast(column.table.c.id % 1000, sa.String(4)))
        try:
            with db.session.begin_nested():
                changed = db.session.execute(column.table.update().where(column.is_not(None)).values({column: value}))
        except DatabaseError:
            continue  # append-only, or checked by the database
        if changed.rowcount:
            done.add(f"{column.table.name}.{column.name}")
    db.session.flush()
    return done
