"""A job done in a forked process that dies at a statement, for the tests that kill at every one."""

from __future__ import annotations

import os
from collections.abc import Callable

from app.db import db
from tests.concurrency import failpoints
from tests.concurrency.failpoints import Failpoint, Fuse


def in_a_child(
    do: Callable[[], object], point: Failpoint | None, before: Callable[[], None] | None = None
) -> tuple[int | None, list[str]]:
    """Do it in a fork of this process that dies at the point; the signal that ended it, and the statements that it
    sent (only if it lived). `before` changes the fork's program first."""
    db.session.remove()
    db.engine.dispose()
    ear, mouth = os.pipe()
    child = os.fork()
    if child == 0:
        fuse = Fuse(point)
        with db.engine.connect():
            pass  # what a new connection says is no statement of the transaction
        failpoints.watch(lambda: fuse, db.engine)
        if before is not None:
            before()
        do()
        os.write(mouth, "\n".join(fuse.statements).encode())
        os._exit(0)
    os.close(mouth)
    _, status = os.waitpid(child, 0)
    with os.fdopen(ear) as said:
        statements = said.read().splitlines()
    return (os.WTERMSIG(status) if os.WIFSIGNALED(status) else None), statements


def points_of(engine: str, statements: list[str]) -> list[Failpoint]:
    """Every moment of these statements, the last of which is COMMIT."""
    assert statements[-1] == "COMMIT"
    moments = ("before", "sent") if engine == "mysql" else ("before",)
    found = [Failpoint(moment, number + 1) for number in range(len(statements)) for moment in moments]
    return [*found, Failpoint("after", len(statements))]
