"""Kill -9 at every statement of freeing a seat, of a round, of a confirmation and of a lapse: seat, offer, booking,
debit and messages exist all or none, and the next run completes them once (Q5, Q13, I-11)."""

from __future__ import annotations

import signal
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass

import pytest
import sqlalchemy as sa

from app.db import db, execute
from app.domain.audit.actor import Actor
from app.domain.bookings import cancel, place
from app.domain.bookings.models import Booking
from app.domain.catalog.models import CourseSchedule
from app.domain.ledger.models import Wallet, WalletTransaction
from app.domain.offers import advance, answer
from app.domain.outbox.models import Notification
from app.domain.waitlist.models import SeatRelease, WaitlistEntry, WaitlistFlow, WaitlistOffer, WaitlistRound
from app.errors import InvalidState
from tests.concurrency import dying
from tests.concurrency.failpoints import Failpoint
from tests.concurrency.processes import pool
from tests.domain.offers import whole
from tests.domain.offers.steps import Full
from tests.factories import parent_actor

pytestmark = [pytest.mark.concurrency, pytest.mark.faults]

ACTIONS = ("free", "round", "confirm", "lapse")


@dataclass(frozen=True)
class Job:
    """What is asked for in a session of its own: a booking to cancel, a queue to move on, an offer to take."""

    action: str
    schedule_id: int
    booking_id: int
    holder: Actor
    entry_id: int
    parent: Actor
    families: tuple[int, ...]


def make_job(action: str) -> Job:
    full = Full(waiting=2)
    family, booking_id = full.seated[0]
    if action != "free":
        full.free(move_on=action in ("confirm", "lapse"))
    if action == "lapse":
        offers, rounds = WaitlistOffer.__table__, WaitlistRound.__table__
        with db.engine.begin() as connection:
            connection.execute(offers.update().values(deadline=offers.c.offered_at, ends_at=offers.c.offered_at))
            connection.execute(rounds.update().values(deadline=rounds.c.started_at))
    db.session.remove()
    families = (family.id, *(one.id for one in full.families))
    return Job(
        action, full.session, booking_id, parent_actor(family), full.entries[0], parent_actor(full.families[0]),
        families,
    )  # fmt: skip


def do(job: Job) -> None:
    if job.action == "free":
        cancel.cancel(booking_id=job.booking_id, actor=job.holder)
    elif job.action == "confirm":
        answer.confirm(entry_id=job.entry_id, actor=job.parent)
    else:
        advance.advance(schedule_id=job.schedule_id)


def again(job: Job) -> None:
    """As the caller would, who hears that a cancelled booking is cancelled."""
    with suppress(InvalidState):
        do(job)


def traces(job: Job) -> Counter:
    """Everything that the queue has left in the database, by name."""
    db.session.rollback()
    mine = job.schedule_id
    entries = sa.select(WaitlistEntry.id).where(WaitlistEntry.course_schedule_id == mine)
    found = Counter()
    for name, query in {
        "entry": sa.select(WaitlistEntry.status).where(WaitlistEntry.course_schedule_id == mine),
        "release": sa.select(SeatRelease.status).where(SeatRelease.course_schedule_id == mine),
        "round": sa.select(WaitlistRound.kind).where(WaitlistRound.course_schedule_id == mine),
        "offer": sa.select(WaitlistOffer.status).where(WaitlistOffer.entry_id.in_(entries)),
        "step": sa.select(WaitlistFlow.step).where(WaitlistFlow.course_schedule_id == mine),
        "booking": sa.select(Booking.status).where(Booking.course_schedule_id == mine),
        "money": sa.select(WalletTransaction.type).where(
            WalletTransaction.wallet_id.in_(sa.select(Wallet.id).where(Wallet.family_id.in_(job.families)))
        ),
        "told": sa.select(Notification.type).where(Notification.family_id.in_(job.families)),
    }.items():
        found += Counter(f"{name} {value}" for value in db.session.scalars(query))
    columns = (CourseSchedule.booked, CourseSchedule.held, CourseSchedule.kept)
    booked, held, kept = db.session.execute(sa.select(*columns).where(CourseSchedule.id == mine)).one()
    return found + Counter({"seats booked": booked, "seats held": held, "seats kept": kept})


# ── in the process of the pool ──


def in_a_child(job: Job, point: Failpoint | None, torn: bool = False) -> tuple[int | None, list[str]]:
    return dying.in_a_child(lambda: do(job), point, _tear if torn else None)


def _tear() -> None:
    """The control: a program that commits the seat before it is paid."""
    pay = place._pay

    def after_a_commit(*args, **kwargs):
        execute(sa.text("COMMIT"))
        execute(sa.text("BEGIN"))
        return pay(*args, **kwargs)

    place._pay = after_a_commit


# ── in the test ──


@pytest.mark.parametrize("action", ACTIONS)
def test_killed_at_every_statement_it_is_all_or_none_and_the_next_run_completes_it_once(live_app, action):
    with pool(live_app, 1) as members, live_app.app_context():
        moments = dying.killed_throughout(
            members,
            in_a_child,
            lambda: make_job(action),
            traces,
            again,
            lambda job: whole.check(job.schedule_id),
            step=3,
        )  # fmt: skip
        assert moments >= 12


def test_control_a_commit_in_the_middle_leaves_a_seat_without_its_payment(live_app):
    with pool(live_app, 1) as members, live_app.app_context():
        first = make_job("confirm")
        none = traces(first)
        _, statements = members.apply(in_a_child, (first, None, True))
        done = traces(first)
        torn = statements.index("COMMIT") + 2
        points = [Failpoint("before", number) for number in range(torn, len(statements) + 1, 6)]
        for point in points:
            job = make_job("confirm")
            assert members.apply(in_a_child, (job, point, True))[0] == signal.SIGKILL
            left = traces(job)
            assert left not in (none, done)
            assert left["booking booked"] > none["booking booked"]
