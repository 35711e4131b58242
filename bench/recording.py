"""The statements of one request, recorded at the driver, as a template that a floor can run again for others.

While it is recorded, the ids of what the request is about are so large that nothing else is equal to them: wherever
one stands among the parameters, alone or within a text, it is a slot of the template.
"""

from __future__ import annotations

import pickle
import re
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pymysql.connections
import pymysql.cursors
import sqlalchemy as sa

COMMIT, ROLLBACK = "COMMIT", "ROLLBACK"
Step = tuple[str, dict[str, Any]]


@contextmanager
def recorded(steps: list[Step]):
    """Append every statement that any connection of this process sends, and the ends of its transactions."""
    cursor, connection = pymysql.cursors.Cursor, pymysql.connections.Connection
    execute, commit, rollback = cursor.execute, connection.commit, connection.rollback

    def note(self, statement, parameters=None):
        steps.append((statement, dict(parameters or {})))
        return execute(self, statement, parameters)

    def note_commit(self):
        steps.append((COMMIT, {}))
        return commit(self)

    def note_rollback(self):
        steps.append((ROLLBACK, {}))
        return rollback(self)

    cursor.execute, connection.commit, connection.rollback = note, note_commit, note_rollback
    try:
        yield
    finally:
        cursor.execute, connection.commit, connection.rollback = execute, commit, rollback


def set_next_ids(connection, first: dict[str, int]) -> None:
    """Let the next row of each table have this id (MySQL)."""
    for table, number in first.items():
        connection.exec_driver_sql(f"ALTER TABLE {table} AUTO_INCREMENT = {number}")


def save(path: Path, steps: list[Step], slots: dict[str, Any], known: dict[str, Any]) -> None:
    """Keep the template with its slots (name → value while recording), and what the floor has to know besides."""
    plain = [(sql, {name: _plain(value) for name, value in values.items()}) for sql, values in steps]
    path.write_bytes(pickle.dumps((plain, slots, known)))


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, str) else value  # members of enums


@dataclass(frozen=True, slots=True)
class Ready:
    """A statement of the template, ready for SQLAlchemy Core. `slots` name parameters that are a slot, `texts` those
    that have slots within."""

    sql: str
    statement: sa.TextClause | None
    values: dict[str, Any]
    slots: tuple[tuple[str, str], ...]
    texts: tuple[str, ...]


def load(path: str) -> tuple[list[Ready], dict[str, str], dict[str, Any]]:
    """(the statements, text while recording → slot's name, what else was saved)."""
    steps, slots, known = pickle.loads(Path(path).read_bytes())
    names = {value: name for name, value in slots.items()}
    words = {str(value): name for name, value in slots.items() if not isinstance(value, datetime)}
    ready = []
    for sql, values in steps:
        if sql in (COMMIT, ROLLBACK):
            ready.append(Ready(sql, None, {}, (), ()))
            continue
        text = re.sub(r"%\((\w+)\)s", r":\1", sql.replace(":", r"\:")).replace("%%", "%")
        whole = tuple((name, names[value]) for name, value in values.items() if _is_slot(value, names))
        within = tuple(
            name for name, value in values.items()
            if isinstance(value, str) and value not in names and any(word in value for word in words)
        )  # fmt: skip
        ready.append(Ready(sql, sa.text(text), values, whole, within))
    return ready, words, known


def _is_slot(value: Any, names: dict[Any, str]) -> bool:
    return isinstance(value, (int, str, datetime)) and not isinstance(value, bool) and value in names


def filled(step: Ready, words: dict[str, str], slots: dict[str, Any]) -> dict[str, Any]:
    """The statement's parameters for these slots."""
    values = dict(step.values)
    for name, slot in step.slots:
        values[name] = slots[slot]
    for name in step.texts:
        text = values[name]
        for word, slot in words.items():
            if word in text:
                text = text.replace(word, str(slots[slot]))
        values[name] = text
    return values
