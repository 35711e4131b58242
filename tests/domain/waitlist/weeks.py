"""Some weeks of a studio with waitlists, lived by the live engine on a moved clock: parents join, cancel, answer at
once, late, or never; the job comes up to three seconds after anything is due. What it leaves is real history."""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import sqlalchemy as sa

from app import clock
from app.db import db
from app.domain.bookings import cancel, place
from app.domain.bookings.models import Booking
from app.domain.offers import advance, answer, join
from app.domain.waitlist.models import EntryStatus, OfferStatus, WaitlistEntry, WaitlistOffer
from app.errors import DomainError
from tests.factories import MadeFamily, make_family, make_session, parent_actor

SECOND, MINUTE, HOUR, DAY = (timedelta(**{unit: 1}) for unit in ("seconds", "minutes", "hours", "days"))


@dataclass(frozen=True)
class Plan:
    """How a parent meets each of their offers: confirm, decline, begin (and confirm a while later) or nothing."""

    does: str
    after: timedelta
    takes: timedelta = timedelta(0)


@dataclass
class World:
    """What is still to happen, by time; `plans` by entry, the n-th for the n-th offer."""

    seed: int = 1
    coming: list = field(default_factory=list)
    plans: dict[int, list[Plan]] = field(default_factory=dict)
    seen: set[int] = field(default_factory=set)
    met: dict[int, int] = field(default_factory=dict)
    actors: dict[int, object] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)

    def __post_init__(self):
        self.random = random.Random(self.seed)
        self._order = itertools.count()

    def at(self, moment: datetime, do, *args) -> None:
        heapq.heappush(self.coming, (moment, next(self._order), do, args))

    def run(self, until: datetime) -> None:
        """Everything that is to happen before `until`, and what follows from it."""
        while self.coming and self.coming[0][0] < until:
            moment, _, do, args = heapq.heappop(self.coming)
            with clock.travel(to=moment):
                try:
                    do(*args)
                except DomainError as refusal:
                    self.refused.append(refusal.code)

    @property
    def soon(self) -> timedelta:
        """The job comes a while after something is due."""
        return self.random.choice((0.3, 1, 1, 1, 3)) * SECOND

    # ── what people do ──────────────────────────────────────────────────────────────────────────────

    def book(self, session: int, family: MadeFamily) -> None:
        place.book(schedule_id=session, profile_id=family.profile_ids[0], actor=parent_actor(family))

    def wait(self, session: int, family: MadeFamily, plans: list[Plan], auto: bool = False) -> None:
        entry = join.join(
            schedule_id=session, profile_id=family.profile_ids[0], actor=parent_actor(family), auto_accept=auto
        )
        self.plans[entry], self.actors[entry] = plans, parent_actor(family)

    def give_up(self, session: int, family: MadeFamily) -> None:
        """The class was booked and is cancelled: a seat comes free."""
        booking = db.session.scalar(
            sa.select(Booking.id).where(
                Booking.course_schedule_id == session, Booking.live_profile_id == family.profile_ids[0]
            )
        )
        cancel.cancel(booking_id=booking, actor=parent_actor(family))
        self.at(clock.now() + self.soon, self.job, session)

    def leave(self, session: int, family: MadeFamily) -> None:
        entry = db.session.scalar(
            sa.select(WaitlistEntry.id).where(
                WaitlistEntry.course_schedule_id == session, WaitlistEntry.live_profile_id == family.profile_ids[0]
            )
        )
        join.leave(entry_id=entry, actor=parent_actor(family))
        self.look(session)

    def reply(self, session: int, entry: int, does: str) -> None:
        use = {"confirm": answer.confirm, "decline": answer.decline, "begin": answer.begin}[does]
        try:
            use(entry_id=entry, actor=self.actors[entry])
        finally:
            self.look(session)

    # ── what follows ────────────────────────────────────────────────────────────────────────────────

    def job(self, session: int) -> None:
        advance.advance(schedule_id=session)
        self.look(session)

    def look(self, session: int) -> None:
        """Parents see their new offers; the job will come when their time is over."""
        query = (
            sa.select(WaitlistOffer.id, WaitlistOffer.entry_id, WaitlistOffer.ends_at)
            .join(WaitlistEntry, WaitlistEntry.id == WaitlistOffer.entry_id)
            .where(WaitlistEntry.course_schedule_id == session, WaitlistOffer.status == OfferStatus.LIVE)
        )
        for offer, entry, ends_at in db.session.execute(query).all():
            self.at(ends_at + self.soon, self.job, session)
            if offer not in self.seen:
                self.seen.add(offer)
                self.meet(session, entry)

    def meet(self, session: int, entry: int) -> None:
        number = self.met[entry] = self.met.get(entry, -1) + 1
        plans = self.plans.get(entry, [])
        plan = plans[min(number, len(plans) - 1)] if plans else None
        if plan is None or plan.does == "silence":
            return
        self.at(clock.now() + plan.after, self.reply, session, entry, plan.does)
        if plan.does == "begin":
            self.at(clock.now() + plan.after + plan.takes, self.reply, session, entry, "confirm")

    def close(self, session: int, starts_at: datetime, cutoff: timedelta = 6 * HOUR) -> None:
        """The job comes when quiet hours end, at the cutoff, and after the longest grace."""
        for days in range(1, 4):
            morning = clock.day_bounds(clock.local(starts_at - days * DAY).date())[0] + 8 * HOUR
            self.at(morning + self.soon, self.job, session)
        self.at(starts_at - cutoff + self.soon, self.job, session)
        self.at(starts_at - cutoff + 6 * MINUTE, self.job, session)


def some_plan(world: World) -> Plan:
    """A quick yes, a late one, a no, a begun one, or nothing."""
    does = world.random.choices(("confirm", "silence", "decline", "begin"), (4, 8, 1, 1))[0]
    after = world.random.choice((1, 2, 3, 5, 8, 12, 14, 20)) * MINUTE + world.random.randrange(60) * MINUTE / 60
    return Plan(does, after, takes=world.random.choice((1, 3, 4, 7)) * MINUTE)


def live(
    *, since: datetime, days: int, courses: list[int], per_day: int = 2, capacity: int = 3, seed: int = 1,
    before: timedelta = 3 * DAY, also: Callable[[World, list[int]], None] | None = None,
    until: datetime | None = None,
) -> World:  # fmt: skip
    """Classes on every day, full at once; then others wait, some cancel, a few leave. `also` may add to what is to
    come, given the sessions. It is lived to the end, or `until` a moment."""
    world, sessions = World(seed), []
    pick = world.random
    with clock.travel(to=since - before):
        families = [
            # Every sixth is near the limit of its debts: their next class is the last one they can book.
            make_family(balance="-550.00" if n % 6 == 5 else "9000.00", parent=f"家长{n}", students=(f"学员{n}",))
            for n in range(per_day * (capacity + 7))
        ]
    for day, number in itertools.product(range(days), range(per_day)):
        starts_at = since + day * DAY + (9 + number % 8) * HOUR
        opens = starts_at - before
        with clock.travel(to=opens):
            session = make_session(pick.choice(courses), starts_at=starts_at, capacity=capacity)
        sessions.append(session)
        mine = pick.sample(families, capacity + pick.randrange(2, 7))
        for family in mine[:capacity]:
            world.at(opens + MINUTE, world.book, session, family)
        for family in mine[capacity:]:
            joins = opens + HOUR + pick.random() * 40 * HOUR
            plans = [some_plan(world) for _ in range(3)]
            world.at(joins, world.wait, session, family, plans, pick.random() < 0.12)
            if pick.random() < 0.08:
                world.at(joins + pick.random() * 20 * HOUR, world.leave, session, family)
        for family in pick.sample(mine[:capacity], pick.randrange(0, capacity + 1)):
            world.at(opens + 12 * HOUR + pick.random() * (before - 18 * HOUR - MINUTE), world.give_up, session, family)
        world.close(session, starts_at)
    if also is not None:
        also(world, sessions)
    world.run(until or since + days * DAY + DAY)
    return world


def waiting() -> int:
    """Live entries, of all queues."""
    live_ones = (EntryStatus.WAITING, EntryStatus.OFFERED)
    return db.session.scalar(sa.select(sa.func.count()).where(WaitlistEntry.status.in_(live_ones)))
