"""Noting who found a class and its queue full: what the demand of an hour counts beside bookings and waits (U18)."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from app import clock
from app.db import db, transactional
from app.domain.seats.models import SeatRefusal
from app.errors import Conflict, Replayed

log = logging.getLogger("desk.seats")

F = TypeVar("F", bound=Callable[..., Any])

#: refusals for want of a seat, and of a place in the queue
FULL = frozenset({"SEAT_FULL", "WAITLIST_FULL"})

_r = SeatRefusal.__table__


def noted(use_case: F) -> F:
    """A use case that leaves a row where it refuses a student whom neither seat nor queue can take, in a transaction of
    its own once the refusal's is rolled back.

    Who may still wait is no lost demand, and a rush on a class with an empty queue writes nothing. The rows are at most
    one per student and session, however often somebody presses the button.
    """

    @functools.wraps(use_case)
    def run(**asked):
        try:
            return use_case(**asked)
        except Replayed:
            raise
        except Conflict as refusal:
            if refusal.code in FULL and _no_way_in(refusal.data or {}):
                _note(asked["schedule_id"], asked["profile_id"], refusal.code)
            raise

    return run  # type: ignore[return-value]


def _no_way_in(data: dict[str, Any]) -> bool:
    return "waitlist_capacity" in data and data["waitlist_count"] >= data["waitlist_capacity"]


def _note(schedule_id: int, profile_id: int, code: str) -> None:
    try:
        _write(schedule_id=schedule_id, profile_id=profile_id, code=code)
    except IntegrityError:
        pass  # Their other phone was told the same at the same moment.
    except Exception:
        # The parent is to hear that the class is full, and not of this.
        log.exception("a refused seat could not be noted", extra={"schedule": schedule_id})


@transactional
def _write(*, schedule_id: int, profile_id: int, code: str) -> None:
    known = sa.select(_r.c.id).where(_r.c.course_schedule_id == schedule_id, _r.c.profile_id == profile_id)
    if db.session.scalar(known) is None:
        db.session.execute(
            _r.insert().values(
                course_schedule_id=schedule_id, profile_id=profile_id, code=code, refused_at=clock.now()
            )
        )  # fmt: skip
