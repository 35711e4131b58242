"""One queue's history as the replay takes it: what came from outside, how parents answered, how each seat ended."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from app.domain.waitlist import engine


@dataclass(frozen=True, slots=True)
class Said:
    """What a parent did with one offer. `answer` is confirm, decline or None; times count from the offer.

    `cut_short`: it ended by another's doing, after `lasted`.
    """

    answer: str | None = None
    after: timedelta | None = None
    begun_after: timedelta | None = None
    cut_short: bool = False
    lasted: timedelta = timedelta(0)


@dataclass(frozen=True, slots=True)
class Person:
    """One entry. `left_at`: when it ended by no rule of the queue. `consents` and `refusals` hold from their moment on,
    ascending; a refusal of None means able again."""

    id: int
    joined_at: datetime
    left_at: datetime | None = None
    consents: tuple[tuple[datetime, bool], ...] = ()
    refusals: tuple[tuple[datetime, str | None], ...] = ()
    said: tuple[Said, ...] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one freed seat ended; `entry_id` filled it."""

    release_id: int
    freed_at: datetime
    status: str
    reason: str
    ended_at: datetime
    entry_id: int | None = None

    def same_as(self, other: Outcome) -> bool:
        """Ended in the same way: filled by the same, or returned for the same reason."""
        return (self.status, self.entry_id, self.reason) == (other.status, other.entry_id, other.reason)

    @property
    def seconds(self) -> int:
        return int((self.ended_at - self.freed_at).total_seconds())


@dataclass(frozen=True, slots=True)
class History:
    """One session's queue as it was. `terms` hold from their moment on, ascending.

    `moves`: when, which entry, to which place from 1. `taken`: start of a round → when WeChat took its first
    message. `acted`: when the engine did something.
    """

    schedule_id: int
    terms: tuple[tuple[datetime, engine.Terms], ...]
    grace: timedelta
    people: tuple[Person, ...]
    outcomes: tuple[Outcome, ...]
    moves: tuple[tuple[datetime, int, int], ...] = ()
    taken: dict[datetime, datetime] = field(default_factory=dict)
    acted: frozenset[datetime] = frozenset()
    cancelled_at: datetime | None = None
