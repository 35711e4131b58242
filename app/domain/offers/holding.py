"""An entry with its queue, locked."""

from __future__ import annotations

import sqlalchemy as sa

from app.db import db
from app.domain.audit.actor import Actor, ActorType
from app.domain.bookings import students
from app.domain.bookings.students import Student
from app.domain.people import roles
from app.domain.people.roles import Permission
from app.domain.waitlist import queue, rules
from app.domain.waitlist.errors import EntryNotFound
from app.domain.waitlist.models import LIVE, WaitlistEntry
from app.domain.waitlist.queue import HeldQueue
from app.domain.waitlist.rules import Event

_e = WaitlistEntry.__table__


def hold(entry_id: int, actor: Actor) -> tuple[HeldQueue, WaitlistEntry]:
    """Lock the entry's queue, and give the entry, live or not. Raises EntryNotFound for nobody's and for another
    family's; Forbidden."""
    if actor.type == ActorType.STAFF:
        roles.require(actor, Permission.BOOKING_MAKE)
    schedule_id = db.session.scalar(sa.select(_e.c.course_schedule_id).where(_e.c.id == entry_id))
    if schedule_id is None:
        raise EntryNotFound
    held = queue.lock(schedule_id)
    entry = held.entry(entry_id) or db.session.get(WaitlistEntry, entry_id, populate_existing=True)
    if actor.type == ActorType.PARENT and entry.family_id != actor.family_id:
        raise EntryNotFound
    return held, entry


def hold_live(entry_id: int, actor: Actor) -> tuple[HeldQueue, WaitlistEntry]:
    """As `hold`, for one that still waits. Raises InvalidState besides."""
    held, entry = hold(entry_id, actor)
    if entry.status not in LIVE:
        rules.next_status(entry.status, Event.LEAVE)
    return held, entry


def student(entry_id: int, actor: Actor) -> Student:
    """The entry's student, locked before the session (R6). Raises EntryNotFound for nobody's and for another family's,
    NotFound for one who has left."""
    row = db.session.execute(sa.select(_e.c.profile_id, _e.c.family_id).where(_e.c.id == entry_id)).first()
    if row is None or (actor.type == ActorType.PARENT and row.family_id != actor.family_id):
        raise EntryNotFound
    return students.lock(row.profile_id, actor)


def profile_of(entry_id: int) -> int | None:
    return db.session.scalar(sa.select(_e.c.profile_id).where(_e.c.id == entry_id))
