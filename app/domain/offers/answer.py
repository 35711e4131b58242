"""A parent's answer to an offer: begin, confirm, decline (Q7, Q10; 96.55–58, 96.61)."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from app.db import RequestKey, db, transactional
from app.domain.audit import service as audit
from app.domain.audit.actor import Actor
from app.domain.bookings import place
from app.domain.bookings.errors import ArrearsBlocked
from app.domain.offers import advance, holding, taking
from app.domain.orders.claims import Taken as ClaimTaken
from app.domain.orders.errors import TrialAlreadyBooked
from app.domain.orders.models import PaymentOrder
from app.domain.waitlist import queries, queue, rules
from app.domain.waitlist.errors import NoOffer, OfferExpired, SeatTaken, WaitlistClosed
from app.domain.waitlist.models import EntryStatus, OfferStatus, WaitlistEntry, WaitlistOffer
from app.domain.waitlist.queries import EntryView
from app.domain.waitlist.queue import HeldQueue
from app.domain.waitlist.rules import Event, Step

_e, _o = WaitlistEntry.__table__, WaitlistOffer.__table__


@dataclass(frozen=True, slots=True)
class Confirmed:
    """`order_id` is the public number of a trial's order to pay; a regular class has a booking."""

    entry_id: int
    booking_id: int | None
    order_id: str | None


@transactional
def begin(*, entry_id: int, actor: Actor, request_key: RequestKey | None = None) -> int:
    """The parent starts to book: who began before the deadline may finish within the grace (Q10). A second time
    changes nothing. Returns the entry's id. Raises EntryNotFound, NoOffer, OfferExpired, SeatTaken, WaitlistClosed."""
    held, entry = _hold(entry_id, actor)
    offer = _standing(held, entry_id)
    if offer.begun_at is None:
        offer.begun_at = offer.answered_at = held.now
        offer.answer = "begin"
        offer.ends_at = rules.grace_end(offer.deadline, held.now, held.grace)
        db.session.flush()
        queue.step(held, Step.BEGAN, actor, held.now, entry_id=entry_id, offer_id=offer.id, round_id=offer.round_id,
                   facts={"until": offer.ends_at.isoformat()})  # fmt: skip
    return entry.id


def confirm(*, entry_id: int, actor: Actor, request_key: RequestKey | None = None) -> Confirmed:
    """Book the offered seat, or order it for a trial, in one transaction; a confirmed entry gives its booking again.

    Raises EntryNotFound, NoOffer, OfferExpired, SeatTaken, WaitlistClosed, and what a booking raises: then the offer
    stands until its deadline.
    """
    try:
        return _confirm(entry_id=entry_id, actor=actor, request_key=request_key)
    except ClaimTaken as error:
        # Another trial order of this parent was written at the same moment.
        raise TrialAlreadyBooked from error
    except ArrearsBlocked as refusal:
        place.remind(profile_id=holding.profile_of(entry_id), refusal=refusal)
        raise


@transactional
def _confirm(*, entry_id: int, actor: Actor, request_key: RequestKey | None) -> Confirmed:
    student = holding.student(entry_id, actor)
    held, entry = _hold(entry_id, actor)
    if entry.status == EntryStatus.CONFIRMED:
        return Confirmed(entry_id, entry.booking_id, _order_number(entry.order_id))
    offer = _standing(held, entry_id)
    seats = held.seats_of(offer.round_id)
    if not seats:
        raise SeatTaken
    taken = taking.take(held, entry, seats[0], student, actor, reason="confirmed")
    advance.wake_if_ready(advance.move_on(held, actor), held.session.id)
    return Confirmed(entry_id, taken.booking_id, taken.order_id)


@transactional
def decline(*, entry_id: int, actor: Actor, request_key: RequestKey | None = None) -> int:
    """Give the offered seat up, and the place with it; the seat goes on at once (96.56). Who declined has no offer any
    more (96.55); a repetition under its key is given the first answer. Returns the entry's id.

    Raises EntryNotFound, NoOffer, OfferExpired, SeatTaken, WaitlistClosed.
    """
    held, entry = _hold(entry_id, actor)
    offer = _standing(held, entry_id)
    queue.end_offer(held, offer, OfferStatus.DECLINED, answer="decline")
    queue.end_entry(held, entry, Event.DECLINE, "declined")
    queue.step(held, Step.DECLINED, actor, held.now, entry_id=entry_id, offer_id=offer.id, round_id=offer.round_id)
    audit.record(
        actor, "waitlist.declined", target_type="waitlist_entry", target_id=entry_id, family_id=entry.family_id,
        new_status=entry.status, after={"schedule": held.session.id},
    )  # fmt: skip
    advance.wake_if_ready(advance.move_on(held, actor), held.session.id)
    return entry.id


def clashes(entry_id: int) -> list[EntryView]:
    """Other live waits of the student at the time of this one (Q12)."""
    one = queries.entry(entry_id)
    others = queries.of_profile(one.profile_id, live_only=True)
    first, last = one.schedule.starts_at, one.schedule.ends_at
    return [
        other for other in others
        if other.id != entry_id and other.schedule.starts_at < last and other.schedule.ends_at > first
    ]  # fmt: skip


# ── what they share ─────────────────────────────────────────────────────────────────────────────────


def _hold(entry_id: int, actor: Actor) -> tuple[HeldQueue, WaitlistEntry]:
    """The entry with its queue, and the deadlines as they are now. Raises EntryNotFound, Forbidden."""
    held, entry = holding.hold(entry_id, actor)
    advance.keep_time(held, actor)
    return held, entry


def _standing(held: HeldQueue, entry_id: int) -> WaitlistOffer:
    """The entry's offer, if an answer at this moment is in time; else why not (96.55, 96.61)."""
    offer = held.offer_of(entry_id)
    if offer is not None:
        if held.now >= offer.ends_at:
            raise OfferExpired
        return offer
    last = db.session.execute(
        sa.select(_o.c.status).where(_o.c.entry_id == entry_id).order_by(_o.c.id.desc()).limit(1)
    ).first()
    if last is not None and last.status == OfferStatus.TAKEN:
        raise SeatTaken
    if last is not None and last.status == OfferStatus.LAPSED:
        raise OfferExpired
    if held.now >= held.terms.cutoff:
        raise WaitlistClosed
    raise NoOffer


def _order_number(order_key: int | None) -> str | None:
    return db.session.scalar(sa.select(PaymentOrder.order_id).where(PaymentOrder.id == order_key))
