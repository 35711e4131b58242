"""Kill -9 at every statement of a booking, a cancellation and a leave: seat, money and booking exist all or none, and
the same request again completes it exactly once (B1, B9, R5, Z4)."""

from __future__ import annotations

import signal

import pytest
import sqlalchemy as sa

from app.db import RequestKey, db, execute
from app.domain.bookings import cancel, leave, place
from app.domain.ledger import verify
from app.errors import Replayed
from tests.concurrency import dying
from tests.concurrency.booking_jobs import Job, make_jobs, traces
from tests.concurrency.failpoints import Failpoint
from tests.concurrency.processes import pool

pytestmark = [pytest.mark.concurrency, pytest.mark.faults]

ACTIONS = ("book", "cancel", "leave")


def do(job: Job) -> tuple[str, int]:
    """(`made` or `replayed`, the booking's id)."""
    key = RequestKey(f"user:{job.actor.id}", f"{job.action}-{job.number}", "print",
                     present=lambda done: {"booking": done.booking_id})  # fmt: skip
    try:
        if job.action == "book":
            done = place.book(schedule_id=job.schedule_id, profile_id=job.profile_id, actor=job.actor, request_key=key)
        elif job.action == "cancel":
            done = cancel.cancel(booking_id=job.booking_id, actor=job.actor, request_key=key)
        else:
            done = leave.take_leave(booking_id=job.booking_id, actor=job.actor, request_key=key)
    except Replayed as replay:
        return "replayed", replay.answer["booking"]
    return "made", done.booking_id


# ── in the process of the pool ──


def in_a_child(job: Job, point: Failpoint | None, torn: bool) -> tuple[int | None, list[str]]:
    return dying.in_a_child(lambda: do(job), point, _tear if torn else None)


def _tear() -> None:
    """The control: a program that commits the booking before it takes the money."""
    insert = place.insert

    def and_commit(*args, **kwargs):
        booking_id = insert(*args, **kwargs)
        execute(sa.text("COMMIT"))
        execute(sa.text("BEGIN"))
        return booking_id

    place.insert = and_commit


# ── in the test ──


@pytest.mark.parametrize("action", ACTIONS)
def test_killed_at_every_statement_it_is_all_or_none_and_the_retry_completes_it_once(live_app, action):
    with pool(live_app, 1) as members, live_app.app_context():
        engine = db.engine.dialect.name
        first = make_jobs(action, 1)[0]
        none = traces(first)
        signalled, statements = members.apply(in_a_child, (first, None, False))
        whole = traces(first)
        assert signalled is None
        assert whole != none
        points = dying.points_of(engine, statements)
        for job, point in zip(make_jobs(action, len(points)), points, strict=True):
            name = f"{point}: {statements[point.number - 1]}"
            assert members.apply(in_a_child, (job, point, False))[0] == signal.SIGKILL, name
            found = traces(job)
            # A COMMIT without its answer may have happened; before it nothing has, after it everything.
            allowed = {"before": [none], "after": [whole], "sent": [none]}[point.moment]
            if point.moment == "sent" and point.number == len(statements):
                allowed = [none, whole]
            assert found in allowed, name
            word, booking_id = do(job)
            if found == whole:
                assert word == "replayed", name
            assert traces(job) == whole, name
            assert do(job) == ("replayed", booking_id), name
            assert traces(job) == whole, name
        assert len(points) >= 16
        assert verify.run(full=True).sound


def test_control_a_commit_in_the_middle_leaves_half_a_booking(live_app):
    """The same sweep over a program that commits too early finds bookings that nobody paid."""
    with pool(live_app, 1) as members, live_app.app_context():
        first = make_jobs("book", 1)[0]
        none = traces(first)
        _, statements = members.apply(in_a_child, (first, None, True))
        whole = traces(first)
        torn = statements.index("COMMIT") + 1
        points = [Failpoint("before", number) for number in range(torn, len(statements) + 1, 4)]
        jobs = make_jobs("book", len(points))
        for job, point in zip(jobs, points, strict=True):
            assert members.apply(in_a_child, (job, point, True))[0] == signal.SIGKILL
        halves = [traces(job) for job in jobs]
        assert all(found not in (none, whole) for found in halves[1:])
        assert all(found["booked unpaid"] and found["seats"] and not found["deduction"] for found in halves[1:])
