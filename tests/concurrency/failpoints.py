"""Failpoints for tests: a process that kills itself with SIGKILL at a named moment of its talk with the database.

Nothing of this is in the product. What passes between the application and its driver is watched from outside, so every
statement of a transaction is a failpoint, those to come as well:

- `before 7`: the seventh statement was not sent;
- `sent 7`: it was sent, the answer never read (MySQL; SQLite answers within the process);
- `after 7`: its answer was read. The last statement of a transaction is COMMIT.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass

import pymysql.connections
import sqlalchemy as sa
from sqlalchemy.engine import Engine
from sqlalchemy.engine.default import DefaultDialect


@dataclass(frozen=True)
class Failpoint:
    """`number` counts statements from 1."""

    moment: str
    number: int

    def __str__(self) -> str:
        return f"{self.moment} {self.number}"

    @classmethod
    def parse(cls, text: str) -> Failpoint:
        moment, _, number = text.partition(" ")
        return cls(moment, int(number))


class Fuse:
    """Counts statements from when it is lit, and kills the process at its failpoint. Without one it only counts."""

    def __init__(self, point: Failpoint | None = None):
        self.point = point
        self.statements: list[str] = []

    def __call__(self, moment: str, statement: str) -> None:
        if moment == "before":
            self.statements.append(" ".join(statement.split())[:60])
        if self.point is not None and (moment, len(self.statements)) == (self.point.moment, self.point.number):
            os.kill(os.getpid(), signal.SIGKILL)


#: the fuse that burns in this process or thread, found anew at each statement
_burning: Callable[[], Fuse | None] = lambda: None  # noqa: E731


def watch(burning: Callable[[], Fuse | None], engine: Engine) -> None:
    """Tell the fuse that `burning` finds of every statement on this engine, from now on."""
    global _burning
    first, _burning = _burning is _nobody, burning
    if not first:
        return
    if engine.dialect.name == "sqlite":
        sa.event.listen(engine, "before_cursor_execute", lambda c, u, statement, *_: _tell("before", statement))
        sa.event.listen(engine, "after_cursor_execute", lambda c, u, statement, *_: _tell("after", statement))
        DefaultDialect.do_commit = _told(DefaultDialect.do_commit, lambda *_: "COMMIT")
    else:
        # Below SQLAlchemy: prepared statements go past it, straight to the driver.
        connection = pymysql.connections.Connection
        connection.query = _told(connection.query, lambda _self, sql, *_: sql)
        connection.commit = _told(connection.commit, lambda *_: "COMMIT")
        send = connection._execute_command

        def sent(self, command, sql):
            send(self, command, sql)
            _tell("sent", "")

        connection._execute_command = sent


_nobody = _burning


def _tell(moment: str, statement: str | bytes) -> None:
    fuse = _burning()
    if fuse is not None:
        fuse(moment, statement if isinstance(statement, str) else statement.decode(errors="replace"))


def _told(call, statement_of):
    def told(*args, **kwargs):
        statement = statement_of(*args)
        _tell("before", statement)
        result = call(*args, **kwargs)
        _tell("after", statement)
        return result

    return told
