"""Statements that take long, by their text and without any value (Z14); app/tally.py writes them down.

On MySQL the driver's cursor measures, and not an event of SQLAlchemy's: those would cost every statement of the hot
paths their short way (app/prepared.py).
"""

from __future__ import annotations

import hashlib
import re
import threading
import time
from dataclasses import dataclass
from typing import Any

from pymysql.cursors import Cursor
from sqlalchemy import event
from sqlalchemy.engine import Engine

#: texts of one process between two writings; what comes on top is left out, so that a flood costs no memory
MOST = 300
#: characters of a text that are kept
LENGTH = 2000

_LITERAL = re.compile(r"'(?:[^'\\]|\\.|'')*'|\b\d+(?:\.\d+)?\b")
_PLACE = r"(?:%s|%\(\w+\)s|\?)"
_PLACES = re.compile(rf"\(\s*{_PLACE}(?:\s*,\s*{_PLACE})*\s*\)(?:\s*,\s*\(\s*{_PLACE}(?:\s*,\s*{_PLACE})*\s*\))*")

_lock = threading.Lock()
_met: dict[str, Slow] = {}
_from_seconds = 0.2


@dataclass(slots=True)
class Slow:
    """One text since the last writing; milliseconds of all its slow runs, and of the longest."""

    statement: str
    runs: int = 0
    milliseconds: int = 0
    longest: int = 0

    @property
    def fingerprint(self) -> str:
        """SHA-256 hex of the text."""
        return hashlib.sha256(self.statement.encode()).hexdigest()


def set_threshold(seconds: float) -> None:
    """From how many seconds on a statement is slow."""
    global _from_seconds
    _from_seconds = seconds


def note(statement: str, seconds: float) -> None:
    """Keep a statement if it was slow."""
    if seconds < _from_seconds:
        return
    text, took = plain(statement), round(seconds * 1000)
    with _lock:
        if text not in _met and len(_met) >= MOST:
            return
        slow = _met.setdefault(text, Slow(text))
        slow.runs += 1
        slow.milliseconds += took
        slow.longest = max(slow.longest, took)


def take() -> list[Slow]:
    """What was met since the last call."""
    global _met
    with _lock:
        taken, _met = _met, {}
    return list(taken.values())


def plain(statement: str) -> str:
    """The text on one line with `?` for every value and `(?)` for every list, so that equal statements are one."""
    text = _PLACES.sub("(?)", _LITERAL.sub("?", " ".join(statement.split())))
    return text[:LENGTH]


class TimedCursor(Cursor):
    """PyMySQL's cursor, which measures each statement."""

    _many = False

    def execute(self, query: str, args: Any = None) -> int:
        if self._many:
            # A part of executemany: the values stand in its text.
            return super().execute(query, args)
        began = time.perf_counter()
        try:
            return super().execute(query, args)
        finally:
            note(query, time.perf_counter() - began)

    def executemany(self, query: str, args: Any) -> int | None:
        began, self._many = time.perf_counter(), True
        try:
            return super().executemany(query, args)
        finally:
            self._many = False
            note(query, time.perf_counter() - began)


def watch_sqlite(engine: Engine) -> None:
    """Measure on SQLite, where somebody listens to statements anyway."""
    event.listen(engine, "before_cursor_execute", _begin)
    event.listen(engine, "after_cursor_execute", _end)


def _begin(connection, *_rest) -> None:
    connection.info["desk.statement_began"] = time.perf_counter()


def _end(connection, _cursor, statement, *_rest) -> None:
    note(statement, time.perf_counter() - connection.info["desk.statement_began"])
