"""Joining a queue, changing one's consent, leaving it (Q1–Q3, Q9, Q10)."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from app.db import RequestKey, db, transactional, wake_queue_after_commit
from app.domain.audit import service as audit
from app.domain.audit.actor import Actor, ActorType
from app.domain.bookings import rules as booking_rules
from app.domain.bookings import students
from app.domain.bookings.errors import ScheduleNotFound
from app.domain.bookings.students import Student
from app.domain.catalog import facts
from app.domain.catalog.facts import SessionFacts
from app.domain.credits import minutes
from app.domain.makeups import book as makeups
from app.domain.makeups.book import CreditFacts, Wishes
from app.domain.offers import advance, holding, telling
from app.domain.orders import claims
from app.domain.orders.errors import TrialAlreadyBooked
from app.domain.people import roles
from app.domain.people.models import User
from app.domain.people.roles import Permission
from app.domain.policy import switches
from app.domain.policy.switches import Capability
from app.domain.seats import holds, refusals
from app.domain.waitlist import queue, rules
from app.domain.waitlist.errors import AlreadyWaiting, SeatAvailable, WaitlistClosed, WaitlistFull
from app.domain.waitlist.models import EntryStatus, WaitlistEntry
from app.domain.waitlist.queue import HeldQueue
from app.domain.waitlist.rules import Event, Step
from app.errors import Invalid
from app.text import clean

REASON_LENGTH = 200

_u = User.__table__


@dataclass(frozen=True, slots=True)
class Means:
    """How an entry would take a seat: at once or asked, from the wallet or with a credit."""

    auto_accept: bool
    credit_id: int | None
    wishes: Wishes

    @classmethod
    def of(cls, entry: WaitlistEntry) -> Means:
        return cls(entry.auto_accept, entry.credit_id, Wishes(entry.accept_shorter, entry.use_compensation))

    @property
    def in_kind(self) -> tuple[int | None, Wishes]:
        return self.credit_id, self.wishes

    @property
    def facts(self) -> dict[str, bool | int | None]:
        return {
            "auto_accept": self.auto_accept, "credit": self.credit_id, "accept_shorter": self.wishes.accept_shorter,
            "use_compensation": self.wishes.use_compensation,
        }  # fmt: skip

    def write(self, entry: WaitlistEntry) -> None:
        entry.auto_accept, entry.credit_id = self.auto_accept, self.credit_id
        entry.accept_shorter, entry.use_compensation = self.wishes.accept_shorter, self.wishes.use_compensation


@refusals.noted
@transactional
def join(
    *,
    schedule_id: int,
    profile_id: int,
    actor: Actor,
    auto_accept: bool = False,
    credit_id: int | None = None,
    accept_shorter: bool = False,
    use_compensation: bool = False,
    reason: str | None = None,
    request_key: RequestKey | None = None,
) -> int:
    """Wait for a seat of a full session, at the end of its queue; returns the entry's id.

    With `credit_id` the seat will be a makeup's, never paid with money (Q22). Staff may pass the queue's capacity with
    a `reason`. Consent in advance does not hold for a trial, which is paid by hand. Raises NotFound, ScheduleNotFound,
    FeatureOff, ScheduleCancelled, ScheduleStarted, WaitlistClosed, AlreadyWaiting, AlreadyBooked, TimeConflict,
    LevelNotAllowed, TrialAlreadyBooked, SeatAvailable, WaitlistFull, Forbidden; with a credit what makeups.book
    refuses besides.
    """
    reason = _reason(reason, actor)
    student = students.lock(profile_id, actor)
    session = facts.of_session(schedule_id)
    if session is None:
        raise ScheduleNotFound
    credit = None if credit_id is None else makeups.own_credit(student, credit_id=credit_id)
    switches.require_for(actor, Capability.WAITLIST)
    holds.retire_lapsed(schedule_id)
    held = queue.lock(schedule_id)
    user_id = actor.id if actor.type == ActorType.PARENT else _first_parent(student.family_id)
    means = Means(auto_accept and not held.session.is_trial, credit_id, Wishes(accept_shorter, use_compensation))
    _check(held, student, user_id, means, credit)
    if len(held.entries) >= held.session.waitlist_capacity and reason is None:
        raise full(held.session)
    entry = _add(held, student, user_id, actor, means, reason)
    if len(held.entries) == held.session.waitlist_capacity:
        telling.queue_full(held)
    return entry.id


def _reason(reason: str | None, actor: Actor) -> str | None:
    if actor.type != ActorType.STAFF:
        return None
    roles.require(actor, Permission.BOOKING_MAKE)
    return clean(reason, REASON_LENGTH) or None


def _check(held: HeldQueue, student: Student, user_id: int | None, means: Means, credit: CreditFacts | None) -> None:
    session, now = held.session, held.now
    booking_rules.check_session(session.status, session.starts_at, now, is_trial=False)
    if now >= held.terms.cutoff:
        raise WaitlistClosed
    if any(one.profile_id == student.id for one in held.entries):
        raise AlreadyWaiting
    students.check_free(student, session)
    if credit is not None:
        _check_makeup(held, student, means, credit)
    elif session.is_trial:
        holders = [] if user_id is None else claims.holders(claims.identities(user_id, student.id))
        if any(one.live(now) for one in holders):
            raise TrialAlreadyBooked
    else:
        booking_rules.check_level(session.course_rank, student.rank, session.lowest_rank)
    if not session.full:
        raise SeatAvailable


def _check_makeup(held: HeldQueue, student: Student, means: Means, credit: CreditFacts) -> None:
    makeups.check_credit(credit, held.session, student, held.now)
    # Asked now and not when a seat is free: by then there is no time to ask.
    makeups.check_minutes(credit.minutes, held.session, means.wishes, minutes.available(student.id, held.now))


def full(session: SessionFacts) -> WaitlistFull:
    """The refusal, with the queue's state (Q24)."""
    return WaitlistFull(data={"waitlist_count": session.waiting, "waitlist_capacity": session.waitlist_capacity})


def _first_parent(family_id: int) -> int | None:
    return db.session.scalar(sa.select(_u.c.id).where(_u.c.family_id == family_id).order_by(_u.c.id).limit(1))


def _add(
    held: HeldQueue, student: Student, user_id: int | None, actor: Actor, means: Means, reason: str | None
) -> WaitlistEntry:
    by_staff = actor.type == ActorType.STAFF
    # Who joins goes to the end, also behind those whom staff moved down (96.64).
    last = max((one.rank for one in held.entries), default=0)
    entry = WaitlistEntry(
        course_schedule_id=held.session.id, profile_id=student.id, family_id=student.family_id, user_id=user_id,
        status=EntryStatus.WAITING, rank=max(last, 0), joined_at=held.now, joined_position=len(held.entries) + 1,
        auto_accept=means.auto_accept, credit_id=means.credit_id, accept_shorter=means.wishes.accept_shorter,
        use_compensation=means.wishes.use_compensation, added_by=actor.id if by_staff else None, staff_note=reason,
    )  # fmt: skip
    db.session.add(entry)
    try:
        db.session.flush()
    except IntegrityError as error:
        # The session's row is locked, so this is the constraint's last word.
        raise AlreadyWaiting from error
    held.entries.append(entry)
    queue.step(
        held, Step.JOINED, actor, held.now, entry_id=entry.id, reason=reason,
        facts={"position": entry.joined_position, "auto_accept": means.auto_accept, "credit": means.credit_id},
    )  # fmt: skip
    audit.record(
        actor, "waitlist.joined", target_type="waitlist_entry", target_id=entry.id, family_id=student.family_id,
        new_status=EntryStatus.WAITING, reason=reason,
        after={"schedule": held.session.id, "profile": student.id, "position": entry.joined_position,
               "auto_accept": means.auto_accept, "credit": means.credit_id},
    )  # fmt: skip
    return entry


@transactional
def change(
    *,
    entry_id: int,
    actor: Actor,
    auto_accept: bool | None = None,
    credit_id: int | None = None,
    without_credit: bool = False,
    accept_shorter: bool | None = None,
    use_compensation: bool | None = None,
    request_key: RequestKey | None = None,
) -> None:
    """Give or revoke the consent in advance (Q9), or say otherwise how a seat would be taken (Q22): None leaves a thing
    as it is, `without_credit` goes back to the wallet.

    Raises EntryNotFound, InvalidState for a wait that has ended; for a makeup what `join` refuses.
    """
    student = holding.student(entry_id, actor)
    held, entry = holding.hold_live(entry_id, actor)
    before = Means.of(entry)
    wishes = Wishes(
        before.wishes.accept_shorter if accept_shorter is None else accept_shorter,
        before.wishes.use_compensation if use_compensation is None else use_compensation,
    )
    after = Means(
        before.auto_accept if auto_accept is None else auto_accept and not held.session.is_trial,
        None if without_credit else credit_id or before.credit_id, wishes,
    )  # fmt: skip
    if after == before:
        return
    if after.credit_id is not None and after.in_kind != before.in_kind:
        _check_makeup(held, student, after, makeups.own_credit(student, credit_id=after.credit_id))
    after.write(entry)
    db.session.flush()
    queue.step(held, Step.CONSENT, actor, held.now, entry_id=entry_id, facts=after.facts)
    audit.record(
        actor, "waitlist.consent_changed", target_type="waitlist_entry", target_id=entry_id, family_id=entry.family_id,
        before=before.facts, after=after.facts,
    )  # fmt: skip
    wake_queue_after_commit(held.session.id)


@transactional
def leave(*, entry_id: int, actor: Actor, reason: str | None = None, request_key: RequestKey | None = None) -> None:
    """Leave the queue; left twice is left. Staff say why. Raises EntryNotFound, InvalidState, Invalid, Forbidden."""
    by_staff = actor.type == ActorType.STAFF
    reason = clean(reason, REASON_LENGTH) or None
    if by_staff and not reason:
        raise Invalid.field("reason", "请填写移出原因")
    held, entry = holding.hold(entry_id, actor)
    if entry.status == EntryStatus.CANCELLED:
        return
    before = entry.status
    rules.next_status(entry.status, Event.LEAVE)
    queue.withdraw(held, entry, actor, "removed" if by_staff else "left")
    queue.end_entry(held, entry, Event.LEAVE, "removed" if by_staff else "left")
    queue.step(held, Step.REMOVED if by_staff else Step.LEFT, actor, held.now, entry_id=entry_id, reason=reason)
    audit.record(
        actor, "waitlist.removed" if by_staff else "waitlist.left", target_type="waitlist_entry", target_id=entry_id,
        family_id=entry.family_id, old_status=before, new_status=entry.status, reason=reason,
        after={"schedule": held.session.id},
    )  # fmt: skip
    if by_staff:
        telling.ended(held, entry)
    advance.wake_if_ready(advance.move_on(held, actor), held.session.id)
