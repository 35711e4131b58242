"""What staff decide about a queue (Q18): whom to offer a kept seat, whom to skip or move, whom to tell again.

Each goes against the queue's own order, so each takes a reason, is audited, and stands in the seat's timeline.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import sqlalchemy as sa

from app.db import RequestKey, db, execute, transactional
from app.domain.audit import service as audit
from app.domain.audit.actor import Actor, system
from app.domain.offers import advance, eligibility, holding, telling
from app.domain.outbox.models import MessageConsent
from app.domain.outbox.resending import NoConsentLeft
from app.domain.people import roles
from app.domain.people.models import User
from app.domain.people.roles import Permission
from app.domain.policy.switches import FeatureOff
from app.domain.waitlist import queue, ranks, rules
from app.domain.waitlist.errors import NoOffer, WaitlistClosed
from app.domain.waitlist.models import (
    OfferKind,
    SeatRelease,
    WaitlistEntry,
    WaitlistFlow,
    WaitlistNotification,
    WaitlistOffer,
)
from app.domain.waitlist.queue import HeldQueue
from app.domain.waitlist.rules import Event, Step
from app.errors import Conflict, Invalid, InvalidState
from app.text import clean

REASON_LENGTH = 200
#: sending again by hand: not sooner than this after the last message, and at most so many messages per offer
RESEND_PAUSE = timedelta(seconds=60)
MESSAGES_MOST = 3

_f, _wn, _m = WaitlistFlow.__table__, WaitlistNotification.__table__, MessageConsent.__table__


class NoKeptSeat(Conflict):
    code = "NO_KEPT_SEAT"
    message = "目前没有可以单独通知的候补名额"


class Begun(Conflict):
    """A promise made to who has begun is kept (96.57)."""

    code = "OFFER_BEGUN"
    message = "家长已经开始办理，请等办理完成或超时"


class TooManyMessages(Conflict):
    code = "RESEND_LIMIT"
    message = "通知过于频繁"


@transactional
def offer(*, entry_id: int, reason: str, actor: Actor, request_key: RequestKey | None = None) -> int:
    """Offer a kept seat that nobody has for themselves to this entry alone, with a window of its own; returns the
    offer's id. What was offered to all of that seat is taken back.

    Raises EntryNotFound, NoKeptSeat, Begun, WaitlistClosed, InvalidState, the refusal of who may take no seat (Q11),
    Invalid, Forbidden.
    """
    reason = _reason(actor, reason)
    held, entry = _hold(entry_id, actor)
    _check_open(held)
    mine = held.offer_of(entry_id)
    if mine is not None and mine.kind == OfferKind.EXCLUSIVE:
        raise InvalidState("已为该学员单独保留名额")
    # The desk may offer where the system does not tell families of seats (Z15).
    code = eligibility.refusals(held).get(entry_id)
    if code not in (None, FeatureOff.code):
        raise Conflict(f"该学员现在不能得到名额：{rules.SKIP_TEXTS.get(code, code)}", code=code)
    if mine is not None:
        _check_not_begun([mine])
        queue.withdraw(held, entry, actor, reason)
        queue.pass_over(held, entry)
    release = _free_one(held, actor)
    made = _offer_alone(held, release, entry, actor, reason)
    _note(actor, "offered", entry, reason, after={"release_id": release.id, "position": held.position(entry_id)})
    advance.wake_if_ready(advance.move_on(held, actor), held.session.id)
    return made.id


@transactional
def skip(*, entry_id: int, reason: str, actor: Actor, request_key: RequestKey | None = None) -> None:
    """Take back the offer of this entry, which keeps its place; a seat that was theirs alone goes to the next who may
    take it, or back to sale where there is none. Raises EntryNotFound, NoOffer, Begun, WaitlistClosed, Invalid,
    Forbidden."""
    reason = _reason(actor, reason)
    held, entry = _hold(entry_id, actor)
    _check_open(held)
    mine = held.offer_of(entry_id)
    if mine is None:
        raise NoOffer
    _check_not_begun([mine])
    place, round_id = held.position(entry_id), mine.round_id
    _take_back(held, mine, actor, reason)
    entry.skip_reason, entry.skipped_at = "BY_STAFF", held.now
    queue.step(held, Step.SKIPPED, actor, held.now, entry_id=entry_id, round_id=round_id, reason=reason)
    if not held.offers_of(round_id):
        _pass_on(held, round_id, entry, actor)
    _note(actor, "skipped", entry, reason, after={"position": place})
    advance.wake_if_ready(advance.move_on(held, actor), held.session.id)


@transactional
def move(
    *, entry_id: int, position: int, reason: str, actor: Actor, request_key: RequestKey | None = None
) -> None:  # fmt: skip
    """Put this entry at `position` (1..n) of the queue. What is offered now stays offered. Raises EntryNotFound,
    Invalid, Forbidden."""
    reason = _reason(actor, reason)
    held, entry = _hold(entry_id, actor)
    before, count = held.position(entry_id), len(held.entries)
    if not 1 <= position <= count:
        raise Invalid.field("position", f"请填写 1 到 {count} 之间的位置")
    if position == before:
        raise Invalid.field("position", f"该学员现在就是第 {before} 位")
    ordered = [one for one in held.entries if one.id != entry_id]
    ordered.insert(position - 1, entry)
    for one, rank in zip(ordered, ranks.for_order([(one.joined_at, one.id) for one in ordered]), strict=True):
        if one.rank != rank:
            one.rank = rank
    entry.staff_note = reason
    held.entries = ordered
    db.session.flush()
    queue.step(held, Step.MOVED, actor, held.now, entry_id=entry_id, reason=reason,
               facts={"from": before, "to": position})  # fmt: skip
    _note(actor, "moved", entry, reason, before={"position": before}, after={"position": position})
    advance.wake_if_ready(advance.move_on(held, actor), held.session.id)


@transactional
def resend(*, entry_id: int, actor: Actor, request_key: RequestKey | None = None) -> None:
    """Tell the family of its offer once more. Raises EntryNotFound, NoOffer, TooManyMessages within a minute of the
    last time and after the third, NoConsentLeft, Forbidden."""
    roles.require(actor, Permission.WAITLIST_MANAGE)
    held, entry = _hold(entry_id, actor)
    mine = held.offer_of(entry_id)
    if mine is None:
        raise NoOffer
    count, last = _told(mine)
    if count >= MESSAGES_MOST:
        raise TooManyMessages(f"这个名额已通知 {count} 次，请致电家长", data={"sent": count})
    if held.now - last < RESEND_PAUSE:
        wait = int((RESEND_PAUSE - (held.now - last)).total_seconds()) + 1
        raise TooManyMessages(f"刚刚通知过，请 {wait} 秒后再试", data={"sent": count, "retry_after": wait})
    if not _may_be_reached(entry.family_id):
        raise NoConsentLeft
    made = telling.offer(held, entry, mine, again=f":{count}")
    execute(_wn.update().where(_wn.c.notification_id.in_(made)).values(resent_by=actor.id))
    queue.step(held, Step.RESENT, actor, held.now, entry_id=entry_id, offer_id=mine.id, round_id=mine.round_id)
    _note(actor, "resent", entry, None, after={"offer_id": mine.id, "times": count + 1})


@transactional
def called(*, entry_id: int, actor: Actor, note: str = "", request_key: RequestKey | None = None) -> None:
    """Staff reached the parent by phone; `note` is what they said. Raises EntryNotFound, Forbidden."""
    roles.require(actor, Permission.WAITLIST_MANAGE)
    held, entry = _hold(entry_id, actor)
    mine = held.offer_of(entry_id)
    note = clean(note, REASON_LENGTH) or None
    entry.called_at, entry.called_by = held.now, actor.id
    db.session.flush()
    queue.step(held, Step.CALLED, actor, held.now, entry_id=entry_id, offer_id=mine.id if mine else None,
               round_id=mine.round_id if mine else None, reason=note)  # fmt: skip
    _note(actor, "called", entry, note)


# ── the steps ───────────────────────────────────────────────────────────────────────────────────────


def _reason(actor: Actor, text: str) -> str:
    roles.require(actor, Permission.WAITLIST_MANAGE)
    reason = clean(text, REASON_LENGTH)
    if not reason:
        raise Invalid.field("reason", "请填写原因，家长问起时会用到")
    return reason


def _hold(entry_id: int, actor: Actor) -> tuple[HeldQueue, WaitlistEntry]:
    """The entry with its queue, moved on to this moment: what staff decide is about what is, not about what a job has
    not come to yet. Raises EntryNotFound, InvalidState, Forbidden."""
    held, entry = holding.hold_live(entry_id, actor)
    clockwork = system("候补")
    advance.keep_time(held, clockwork)
    advance.move_on(held, clockwork)
    if held.entry(entry_id) is None:
        rules.next_status(entry.status, Event.LEAVE)
    return held, entry


def _check_open(held: HeldQueue) -> None:
    if held.now >= held.terms.cutoff:
        raise WaitlistClosed
    if rules.quiet_now(held.now, held.terms.quiet) is not None:
        raise InvalidState("现在是候补的安静时段，不开始新的通知")


def _check_not_begun(offers: list[WaitlistOffer]) -> None:
    if any(one.begun_at is not None for one in offers):
        raise Begun


def _take_back(held: HeldQueue, offer: WaitlistOffer, actor: Actor, reason: str) -> None:
    """Their offer ends and they wait on; they hear so, as of a seat that another took."""
    entry = held.entry(offer.entry_id)
    queue.withdraw(held, entry, actor, reason)
    queue.pass_over(held, entry)
    telling.taken(held, entry, offer)


def _free_one(held: HeldQueue, actor: Actor) -> SeatRelease:
    """A kept seat that no parent has for themselves: one that waits, else one out of the open round, whose last seat
    takes the round with it."""
    alone = {one.id for one in held.rounds if one.kind == OfferKind.EXCLUSIVE}
    waiting = [one for one in held.releases if one.round_id is None]
    if waiting:
        return waiting[0]
    shared = [one for one in held.releases if one.round_id not in alone]
    if not shared:
        raise NoKeptSeat
    release, round_id = shared[-1], shared[-1].round_id
    offers = held.offers_of(round_id)
    if len(held.seats_of(round_id)) <= sum(one.begun_at is not None for one in offers):
        raise Begun
    release.round_id = None
    if not held.seats_of(round_id):
        for one in offers:
            _take_back(held, one, actor, "名额改为单独保留给另一位")
        queue.end_round(held, round_id)
    db.session.flush()
    return release


def _offer_alone(
    held: HeldQueue, release: SeatRelease, entry: WaitlistEntry, actor: Actor, reason: str | None = None
) -> WaitlistOffer:
    deadline = rules.deadline_of(held.now, held.terms.window, held.terms.quiet, held.terms.cutoff)
    round_id = queue.start_round(held, OfferKind.EXCLUSIVE, [release], deadline, actor)
    made = queue.add_offer(held, round_id, entry, actor)
    telling.offer(held, entry, made)
    return made


def _pass_on(held: HeldQueue, round_id: int, skipped: WaitlistEntry, actor: Actor) -> None:
    """Nobody is asked in this round any more. Its seats are given on here: the engine would begin at the head, and so
    ask again whom staff have just skipped."""
    releases = held.seats_of(round_id)
    queue.end_round(held, round_id)
    refused = eligibility.refusals(held)
    place = held.position(skipped.id)
    for release in releases:
        idle = [one for one in held.entries if one.id != skipped.id and held.offer_of(one.id) is None]
        able = [one for one in idle if one.id not in refused]
        behind = [one for one in able if held.position(one.id) > place]
        if able:
            _offer_alone(held, release, (behind or able)[0], actor)
        else:
            queue.return_release(held, release, "all_skipped", actor)


def _told(offer: WaitlistOffer) -> tuple[int, datetime]:
    """How often the family was told of this offer, and when the last time."""
    again = sa.select(sa.func.count(), sa.func.max(_f.c.at)).where(_f.c.offer_id == offer.id, _f.c.step == Step.RESENT)
    count, last = db.session.execute(again).one()
    return count + 1, last or offer.offered_at


def _may_be_reached(family_id: int) -> bool:
    """Whether a parent of the family still allows a message of this kind."""
    query = sa.select(sa.func.sum(_m.c.remaining)).join_from(_m, User, User.id == _m.c.user_id)
    return bool(db.session.scalar(query.where(User.family_id == family_id, _m.c.type == "waitlist_offer")))


def _note(
    actor: Actor, word: str, entry: WaitlistEntry, reason: str | None, *, before: dict | None = None,
    after: dict | None = None,
) -> None:  # fmt: skip
    audit.record(
        actor, f"waitlist.{word}", target_type="waitlist_entry", target_id=entry.id, family_id=entry.family_id,
        before=before, after=after, reason=reason,
    )  # fmt: skip
