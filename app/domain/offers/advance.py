"""Moving a queue on: what is due now becomes rows and messages (Q5–Q9, Q13). The rule itself: waitlist/engine.py.

Deadlines are kept by the clock, so a job that comes late only makes things move on late. It may come twice or be killed
anywhere: each step is one transaction under the session's lock, and the next run begins with what is there.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa

from app import clock
from app.db import db, transactional, wake_queue_after_commit
from app.domain.audit.actor import Actor, system
from app.domain.bookings import place, students
from app.domain.bookings.errors import ArrearsBlocked
from app.domain.catalog.models import CourseSchedule
from app.domain.offers import eligibility, taking, telling
from app.domain.policy import service as policy
from app.domain.seats import holds
from app.domain.seats.models import ReservationStatus, SeatReservation
from app.domain.waitlist import engine, queue, rules
from app.domain.waitlist.models import (
    OfferKind,
    OfferStatus,
    ReleaseStatus,
    SeatRelease,
    WaitlistEntry,
    WaitlistOffer,
    WaitlistRound,
)
from app.domain.waitlist.queue import HeldQueue
from app.domain.waitlist.rules import Event, Step
from app.errors import DomainError

log = logging.getLogger("desk.waitlist")

#: sessions that one run of the job moves on
BATCH = 200
#: bookings with consent in advance that one run makes in one session
PROMOTIONS = 50
#: steps in one transaction; far more than a queue of 99 can need
_STEPS = 2000

_e, _o, _rel = WaitlistEntry.__table__, WaitlistOffer.__table__, SeatRelease.__table__
_rounds, _s, _r = WaitlistRound.__table__, CourseSchedule.__table__, SeatReservation.__table__


@dataclass(frozen=True, slots=True)
class Ready:
    """A seat that is somebody's who has consented in advance: their booking is a transaction of its own, because it
    locks the student before the session."""

    entry_id: int
    profile_id: int


# ── the job ─────────────────────────────────────────────────────────────────────────────────────────


def advance_due() -> int:
    """Move on every session in which something is due; returns how many there were."""
    sessions = due()
    for schedule_id in sessions:
        try:
            advance(schedule_id=schedule_id)
        except DomainError as refusal:
            # Busy, or a rule that changed meanwhile: one queue must not keep the others waiting.
            log.warning("queue not moved on", extra={"schedule": schedule_id, "why": refusal.code})
        except Exception:
            log.exception("queue not moved on", extra={"schedule": schedule_id})
    return len(sessions)


def advance(*, schedule_id: int) -> int:
    """Move on what is due in one session's queue; returns how many students were booked by consent in advance."""
    for booked in range(PROMOTIONS):
        ready = _advance(schedule_id=schedule_id)
        if ready is None:
            return booked
        try:
            _promote(schedule_id=schedule_id, ready=ready)
        except ArrearsBlocked as refusal:
            place.remind(profile_id=ready.profile_id, refusal=refusal)
        except DomainError as refusal:
            # Something changed since the engine looked; it looks again.
            log.info("promotion refused", extra={"entry": ready.entry_id, "why": refusal.code})
    return PROMOTIONS


def due() -> list[int]:
    """Sessions in which something is due now."""
    now = clock.now()
    live = _e.c.live_profile_id.is_not(None)
    asked = sa.select(sa.literal(1)).where(_o.c.round_id == _rounds.c.id, _o.c.status == OfferStatus.LIVE)
    queries = (
        sa.select(_rel.c.course_schedule_id).where(
            _rel.c.status == ReleaseStatus.KEPT, _rel.c.round_id.is_(None)
        ),
        sa.select(_e.c.course_schedule_id).select_from(_o.join(_e, _e.c.id == _o.c.entry_id)).where(
            _o.c.status == OfferStatus.LIVE, sa.or_(_o.c.ends_at <= now, _e.c.auto_accept)
        ),
        sa.select(_rounds.c.course_schedule_id).where(
            _rounds.c.ended_at.is_(None),
            sa.or_(
                sa.and_(_rounds.c.first_taken_at.is_(None), telling.was_taken(_rounds.c.id)), ~sa.exists(asked)
            ),
        ),
        sa.select(_r.c.course_schedule_id).select_from(_r.join(_e, _e.c.course_schedule_id == _r.c.course_schedule_id))
        .where(_r.c.status == ReservationStatus.TEMPORARY, _r.c.expires_at <= now, live),
        telling.unreached_sessions(),
    )  # fmt: skip
    found: dict[int, None] = {}
    for query in queries:
        found |= dict.fromkeys(db.session.scalars(query.distinct().limit(BATCH)))
    found |= dict.fromkeys(_closing(now))
    db.session.rollback()
    return list(found)[:BATCH]


def _closing(now: datetime) -> list[int]:
    """Sessions whose cutoff has come while somebody still waits (Q4)."""
    before, quiet = policy.get("waitlist_cutoff"), policy.get("waitlist_quiet_hours")
    # Quiet hours bring a cutoff forward by less than a day.
    horizon = now + before + (timedelta(days=1) if quiet else timedelta(0))
    query = (
        sa.select(_s.c.id, _s.c.starts_at)
        .select_from(_e.join(_s, _s.c.id == _e.c.course_schedule_id))
        .where(_e.c.live_profile_id.is_not(None), _s.c.starts_at <= horizon)
        .distinct()
    )
    return [
        row.id for row in db.session.execute(query) if now >= rules.cutoff_at(row.starts_at, before, quiet)
    ][:BATCH]  # fmt: skip


# ── one session ─────────────────────────────────────────────────────────────────────────────────────


@transactional
def _advance(*, schedule_id: int) -> Ready | None:
    holds.retire_lapsed(schedule_id)
    held = queue.lock(schedule_id)
    telling.note_taken(held)
    ready = move_on(held, system("候补"))
    telling.unreached(held)
    return ready


@transactional
def _promote(*, schedule_id: int, ready: Ready) -> None:
    """Book for who consented, if the engine still says so under both locks."""
    student = students.lock(ready.profile_id, system("候补自动确认"))
    held = queue.lock(schedule_id)
    decided = engine.decide(queue.as_engine(held, eligibility.refusals(held)), held.now)
    promote = decided[-1] if decided else None
    if not isinstance(promote, engine.Promote) or promote.waiter_id != ready.entry_id:
        return
    entry, release = held.entry(ready.entry_id), held.release(promote.seat_id)
    taking.take(held, entry, release, student, system("候补自动确认"), reason="promoted")
    move_on(held, system("候补"))


def move_on(held: HeldQueue, actor: Actor) -> Ready | None:
    """Building block: do what the engine says until it says nothing more, or until a seat is somebody's who has
    consented in advance."""
    refusals = eligibility.refusals(held) if held.releases else {}
    for _ in range(_STEPS):
        actions = engine.decide(queue.as_engine(held, refusals), held.now)
        if not actions:
            return None
        for action in actions:
            if isinstance(action, engine.Promote):
                return Ready(action.waiter_id, held.entry(action.waiter_id).profile_id)
            _DO[type(action)](held, action, actor)
    raise RuntimeError(f"the queue of session {held.session.id} does not come to rest")


def wake_if_ready(ready: Ready | None, schedule_id: int) -> None:
    """Building block: the next booking by consent is made after this transaction."""
    if ready is not None:
        wake_queue_after_commit(schedule_id)


def keep_time(held: HeldQueue, actor: Actor) -> None:
    """Building block: move deadlines that are to be moved (Q13), before an answer is judged by them."""
    telling.note_taken(held)
    for one in held.rounds:
        action = engine.extension(
            engine.Round(one.id, one.kind, one.started_at, one.deadline, one.first_taken_at, one.extended), held.terms
        )
        if action is not None:
            _extend(held, action, actor)


# ── each action ─────────────────────────────────────────────────────────────────────────────────────


def _extend(held: HeldQueue, action: engine.Extend, actor: Actor) -> None:
    one = held.round(action.round_id)
    one.deadline, one.extended = action.deadline, True
    for offer in held.offers_of(one.id):
        offer.deadline = action.deadline
        offer.ends_at = max(offer.ends_at, action.deadline)
    db.session.flush()
    queue.step(held, Step.EXTENDED, actor, held.now, round_id=one.id, facts={"deadline": action.deadline.isoformat()})


def _lapse(held: HeldQueue, action: engine.Lapse, actor: Actor) -> None:
    offer = next(one for one in held.offers if one.id == action.offer_id)
    entry = held.entry(offer.entry_id)
    queue.end_offer(held, offer, OfferStatus.LAPSED)
    queue.step(held, Step.LAPSED, actor, held.now, entry_id=entry.id, offer_id=offer.id, round_id=offer.round_id)
    if offer.kind == OfferKind.OPEN:
        queue.pass_over(held, entry)
    else:
        _expire_entry(held, entry, "lapsed", actor)


def _expire(held: HeldQueue, action: engine.Expire, actor: Actor) -> None:
    _expire_entry(held, held.entry(action.waiter_id), "cutoff", actor)


def _expire_entry(held: HeldQueue, entry: WaitlistEntry, reason: str, actor: Actor) -> None:
    queue.end_entry(held, entry, Event.EXPIRE, reason)
    queue.step(held, Step.EXPIRED, actor, held.now, entry_id=entry.id, reason=reason)
    telling.ended(held, entry)


def _end_round(held: HeldQueue, action: engine.EndRound, actor: Actor) -> None:
    queue.end_round(held, action.round_id)


def _detach(held: HeldQueue, action: engine.Detach, actor: Actor) -> None:
    held.release(action.seat_id).round_id = None
    db.session.flush()


def _return(held: HeldQueue, action: engine.Return, actor: Actor) -> None:
    queue.return_release(held, held.release(action.seat_id), action.reason, actor)


def _join(held: HeldQueue, action: engine.Join, actor: Actor) -> None:
    queue.join_round(held, held.release(action.seat_id), action.round_id, actor)


def _skip(held: HeldQueue, action: engine.Skip, actor: Actor) -> None:
    entry = held.entry(action.waiter_id)
    entry.skip_reason, entry.skipped_at = action.reason, held.now
    db.session.flush()
    queue.step(held, Step.SKIPPED, actor, held.now, entry_id=entry.id, release_id=action.seat_id, reason=action.reason)


def _open(held: HeldQueue, action: engine.Open, actor: Actor) -> None:
    seats = [held.release(one) for one in action.seat_ids]
    round_id = queue.start_round(held, OfferKind.OPEN, seats, action.deadline, actor)
    for entry_id in action.waiter_ids:
        _offer(held, round_id, entry_id, actor)


def _exclusive(held: HeldQueue, action: engine.Exclusive, actor: Actor) -> None:
    round_id = queue.start_round(held, OfferKind.EXCLUSIVE, [held.release(action.seat_id)], action.deadline, actor)
    _offer(held, round_id, action.waiter_id, actor)


def _offer(held: HeldQueue, round_id: int, entry_id: int, actor: Actor) -> None:
    entry = held.entry(entry_id)
    telling.offer(held, entry, queue.add_offer(held, round_id, entry, actor))


_DO = {
    engine.Extend: _extend,
    engine.Lapse: _lapse,
    engine.Expire: _expire,
    engine.EndRound: _end_round,
    engine.Detach: _detach,
    engine.Return: _return,
    engine.Join: _join,
    engine.Skip: _skip,
    engine.Open: _open,
    engine.Exclusive: _exclusive,
}
