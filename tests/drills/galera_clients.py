"""Parents who book on a cluster through the product's own use case, and move on to another node when theirs is away."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from dataclasses import dataclass, field

import sqlalchemy as sa
from flask import Flask
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from app.db import RequestKey, db
from app.domain.audit.actor import Actor, ActorType
from app.domain.bookings import place
from app.domain.bookings.errors import SeatFull
from app.domain.bookings.models import Booking
from app.domain.catalog.models import CourseSchedule
from app.domain.ledger import verify
from app.domain.ledger.models import WalletTransaction
from app.errors import Busy, OutcomeUnknown, Replayed
from bench.parents import Parent

#: what tells a client to try again, here or elsewhere, under the same key
AGAIN = (Busy, OutcomeUnknown, DBAPIError, PoolTimeout)


@dataclass
class Heard:
    """What the clients of one scene heard. `acknowledged`: (class, child) → the booking's id."""

    acknowledged: dict[tuple[int, int], int] = field(default_factory=dict)
    full: int = 0
    again: Counter = field(default_factory=Counter)
    #: what no client can do anything with
    broken: Counter = field(default_factory=Counter)
    moments: list[float] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def longest_silence(self) -> float:
        """The longest time in seconds in which nobody's booking was acknowledged."""
        heard = sorted(self.moments)
        return max((after - before for before, after in zip(heard, heard[1:], strict=False)), default=0.0)


class Crowd:
    """Every parent is a thread that books class after class on its application until the scene ends."""

    def __init__(self, apps: list[Flask], parents: list[Parent], classes: list[int]):
        self.heard, self.apps = Heard(), apps
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._book, args=(number, parent, classes), daemon=True)
            for number, parent in enumerate(parents)
        ]

    def __enter__(self) -> Crowd:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_) -> None:
        """Whoever has begun a request carries it through."""
        self._stop.set()
        for thread in self._threads:
            thread.join(120)
            if thread.is_alive():
                self.heard.broken["a client hangs"] += 1

    def until_done(self, seconds: float) -> None:
        """Wait until all have booked all, at most so long."""
        until = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))

    def _book(self, number: int, parent: Parent, classes: list[int]) -> None:
        at = number % len(self.apps)
        actor = Actor(type=ActorType.PARENT, id=parent.user_id, name="家长", family_id=parent.family_id)
        for pair in [(schedule, child) for schedule in classes for child in parent.profile_ids]:
            key = RequestKey(f"user:{actor.id}", f"drill-{pair[0]}-{pair[1]}", "drill", present=_booking_id)
            while not self._settled(at, pair, actor, key):
                at = (at + 1) % len(self.apps)
                time.sleep(random.uniform(0.02, 0.2))
            if self._stop.is_set():
                return

    def _settled(self, at: int, pair: tuple[int, int], actor: Actor, key: RequestKey) -> bool:
        heard = self.heard
        with self.apps[at].app_context():
            try:
                done = place.book(schedule_id=pair[0], profile_id=pair[1], actor=actor, request_key=key).booking_id
            except Replayed as replay:
                done = replay.answer["booking"]
            except SeatFull:
                heard.full += 1
                return True
            except AGAIN as error:
                with heard.lock:
                    heard.again[_name(error)] += 1
                return False
            except Exception as error:
                with heard.lock:
                    heard.broken[f"{type(error).__name__}: {error}"[:120]] += 1
                return True
            finally:
                db.session.remove()
        with heard.lock:
            heard.acknowledged[pair] = done
            heard.moments.append(time.monotonic())
        return True


def _booking_id(done: place.Booked) -> dict:
    return {"booking": done.booking_id}


def _name(error: Exception) -> str:
    cause = error.__cause__ if isinstance(error.__cause__, DBAPIError) else error
    orig = getattr(cause, "orig", None)
    code = orig.args[0] if orig is not None and orig.args else ""
    return f"{type(error).__name__} {code}".strip()


# ── what is there ──


@dataclass(frozen=True)
class Found:
    """What one node's database holds of some classes."""

    bookings: int
    debits: int
    seats: int
    oversold: int
    missing: int
    sound: bool

    @property
    def exact(self) -> bool:
        """Each booking has its seat and its debit, everything acknowledged is there, no class has more than fit."""
        return self.bookings == self.debits == self.seats and not self.missing and not self.oversold and self.sound


def look(app: Flask, classes: list[int], heard: Heard) -> Found:
    """Count on this application's node."""
    mine = Booking.course_schedule_id.in_(classes), Booking.status == "booked"
    debits = sa.select(sa.func.count(WalletTransaction.id)).join(Booking, Booking.debit_id == WalletTransaction.id)
    sessions = sa.select(CourseSchedule.booked, CourseSchedule.capacity).where(CourseSchedule.id.in_(classes))
    with app.app_context():
        rows = db.session.execute(sa.select(Booking.course_schedule_id, Booking.profile_id, Booking.id).where(*mine))
        there = {(schedule, child): booking for schedule, child, booking in rows}
        counted = Counter(schedule for schedule, _ in there)
        known = db.session.execute(sessions.add_columns(CourseSchedule.id)).all()
        found = Found(
            bookings=len(there), debits=db.session.scalar(debits.where(*mine)), seats=sum(row.booked for row in known),
            oversold=sum(max(0, counted[row.id] - row.capacity) for row in known),
            missing=sum(there.get(pair) != booking for pair, booking in heard.acknowledged.items()),
            sound=verify.run(full=True).sound,
        )  # fmt: skip
        db.session.remove()
        # The scene may have killed what these connections led to.
        db.engine.dispose()
    return found
