"""A student who found a class and its queue full is noted once; who may wait, or has booked already, is not (U18)."""

from __future__ import annotations

import logging

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import OperationalError

from app import clock
from app.db import db
from app.domain.bookings import place
from app.domain.bookings.errors import AlreadyBooked, SeatFull
from app.domain.makeups import book as makeups
from app.domain.offers import join
from app.domain.orders import checkout
from app.domain.seats import refusals
from app.domain.seats.models import SeatRefusal
from app.domain.waitlist.errors import WaitlistFull
from tests.domain.makeups.steps import Away
from tests.domain.orders import steps as trials
from tests.factories import make_family, make_session, parent_actor

pytestmark = pytest.mark.usefixtures("app")


def rows() -> list[tuple[int, int, str]]:
    db.session.rollback()
    found = db.session.scalars(sa.select(SeatRefusal).order_by(SeatRefusal.id))
    return [(one.course_schedule_id, one.profile_id, one.code) for one in found]


def attempt(use_case, schedule_id, family, refusal) -> tuple[int, int, str]:
    """One refused call; what a row of it would say."""
    student = family.profile_ids[0]
    with pytest.raises(refusal):
        use_case(schedule_id=schedule_id, profile_id=student, actor=parent_actor(family))
    return schedule_id, student, refusal.code


def full(*, queue: int, course: int | None = None) -> tuple[int, object]:
    """A class of one seat, taken, whose queue takes so many."""
    schedule_id, holder = make_session(course, capacity=1, waitlist_capacity=queue), make_family(balance="900.00")
    place.book(schedule_id=schedule_id, profile_id=holder.profile_ids[0], actor=parent_actor(holder))
    return schedule_id, holder


def test_only_where_neither_seat_nor_queue_has_room():
    schedule_id, holder = full(queue=1)
    first, second = make_family(), make_family()
    attempt(place.book, schedule_id, first, SeatFull)  # may wait
    attempt(place.book, schedule_id, holder, AlreadyBooked)
    assert rows() == []
    join.join(schedule_id=schedule_id, profile_id=first.profile_ids[0], actor=parent_actor(first))
    said = [attempt(place.book, schedule_id, second, SeatFull)]
    said.append(attempt(join.join, schedule_id, make_family(), WaitlistFull))
    assert rows() == said
    # Pressed again, elsewhere or here: the same student and class.
    attempt(join.join, schedule_id, second, WaitlistFull)
    attempt(place.book, schedule_id, second, SeatFull)
    assert rows() == said
    assert db.session.scalar(sa.select(sa.func.max(SeatRefusal.refused_at))) <= clock.now()


def test_trials_and_makeups_too():
    trial, holder, other = trials.trial_session(capacity=1, waitlist_capacity=0), make_family(), make_family()
    checkout.create(schedule_id=trial, profile_id=holder.profile_ids[0], actor=parent_actor(holder))
    said = [attempt(checkout.create, trial, other, SeatFull)]
    one = Away(60)
    schedule_id, _ = full(queue=0)
    with pytest.raises(SeatFull):
        makeups.book(schedule_id=schedule_id, profile_id=one.profile_id, credit_id=one.credits[0], actor=one.actor)
    assert rows() == [*said, (schedule_id, one.profile_id, "SEAT_FULL")]


def test_a_note_that_cannot_be_written_does_not_hide_the_refusal(monkeypatch, caplog):
    schedule_id, _ = full(queue=0)

    def away(**asked):
        raise OperationalError("INSERT", {}, Exception("gone"))

    monkeypatch.setattr(refusals, "_write", away)
    with caplog.at_level(logging.ERROR, logger="desk.seats"):
        attempt(place.book, schedule_id, make_family(), SeatFull)
    assert "could not be noted" in caplog.text
    assert rows() == []
