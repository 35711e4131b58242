"""Idempotency keys for what talks to the outside and so cannot be one transaction (R5).

The work itself may safely be done again; the key is looked at first and kept after success, so that a repetition gets
the first answer, and another request under the key is refused. What may not be done twice at once is done `alone`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from app.db import KeptRequest, RequestKey, db, db_now, execute, recall, transactional
from app.errors import Conflict, Replayed

T = TypeVar("T")

#: seconds for which the second waits for the first, before it is told to come again
PATIENCE = 2.0
#: calls to the outside end within ten seconds: a mark that is older was left by a process that died
ABANDONED = timedelta(seconds=30)

_keys = KeptRequest.__table__


class StillRunning(Conflict):
    """The first request under this key has not ended (96.13)."""

    code = "IDEMPOTENCY_IN_PROGRESS"
    message = "同一个请求正在处理，请稍后再试"


def run(request_key: RequestKey | None, work: Callable[[], T], *, keep: Callable[[T], bool] = lambda _: True) -> T:
    """Do the work under its key. Raises Replayed with the kept answer, IdempotencyKeyReused, and what `work` raises.

    `keep` says whether this result is an answer for good: one that is not known yet is asked for again.
    """
    if request_key is not None:
        kept = recall(request_key)
        db.session.rollback()
        if kept is not None:
            raise Replayed(kept)
    result = work()
    if request_key is not None and keep(result):
        _keep(result=result, request_key=request_key)
    return result


@transactional
def _keep(*, result: T, request_key: RequestKey) -> T:
    return result


@contextmanager
def alone(request_key: RequestKey | None) -> Iterator[None]:
    """Work that only one may do under its key at a time; the others wait for its answer.

    The mark is a row of its own beside the key's: the key itself is claimed by the transaction that ends the work.
    Raises Replayed with the kept answer, IdempotencyKeyReused, StillRunning.
    """
    if request_key is None:
        yield
        return
    until = time.monotonic() + PATIENCE
    while True:
        marked = _mark(request_key)
        try:
            kept = recall(request_key)
            db.session.rollback()
            if kept is not None:
                raise Replayed(kept)
            if marked:
                yield
                return
        finally:
            if marked:
                _unmark(scope=_scope(request_key), key=request_key.key)
        if time.monotonic() >= until:
            raise StillRunning(retry_after=1)
        time.sleep(0.05)


def _scope(request_key: RequestKey) -> str:
    return f"run:{request_key.scope}"


def _mark(request_key: RequestKey) -> bool:
    try:
        return _write_mark(scope=_scope(request_key), key=request_key.key, fingerprint=request_key.fingerprint)
    except IntegrityError:
        return False  # a twin wrote it at the same moment


@transactional
def _write_mark(*, scope: str, key: str, fingerprint: str) -> bool:
    now, mine = db_now(), sa.and_(_keys.c.scope == scope, _keys.c.key == key)
    left = execute(_keys.update().where(mine, _keys.c.created_at <= now - ABANDONED).values(created_at=now))
    if left.rowcount == 1:
        return True
    if execute(sa.select(_keys.c.key).where(mine)).first() is not None:
        return False
    execute(_keys.insert().values(scope=scope, key=key, fingerprint=fingerprint, created_at=now))
    return True


@transactional
def _unmark(*, scope: str, key: str) -> None:
    execute(_keys.delete().where(_keys.c.scope == scope, _keys.c.key == key))
