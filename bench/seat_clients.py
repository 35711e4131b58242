"""Many clients for a few seats without HTTP: threads of a fleet, through the service and by bare PyMySQL."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable

from flask import current_app

from app.db import db
from app.domain.audit.actor import Actor, ActorType
from app.domain.bookings import place
from app.domain.bookings.errors import SeatFull
from bench import context as bench
from bench.parents import Parent

#: connections of a process: what the application's pool keeps open
CONNECTIONS = 10
TAKE = (
    "UPDATE course_schedules SET booked = booked + 1 WHERE id = %s AND status = 'scheduled'"
    " AND capacity > booked + held + kept"
)
Heard = list[tuple[str, float]]


def bare_clients(schedule_id: int, parents: list[Parent]) -> Heard:
    """One guarded UPDATE each. (`ok` or `SEAT_FULL`, milliseconds from the common start) of each client."""
    free: queue.SimpleQueue = queue.SimpleQueue()
    connections = [bench.bare_connection(bench.url_here) for _ in range(CONNECTIONS)]
    for connection in connections:
        free.put(connection)

    def take(_parent: Parent) -> str:
        connection = free.get()
        with connection.cursor() as cursor:
            taken = cursor.execute(TAKE, (schedule_id,))
        connection.commit()
        free.put(connection)
        return "ok" if taken else "SEAT_FULL"

    heard = _all_at_once(take, parents)
    for connection in connections:
        connection.close()
    return heard


def our_clients(schedule_id: int, parents: list[Parent]) -> Heard:
    """The whole booking each: seat, debit, booking, audit and messages; or the refusal."""
    app = current_app._get_current_object()
    free = threading.BoundedSemaphore(CONNECTIONS)

    def book(parent: Parent) -> str:
        actor = Actor(type=ActorType.PARENT, id=parent.user_id, name="家长", family_id=parent.family_id)
        with free, app.app_context():
            try:
                place.book(schedule_id=schedule_id, profile_id=parent.profile_ids[0], actor=actor)
            except SeatFull:
                return "SEAT_FULL"
            finally:
                db.session.remove()
        return "ok"

    return _all_at_once(book, parents)


def _all_at_once(ask: Callable[[Parent], str], parents: list[Parent]) -> Heard:
    heard: Heard = []
    go = threading.Event()

    def client(parent: Parent) -> None:
        go.wait()
        try:
            said = ask(parent)
        except Exception as error:
            said = f"ERROR {type(error).__name__}"
        heard.append((said, (time.perf_counter() - began) * 1000))

    threads = [threading.Thread(target=client, args=(parent,)) for parent in parents]
    for thread in threads:
        thread.start()
    bench.together()
    began = time.perf_counter()
    go.set()
    for thread in threads:
        thread.join()
    return heard
