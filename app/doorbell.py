"""Wake the workers after a commit: the web side's only use of RQ.

Best effort by design. The row in the database is the truth, and the sweep finds what nobody rang for; so a Redis
that is away costs a request at most a fraction of a second, and while it stays away nothing at all.
"""

from __future__ import annotations

import logging
import time

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
#: seconds for which a Redis that failed is left alone
REST = 5.0
#: seconds that ringing may take in all; what is left over is the sweep's
BUDGET = 0.2
JOB_TIMEOUT = 60
_KEY = "desk.doorbell"


def init_app(app: Flask) -> None:
    app.extensions[_KEY] = {"closed_until": 0.0}
    install_doorbell(ring)


def ring(wake: set[tuple[str, int]]) -> None:
    """Put a job for each (queue, notification id) into RQ; never raises, never waits long."""
    began = time.monotonic()
    for queue, row_id in sorted(wake, key=lambda pair: (QUEUES.index(pair[0]), pair[1])):
        if time.monotonic() - began > BUDGET or not enqueue_delivery(queue, row_id, "0"):
            return


def enqueue_delivery(queue: str, row_id: int, turn: str) -> bool:
    """Queue one delivery; `turn` tells repeated ones of a row apart. False when Redis is away.

    The same row and turn is queued once however often it is asked for. Workers claim the row in the database, so
    that one too many does no harm.
    """
    return enqueue(queue, DELIVER, row_id, job_id=f"notice-{row_id}-{turn}")


def enqueue(queue: str, function: str, *args: int | str, job_id: str, timeout: int = JOB_TIMEOUT) -> bool:
    """Queue a function by its name with plain arguments. False when Redis is away."""
    breaker = current_app.extensions[_KEY]
    if time.monotonic() < breaker["closed_until"]:
        return False
    try:
        Queue(queue, connection=redis.client(), serializer=JSONSerializer).enqueue_call(
            function, args=args, job_id=job_id, unique=True, timeout=timeout, result_ttl=0, failure_ttl=3600
        )
    except DuplicateJobError:
        return True
    except (RedisError, OSError, redis.RedisUnavailable) as error:
        redis.forget()
        breaker["closed_until"] = time.monotonic() + REST
        log.warning("redis is away, the sweep will deliver", extra={"error": type(error).__name__})
        return False
    return True
