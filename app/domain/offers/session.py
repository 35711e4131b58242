"""What a change of the session means for its queue: cancelled, it ends; moved, its cutoff moves with it, and who waits
hears so (C6)."""

from __future__ import annotations

from app.db import wake_queue_after_commit
from app.domain.audit.actor import Actor
from app.domain.offers import telling
from app.domain.waitlist import queue
from app.domain.waitlist.rules import Event, Step


def close(schedule_id: int, reason: str, actor: Actor) -> None:
    """Building block: the session was cancelled in this transaction. Every wait ends, and its family is told."""
    held = queue.lock(schedule_id)
    for entry in list(held.entries):
        queue.withdraw(held, entry, actor, "session_cancelled")
        queue.end_entry(held, entry, Event.EXPIRE, "session_cancelled")
        queue.step(held, Step.EXPIRED, actor, held.now, entry_id=entry.id, reason="session_cancelled")
        telling.session_cancelled(held, entry, reason)
    for release in list(held.releases):
        queue.return_release(held, release, "session_cancelled", actor)
    for one in list(held.rounds):
        queue.end_round(held, one.id)


def changed(schedule_id: int, change: str, version: int) -> None:
    """Building block: the session has another time, place or coach since this transaction. Who waits hears so."""
    held = queue.lock(schedule_id)
    for entry in held.entries:
        telling.session_changed(held, entry, change, version)


def move(schedule_id: int) -> None:
    """Building block: the session has another time since this transaction. Whether a waiter is free then is looked at
    when a seat is offered, and again when it is confirmed."""
    held = queue.lock(schedule_id)
    queue.retime(held)
    if held.entries:
        wake_queue_after_commit(schedule_id)
