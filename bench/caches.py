"""What caches in Redis could gain (Z12): reading from the database what one of them would hold, beside a GET of the
same as JSON. Free seats are measured with bookings, balances over HTTP, classes for a makeup with makeups."""

from __future__ import annotations

import itertools
import json
import statistics
import time
from collections.abc import Callable
from datetime import datetime, timedelta

import redis
import sqlalchemy as sa

from app import clock
from app.db import db, transaction
from app.domain.audit.actor import Actor, ActorType
from app.domain.bookings import place
from app.domain.credits import minutes
from app.domain.credits.models import HistoryKind
from app.domain.offers import board, join
from app.domain.outbox import service as outbox
from app.domain.outbox.models import Notification
from app.domain.people.roles import Role
from bench.context import Context, Row
from bench.parents import Parent, make_parents, make_sessions
from tests import databases

TITLE = "Caches"
WAITING = 8
CALLS = 300


def run(context: Context) -> list[Row]:
    with context.app.app_context():
        parents = make_parents(WAITING, balance="1000.00")
        found = [_row(*one, context) for one in _reads(parents)]
        db.session.rollback()
    context.notes.append(f"One client, everything warm, {CALLS} calls of each in turn.")
    return found


def _reads(parents: list[Parent]) -> list[tuple[str, Callable[[], object]]]:
    """(what, a read of it) for each cache, over data that is made here."""
    session = _full_session(parents)
    profile, message = parents[0].profile_ids[0], _message()
    now = clock.now()
    _give_minutes(parents[0], now)
    _n = Notification.__table__
    state = sa.select(_n.c.status, _n.c.sent_at, _n.c.attempts).where(_n.c.id == sa.bindparam("key"))
    return [
        (f"a queue of {WAITING} (`waitlist:queue`)", lambda: board.queue(session)),
        ("a message's state (`notification:status`)",
         lambda: db.session.connection().execute(state, {"key": message}).one()),
        ("a student's minutes (`compensation:balance`)", lambda: minutes.available(profile, now)),
    ]  # fmt: skip


def _row(what: str, read: Callable[[], object], context: Context) -> Row:
    client = redis.Redis.from_url(databases.REDIS_URL, socket_timeout=5)
    name = "desk-bench:cache"
    client.set(name, json.dumps([str(part) for part in _parts(read())]), ex=600)
    reads = {"redis": lambda: json.loads(client.get(name)), "database": read}
    taken: dict[str, list[float]] = {where: [] for where in reads}
    for _, where in itertools.product(range(CALLS * context.rounds), reads):
        began = time.perf_counter()
        reads[where]()
        taken[where].append((time.perf_counter() - began) * 1e6)
    client.delete(name)
    client.close()
    floor, ours = statistics.median(taken["redis"]), statistics.median(taken["database"])
    return Row(what, f"Redis GET and JSON: {floor:.0f} µs", f"{ours:.0f} µs", ours / floor, "–", None)


def _parts(value: object) -> list[object]:
    return getattr(value, "lines", None) or (list(value) if isinstance(value, sa.Row) else [value])


# ── what is read ────────────────────────────────────────────────────────────────────────────────────

_DESK = Actor(type=ActorType.STAFF, id=None, name="前台", role=Role.FRONT_DESK)


def _full_session(parents: list[Parent]) -> int:
    """A session whose one seat is taken, and all the parents wait for it."""
    [schedule_id] = make_sessions(1, capacity=1, price="10.00")
    [holder] = make_parents(1, balance="100.00")
    actor = Actor(type=ActorType.PARENT, id=holder.user_id, name="家长", family_id=holder.family_id)
    place.book(schedule_id=schedule_id, profile_id=holder.profile_ids[0], actor=actor)
    for parent in parents:
        join.join(schedule_id=schedule_id, profile_id=parent.profile_ids[0], actor=_DESK, reason="测量")
    return schedule_id


def _message() -> int:
    """A message that waits to be sent."""
    with transaction():
        card = {"title": "测量", "colour": "blue", "lines": []}
        return outbox.tell_staff("system", "system.alert", card, dedupe="bench:caches")


def _give_minutes(parent: Parent, now: datetime) -> None:
    with transaction():
        for _ in range(3):
            minutes.give(
                parent.profile_ids[0], parent.family_id, 30, _DESK, now,
                kind=HistoryKind.ADJUSTED, note="测量", expires_at=now + timedelta(days=30),
            )  # fmt: skip
