"""Noting calls to book a makeup that failed for no rule's sake: what Q25 counts beside the bookings that were made."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from typing import Any, TypeVar

from app import clock
from app.db import db, transactional
from app.domain.makeups.models import MakeupFailure
from app.errors import DomainError, Kind, Replayed

log = logging.getLogger("desk.makeups")

F = TypeVar("F", bound=Callable[..., Any])


def noted(use_case: F) -> F:
    """A use case whose failures leave a row, in a transaction of their own once its own is rolled back.

    A refusal by a rule is an answer, and a repetition is one that was given: neither is a failure. Where the database
    itself is away no row can be written; `desk_operations_total` counts those (docs/operations/metrics.md).
    """

    @functools.wraps(use_case)
    def run(**asked):
        try:
            return use_case(**asked)
        except Replayed:
            raise
        except DomainError as refusal:
            if refusal.kind == Kind.UNAVAILABLE:
                _note(asked, refusal.code)
            raise
        except Exception as error:
            _note(asked, type(error).__name__)
            raise

    return run  # type: ignore[return-value]


def _note(asked: dict[str, Any], error: str) -> None:
    try:
        _write(schedule_id=asked["schedule_id"], profile_id=asked["profile_id"], error=error[:64])
    except Exception:
        # The caller is to hear of the booking's failure, not of this one.
        log.exception("a failed makeup booking could not be noted", extra={"error": error})


@transactional
def _write(*, schedule_id: int, profile_id: int, error: str) -> None:
    db.session.add(
        MakeupFailure(course_schedule_id=schedule_id, profile_id=profile_id, error=error, failed_at=clock.now())
    )
