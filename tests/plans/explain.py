"""How MariaDB would run a statement: which tables it would read from end to end."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy.engine import Connection

from tests.plans.crowd import ROWS

_JUDGED = re.compile(r"\s*\(*(SELECT|UPDATE|DELETE|WITH)\b", re.IGNORECASE)
#: a walk along an index that stops at its limit reads a page of it; one that may read a third reads it all
_PAGE = ROWS // 3
#: so many numbers asked for at once are a large part of this studio, and none of a true one
_MANY = 200


@dataclass(frozen=True)
class Scan:
    table: str
    statement: str
    parameters: Any

    def __str__(self) -> str:
        return f"{self.table}: {self.statement} ← {self.parameters}"


def distinct(ran: Iterable[tuple[str, Any]]) -> list[tuple[str, Any]]:
    """Each text once, with its first parameters: the number of values in a list is no other statement."""
    found: dict[str, tuple[str, Any]] = {}
    for statement, parameters in ran:
        found.setdefault(re.sub(r"(%\(\w+\)s|%s)(, (%\(\w+\)s|%s))+", "…", statement), (statement, parameters))
    return list(found.values())


def scans(connection: Connection, ran: Iterable[tuple[str, Any]], exempt: Iterable[str]) -> list[Scan]:
    """What of `ran` reads a whole table that is not `exempt`."""
    exempt = set(exempt)
    found = []
    for statement, parameters in distinct(ran):
        if not _JUDGED.match(statement) or len(parameters) > _MANY:
            continue
        for line in connection.exec_driver_sql(f"EXPLAIN {statement}", parameters).mappings().all():
            table = _table(line["table"], statement)
            if table and table not in exempt and _is_whole(line):
                found.append(Scan(table, statement, parameters))
    return found


def _is_whole(line) -> bool:
    return line["type"] == "ALL" or (line["type"] == "index" and int(line["rows"] or 0) > _PAGE)


def _table(named: str | None, statement: str) -> str | None:
    """The table behind a plan's line; None for results that the statement itself made."""
    if named is None or named.startswith("<"):
        return None
    alias = re.search(rf"\b(\w+) AS `?{re.escape(named)}`?(?!\w)", statement)
    return alias[1] if alias else named
