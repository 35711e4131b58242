"""The queues (N3) and the one place that makes RQ objects for the workers."""

from __future__ import annotations

from redis import Redis
from rq import Queue
from rq.serializers import JSONSerializer

from app.doorbell import QUEUES

#: jobs are ids and plain arguments; pickle would run whatever somebody wrote into Redis
SERIALIZER = JSONSerializer


def all_queues(connection: Redis) -> list[Queue]:
    """Every queue, in the order in which workers look."""
    return [Queue(name, connection=connection, serializer=SERIALIZER) for name in QUEUES]
