"""A random walk of one student through leave, makeups, cancellations, adjustments and time, beside a model in plain
Python that knows nothing of the code: credits, lots, uses and refusals agree after every step (M1, M4–M7)."""

from __future__ import annotations

import os
import random
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from app import clock
from app.db import db
from app.domain.bookings import cancel, leave, place
from app.domain.bookings.errors import CancelTooLate, ScheduleStarted
from app.domain.bookings.models import LIVE, Booking
from app.domain.credits.errors import CreditExpired, NoCredit, NotEnoughCompensation, ShorterClass
from app.domain.credits.models import CompensationLot, CompensationUsage, MakeupCredit
from app.domain.makeups import book, expiry, manage
from app.errors import Invalid, InvalidState
from tests.domain.makeups.steps import whole
from tests.factories import make_course, make_family, make_session, parent_actor
from tests.portal import actor_of, make_staff

pytestmark = pytest.mark.usefixtures("app")

#: steps of each walk, and walks; more by hand
STEPS = int(os.environ.get("DESK_TEST_STEPS", "120"))
SEEDS = range(int(os.environ.get("DESK_TEST_WALKS", "2")))
BEGIN = datetime(2026, 11, 18, 4, 0, tzinfo=UTC)
LENGTHS = (40, 60, 75, 90, 120)
#: what a step may be, and how often
ACTS = {"miss": 5, "book": 12, "cancel": 4, "leave": 2, "adjust": 3, "wait": 4, "expire": 2, "void": 1, "extend": 2}
UNIT, HOUR, DAY = 15, timedelta(hours=1), timedelta(days=1)


@dataclass
class Lot:
    given: int
    left: int
    ends: datetime
    #: the makeup that earned it; cancelled, nothing returns to it
    of: int | None = None
    revoked: bool = False


@dataclass
class Held:
    """A makeup that is booked: which credit, which lots gave how much."""

    credit: int
    starts: datetime
    ends: datetime
    used: list[tuple[int, int]]


@dataclass
class Model:
    now: datetime = BEGIN
    #: id → [status, end, minutes]
    credits: dict[int, list] = field(default_factory=dict)
    lots: list[Lot] = field(default_factory=list)
    held: dict[int, Held] = field(default_factory=dict)

    def usable(self) -> list[int]:
        found = [n for n, lot in enumerate(self.lots) if lot.left and lot.ends > self.now]
        return sorted(found, key=lambda n: (self.lots[n].ends, n))

    @property
    def balance(self) -> int:
        return sum(self.lots[n].left for n in self.usable())

    def share(self, minutes: int) -> list[tuple[int, int]]:
        """Take so many minutes, from what ends first."""
        parts = []
        for n in self.usable():
            taken = min(minutes, self.lots[n].left)
            if taken:
                parts.append((n, taken))
                self.lots[n].left -= taken
                minutes -= taken
        assert minutes == 0
        return parts

    def refusal(self, credit: int, starts: datetime, length: int, shorter: bool, use: bool) -> type | None:
        status, end, missed = self.credits[credit]
        if status == "expired" or (status == "available" and self.now >= end):
            return CreditExpired
        if status != "available":
            return NoCredit
        if starts >= end:
            return CreditExpired
        if length < missed:
            return None if shorter else ShorterClass
        needed = (length - missed) // UNIT * UNIT
        return NotEnoughCompensation if needed and not (use and self.balance >= needed) else None

    def book(self, booking: int, credit: int, starts: datetime, length: int) -> tuple[int, int]:
        """Minutes used and earned."""
        missed = self.credits[credit][2]
        self.credits[credit][0] = "used"
        needed = max(0, length - missed) // UNIT * UNIT
        earned = -(-max(0, missed - length) // UNIT) * UNIT
        self.held[booking] = Held(credit, starts, starts + timedelta(minutes=length), self.share(needed))
        if earned:
            self.lots.append(Lot(earned, earned, self.now + 14 * DAY, booking))
        return needed, earned

    def end(self, booking: int) -> None:
        held = self.held.pop(booking)
        credit = self.credits[held.credit]
        credit[0] = "available" if self.now < credit[1] else "expired"
        earned = [lot for lot in self.lots if lot.of == booking]
        for n, minutes in sorted(held.used):
            lot = self.lots[n]
            if lot.revoked:
                continue
            if lot.ends < self.now + DAY:
                self.lots.append(Lot(minutes, minutes, self.now + DAY))
            else:
                lot.left += minutes
        for lot in earned:
            lot.left, lot.revoked = 0, True

    def expire(self) -> int:
        due = [one for one in self.credits.values() if one[0] == "available" and one[1] <= self.now]
        gone = [lot for lot in self.lots if lot.left and lot.ends <= self.now]
        for one in due:
            one[0] = "expired"
        for lot in gone:
            lot.left = 0
        return len(due) + len(gone)


class Walk:
    def __init__(self, seed: int):
        self.chance = random.Random(seed)
        self.model = Model()
        self.family = make_family(balance="90000.00")
        self.actor, self.profile_id = parent_actor(self.family), self.family.profile_ids[0]
        self.manager = actor_of(make_staff("manager"))
        self.courses = {length: make_course(minutes=length, price="1.00") for length in LENGTHS}
        self.did: Counter[str] = Counter()

    # ── the steps ──

    def session(self, length: int, within: timedelta) -> tuple[int, datetime]:
        """A class that clashes with no makeup."""
        while True:
            starts = self.model.now + within * self.chance.random() + timedelta(minutes=1)
            ends = starts + timedelta(minutes=length)
            if all(ends <= one.starts or one.ends <= starts for one in self.model.held.values()):
                return make_session(self.courses[length], starts_at=starts), starts
            # The near hours may be full of makeups.
            within += HOUR

    def miss(self) -> None:
        length = self.chance.choice(LENGTHS)
        schedule_id, _ = self.session(length, 5 * DAY)
        booked = place.book(schedule_id=schedule_id, profile_id=self.profile_id, actor=self.actor).booking_id
        credit = leave.take_leave(booking_id=booked, actor=self.actor).credit_id
        self.model.credits[credit] = ["available", self.model.now + 60 * DAY, length]

    def book(self) -> None:
        usable = [one for one, (status, _, _) in self.model.credits.items() if status == "available"]
        some = usable if usable and self.chance.random() < 0.9 else list(self.model.credits)
        if not some:
            return
        credit, length = self.chance.choice(some), self.chance.choice(LENGTHS)
        schedule_id, starts = self.session(length, self.chance.choice((6 * HOUR, 5 * DAY, 5 * DAY, 40 * DAY)))
        shorter, use = self.chance.random() < 0.8, self.chance.random() < 0.8
        refusal = self.model.refusal(credit, starts, length, shorter, use)

        def ask():
            return book.book(
                schedule_id=schedule_id, profile_id=self.profile_id, credit_id=credit, actor=self.actor,
                accept_shorter=shorter, use_compensation=use,
            )  # fmt: skip

        if refusal is not None:
            return self.refused(refusal, ask)
        made = ask()
        used, earned = self.model.book(made.booking_id, credit, starts, length)
        assert (made.used, made.earned, made.remaining) == (used, earned, self.model.balance)
        self.did["used minutes" if used else "earned minutes" if earned else "same length"] += 1

    def refused(self, refusal: type, ask) -> None:
        with pytest.raises(refusal):
            ask()
        self.did[refusal.__name__] += 1

    def give_up(self, act, cutoff: timedelta, refusal: type) -> None:
        if not self.model.held:
            return
        booking = self.chance.choice(list(self.model.held))
        if self.model.now >= self.model.held[booking].starts - cutoff:
            # What has begun is in the past: it stays as it is.
            self.refused(refusal, lambda: act(booking_id=booking, actor=self.actor))
            if self.model.now >= self.model.held[booking].ends:
                del self.model.held[booking]
            return
        act(booking_id=booking, actor=self.actor)
        self.model.end(booking)

    def cancel(self) -> None:
        # Exactly at the cutoff it is still allowed; the walk never stands there to the microsecond.
        self.give_up(cancel.cancel, 6 * HOUR, CancelTooLate)

    def leave(self) -> None:
        self.give_up(leave.take_leave, timedelta(0), ScheduleStarted)

    def adjust(self) -> None:
        minutes = self.chance.choice((15, 30, 45, -15, -30, -60))

        def ask():
            return manage.adjust_minutes(
                profile_id=self.profile_id, minutes=minutes, reason="测试", actor=self.manager
            )  # fmt: skip

        if -minutes > self.model.balance:
            return self.refused(NotEnoughCompensation, ask)
        if minutes > 0:
            self.model.lots.append(Lot(minutes, minutes, self.model.now + 14 * DAY))
        else:
            self.model.share(-minutes)
        assert ask() == self.model.balance

    def wait(self) -> None:
        self.model.now += self.chance.choice((HOUR, 12 * HOUR, 3 * DAY, 9 * DAY))

    def expire(self) -> None:
        assert expiry.expire() == self.model.expire()

    def void(self) -> None:
        if not self.model.credits:
            return
        credit = self.chance.choice(list(self.model.credits))

        def ask():
            manage.void(credit_id=credit, reason="测试", actor=self.manager)

        if self.model.credits[credit][0] != "available":
            return self.refused(InvalidState, ask)
        ask()
        self.model.credits[credit][0] = "void"

    def extend(self) -> None:
        if not self.model.credits:
            return
        credit = self.chance.choice(list(self.model.credits))
        until = clock.local(self.model.now + timedelta(days=self.chance.choice((-1, 30, 80, 200)))).date()
        status, end, _ = self.model.credits[credit]
        new = clock.day_bounds(until)[1]

        def ask():
            manage.extend(credit_id=credit, until=until, reason="测试", actor=self.manager)

        if status in ("used", "void"):
            return self.refused(InvalidState, ask)
        if new <= max(self.model.now, end) or new > self.model.now + 120 * DAY:
            return self.refused(Invalid, ask)
        ask()
        self.model.credits[credit][:2] = ["available", new]

    def step(self) -> None:
        [act] = self.chance.choices(list(ACTS), ACTS.values())
        with clock.travel(to=self.model.now):
            getattr(self, act)()
        self.did[act] += 1
        with clock.travel(to=self.model.now):
            self.compare()

    # ── what is there ──

    def compare(self) -> None:
        db.session.expire_all()
        whole()
        lots = sa.select(CompensationLot).where(CompensationLot.profile_id == self.profile_id)
        there = [
            (one.minutes, one.minutes_left, one.expires_at)
            for one in db.session.scalars(lots.order_by(CompensationLot.id))
        ]
        assert there == [(one.given, one.left, one.ends) for one in self.model.lots]
        columns = (MakeupCredit.id, MakeupCredit.status, MakeupCredit.valid_until, MakeupCredit.minutes)
        credits = db.session.execute(sa.select(*columns).where(MakeupCredit.profile_id == self.profile_id))
        assert {row[0]: list(row[1:]) for row in credits} == self.model.credits
        twice = (
            sa.select(Booking.credit_id)
            .where(Booking.status.in_(LIVE), Booking.credit_id.is_not(None), Booking.profile_id == self.profile_id)
            .group_by(Booking.credit_id)
            .having(sa.func.count() > 1)
        )
        assert db.session.scalars(twice).all() == []
        self.compare_uses()

    def compare_uses(self) -> None:
        """Which lot gave how much to which makeup, as long as it is booked."""
        number = {
            lot: n
            for n, lot in enumerate(
                db.session.scalars(
                    sa.select(CompensationLot.id)
                    .where(CompensationLot.profile_id == self.profile_id)
                    .order_by(CompensationLot.id)
                )
            )
        }
        uses = sa.select(CompensationUsage).where(
            CompensationUsage.booking_id.in_(self.model.held), CompensationUsage.returned_at.is_(None)
        )
        there = sorted((one.booking_id, number[one.lot_id], one.minutes) for one in db.session.scalars(uses))
        assert there == sorted((one, n, taken) for one, held in self.model.held.items() for n, taken in held.used)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_walk_agrees_with_the_model(seed):
    with clock.travel(to=BEGIN):
        walk = Walk(seed)
    for _ in range(STEPS):
        walk.step()
    taken = sum(walk.did[act] for act in ACTS)
    print(f"{taken} steps: {dict(walk.did)}")
    assert taken == STEPS
    assert walk.did["used minutes"] > 0
    assert walk.did["earned minutes"] > 0
