"""A job done in a forked process that dies at a statement, for the tests that kill at every one."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from app import clock
from app.db import db
from app.domain.longjobs import rules
from app.flows import longjobs
from tests.concurrency import failpoints
from tests.concurrency.failpoints import Failpoint, Fuse
from tests.domain.desk.batches import job


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


def killed_throughout(
    members: Any,
    in_a_child: Callable[..., tuple[int | None, list[str]]],
    make_job: Callable[[], Any],
    traces: Callable[[Any], Any],
    again: Callable[[Any], object],
    check: Callable[[Any], object],
    *,
    step: int,
) -> int:
    """Kill a job at every `step`-th moment and at each around the COMMIT: it is done whole or not at all, and done once
    when it is asked for again, twice; `check` looks at the rest after each. Returns how many moments it has.

    Forks are dear, and the transaction has one end. `members` is the pool whose process forks.
    """
    first = make_job()
    none = traces(first)
    signalled, statements = members.apply(in_a_child, (first, None))
    done = traces(first)
    assert signalled is None
    assert done != none
    last = statements.index("COMMIT") + 1
    points = points_of(db.engine.dialect.name, statements[:last])
    for point in [*points[:-4:step], *points[-4:]]:
        name = f"{point}: {statements[point.number - 1]}"
        job = make_job()
        assert members.apply(in_a_child, (job, point))[0] == signal.SIGKILL, name
        # A COMMIT without its answer may have happened; before it nothing has, after it everything.
        allowed = {"before": [none], "after": [done], "sent": [none]}[point.moment]
        if point.moment == "sent" and point.number == last:
            allowed = [none, done]
        assert traces(job) in allowed, name
        for _ in range(2):
            again(job)
            assert traces(job) == done, name
        check(job)
    return len(points)


def killed_until_done(job_id: int, statements: tuple[int, int], *, seed: int) -> int:
    """Kill the workers of a long job at random moments, each after so many statements at least and at most, until one
    lives to end it; returns how many died.

    What was acknowledged stays, whoever dies. Each worker comes when the dead one's lease is over.
    """
    kills, chance = 0, random.Random(seed)
    while job(job_id).status in ("queued", "running"):
        before = job(job_id).checkpoint
        point = Failpoint(chance.choice(("before", "after")), chance.randint(*statements))
        with clock.travel(by=kills * (rules.LEASE + timedelta(seconds=1))):
            ended, _ = in_a_child(lambda: longjobs.run(job_id, seconds=30), point)
        assert ended in (None, signal.SIGKILL)
        kills += ended is not None
        assert job(job_id).checkpoint >= before, "what was acknowledged stays"
        assert kills < 60
    return kills
