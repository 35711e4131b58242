"""What tests of makeups do again and again, through the services."""

from __future__ import annotations

from datetime import timedelta

import sqlalchemy as sa

from app import clock
from app.db import db
from app.domain.bookings import leave, place
from app.domain.credits import minutes
from app.domain.credits.models import CompensationHistory, CompensationLot, MakeupCredit
from app.domain.makeups import book
from tests.factories import MadeFamily, make_course, make_family, make_session, parent_actor


class Away:
    """A student who has missed classes, and what is left for them. Lengths in minutes."""

    def __init__(self, *missed: int, level: str | None = None):
        self.family: MadeFamily = make_family(balance="1000.00")
        self.actor = parent_actor(self.family)
        self.profile_id = self.family.profile_ids[0]
        self.credits: list[int] = []
        self.days = 1
        for length in missed or (60,):
            self.miss(length, level=level)

    def miss(self, length: int, *, level: str | None = None) -> int:
        """Book a class of so many minutes and take leave; the credit's id."""
        schedule_id = self.session(length, level=level)
        booked = place.book(schedule_id=schedule_id, profile_id=self.profile_id, actor=self.actor)
        credit_id = leave.take_leave(booking_id=booked.booking_id, actor=self.actor).credit_id
        self.credits.append(credit_id)
        return credit_id

    def session(self, length: int = 60, *, level: str | None = None, **more) -> int:
        """A class at a time of its own."""
        self.days += 1
        more.setdefault("starts_in", timedelta(days=self.days))
        course = make_course(minutes=length, level=level, price="60.00", type_code=more.pop("type_code", "regular"),
                             is_trial=more.pop("is_trial", False))  # fmt: skip
        return make_session(course, **more)

    def book(self, schedule_id: int, number: int = 0, **more) -> book.MadeUp:
        more.setdefault("actor", self.actor)
        return book.book(
            schedule_id=schedule_id, profile_id=self.profile_id, credit_id=self.credits[number], **more
        )  # fmt: skip

    # ── what is there ───────────────────────────────────────────────────────────────────────────────

    @property
    def minutes(self) -> int:
        return minutes.available(self.profile_id, clock.now())

    def credit(self, number: int = 0) -> MakeupCredit:
        return db.session.get(MakeupCredit, self.credits[number], populate_existing=True)

    @property
    def lots(self) -> list[tuple[int, int]]:
        """(given, left) in the order of their making."""
        query = sa.select(CompensationLot.minutes, CompensationLot.minutes_left).order_by(CompensationLot.id)
        return [tuple(row) for row in db.session.execute(query.where(CompensationLot.profile_id == self.profile_id))]

    @property
    def history(self) -> list[tuple[str, int]]:
        query = sa.select(CompensationHistory.kind, CompensationHistory.minutes).order_by(CompensationHistory.id)
        return [
            tuple(row) for row in db.session.execute(query.where(CompensationHistory.profile_id == self.profile_id))
        ]


def whole() -> None:
    """Every lot is what its history says, and none is below zero or above what it was given."""
    total = (
        sa.select(sa.func.coalesce(sa.func.sum(CompensationHistory.minutes), 0))
        .where(CompensationHistory.lot_id == CompensationLot.id)
        .scalar_subquery()
    )
    for lot, said in db.session.execute(sa.select(CompensationLot, total)):
        assert lot.minutes_left == said, (lot.id, lot.minutes_left, said)
        assert 0 <= lot.minutes_left <= lot.minutes
