"""A kept seat becomes somebody's: booking or trial order, in the transaction of whoever decided so (Q10, 96.62)."""

from __future__ import annotations

from dataclasses import dataclass

from app.db import db
from app.domain.audit import service as audit
from app.domain.audit.actor import Actor, ActorType
from app.domain.bookings import place, students
from app.domain.bookings import rules as booking_rules
from app.domain.bookings.students import Student
from app.domain.makeups import book as makeups
from app.domain.offers import telling
from app.domain.orders import checkout
from app.domain.seats import service as seats
from app.domain.waitlist import queue
from app.domain.waitlist.models import OfferStatus, SeatRelease, WaitlistEntry
from app.domain.waitlist.queue import HeldQueue
from app.domain.waitlist.rules import Event, Step
from app.errors import Invalid


@dataclass(frozen=True, slots=True)
class Taken:
    """`order_id` is the public number of a trial's order; a regular class has a booking."""

    booking_id: int | None
    order_id: str | None


def take(
    held: HeldQueue, entry: WaitlistEntry, release: SeatRelease, student: Student, actor: Actor, *, reason: str
) -> Taken:
    """Building block: the seat is this entry's. The student's row and the session's are ours. `reason` is one of
    rules.END_TEXTS. Raises what a booking raises: level, clash, wallet; of a trial TrialAlreadyBooked; of a makeup what
    makeups.book raises (Q22)."""
    session = held.session
    booking_rules.check_session(session.status, session.starts_at, held.now, is_trial=False)
    students.check_free(student, session)
    if entry.credit_id is not None:
        makeups.check_credit(makeups.credit_facts(credit_id=entry.credit_id), session, student, held.now)
    elif not session.is_trial:
        booking_rules.check_level(session.course_rank, student.rank, session.lowest_rank)
    offer = held.offer_of(entry.id)
    if offer is not None:
        queue.end_offer(held, offer, OfferStatus.CONFIRMED, answer="confirm" if reason == "confirmed" else None)
    # Before the booking: it ends whatever wait it finds, and this one has ended by itself.
    queue.end_entry(held, entry, Event.CONFIRM, reason)
    make = _order if session.is_trial else _booking if entry.credit_id is None else _makeup
    taken = make(held, entry, student, actor)
    queue.step(
        held, Step.CONFIRMED, actor, held.now, entry_id=entry.id, offer_id=offer.id if offer else None,
        release_id=release.id, reason=reason, facts={"booking": taken.booking_id, "order": taken.order_id},
    )  # fmt: skip
    round_id = release.round_id
    queue.fill(held, release, entry, reason, actor)
    audit.record(
        actor, "waitlist.confirmed", target_type="waitlist_entry", target_id=entry.id, family_id=entry.family_id,
        order_id=taken.order_id, new_status=entry.status, reason=reason,
        after={"schedule": session.id, "booking": taken.booking_id, "release": release.id},
    )  # fmt: skip
    if round_id is not None and not held.seats_of(round_id):
        _close_round(held, round_id, actor)
    return taken


def _booking(held: HeldQueue, entry: WaitlistEntry, student: Student, actor: Actor) -> Taken:
    seats.book_kept(held.session.id)
    booked = place.on_seat(held.session, student, actor, user_id=entry.user_id)
    entry.booking_id = booked.booking_id
    db.session.flush()
    return Taken(booked.booking_id, None)


def _makeup(held: HeldQueue, entry: WaitlistEntry, student: Student, actor: Actor) -> Taken:
    seats.book_kept(held.session.id)
    wishes = makeups.Wishes(entry.accept_shorter, entry.use_compensation)
    made = makeups.on_seat(held.session, student, entry.credit_id, actor, wishes, user_id=entry.user_id)
    entry.booking_id = made.booking_id
    db.session.flush()
    return Taken(made.booking_id, None)


def _order(held: HeldQueue, entry: WaitlistEntry, student: Student, actor: Actor) -> Taken:
    payer = actor.id if actor.type == ActorType.PARENT else entry.user_id
    if payer is None:
        raise Invalid("这个家庭还没有家长登录过小程序，不能生成体验课订单")
    seats.hold_kept(held.session.id)
    order = checkout.on_seat(held.session, student, user_id=payer, actor=actor, now=held.now)
    entry.order_id = order.id
    db.session.flush()
    return Taken(None, order.order_id)


def _close_round(held: HeldQueue, round_id: int, actor: Actor) -> None:
    """Its last seat is gone: the others hear so and keep their place (Q6)."""
    for other in held.offers_of(round_id):
        entry = held.entry(other.entry_id)
        queue.end_offer(held, other, OfferStatus.TAKEN)
        queue.pass_over(held, entry)
        queue.step(held, Step.TAKEN, actor, held.now, entry_id=entry.id, offer_id=other.id, round_id=round_id)
        telling.taken(held, entry, other)
    queue.end_round(held, round_id)
