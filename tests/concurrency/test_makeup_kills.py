"""Kill -9 while a makeup is booked or cancelled: seat, credit, minutes and booking are there all or none, and asked
again it is done once (M3, M6, I-11)."""

from __future__ import annotations

import signal
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass

import pytest
import sqlalchemy as sa

from app.db import db, execute
from app.domain.audit.actor import Actor
from app.domain.bookings import cancel
from app.domain.bookings.models import Booking
from app.domain.catalog.models import CourseSchedule
from app.domain.credits import minutes
from app.domain.credits.errors import NoCredit
from app.domain.credits.models import CompensationHistory, CompensationUsage, MakeupCredit
from app.domain.makeups import book, manage
from app.domain.outbox.models import Notification
from app.errors import InvalidState
from tests.concurrency import dying
from tests.concurrency.failpoints import Failpoint
from tests.concurrency.processes import pool
from tests.domain.makeups.steps import Away, whole
from tests.portal import actor_of, make_staff

pytestmark = [pytest.mark.concurrency, pytest.mark.faults]


@dataclass(frozen=True)
class Job:
    """A longer makeup to book with minutes, or that is booked and to be cancelled."""

    actor: Actor
    profile_id: int
    credit_id: int
    schedule_id: int
    booking_id: int | None


def make_job(action: str) -> Job:
    one = Away(60)
    given = actor_of(make_staff("manager"))
    for _ in range(2):
        manage.adjust_minutes(profile_id=one.profile_id, minutes=15, reason="测试", actor=given)
    schedule_id = one.session(90)
    made = one.book(schedule_id, use_compensation=True) if action == "cancel" else None
    db.session.remove()
    return Job(one.actor, one.profile_id, one.credits[0], schedule_id, made.booking_id if made else None)


def do(job: Job) -> None:
    if job.booking_id is not None:
        cancel.cancel(booking_id=job.booking_id, actor=job.actor)
    else:
        book.book(
            schedule_id=job.schedule_id, profile_id=job.profile_id, credit_id=job.credit_id, actor=job.actor,
            use_compensation=True,
        )  # fmt: skip


def again(job: Job) -> None:
    """As the caller would, who hears that it was done."""
    with suppress(InvalidState, NoCredit):
        do(job)


def traces(job: Job) -> Counter:
    """What the student has, by name."""
    db.session.rollback()
    mine = Booking.course_schedule_id == job.schedule_id
    usages = sa.select(CompensationUsage.returned_at.is_(None)).join(
        Booking, Booking.id == CompensationUsage.booking_id
    )
    found = Counter()
    for name, query in {
        "credit": sa.select(MakeupCredit.status).where(MakeupCredit.id == job.credit_id),
        "booking": sa.select(Booking.status).where(mine),
        "usage": usages.where(mine),
        "change": sa.select(CompensationHistory.kind).where(CompensationHistory.profile_id == job.profile_id),
        "told": sa.select(Notification.type).where(Notification.family_id == job.actor.family_id),
    }.items():
        found += Counter(f"{name} {value}" for value in db.session.scalars(query))
    seats = db.session.scalar(sa.select(CourseSchedule.booked).where(CourseSchedule.id == job.schedule_id))
    return found + Counter({"seats": seats})


# ── in the process of the pool ──


def in_a_child(job: Job, point: Failpoint | None, torn: bool = False) -> tuple[int | None, list[str]]:
    return dying.in_a_child(lambda: do(job), point, _tear if torn else None)


def _tear() -> None:
    """The control: a program that commits seat and credit before the minutes are taken."""
    use = minutes.use

    def after_a_commit(*args, **kwargs):
        execute(sa.text("COMMIT"))
        execute(sa.text("BEGIN"))
        return use(*args, **kwargs)

    minutes.use = after_a_commit


# ── in the test ──


@pytest.mark.parametrize("action", ["book", "cancel"])
def test_killed_it_is_all_or_none_and_asked_again_it_is_done_once(live_app, action):
    with pool(live_app, 1) as members, live_app.app_context():
        moments = dying.killed_throughout(
            members, in_a_child, lambda: make_job(action), traces, again, lambda _job: whole(), step=8
        )
        assert moments >= 20


def test_control_a_commit_in_the_middle_leaves_a_makeup_without_its_minutes(live_app):
    with pool(live_app, 1) as members, live_app.app_context():
        first = make_job("book")
        none = traces(first)
        _, statements = members.apply(in_a_child, (first, None, True))
        done = traces(first)
        torn = statements.index("COMMIT") + 2
        for number in range(torn, len(statements) + 1, 6):
            job = make_job("book")
            assert members.apply(in_a_child, (job, Failpoint("before", number), True))[0] == signal.SIGKILL
            left = traces(job)
            assert left not in (none, done)
            assert left["booking booked"] == 1
            assert left["change used"] == 0
