"""Real processes for races: a pool whose members each have an application of their own on the same database."""

from __future__ import annotations

import multiprocessing
import sys
from contextlib import contextmanager
from pathlib import Path

from app import create_app
from app.db import db, transactional

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["tests.concurrency.preload"])

#: how long a member waits for a lock, in seconds, before it says Busy. A machine that stalls for as long as the product
#: waits is no finding about what happens at once; what a lock that is not given leaves is a test of its own (I-05).
PATIENCE = 60

_barrier = None


@contextmanager
def pool(app, size: int):
    """`size` processes with an application context open; `together()` inside a task starts all at once."""
    settings = app.extensions["desk.settings"]
    barrier = _context.Barrier(size)
    members = _context.Pool(
        size, initializer=_join, initargs=(settings.database_url, str(settings.instance_dir), barrier)
    )
    try:
        yield members
    finally:
        members.terminate()
        members.join()


def together() -> None:
    """Wait until every process of the pool is here."""
    _barrier.wait(60)


def _join(url: str, instance: str, barrier) -> None:
    from tests.conftest import make_settings

    global _barrier
    _barrier = barrier
    sys.modules[transactional.__module__].MAX_SECONDS = PATIENCE  # `app.db` names the object, not its module
    app = create_app(make_settings(url, Path(instance), DESK_DATABASE_TIMEOUT=str(PATIENCE)))
    app.app_context().push()
    with db.engine.connect():
        pass  # connected before the race begins
