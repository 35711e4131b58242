"""The queue of one session, held by its row: who waits, what is offered to whom, which seats are kept (Q3, Q5, Q16).

Building blocks. Whoever changes anything here holds the session's row, so none of these rows is locked by itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from app.db import db, db_now, lock_row, wake_queue_after_commit
from app.domain.audit.actor import Actor
from app.domain.catalog import facts
from app.domain.catalog.facts import SessionFacts
from app.domain.catalog.models import CourseSchedule
from app.domain.policy import service as policy
from app.domain.seats import service as seats
from app.domain.waitlist import engine, rules
from app.domain.waitlist.models import (
    LIVE,
    OfferKind,
    OfferStatus,
    ReleaseStatus,
    SeatRelease,
    WaitlistEntry,
    WaitlistFlow,
    WaitlistOffer,
    WaitlistRound,
)
from app.domain.waitlist.rules import Event, Step
from app.prepared import Prepared

_insert_flow = Prepared(WaitlistFlow.__table__.insert())


@dataclass(slots=True)
class HeldQueue:
    """What this transaction holds: live entries in order, live offers, rounds under way, kept seats."""

    session: SessionFacts
    terms: engine.Terms
    grace: timedelta
    now: datetime
    entries: list[WaitlistEntry]
    offers: list[WaitlistOffer]
    rounds: list[WaitlistRound]
    releases: list[SeatRelease]

    def entry(self, entry_id: int) -> WaitlistEntry | None:
        """A live entry of this queue."""
        return next((one for one in self.entries if one.id == entry_id), None)

    def offer_of(self, entry_id: int) -> WaitlistOffer | None:
        """The offer that still stands in its row, lapsed by the clock or not."""
        return next((one for one in self.offers if one.entry_id == entry_id), None)

    def round(self, round_id: int) -> WaitlistRound:
        return next(one for one in self.rounds if one.id == round_id)

    def release(self, release_id: int) -> SeatRelease:
        return next(one for one in self.releases if one.id == release_id)

    def seats_of(self, round_id: int) -> list[SeatRelease]:
        return [one for one in self.releases if one.round_id == round_id]

    def offers_of(self, round_id: int) -> list[WaitlistOffer]:
        return [one for one in self.offers if one.round_id == round_id]

    def position(self, entry_id: int) -> int:
        """1..n (Q3)."""
        return [one.id for one in self.entries].index(entry_id) + 1


def order_key(entry: Any) -> tuple[int, datetime, int]:
    """First in, first out, unless staff moved somebody (Q3)."""
    return entry.rank, entry.joined_at, entry.id


def terms_of(session: SessionFacts) -> engine.Terms:
    """The rules of this session's queue as they are now."""
    quiet = policy.get("waitlist_quiet_hours")
    return engine.Terms(
        policy=session.waitlist_policy, window=policy.get("waitlist_window"),
        cutoff=rules.cutoff_at(session.starts_at, policy.get("waitlist_cutoff"), quiet), quiet=quiet,
    )  # fmt: skip


def lock(schedule_id: int) -> HeldQueue:
    """Lock the session's row and read its queue as it is now. The session exists: the caller has seen it."""
    lock_row(CourseSchedule, schedule_id)
    session = facts.of_session(schedule_id)
    rounds = _read(WaitlistRound, WaitlistRound.course_schedule_id == schedule_id, WaitlistRound.ended_at.is_(None))
    entries = _read(WaitlistEntry, WaitlistEntry.course_schedule_id == schedule_id, WaitlistEntry.status.in_(LIVE))
    releases = _read(
        SeatRelease, SeatRelease.course_schedule_id == schedule_id, SeatRelease.status == ReleaseStatus.KEPT
    )
    running = [one.id for one in rounds]
    live = (WaitlistOffer.round_id.in_(running), WaitlistOffer.status == OfferStatus.LIVE)
    offers = _read(WaitlistOffer, *live) if running else []
    return HeldQueue(
        session, terms_of(session), policy.get("waitlist_begin_grace"), db_now(), sorted(entries, key=order_key),
        offers, rounds, releases,
    )  # fmt: skip


def _read(model: type, *conditions: sa.ColumnElement[bool]) -> list[Any]:
    query = sa.select(model).where(*conditions).order_by(model.id)
    return list(db.session.scalars(query.execution_options(populate_existing=True)))


def step(
    held: HeldQueue | int,
    what: Step,
    actor: Actor,
    now: datetime,
    *,
    entry_id: int | None = None,
    offer_id: int | None = None,
    round_id: int | None = None,
    release_id: int | None = None,
    reason: str | None = None,
    facts: dict | None = None,
) -> None:
    """Write down one step (Q16). `held` is the queue, or the session's id."""
    schedule_id = held if isinstance(held, int) else held.session.id
    _insert_flow(
        {
            "course_schedule_id": schedule_id, "at": now, "step": what, "entry_id": entry_id, "offer_id": offer_id,
            "round_id": round_id, "release_id": release_id, "actor_type": actor.type, "actor_id": actor.id,
            "reason": reason, "facts": facts,
        }
    )  # fmt: skip


# ── entries ─────────────────────────────────────────────────────────────────────────────────────────


def end_entry(held: HeldQueue, entry: WaitlistEntry, event: Event, reason: str) -> None:
    """The wait is over; `reason` is one of rules.END_TEXTS. Its offer, if any, is ended by the caller before."""
    entry.status = rules.next_status(entry.status, event)
    entry.ended_at, entry.end_reason = held.now, reason
    held.entries.remove(entry)
    db.session.flush()


def withdraw(held: HeldQueue, entry: WaitlistEntry, actor: Actor, reason: str | None = None) -> None:
    """Take back the offer that this entry has, if it has one; the entry itself goes on as the caller says."""
    offer = held.offer_of(entry.id)
    if offer is not None:
        end_offer(held, offer, OfferStatus.WITHDRAWN)
        step(held, Step.WITHDRAWN, actor, held.now, entry_id=entry.id, offer_id=offer.id, round_id=offer.round_id,
             reason=reason)  # fmt: skip


def pass_over(held: HeldQueue, entry: WaitlistEntry) -> None:
    """The offer has ended without them: they wait on (Q6)."""
    entry.status = rules.next_status(entry.status, Event.PASS)
    db.session.flush()


# ── offers and rounds ───────────────────────────────────────────────────────────────────────────────


def start_round(held: HeldQueue, kind: str, releases: list[SeatRelease], deadline: datetime, actor: Actor) -> int:
    """Begin to ask for these seats; returns the round's id."""
    one = WaitlistRound(
        course_schedule_id=held.session.id, kind=kind, started_at=held.now, deadline=deadline, extended=False
    )
    db.session.add(one)
    db.session.flush()
    held.rounds.append(one)
    step(held, Step.ROUND, actor, held.now, round_id=one.id,
         facts={"kind": kind, "deadline": deadline.isoformat(), "seats": len(releases)})  # fmt: skip
    for release in releases:
        join_round(held, release, one.id, actor)
    return one.id


def join_round(held: HeldQueue, release: SeatRelease, round_id: int, actor: Actor) -> None:
    """The seat is offered in this round from now on."""
    release.round_id = round_id
    release.opened = release.opened or held.round(round_id).kind == OfferKind.OPEN
    db.session.flush()
    step(held, Step.ROUND_JOINED, actor, held.now, round_id=round_id, release_id=release.id)


def end_round(held: HeldQueue, round_id: int) -> None:
    """Nobody is asked in it any more: its seats are offered to nobody now."""
    one = held.round(round_id)
    one.ended_at = held.now
    for release in held.seats_of(round_id):
        release.round_id = None
    held.rounds.remove(one)
    db.session.flush()


def add_offer(held: HeldQueue, round_id: int, entry: WaitlistEntry, actor: Actor) -> WaitlistOffer:
    """Offer the round's seat to this entry; telling the parent is the caller's."""
    one = held.round(round_id)
    offer = WaitlistOffer(
        round_id=round_id, entry_id=entry.id, kind=one.kind, status=OfferStatus.LIVE, offered_at=held.now,
        deadline=one.deadline, ends_at=one.deadline,
    )  # fmt: skip
    entry.status = rules.next_status(entry.status, Event.OFFER)
    entry.skip_reason = entry.skipped_at = None
    db.session.add(offer)
    db.session.flush()
    held.offers.append(offer)
    step(held, Step.OFFERED, actor, held.now, entry_id=entry.id, offer_id=offer.id, round_id=round_id,
         facts={"position": held.position(entry.id)})  # fmt: skip
    return offer


def end_offer(held: HeldQueue, offer: WaitlistOffer, status: str, *, answer: str | None = None) -> None:
    """The offer stands no more; `answer` where the parent gave one."""
    offer.status, offer.ended_at = status, held.now
    if answer is not None:
        offer.answer, offer.answered_at = answer, held.now
    held.offers.remove(offer)
    db.session.flush()


# ── seats ───────────────────────────────────────────────────────────────────────────────────────────


def return_release(held: HeldQueue, release: SeatRelease, reason: str, actor: Actor) -> None:
    """The seat goes back to free sale."""
    seats.release_kept(held.session.id)
    _end_release(held, release, ReleaseStatus.RETURNED, reason)
    step(held, Step.RETURNED, actor, held.now, release_id=release.id, round_id=release.round_id, reason=reason)


def fill(held: HeldQueue, release: SeatRelease, entry: WaitlistEntry, reason: str, actor: Actor) -> None:
    """The seat is this entry's; the counter was moved by the caller (booked, or held for a trial order)."""
    release.entry_id = entry.id
    _end_release(held, release, ReleaseStatus.FILLED, reason)
    step(held, Step.FILLED, actor, held.now, release_id=release.id, entry_id=entry.id, round_id=release.round_id,
         reason=reason)  # fmt: skip


def _end_release(held: HeldQueue, release: SeatRelease, status: str, reason: str) -> None:
    release.status, release.ended_at, release.end_reason = status, held.now, reason
    held.releases.remove(release)
    db.session.flush()


# ── the session itself ──────────────────────────────────────────────────────────────────────────────


def retime(held: HeldQueue) -> None:
    """The session was moved: nothing runs past its new cutoff (Q6)."""
    for one in held.rounds:
        one.deadline = min(one.deadline, held.terms.cutoff)
    for offer in held.offers:
        offer.deadline = min(offer.deadline, held.terms.cutoff)
        offer.ends_at = (
            offer.deadline if offer.begun_at is None else rules.grace_end(offer.deadline, offer.begun_at, held.grace)
        )
    db.session.flush()


def as_engine(held: HeldQueue, refusals: dict[int, str]) -> engine.Queue:
    """The same queue as the engine sees it; `refusals` say who can take no seat now, and why."""
    return engine.Queue(
        terms=held.terms,
        waiters=[
            engine.Waiter(one.id, one.auto_accept and not held.session.is_trial, refusals.get(one.id))
            for one in held.entries
        ],
        seats=[engine.Seat(one.id, one.round_id, one.opened) for one in held.releases],
        rounds=[
            engine.Round(one.id, one.kind, one.started_at, one.deadline, one.first_taken_at, one.extended)
            for one in held.rounds
        ],
        offers=[engine.Offer(one.id, one.entry_id, one.round_id, one.kind, one.ends_at) for one in held.offers],
    )


def live_entry(schedule_id: int, profile_id: int) -> int | None:
    """The live entry of this student in this queue."""
    _e = WaitlistEntry.__table__
    return db.session.scalar(
        sa.select(_e.c.id).where(_e.c.course_schedule_id == schedule_id, _e.c.live_profile_id == profile_id)
    )


def booked(schedule_id: int, profile_id: int, booking_id: int, actor: Actor) -> None:
    """A student who waits here was booked in another way, by the desk or on a seat of free sale: the wait has ended.

    Building block; the session's row is ours.
    """
    entry_id = live_entry(schedule_id, profile_id)
    if entry_id is None:
        return
    held = lock(schedule_id)
    entry = held.entry(entry_id)
    withdraw(held, entry, actor, "booked")
    end_entry(held, entry, Event.CONFIRM, "booked")
    entry.booking_id = booking_id
    step(held, Step.CONFIRMED, actor, held.now, entry_id=entry_id, reason="booked", facts={"booking": booking_id})
    wake_queue_after_commit(schedule_id)
