"""What tests of the waitlist do again and again, through the services."""

from __future__ import annotations

from datetime import timedelta

import sqlalchemy as sa

from app import clock
from app.db import db, transaction
from app.domain.audit.actor import system
from app.domain.bookings import cancel, place
from app.domain.catalog.models import CourseSchedule, CourseType
from app.domain.offers import advance, answer, join
from app.domain.outbox.models import Notification
from app.domain.waitlist.models import SeatRelease, WaitlistEntry, WaitlistFlow, WaitlistOffer
from tests.factories import MadeFamily, make_course, make_family, make_session, parent_actor

SYSTEM = system("test")


class Full:
    """A full session with those who have seats and those who wait, in order."""

    def __init__(
        self, *, capacity: int = 1, waiting: int = 0, policy: str = "open_then_sequential",
        starts_in: timedelta = timedelta(days=2), trial: bool = False, balance: str = "1000.00",
        auto: tuple[int, ...] = (),
    ):  # fmt: skip
        course = make_course("体验" if trial else "体操", type_code="trial" if trial else "regular", is_trial=trial)
        with transaction():
            db.session.execute(sa.update(CourseType).values(waitlist_policy=policy))
        self.session = make_session(course, capacity=capacity, starts_in=starts_in)
        self.seated: list[tuple[MadeFamily, int]] = []
        for number in range(0 if trial else capacity):
            family = make_family(parent=f"坐{number}", balance=balance)
            done = place.book(schedule_id=self.session, profile_id=family.profile_ids[0], actor=parent_actor(family))
            self.seated.append((family, done.booking_id))
        self.families: list[MadeFamily] = []
        self.entries: list[int] = []
        for number in range(waiting):
            self.wait(auto=number in auto)

    def wait(self, *, auto: bool = False, balance: str = "1000.00", family: MadeFamily | None = None) -> int:
        """One more student waits; the entry's id."""
        family = family or make_family(parent=f"候{len(self.entries)}", balance=balance)
        entry = join.join(
            schedule_id=self.session, profile_id=family.profile_ids[0], actor=parent_actor(family), auto_accept=auto
        )
        self.families.append(family)
        self.entries.append(entry)
        return entry

    def free(self, seat: int = 0, *, move_on: bool = True) -> None:
        """Somebody cancels; the queue moves on as the job would make it."""
        family, booking_id = self.seated[seat]
        cancel.cancel(booking_id=booking_id, actor=parent_actor(family))
        if move_on:
            self.advance()

    def advance(self) -> int:
        return advance.advance(schedule_id=self.session)

    def confirm(self, number: int) -> answer.Confirmed:
        return answer.confirm(entry_id=self.entries[number], actor=parent_actor(self.families[number]))

    def begin(self, number: int) -> None:
        answer.begin(entry_id=self.entries[number], actor=parent_actor(self.families[number]))

    def decline(self, number: int) -> None:
        answer.decline(entry_id=self.entries[number], actor=parent_actor(self.families[number]))

    def leave(self, number: int) -> None:
        join.leave(entry_id=self.entries[number], actor=parent_actor(self.families[number]))

    # ── what is there ───────────────────────────────────────────────────────────────────────────────

    @property
    def statuses(self) -> list[str]:
        return [self._entry(one).status for one in self.entries]

    @property
    def reasons(self) -> list[str | None]:
        return [self._entry(one).end_reason for one in self.entries]

    def _entry(self, entry_id: int) -> WaitlistEntry:
        return db.session.get(WaitlistEntry, entry_id, populate_existing=True)

    @property
    def offers(self) -> list[tuple[int, str, str]]:
        """(whose number, kind, status) in the order of their making."""
        query = sa.select(WaitlistOffer.entry_id, WaitlistOffer.kind, WaitlistOffer.status).order_by(WaitlistOffer.id)
        return [
            (self.entries.index(row.entry_id), row.kind, row.status)
            for row in db.session.execute(query)
            if row.entry_id in self.entries
        ]

    @property
    def live(self) -> list[tuple[int, str]]:
        return [(number, kind) for number, kind, status in self.offers if status == "live"]

    @property
    def deadline(self):
        """The latest offer's."""
        return db.session.scalar(sa.select(WaitlistOffer.ends_at).order_by(WaitlistOffer.id.desc()).limit(1))

    @property
    def releases(self) -> list[tuple[str, str | None]]:
        query = sa.select(SeatRelease.status, SeatRelease.end_reason).where(
            SeatRelease.course_schedule_id == self.session
        )
        return [tuple(row) for row in db.session.execute(query.order_by(SeatRelease.id))]

    @property
    def seats(self) -> tuple[int, int, int]:
        """(booked, held, kept)."""
        columns = (CourseSchedule.booked, CourseSchedule.held, CourseSchedule.kept)
        return tuple(db.session.execute(sa.select(*columns).where(CourseSchedule.id == self.session)).one())

    @property
    def flow(self) -> list[str]:
        query = sa.select(WaitlistFlow.step).where(WaitlistFlow.course_schedule_id == self.session)
        return list(db.session.scalars(query.order_by(WaitlistFlow.id)))

    def told(self, number: int) -> list[str]:
        """Types of what this family was told of the waitlist, in order."""
        kinds = ("waitlist_offer", "seat_taken", "waitlist_expired")
        query = sa.select(Notification.type).where(
            Notification.family_id == self.families[number].id, Notification.type.in_(kinds)
        )
        return list(db.session.scalars(query.order_by(Notification.id)))


def cards(type: str) -> int:
    """How many cards of this type were written for the staff's groups."""
    return db.session.scalar(sa.select(sa.func.count()).where(Notification.type == type))


def later(**by):
    """Stand still that much after now."""
    return clock.travel(to=clock.now() + timedelta(**by))
