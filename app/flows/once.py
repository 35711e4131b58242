"""Idempotency keys for what talks to the outside and so cannot be one transaction (R5).

The work itself may safely be done again; the key is looked at first and kept after success, so that a repetition gets
the first answer, and another request under the key is refused.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from app.db import RequestKey, db, recall, transactional
from app.errors import Replayed

T = TypeVar("T")


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
