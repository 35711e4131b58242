"""Kill -9 at every statement of ordering, settling and ending: order, hold, payment, booking and messages exist all or
none, and doing it again completes it exactly once (O10, I-11)."""

from __future__ import annotations

import signal
from collections import Counter
from dataclasses import dataclass
from decimal import Decimal

import pytest
import sqlalchemy as sa

from app.db import RequestKey, db, execute
from app.domain.audit.actor import Actor, system
from app.domain.audit.models import AuditEntry
from app.domain.bookings import place
from app.domain.bookings.models import Booking
from app.domain.catalog.models import CourseSchedule
from app.domain.orders import attempts, checkout, ending, settle
from app.domain.orders.models import (
    PaymentAttempt,
    PaymentNotification,
    PaymentOrder,
    PaymentTransaction,
    TradeType,
    TrialClaim,
)
from app.domain.orders.notifications import Received
from app.domain.orders.payment import Account, Payment
from app.domain.orders.rules import Event
from app.domain.outbox.models import Notification
from app.domain.seats.models import SeatReservation
from app.errors import Replayed
from tests.concurrency import dying
from tests.concurrency.failpoints import Failpoint
from tests.concurrency.processes import pool
from tests.factories import make_course, make_family, make_session, parent_actor

pytestmark = [pytest.mark.concurrency, pytest.mark.faults]

ACCOUNT = Account("wx-test", "1900000001")
ACTIONS = ("order", "settle", "cancel")


@dataclass(frozen=True)
class Job:
    """What is asked for, by a family of its own in a class of its own; `order_id` where there is one already."""

    action: str
    number: int
    schedule_id: int
    family_id: int
    profile_id: int
    actor: Actor
    order_id: str | None


def make_jobs(action: str, count: int) -> list[Job]:
    course = make_course("体验", type_code="trial", is_trial=True)
    jobs = []
    for number in range(count):
        family, session = make_family(), make_session(course)
        actor, order_id = parent_actor(family), None
        if action != "order":
            order_id = checkout.create(schedule_id=session, profile_id=family.profile_ids[0], actor=actor).order_id
            attempts.begin(order_id=order_id, trade_type=TradeType.NATIVE, actor=actor)
        jobs.append(Job(action, number, session, family.id, family.profile_ids[0], actor, order_id))
    db.session.remove()
    return jobs


def do(job: Job) -> str:
    """What it says. An order carries its key; WeChat tells of a payment under one number; an end is asked once more."""
    if job.action == "order":
        key = RequestKey(f"user:{job.actor.id}", "order", "print", present=lambda done: {"order": done.order_id})
        try:
            return checkout.create(
                schedule_id=job.schedule_id, profile_id=job.profile_id, actor=job.actor, request_key=key
            ).order_id
        except Replayed as replay:
            return replay.answer["order"]
    if job.action == "cancel":
        return str(ending.end(order_id=job.order_id, event=Event.CANCEL, closing=True, actor=job.actor))
    payment = Payment(
        transaction_id=f"42-{job.order_id}", out_trade_no=job.order_id, trade_type=TradeType.NATIVE,
        appid=ACCOUNT.appid, mchid=ACCOUNT.mchid, total=Decimal("200.00"), currency="CNY",
    )  # fmt: skip
    notice = f"EV-{job.order_id[:20]}"
    received = Received(notice, "TRANSACTION.SUCCESS", {}, "1700000000", notice, b"{}")
    return settle.settle(
        payment=payment, account=ACCOUNT, source="callback", actor=system("t"), received=received
    ).outcome


def traces(job: Job) -> Counter:
    """Everything that the job leaves in the database, by name."""
    db.session.rollback()
    mine = sa.select(PaymentOrder.id).where(PaymentOrder.family_id == job.family_id)
    numbers = sa.select(PaymentOrder.order_id).where(PaymentOrder.family_id == job.family_id)
    found = Counter()
    for name, query in {
        "order": sa.select(PaymentOrder.status).where(PaymentOrder.family_id == job.family_id),
        "hold": sa.select(SeatReservation.status).where(SeatReservation.order_id.in_(mine)),
        "attempt": sa.select(PaymentAttempt.status).where(PaymentAttempt.order_id.in_(mine)),
        "paid": sa.select(PaymentTransaction.trade_state).where(PaymentTransaction.order_id.in_(mine)),
        "notice": sa.select(PaymentNotification.outcome).where(PaymentNotification.number.in_(numbers)),
        "booking": sa.select(Booking.status).where(Booking.family_id == job.family_id),
        "audit": sa.select(AuditEntry.action).where(AuditEntry.family_id == job.family_id),
        "told": sa.select(Notification.type).where(Notification.family_id == job.family_id),
    }.items():
        found += Counter(f"{name} {value}" for value in db.session.scalars(query))
    found["claims"] = db.session.scalar(
        sa.select(sa.func.count()).select_from(TrialClaim).where(TrialClaim.order_id.in_(mine))
    )
    booked, held = db.session.execute(
        sa.select(CourseSchedule.booked, CourseSchedule.held).where(CourseSchedule.id == job.schedule_id)
    ).one()
    return found + Counter({"seats booked": booked, "seats held": held})


# ── in the process of the pool ──


def in_a_child(job: Job, point: Failpoint | None, torn: bool) -> tuple[int | None, list[str]]:
    return dying.in_a_child(lambda: do(job), point, _tear if torn else None)


def _tear() -> None:
    """The control: a program that commits the payment before the booking is made."""
    insert = place.insert

    def after_a_commit(*args, **kwargs):
        execute(sa.text("COMMIT"))
        execute(sa.text("BEGIN"))
        return insert(*args, **kwargs)

    place.insert = after_a_commit


# ── in the test ──


@pytest.mark.parametrize("action", ACTIONS)
def test_killed_at_every_statement_it_is_all_or_none_and_the_next_try_completes_it_once(live_app, action):
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
            # A COMMIT without its answer may have happened; before it nothing has, after it everything.
            allowed = {"before": [none], "after": [whole], "sent": [none]}[point.moment]
            if point.moment == "sent" and point.number == len(statements):
                allowed = [none, whole]
            assert traces(job) in allowed, name
            for _ in range(2):
                do(job)
                assert traces(job) == whole, name
        assert len(points) >= 12


def test_control_a_commit_in_the_middle_leaves_money_without_a_booking(live_app):
    with pool(live_app, 1) as members, live_app.app_context():
        first = make_jobs("settle", 1)[0]
        none = traces(first)
        _, statements = members.apply(in_a_child, (first, None, True))
        whole = traces(first)
        torn = statements.index("COMMIT") + 2
        points = [Failpoint("before", number) for number in range(torn, len(statements) + 1, 3)]
        jobs = make_jobs("settle", len(points))
        for job, point in zip(jobs, points, strict=True):
            assert members.apply(in_a_child, (job, point, True))[0] == signal.SIGKILL
        halves = [traces(job) for job in jobs]
        assert all(found not in (none, whole) for found in halves)
        assert all(found["paid SUCCESS"] and not found["booking booked"] for found in halves)
