"""A full class with parents who wait for it, over the contract."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field

import sqlalchemy as sa

from app.db import db, transaction
from app.domain.offers import advance
from app.domain.waitlist.models import WaitlistOffer
from tests.api.conftest import Parent, ok, sign_in
from tests.api.test_bookings import add_student, book, set_balance
from tests.factories import make_session

JOIN = "/waitlist/join"


@dataclass
class Waiter:
    """A parent with one student, and the place in the queue once there is one."""

    parent: Parent
    profile_id: int
    entry_id: int = 0

    @property
    def family_id(self) -> int:
        return self.parent.family_id

    def entry(self) -> dict:
        return next(one for one in waits(self.parent) if one["id"] == self.entry_id)

    def respond(self, action: str, key: str | None = None):
        path = f"/waitlist/{self.entry_id}/respond"
        return self.parent.put(path, {"action": action}, key=key or uuid.uuid4().hex)


@dataclass
class Scene:
    """A session of one seat, who has it, and who waits."""

    schedule_id: int
    holder: Waiter
    booking_id: int
    waiters: list[Waiter] = field(default_factory=list)

    def free(self) -> None:
        """The seat comes free over HTTP, and the queue moves on at once."""
        answer = self.holder.parent.post(f"/bookings/{self.booking_id}/cancel")
        assert answer.status_code == 200, answer.json
        advance.advance(schedule_id=self.schedule_id)


def family(client, number: int, balance: str = "500.00") -> Waiter:
    parent = sign_in(client, f"openid-test-waiter-{number:04}", f"家长{number}")
    if balance != "0.00":
        set_balance(parent, balance)
    return Waiter(parent, add_student(parent, f"学员{number}"))


def join(waiter: Waiter, schedule_id: int, key: str | None = None, **more):
    body = {"course_schedule_id": schedule_id, "profile_id": waiter.profile_id} | more
    return waiter.parent.post(JOIN, body, key=key)


def joined(waiter: Waiter, schedule_id: int, **more) -> dict:
    """The answer's data; the waiter knows its entry."""
    answer = join(waiter, schedule_id, **more)
    place = answer.json["data"]["position"] if answer.status_code == 201 else None
    data = ok(answer, "join_waitlist", message=f"您是第{place}位候补")
    waiter.entry_id = data["waitlist_id"]
    return data


def full_class(client, waiters: int = 0, *, schedule_id: int | None = None, **columns) -> Scene:
    """A session of one seat that the first family has, with `waiters` in its queue."""
    schedule_id = schedule_id or make_session(capacity=1, **columns)
    holder = family(client, 0)
    made = ok(book(holder.parent, schedule_id, holder.profile_id, key=uuid.uuid4().hex), "make_booking")
    scene = Scene(schedule_id, holder, made["booking"]["id"])
    for number in range(1, waiters + 1):
        waiter = family(client, number)
        joined(waiter, schedule_id)
        scene.waiters.append(waiter)
    return scene


def waits(parent: Parent, query: str = "") -> list[dict]:
    return ok(parent.get(f"/waitlist/my{query}"), "list_waits")["items"]


def availability(parent: Parent, schedule_id: int) -> dict:
    return ok(parent.get(f"/schedules/{schedule_id}/availability"), "get_availability")


def set_deadline(entry_id: int, moment) -> None:
    """The live offer of this entry ends at this moment, with its round."""
    offers = WaitlistOffer.__table__
    with transaction():
        ours = sa.select(offers.c.round_id).where(offers.c.entry_id == entry_id, offers.c.status == "live")
        round_id = db.session.scalar(ours)
        db.session.execute(
            sa.update(offers).where(offers.c.round_id == round_id, offers.c.begun_at.is_(None))
            .values(deadline=moment, ends_at=moment)
        )  # fmt: skip
        db.session.execute(
            sa.text("UPDATE waitlist_rounds SET deadline = :at WHERE id = :id").bindparams(
                sa.bindparam("at", moment, type_=offers.c.deadline.type), id=round_id
            )
        )
