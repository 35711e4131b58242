"""Short ways to choose rows and to look at what became of them, in tests."""

from __future__ import annotations

from app.db import RequestKey
from app.domain.chosen import rows, service
from app.domain.chosen.actions import ACTIONS, Given
from app.domain.chosen.rows import Chosen
from app.domain.desk import queries as desk
from app.flows import longjobs
from tests.domain.desk.batches import job
from tests.portal import actor_of

APPROVE = ACTIONS["adjustments-approve"]


def waiting(ticked=None) -> Chosen:
    """The adjustments that wait for approval."""
    return rows.resolve(APPROVE, desk.select_waiting(), ticked)


def ask(
    staff, chosen: Chosen | None = None, *, action: str = APPROVE.name, key: RequestKey | None = None, **more
) -> int:
    chosen = chosen or waiting()
    return service.ask(
        action=action, chosen=chosen, seen=more.pop("seen", chosen.digest), given=more.pop("given", Given()),
        actor=actor_of(staff, **more), request_key=key,
    )  # fmt: skip


def run(job_id: int):
    longjobs.run(job_id, seconds=60)
    return job(job_id)
