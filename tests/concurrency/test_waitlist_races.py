"""One freed seat and many who want it, in real processes: one has it, everybody else is told, the queue stays whole
(Q17). Each race with its control."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from app import clock
from app.db import db
from app.domain.audit.actor import Actor
from app.domain.bookings import cancel, place
from app.domain.bookings.models import Booking
from app.domain.catalog.models import CourseSchedule
from app.domain.ledger.models import WalletTransaction
from app.domain.offers import advance, answer, join
from app.domain.outbox.models import Notification
from app.domain.waitlist.models import WaitlistEntry, WaitlistOffer, WaitlistRound
from app.errors import DomainError
from app.money import ZERO
from tests.concurrency.processes import pool, together
from tests.domain.offers import whole
from tests.domain.offers.steps import Full
from tests.factories import make_family, parent_actor

pytestmark = pytest.mark.concurrency

WRITERS = 8
#: parents who confirm at the same moment
CROWD = 200


@dataclass(frozen=True)
class Waits:
    """Whose entry, and of which session."""

    schedule_id: int
    entry_id: int
    family_id: int
    profile_id: int
    actor: Actor


def said(ask, *args, **kwargs) -> str:
    """`ok`, the refusal's code, or what went wrong."""
    try:
        ask(*args, **kwargs)
        return "ok"
    except DomainError as refusal:
        return refusal.code
    except (DBAPIError, RuntimeError) as error:
        db.session.rollback()
        return f"ERROR {type(error).__name__}: {error}"[:200]


def count(model, *where) -> int:
    return db.session.scalar(sa.select(sa.func.count()).select_from(model).where(*where))


def everybody_is_offered(number: int) -> tuple[Full, list[Waits]]:
    """A session whose one seat has just been offered to all who wait."""
    full = Full(waiting=0)
    with db.engine.begin() as connection:
        connection.execute(sa.update(CourseSchedule.__table__).values(waitlist_capacity=99))
    for _ in range(min(number, 99)):
        full.wait()
    _crowd_in(full, number - len(full.entries))
    full.free()
    assert len(full.live) == number
    waits = [
        Waits(full.session, entry, family.id, family.profile_ids[0], parent_actor(family))
        for entry, family in zip(full.entries, full.families, strict=True)
    ]
    db.session.remove()
    return full, waits


def _crowd_in(full: Full, more: int) -> None:
    """Beyond what a queue may hold, as staff do one by one."""
    from tests.portal import actor_of, make_staff

    desk = actor_of(make_staff("front_desk"))
    for _ in range(more):
        family = make_family(balance="1000.00")
        full.families.append(family)
        full.entries.append(
            join.join(schedule_id=full.session, profile_id=family.profile_ids[0], actor=desk, reason="测试")
        )


# ── one seat, two hundred parents ───────────────────────────────────────────────────────────────────


def in_the_end(ask, **kwargs) -> str:
    """What was said at last. Whoever has the seat tells all the others in the same transaction, and on a slow machine
    some who wait for its lock meanwhile are asked to come again."""
    for _ in range(20):
        heard = said(ask, **kwargs)
        if heard != "BUSY_TRY_AGAIN":
            break
    return heard


def confirm_all(waits: list[Waits]) -> list[str]:
    together()
    return [in_the_end(answer.confirm, entry_id=one.entry_id, actor=one.actor) for one in waits]


def blind(waits: list[Waits]) -> list[str]:
    """The control: a program that looks whether its offer stands, and then books, without the session's lock."""
    together()
    heard = []
    for one in waits:
        with db.engine.connect() as look:
            stands = look.scalar(
                sa.select(WaitlistOffer.__table__.c.id).where(
                    WaitlistOffer.__table__.c.entry_id == one.entry_id, WaitlistOffer.__table__.c.status == "live"
                )
            )
        together()  # between its look and its write the others look as well
        if stands is None:
            heard.append("SEAT_TAKEN")
            continue
        with db.engine.begin() as write:
            write.execute(
                Booking.__table__.insert().values(
                    course_schedule_id=one.schedule_id, profile_id=one.profile_id, family_id=one.family_id,
                    kind="regular", source="wallet", status="booked", price=ZERO, free_cancel=False,
                    created_at=clock.now(),
                )
            )  # fmt: skip
            write.execute(sa.update(WaitlistOffer.__table__).values(status="taken", ended_at=clock.now()))
        heard.append("ok")
    return heard


def test_two_hundred_confirm_one_seat_and_one_has_it(live_app):
    with live_app.app_context():
        full, waits = everybody_is_offered(CROWD)
    with pool(live_app, WRITERS) as members:
        shares = [waits[n::WRITERS] for n in range(WRITERS)]
        heard = Counter(word for words in members.map(confirm_all, shares, chunksize=1) for word in words)
    assert heard == {"ok": 1, "SEAT_TAKEN": CROWD - 1}
    with live_app.app_context():
        mine = (Booking.course_schedule_id == full.session, Booking.status == "booked")
        assert count(Booking, *mine) == 1
        booking_id = str(db.session.scalar(sa.select(Booking.id).where(*mine)))
        paid = (WalletTransaction.reference_type == "booking", WalletTransaction.reference_id == booking_id)
        assert count(WalletTransaction, *paid) == 1
        assert count(Notification, Notification.type == "seat_taken") == CROWD - 1
        assert Counter(full.statuses) == {"confirmed": 1, "waiting": CROWD - 1}
        whole.check(full.session)


def test_control_without_the_lock_the_seat_is_sold_more_than_once(live_app):
    with live_app.app_context():
        full, waits = everybody_is_offered(WRITERS)
    with pool(live_app, WRITERS) as members:
        heard = Counter(word for words in members.map(blind, [[one] for one in waits], chunksize=1) for word in words)
    assert heard["ok"] > 1
    with live_app.app_context():
        assert count(Booking, Booking.course_schedule_id == full.session, Booking.status == "booked") > 1


# ── everything at once ──────────────────────────────────────────────────────────────────────────────


def hammer(asked: tuple[int, int, list[Waits], list[tuple[int, Actor]]]) -> list[str]:
    """Random acts on one session: cancel, join, confirm, decline, leave, the job."""
    seed, schedule_id, waits, seated = asked
    chance = random.Random(seed)
    heard = []
    together()
    for _ in range(25):
        one, (booking_id, holder) = chance.choice(waits), chance.choice(seated)
        entry_id = db.session.scalar(
            sa.select(WaitlistEntry.id)
            .where(WaitlistEntry.profile_id == one.profile_id)
            .order_by(WaitlistEntry.id.desc())
            .limit(1)
        )
        db.session.rollback()
        act = chance.choice(("cancel", "join", "join", "confirm", "confirm", "decline", "leave", "job", "job", "book"))
        heard.append(f"{act} " + _act(act, schedule_id, one, entry_id, booking_id, holder))
    return heard


def _act(act: str, schedule_id: int, one: Waits, entry_id: int, booking_id: int, holder: Actor) -> str:
    if act == "cancel":
        return said(cancel.cancel, booking_id=booking_id, actor=holder)
    if act == "join":
        return said(join.join, schedule_id=schedule_id, profile_id=one.profile_id, actor=one.actor)
    if act == "book":
        return said(place.book, schedule_id=schedule_id, profile_id=one.profile_id, actor=one.actor)
    if act == "job":
        return said(advance.advance, schedule_id=schedule_id)
    return said(getattr(join if act == "leave" else answer, act), entry_id=entry_id, actor=one.actor)


def test_cancel_join_confirm_and_the_job_at_once_leave_the_queue_whole(live_app):
    with live_app.app_context():
        full = Full(capacity=6, waiting=8)
        waits = [
            Waits(full.session, entry, family.id, family.profile_ids[0], parent_actor(family))
            for entry, family in zip(full.entries, full.families, strict=True)
        ]
        seated = [(booking_id, parent_actor(family)) for family, booking_id in full.seated]
        db.session.remove()
    with pool(live_app, WRITERS) as members:
        asked = [(seed, full.session, waits, seated) for seed in range(WRITERS)]
        heard = Counter(word for words in members.map(hammer, asked, chunksize=1) for word in words)
    assert not [word for word in heard if "ERROR" in word], heard
    assert heard["cancel ok"] > 0
    with live_app.app_context():
        advance.advance(schedule_id=full.session)
        whole.check(full.session)


# ── two jobs at once ────────────────────────────────────────────────────────────────────────────────


def move_on(schedule_id: int) -> str:
    together()
    return in_the_end(advance.advance, schedule_id=schedule_id)


def test_jobs_at_once_begin_one_round_and_tell_each_once(live_app):
    with live_app.app_context():
        full = Full(waiting=5)
        full.free(move_on=False)
        db.session.remove()
    with pool(live_app, WRITERS) as members:
        assert set(members.map(move_on, [full.session] * WRITERS, chunksize=1)) == {"ok"}
    with live_app.app_context():
        assert count(WaitlistRound) == 1
        assert count(WaitlistOffer) == 5
        assert count(Notification, Notification.type == "waitlist_offer") == 5
        whole.check(full.session)
