"""Bookings from the mini program while web workers are killed: `python -m bench.killed_web --bookings`.

Many parents with real tokens book class after class for their children over `/api/v1/bookings`; who gets no answer
sends the same request again under the same key. Afterwards each request has exactly one booking, one debit and one
seat. The control sends a fresh key on each try to a product that does not look whether the child is in the class
already (bench/unguarded.py): it must show children who are booked, and charged, twice.
"""

from __future__ import annotations

import random
import threading
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

import requests
import sqlalchemy as sa

from app.db import db
from app.domain.ledger import verify
from bench import unguarded
from bench.killed_web import KilledWeb, Outcome, patiently
from bench.parents import Parent, make_parents, make_sessions
from tests.conftest import _KEYS

CHILDREN = 5
PRICE = "1.00"


@dataclass
class Bookings(Outcome):
    """`movements` are debits, `distinct` the pairs of child and class that have one; `seats` what the counters say."""

    live: int = 0
    seats: int = 0

    @property
    def exact(self) -> bool:
        """Every request has one booking, one debit and one seat, nobody was told anything else."""
        counts = {self.forms, self.movements, self.distinct, self.live, self.seats}
        return len(counts) == 1 and self.sum_holds and not self.refused


def run(app, database, folder: Path, *, clients: int, forms: int, control: bool = False, interval: float = 0.3):
    """The whole trial: each client books `forms` times. Returns Bookings."""
    classes_needed = -(-forms // CHILDREN)
    with app.app_context():
        parents = make_parents(clients, balance="9000.00", children=CHILDREN)
        classes = make_sessions(classes_needed, capacity=999, price=PRICE)
        if control:
            unguarded.drop_constraints("twice")
        db.session.remove()
    outcome, lock, ready = Bookings(), threading.Lock(), threading.Barrier(clients + 1)
    web = KilledWeb(database, folder, interval=interval, application="bench.unguarded:app" if control else "wsgi:app")
    web.env |= _KEYS | {"DESK_ENV": "development"} | ({"BENCH_UNGUARDED": "twice"} if control else {})
    with web:
        threads = [
            threading.Thread(target=_client, args=(web.url, parent, classes, forms, control, outcome, lock, ready))
            for parent in parents
        ]
        for thread in threads:
            thread.start()
        ready.wait()
        web.start_killing()
        began = time.monotonic()
        for thread in threads:
            thread.join()
        outcome.seconds, outcome.kills = time.monotonic() - began, web.kills
    return _measure(app, outcome)


def _client(url: str, parent: Parent, classes: list[int], forms, control, outcome, lock, ready) -> None:
    session = requests.Session()
    session.headers["Authorization"] = f"Bearer {parent.token}"
    pairs = [(schedule_id, profile_id) for schedule_id in classes for profile_id in parent.profile_ids][:forms]
    random.shuffle(pairs)
    ready.wait()
    for schedule_id, profile_id in pairs:
        key = uuid.uuid4().hex

        def send(schedule_id=schedule_id, profile_id=profile_id, key=key):
            return session.post(
                f"{url}/api/v1/bookings", json={"course_schedule_id": schedule_id, "profile_id": profile_id},
                headers={"Idempotency-Key": uuid.uuid4().hex if control else key}, timeout=10,
            )  # fmt: skip

        answer = patiently(send, outcome, lock)
        with lock:
            outcome.forms += 1
            if answer.status_code != 201:
                outcome.refused.append(f"{answer.status_code} {answer.text[:200]}")


def _measure(app, outcome: Bookings) -> Bookings:
    """Count what is there, and check the whole ledger."""
    one = {
        "movements": "SELECT COUNT(*) FROM wallet_transactions WHERE type = 'deduction'",
        "distinct": "SELECT COUNT(*) FROM (SELECT DISTINCT course_schedule_id, profile_id FROM bookings) pairs",
        "live": "SELECT COUNT(*) FROM bookings WHERE status = 'booked' AND debit_id IS NOT NULL",
        "seats": "SELECT SUM(booked) FROM course_schedules",
    }
    with app.app_context():
        for name, query in one.items():
            setattr(outcome, name, int(db.session.execute(sa.text(query)).scalar_one()))
        db.session.rollback()
        outcome.sum_holds = verify.run(full=True).sound
        db.session.remove()
    return outcome
