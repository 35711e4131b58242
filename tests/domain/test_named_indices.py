"""Each index that the original documents name is there, or what docs/decisions/0026-indices.md says instead (Z17)."""

from __future__ import annotations

import re

import sqlalchemy as sa

from app.config import ROOT
from app.db import db

_NAMED = re.compile(r"^\| (\w+) \| (.+?) \| `(\w+)\(([\w, ]+)\)` \|.*\|$", re.MULTILINE)


def named() -> list[tuple[str, str, list[str]]]:
    """(what the documents call it, table, columns) of each line."""
    text = (ROOT / "docs/decisions/0026-indices.md").read_text(encoding="utf-8")
    return [(line[1], line[2], line[3].split(", ")) for line in _NAMED.findall(text)]


def served(inspector: sa.Inspector, table: str, columns: list[str]) -> bool:
    """Whether an index or a unique constraint begins with these columns."""
    known = [one["column_names"] for one in (*inspector.get_indexes(table), *inspector.get_unique_constraints(table))]
    return any(names[: len(columns)] == columns for names in known)


def test_each_named_index_is_there_or_what_serves_instead(app):
    inspector = sa.inspect(db.session.connection())
    lines = named()
    assert len(lines) == 33
    assert [line for line in lines if not served(inspector, line[1], line[2])] == []
    assert not served(inspector, "payment_orders", ["amount"]), "the finder can say no"
