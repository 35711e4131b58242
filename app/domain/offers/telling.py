"""What the waitlist tells: parents by WeChat, staff by Feishu (Q6, Q7, Q14, Q23, Q24)."""

from __future__ import annotations

import math
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from app import clock
from app.db import db, require_transaction
from app.domain.audit.actor import system
from app.domain.bookings import queries as bookings
from app.domain.outbox import service as outbox
from app.domain.outbox.models import Channel, Notification, Status
from app.domain.people.models import Family, Profile
from app.domain.waitlist import queue
from app.domain.waitlist.models import (
    OfferStatus,
    WaitlistEntry,
    WaitlistNotification,
    WaitlistOffer,
    WaitlistRound,
)
from app.domain.waitlist.queue import HeldQueue
from app.domain.waitlist.rules import Step
from app.prepared import Prepared

_n, _links = Notification.__table__, WaitlistNotification.__table__
_link = Prepared(_links.insert())
_o, _e, _r = WaitlistOffer.__table__, WaitlistEntry.__table__, WaitlistRound.__table__

#: a message that WeChat will not bring any more, or never could: the parent reads it only in the mini program
_UNREACHED = sa.or_(_n.c.channel == Channel.IN_APP, _n.c.status.in_((Status.FAILED, Status.SUPPRESSED)))


def offer(held: HeldQueue, entry: WaitlistEntry, one: WaitlistOffer, *, again: str = "") -> list[int]:
    """Tell the parent of a seat, and note which messages do; `again` tells a repeated telling apart."""
    minutes = math.ceil((one.ends_at - held.now).total_seconds() / 60)
    told = outbox.tell_family(
        entry.family_id, "waitlist_offer",
        _facts(held, entry) | {"deadline": one.deadline.isoformat(), "minutes": str(max(minutes, 1))},
        dedupe=f"offer{one.id}{again}", user_id=entry.user_id,
    )  # fmt: skip
    for notification_id in told:
        _link({"notification_id": notification_id, "entry_id": entry.id, "offer_id": one.id})
    return told


def taken(held: HeldQueue, entry: WaitlistEntry, one: WaitlistOffer) -> None:
    """Another parent was first (Q6)."""
    outbox.tell_family(
        entry.family_id, "seat_taken", _facts(held, entry), dedupe=f"offer{one.id}", user_id=entry.user_id
    )


def ended(held: HeldQueue, entry: WaitlistEntry) -> None:
    """The wait has ended without a seat; where else there is one (Q24)."""
    others = bookings.alternatives(held.session.id, profile_id=entry.profile_id)
    words = "、".join(f"{clock.local(one.starts_at):%m月%d日 %H:%M}" for one in others)
    outbox.tell_family(
        entry.family_id, "waitlist_expired",
        _facts(held, entry) | ({"alternatives": words, "occasion": "others"} if words else {}),
        dedupe=f"entry{entry.id}", user_id=entry.user_id,
    )  # fmt: skip


def session_cancelled(held: HeldQueue, entry: WaitlistEntry, reason: str) -> None:
    outbox.tell_family(
        entry.family_id, "class_cancelled",
        {key: value for key, value in _facts(held, entry).items() if key != "waitlist_id"}
        | {"reason": reason, "remark": "您的候补已结束，不涉及费用"},
        dedupe=f"waitlist{entry.id}", user_id=entry.user_id,
    )  # fmt: skip


def session_changed(held: HeldQueue, entry: WaitlistEntry, change: str, version: int) -> None:
    """The session has another time, place or coach; `change` says what, `version` tells one change from the next."""
    outbox.tell_family(
        entry.family_id, "class_changed",
        _facts(held, entry) | {"venue": held.session.venue_name, "change": change, "occasion": "waiting"},
        dedupe=f"waitlist{entry.id}:{version}", user_id=entry.user_id,
    )  # fmt: skip


def queue_full(held: HeldQueue) -> None:
    """Staff hear once per session that its queue is full (Q23)."""
    session = held.session
    outbox.tell_staff(
        "waitlist", "staff.waitlist_full",
        {"title": "候补队列已满", "colour": "orange",
         "lines": [["课程", session.course_name], ["上课时间", f"{clock.local(session.starts_at):%m月%d日 %H:%M}"],
                   ["候补", f"{len(held.entries)}/{session.waitlist_capacity} 人"]],
         "link": {"text": "查看候补", "path": f"/waitlist?session={session.id}"}},
        dedupe=f"session{session.id}",
    )  # fmt: skip


# ── parents whom no message reaches ─────────────────────────────────────────────────────────────────


def unreached(held: HeldQueue) -> None:
    """Ask the desk to phone each parent whose offer WeChat did not bring; the window runs all the same (Q14)."""
    waiting = [one for one in held.offers if one.call_asked_at is None]
    if not waiting:
        return
    lost = _lost([one.id for one in waiting])
    for one in waiting:
        if one.id in lost:
            one.call_asked_at = held.now
            entry = held.entry(one.entry_id)
            queue.step(held, Step.UNREACHED, system("候补"), held.now, entry_id=entry.id, offer_id=one.id)
            _ask_to_call(held, entry, one)
    db.session.flush()


def unreached_sessions(limit: int = 200) -> sa.Select:
    """Sessions with a live offer that nobody was asked to phone about, and should be."""
    return (
        sa.select(_e.c.course_schedule_id)
        .select_from(_o.join(_e, _e.c.id == _o.c.entry_id))
        .where(_o.c.status == OfferStatus.LIVE, _o.c.call_asked_at.is_(None), ~_reached(_o.c.id))
        .limit(limit)
    )


def _reached(offer_id: Any) -> sa.ColumnElement[bool]:
    """A message of this offer may still come, or has come, by WeChat."""
    return sa.exists(
        sa.select(sa.literal(1))
        .select_from(_links.join(_n, _n.c.id == _links.c.notification_id))
        .where(_links.c.offer_id == offer_id, sa.not_(_UNREACHED))
    )


def _lost(offer_ids: list[int]) -> set[int]:
    return set(db.session.scalars(sa.select(_o.c.id).where(_o.c.id.in_(offer_ids), ~_reached(_o.c.id))))


def _ask_to_call(held: HeldQueue, entry: WaitlistEntry, one: WaitlistOffer) -> None:
    family = db.session.scalar(sa.select(Family.name).where(Family.id == entry.family_id))
    outbox.tell_staff(
        "waitlist", "staff.waitlist_call",
        {"title": "请致电：候补名额微信未送达", "colour": "red",
         "lines": [["家庭", family], ["课程", held.session.course_name],
                   ["上课时间", f"{clock.local(held.session.starts_at):%m月%d日 %H:%M}"],
                   ["确认截止", f"{clock.local(one.ends_at):%H:%M}"]],
         "link": {"text": "查看候补", "path": f"/waitlist?session={held.session.id}"}},
        dedupe=f"offer{one.id}", queue="urgent",
    )  # fmt: skip


# ── when a round's first message was taken ──────────────────────────────────────────────────────────


#: what WeChat refused is told in the mini program, by a row that follows; asked for one after the other, for no index
#: serves a join by either
_ITS_MESSAGE = (_n.c.id == _links.c.notification_id, _n.c.follows_id == _links.c.notification_id)


def _taken_messages(what: sa.ColumnElement, round_id: Any) -> list[sa.Select]:
    """Messages of this round that were taken: by WeChat, and as one in the mini program."""
    return [
        sa.select(what)
        .select_from(_links.join(_n, its_message).join(_o, _o.c.id == _links.c.offer_id))
        .where(_o.c.round_id == round_id, _n.c.status == Status.SENT)
        for its_message in _ITS_MESSAGE
    ]


def first_taken(round_id: int) -> datetime | None:
    """When the first message of this round was taken (Q13)."""
    found = [db.session.scalar(one) for one in _taken_messages(sa.func.min(_n.c.sent_at), round_id)]
    return min((at for at in found if at is not None), default=None)


def was_taken(round_id: Any) -> sa.ColumnElement[bool]:
    """Whether a message of this round was taken, for a query over rounds."""
    return sa.or_(*(sa.exists(one) for one in _taken_messages(sa.literal(1), round_id)))


def note_taken(held: HeldQueue) -> None:
    """Write down what the messages tell, for the engine to look at."""
    for one in held.rounds:
        if one.first_taken_at is None:
            one.first_taken_at = first_taken(one.id)
    db.session.flush()


def _facts(held: HeldQueue, entry: WaitlistEntry) -> dict[str, Any]:
    return {
        "course": held.session.course_name, "starts_at": held.session.starts_at.isoformat(),
        "student": _student(held, entry), "waitlist_id": entry.id,
    }  # fmt: skip


def _student(held: HeldQueue, entry: WaitlistEntry) -> str | None:
    """The student's name; of all who wait by one statement, since a round tells hundreds."""
    names: dict[int, str] = require_transaction().memo.setdefault("waiting_students", {})
    if entry.profile_id not in names:
        wanted = {entry.profile_id, *(one.profile_id for one in held.entries)}
        names.update(db.session.execute(sa.select(Profile.id, Profile.name).where(Profile.id.in_(wanted))).all())
    return names.get(entry.profile_id)
