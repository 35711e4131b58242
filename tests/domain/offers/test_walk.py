"""The whole machine under random hands and a clock that jumps: what must hold after every step (Q5, Q16, Q17).

`DESK_TEST_WALKS` makes more walks of it: 12 by default, 60 steps each, on every database.
"""

from __future__ import annotations

import os
import random
from datetime import timedelta

import pytest
import sqlalchemy as sa

from app import clock
from app.db import db
from app.domain.bookings import cancel, leave, place
from app.domain.bookings.models import Booking
from app.domain.catalog.models import CourseSchedule
from app.domain.changes import edit_session
from app.domain.offers import advance, answer, join
from app.domain.waitlist.errors import EntryNotFound
from app.domain.waitlist.models import (
    LIVE,
    WaitlistEntry,
)
from app.errors import DomainError
from tests.domain.offers import whole
from tests.domain.offers.steps import Full
from tests.factories import MadeFamily, make_family, parent_actor
from tests.portal import actor_of, make_staff

WALKS = int(os.environ.get("DESK_TEST_WALKS", "12"))
STEPS = 60


class Walk:
    """One session, some families, and chance."""

    def __init__(self, seed: int):
        self.chance = random.Random(seed)
        policies = ("open_then_sequential", "sequential", "auto_promote")
        self.full = Full(
            capacity=self.chance.choice((1, 2, 3)), policy=self.chance.choice(policies),
            starts_in=timedelta(hours=self.chance.choice((8, 12, 16))),
        )  # fmt: skip
        self.families = [family for family, _ in self.full.seated]
        self.families += [
            make_family(parent=f"人{n}", balance=self.chance.choice(("1500.00", "900.00", "300.00", "-850.00")))
            for n in range(8)
        ]
        self.manager = actor_of(make_staff("manager"))
        self.done: dict[str, int] = {}

    def step(self) -> None:
        names = ("book", "book", "book", "book", "join", "join", "join", "join", "leave", "cancel", "absent", "begin",
                 "confirm", "decline", "consent", "capacity", "job", "job", "job", "jump", "jump")  # fmt: skip
        name = self.chance.choice(names)
        try:
            getattr(self, f"_{name}")()
        except DomainError as refusal:
            db.session.rollback()
            name = f"{name}: {refusal.code}"
        self.done[name] = self.done.get(name, 0) + 1

    # ── hands ───────────────────────────────────────────────────────────────────────────────────────

    def _who(self) -> MadeFamily:
        return self.chance.choice(self.families)

    def _waiter(self, *statuses: str) -> dict:
        """An entry, mostly one that is in such a state, and its parent."""
        query = sa.select(WaitlistEntry.id, WaitlistEntry.family_id).order_by(WaitlistEntry.id)
        found = db.session.execute(query.where(WaitlistEntry.status.in_(statuses))).all()
        if not found or self.chance.random() < 0.1:
            found = db.session.execute(query).all()
        if not found:
            raise EntryNotFound
        entry_id, family_id = self.chance.choice(found)
        family = next(one for one in self.families if one.id == family_id)
        return {"entry_id": entry_id, "actor": parent_actor(family)}

    def _booked(self) -> dict:
        found = db.session.execute(
            sa.select(Booking.id, Booking.family_id).where(Booking.status == "booked").order_by(Booking.id)
        ).all()
        if not found:
            raise EntryNotFound
        booking_id, family_id = self.chance.choice(found)
        family = next(one for one in self.families if one.id == family_id)
        return {"booking_id": booking_id, "actor": parent_actor(family)}

    def _join(self) -> None:
        family = self._who()
        join.join(
            schedule_id=self.full.session, profile_id=family.profile_ids[0], actor=parent_actor(family),
            auto_accept=self.chance.random() < 0.15,
        )  # fmt: skip

    def _leave(self) -> None:
        join.leave(**self._waiter(*LIVE))

    def _consent(self) -> None:
        join.change(**self._waiter(*LIVE), auto_accept=self.chance.random() < 0.5)

    def _cancel(self) -> None:
        cancel.cancel(**self._booked())

    def _absent(self) -> None:
        leave.take_leave(**self._booked())

    def _book(self) -> None:
        family = self._who()
        place.book(schedule_id=self.full.session, profile_id=family.profile_ids[0], actor=parent_actor(family))

    def _begin(self) -> None:
        answer.begin(**self._waiter("offered"))

    def _confirm(self) -> None:
        answer.confirm(**self._waiter("offered"))

    def _decline(self) -> None:
        answer.decline(**self._waiter("offered"))

    def _capacity(self) -> None:
        row = db.session.get(CourseSchedule, self.full.session, populate_existing=True)
        edit_session.edit_session(
            schedule_id=row.id, version=row.version, coach_id=row.coach_id, venue_id=row.venue_id,
            starts_at=row.starts_at, capacity=row.capacity + self.chance.choice((-1, 1)),
            waitlist_capacity=self.chance.choice((None, 2, 5)), actor=self.manager,
        )  # fmt: skip

    def _job(self) -> None:
        advance.advance_due()

    def _jump(self) -> None:
        clock._frozen += timedelta(seconds=self.chance.choice((1, 61, 240, 299, 300, 480, 899, 900)))


@pytest.mark.parametrize("seed", range(WALKS))
def test_whatever_happens_the_queue_stays_whole(app, seed):
    with clock.travel(to=clock.day_bounds(clock.today() + timedelta(days=1))[0] + timedelta(hours=10)):
        walk = Walk(seed)
        for _ in range(STEPS):
            walk.step()
            whole.check(walk.full.session)
        # Left alone until after the cutoff everything comes to rest.
        for _ in range(3):
            clock._frozen += timedelta(hours=6)
            advance.advance_due()
        whole.check(walk.full.session)
        assert not any(row.status in LIVE for row in db.session.query(WaitlistEntry).all())
        assert db.session.get(CourseSchedule, walk.full.session, populate_existing=True).kept == 0
        assert advance.due() == []
    assert sum(walk.done.values()) == STEPS
