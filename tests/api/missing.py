"""A parent whose child missed classes, over the contract."""

from __future__ import annotations

import itertools
from datetime import timedelta

import sqlalchemy as sa

from app.db import db
from app.domain.bookings import leave, place
from app.domain.bookings.models import Booking
from app.domain.credits.models import MakeupCredit
from tests.api.conftest import Parent, ok
from tests.api.test_bookings import add_student, set_balance
from tests.factories import make_course, make_family, make_session, parent_actor

_keys = itertools.count(1)


class Missing:
    """A parent whose child missed classes, over the contract."""

    def __init__(self, parent: Parent, *lengths: int, level: str | None = None, name: str = "小雨"):
        self.parent = parent
        self.profile_id = add_student(parent, name)
        set_balance(parent, "1000.00")
        self.days = 1
        self.originals = [self.miss(length, level=level) for length in lengths]

    def session(self, length: int = 60, *, level: str | None = None, type_code: str = "regular", **more) -> int:
        self.days += 1
        more.setdefault("starts_in", timedelta(days=self.days))
        return make_session(make_course(minutes=length, level=level, price="180.00", type_code=type_code), **more)

    def miss(self, length: int, *, level: str | None = None) -> int:
        """The booking that was given up."""
        made = place.book(
            schedule_id=self.session(length, level=level), profile_id=self.profile_id, actor=self.parent.actor
        )
        leave.take_leave(booking_id=made.booking_id, actor=self.parent.actor)
        return made.booking_id

    def book(self, schedule_id: int, number: int = 0, key: str | None = None, **more):
        body = {"course_schedule_id": schedule_id, "profile_id": self.profile_id} | more
        body.setdefault("original_booking_id", self.originals[number])
        return self.parent.post("/makeup/book", body, key=key or f"book-{next(_keys)}")

    def booked(self, schedule_id: int, number: int = 0, **more) -> dict:
        return ok(self.book(schedule_id, number, **more), "book_makeup")

    def cancel(self, booking_id: int, key: str | None = None):
        return self.parent.call("DELETE", f"/makeup/{booking_id}/cancel", key=key)

    def credits(self, query: str = "") -> dict:
        return ok(self.parent.get(f"/makeup/my{query}"), "list_credits")

    def credit_id(self, number: int = 0) -> int:
        query = sa.select(MakeupCredit.id).where(MakeupCredit.booking_id == self.originals[number])
        return db.session.scalar(query)

    def available(self, query: str = "", number: int = 0) -> dict:
        return ok(self.parent.get(f"/makeup/available?credit_id={self.credit_id(number)}{query}"), "list_choices")

    def found(self, query: str = "") -> list[int]:
        return [one["schedule"]["id"] for one in self.available(query)["items"]]

    def minutes(self) -> int:
        return ok(self.parent.get(f"/compensation/balance?profile_id={self.profile_id}"), "get_minutes")["minutes"]


def taken(schedule_id: int) -> int:
    """A full class: the only seat is another family's."""
    family = make_family(balance="500.00")
    place.book(schedule_id=schedule_id, profile_id=family.profile_ids[0], actor=parent_actor(family))
    return schedule_id


def makeups() -> int:
    db.session.rollback()
    return db.session.scalar(sa.select(sa.func.count(Booking.id)).where(Booking.kind == "makeup"))
