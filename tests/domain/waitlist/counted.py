"""Waitlist rows written by hand, for figures that are counted by hand. What the engine does has its own tests."""

from __future__ import annotations

import itertools
from datetime import datetime, timedelta

from app.db import db, transaction
from app.domain.outbox.models import Notification
from app.domain.waitlist.models import (
    SeatRelease,
    WaitlistEntry,
    WaitlistNotification,
    WaitlistOffer,
    WaitlistRound,
)
from tests.factories import make_family

WINDOW = timedelta(minutes=15)
_numbers = itertools.count(1)


def add(row) -> int:
    with transaction():
        db.session.add(row)
        db.session.flush()
        return row.id


def entry(session: int, *, joined: datetime, position: int = 1, status: str = "waiting", ended: datetime | None = None,
          reason: str | None = None, family=None, **more) -> int:  # fmt: skip
    """One place in the queue, of a family of its own unless told."""
    family = family or make_family()
    return add(
        WaitlistEntry(
            course_schedule_id=session,
            profile_id=family.profile_ids[0],
            family_id=family.id,
            user_id=family.user_id,
            status=status,
            joined_at=joined,
            joined_position=position,
            ended_at=ended,
            end_reason=reason,
            **more,
        )  # fmt: skip
    )


def release(session: int, *, freed: datetime, status: str = "kept", ended: datetime | None = None,
            reason: str | None = None, entry: int | None = None, cause: str = "cancelled") -> int:  # fmt: skip
    return add(
        SeatRelease(
            course_schedule_id=session,
            status=status,
            cause=cause,
            freed_at=freed,
            ended_at=ended,
            end_reason=reason,
            entry_id=entry,
        )  # fmt: skip
    )


def offer(session: int, entry: int, *, at: datetime, kind: str = "open", status: str = "live",
          answer: str | None = None, after: timedelta | None = None, round: int | None = None) -> int:  # fmt: skip
    """An offer in a round of its own unless told; `after` is how long after it was made it ended."""
    deadline = at + WINDOW
    round = round or add(WaitlistRound(course_schedule_id=session, kind=kind, started_at=at, deadline=deadline))
    ended = None if status == "live" else at + (after or WINDOW)
    return add(
        WaitlistOffer(
            round_id=round,
            entry_id=entry,
            kind=kind,
            status=status,
            offered_at=at,
            deadline=deadline,
            ends_at=deadline,
            answer=answer,
            answered_at=ended if answer else None,
            ended_at=ended,
        )  # fmt: skip
    )


def message(entry: int, offer: int, *, at: datetime, sent_after: timedelta | None, channel: str = "wechat",
            status: str | None = None, **more) -> int:  # fmt: skip
    """A message that told of an offer; never taken where `sent_after` is None."""
    sent = None if sent_after is None else at + sent_after
    note = add(
        Notification(
            channel=channel,
            type="waitlist_offer",
            recipient="x",
            payload={},
            created_at=at,
            sent_at=sent,
            status=status or ("failed" if sent is None else "sent"),
            dedupe_key=f"counted-{next(_numbers)}",
        )  # fmt: skip
    )
    add(WaitlistNotification(notification_id=note, entry_id=entry, offer_id=offer, **more))
    return note


def follow_up(notification: int, *, at: datetime) -> int:
    """What the mini program shows in place of a message that could not be delivered."""
    return add(
        Notification(
            channel="in_app",
            type="waitlist_offer",
            recipient="x",
            payload={},
            created_at=at,
            sent_at=at,
            status="sent",
            follows_id=notification,
            dedupe_key=f"counted-{next(_numbers)}",
        )  # fmt: skip
    )


def begin(offer: int, *, at: datetime) -> None:
    """The parent began to book."""
    with transaction():
        db.session.get(WaitlistOffer, offer).begun_at = at
