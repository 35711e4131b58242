"""Wake the workers after a commit: the web side's only use of RQ.

Best effort by design. The row in the database is the truth, and the sweep finds what nobody rang for; so a Redis
that is away costs a request at most a fraction of a second, and while it stays away nothing at all.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from flask import Flask, current_app
from redis import RedisError
from rq import Queue
from rq.exceptions import DuplicateJobError
from rq.serializers import JSONSerializer

from app import redis
from app.db import install_doorbell

log = logging.getLogger("desk.doorbell")

QUEUES = ("urgent", "default", "bulk")
DELIVER = "tasks.notifications.deliver"
ADVANCE = "tasks.waitlist.advance"
#: seconds for which a Redis that failed is left alone
REST = 5.0
#: seconds that ringing may take in all; what is left over is the sweep's
BUDGET = 0.2
#: rows of one exchange with Redis
BATCH = 100
JOB_TIMEOUT = 60
_KEY = "desk.doorbell"


def init_app(app: Flask) -> None:
    app.extensions[_KEY] = {"closed_until": 0.0}
    install_doorbell(ring)


def ring(wake: set[tuple[str, int]], sessions: set[int] = frozenset()) -> None:
    """Put a job into RQ for each (queue, notification id), and for each session whose waitlist moves on; never raises,
    never waits long."""
    began = time.monotonic()
    for schedule_id in sorted(sessions):
        if time.monotonic() - began > BUDGET or not enqueue(
            "urgent", ADVANCE, schedule_id, job_id=f"waitlist-{schedule_id}"
        ):
            return
    for queue in QUEUES:
        rows = sorted(row_id for name, row_id in wake if name == queue)
        for first in range(0, len(rows), BATCH):
            if time.monotonic() - began > BUDGET or not _enqueue_batch(queue, rows[first : first + BATCH]):
                return


def _enqueue_batch(queue: str, rows: list[int]) -> bool:
    """Queue the first deliveries of fresh rows in one exchange with Redis: a round of five hundred in a few."""
    if len(rows) == 1:
        return enqueue_delivery(queue, rows[0], "0")
    jobs = [
        Queue.prepare_data(
            DELIVER, args=(row_id,), job_id=f"notice-{row_id}-0", timeout=JOB_TIMEOUT, result_ttl=0, failure_ttl=3600
        )
        for row_id in rows
    ]
    return _answered(lambda: _queue(queue).enqueue_many(jobs))


def enqueue_delivery(queue: str, row_id: int, turn: str) -> bool:
    """Queue one delivery; `turn` tells repeated ones of a row apart. False when Redis is away.

    The same row and turn is queued once however often it is asked for. Workers claim the row in the database, so
    that one too many does no harm.
    """
    return enqueue(queue, DELIVER, row_id, job_id=f"notice-{row_id}-{turn}")


def enqueue(queue: str, function: str, *args: int | str, job_id: str, timeout: int = JOB_TIMEOUT) -> bool:
    """Queue a function by its name with plain arguments. False when Redis is away."""
    return _answered(
        lambda: _queue(queue).enqueue_call(
            function, args=args, job_id=job_id, unique=True, timeout=timeout, result_ttl=0, failure_ttl=3600
        )
    )


def _queue(name: str) -> Queue:
    return Queue(name, connection=redis.client(), serializer=JSONSerializer)


def _answered(ask: Callable[[], object]) -> bool:
    breaker = current_app.extensions[_KEY]
    if time.monotonic() < breaker["closed_until"]:
        return False
    try:
        ask()
    except DuplicateJobError:
        return True
    except (RedisError, OSError, redis.RedisUnavailable) as error:
        redis.forget()
        breaker["closed_until"] = time.monotonic() + REST
        log.warning("redis is away, the sweep will deliver", extra={"error": type(error).__name__})
        return False
    return True
