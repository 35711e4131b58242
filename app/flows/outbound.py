"""How many requests of this process may wait for WeChat Pay at once (96.50).

A web process has a fixed number of threads. Each that waits for a slow provider is one that serves nobody else, so
some are always left to those who do not need it; who finds no room is asked to come again.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from app.domain.orders.errors import PaymentUnavailable

#: of the threads that gunicorn gives a process; two thirds may be out
_ROOM = max(1, int(os.environ.get("DESK_WEB_THREADS") or 12) * 2 // 3)
#: seconds to wait for room: a provider in health answers within
_PATIENCE = 1.0
#: seconds for which readers leave a provider alone that failed them
_REST = 10.0

_room = threading.BoundedSemaphore(_ROOM)
_resting_until = 0.0


@contextmanager
def room() -> Iterator[None]:
    """Room for one call out. Raises PaymentUnavailable where there is none."""
    if not _room.acquire(timeout=_PATIENCE):
        raise PaymentUnavailable(retry_after=2)
    try:
        yield
    finally:
        _room.release()


def resting() -> bool:
    """Whether the provider failed a moment ago: whoever only reads need not ask it now."""
    return time.monotonic() < _resting_until


def note_failure() -> None:
    global _resting_until
    _resting_until = time.monotonic() + _REST


def note_answer() -> None:
    global _resting_until
    _resting_until = 0.0
