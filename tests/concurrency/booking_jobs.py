"""What the kill tests ask for, and everything that it leaves in the database, to see that it is all or none."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import timedelta

import sqlalchemy as sa

from app.db import db
from app.domain.audit.actor import Actor
from app.domain.audit.models import AuditEntry
from app.domain.bookings import place
from app.domain.bookings.models import Booking
from app.domain.catalog.models import CourseSchedule
from app.domain.credits.models import MakeupCredit
from app.domain.ledger.models import Wallet, WalletTransaction
from app.domain.outbox.models import Notification
from tests.factories import make_course, make_family, make_session, parent_actor


@dataclass(frozen=True)
class Job:
    """What one parent asks for, on a class and a wallet of its own; `booking_id` where there is one already."""

    action: str
    number: int
    schedule_id: int
    family_id: int
    profile_id: int
    actor: Actor
    booking_id: int | None


def make_jobs(action: str, count: int) -> list[Job]:
    """Jobs that are ready to be done, each with a family and a class of its own."""
    course_id = make_course(price="200.00")
    jobs = []
    for number in range(count):
        family, schedule_id = make_family(balance="500.00"), make_session(course_id, starts_in=timedelta(days=2))
        actor, booking_id = parent_actor(family), None
        if action != "book":
            done = place.book(schedule_id=schedule_id, profile_id=family.profile_ids[0], actor=actor)
            booking_id = done.booking_id
        jobs.append(Job(action, number, schedule_id, family.id, family.profile_ids[0], actor, booking_id))
    db.session.remove()
    return jobs


def traces(job: Job) -> Counter:
    """Everything that the job leaves in the database, by name."""
    db.session.rollback()
    of = {"family_id": job.family_id}
    found = Counter(
        f"{status} {'paid' if debit else 'unpaid'}{' refunded' if refund else ''}"
        for status, debit, refund in db.session.execute(
            sa.select(Booking.status, Booking.debit_id, Booking.refund_id).filter_by(**of)
        )
    )
    found += Counter(
        db.session.scalars(
            sa.select(WalletTransaction.type).join(Wallet, Wallet.id == WalletTransaction.wallet_id).filter_by(**of)
        )
    )
    found += Counter(db.session.scalars(sa.select(AuditEntry.action).filter_by(**of)))
    found += Counter(f"told {kind}" for kind in db.session.scalars(sa.select(Notification.type).filter_by(**of)))
    found["credits"] = db.session.scalar(sa.select(sa.func.count(MakeupCredit.id)).filter_by(**of))
    found["seats"] = db.session.scalar(sa.select(CourseSchedule.booked).filter_by(id=job.schedule_id))
    found["yuan"] = int(db.session.scalar(sa.select(Wallet.balance).filter_by(**of)))
    keys = "SELECT COUNT(*) FROM request_keys WHERE scope = :scope"
    found["keys"] = db.session.execute(sa.text(keys), {"scope": f"user:{job.actor.id}"}).scalar_one()
    return found
