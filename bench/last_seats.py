"""Over HTTP, with real tokens under gunicorn: many clients at the same instant for the last seats of one class.

Not a figure but a proof: as many bookings and debits as there are seats, a clear refusal for everybody else, no
error; any difference exits 1. With `--control` the guard is off, and the class must be oversold.

    python -m bench.last_seats [--clients 200] [--seats 6] [--engine mysql] [--control]
"""

from __future__ import annotations

import argparse
import tempfile
import uuid
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from app.db import db
from app.domain.bookings.models import Booking
from app.domain.catalog.models import CourseSchedule
from app.domain.ledger import verify
from app.domain.ledger.models import WalletTransaction
from bench import unguarded
from bench.context import Context
from bench.crowd import Answer, ask_all, p95
from bench.http import _environ, _gunicorn
from bench.parents import Parent, make_parents, make_sessions
from tests.conftest import build_app
from tests.databases import FreshDatabase


@dataclass(frozen=True)
class Result:
    """What the clients heard, and what the database holds for this class."""

    answers: list[Answer]
    seats: int
    counter: int
    bookings: int
    debits: int

    @property
    def heard(self) -> Counter:
        return Counter(answer.code for answer in self.answers)

    @property
    def errors(self) -> int:
        return sum(count for code, count in self.heard.items() if code not in ("ok", "SEAT_FULL"))

    @property
    def exact(self) -> bool:
        """Each seat sold once and paid once, everybody else told that the class is full."""
        sold = {self.heard["ok"], self.counter, self.bookings, self.debits, self.seats}
        return len(sold) == 1 and self.errors == 0


def race(url: str, parents: list[Parent], schedule_id: int) -> list[Answer]:
    """Each parent asks for a seat, all at once, each under a key of their own."""
    return ask_all(
        [
            (
                f"{url}/api/v1/bookings",
                {"Authorization": f"Bearer {parent.token}", "Idempotency-Key": uuid.uuid4().hex},
                {"course_schedule_id": schedule_id, "profile_id": parent.profile_ids[0]},
            )
            for parent in parents
        ]
    )


def count(answers: list[Answer], schedule_id: int, seats: int) -> Result:
    """Look what is there; inside an application context."""
    db.session.rollback()
    mine = Booking.course_schedule_id == schedule_id
    debits = sa.select(sa.func.count(WalletTransaction.id)).join(Booking, Booking.debit_id == WalletTransaction.id)
    return Result(
        answers, seats,
        counter=db.session.scalar(sa.select(CourseSchedule.booked).where(CourseSchedule.id == schedule_id)),
        bookings=db.session.scalar(sa.select(sa.func.count(Booking.id)).where(mine)),
        debits=db.session.scalar(debits.where(mine)),
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--seats", type=int, default=6)
    parser.add_argument("--engine", choices=["mysql", "sqlite"], default="mysql")
    parser.add_argument("--control", action="store_true", help="the guard off: must oversell")
    asked = parser.parse_args()
    database = FreshDatabase(asked.engine, "seats")
    with tempfile.TemporaryDirectory(prefix="desk-seats-") as folder:
        app = build_app(database, Path(folder), DESK_RATE_LIMITS="off")
        with app.app_context():
            parents = make_parents(asked.clients, balance="500.00")
            first, schedule_id = make_sessions(2, capacity=asked.seats, price="200.00")
            if asked.control:
                unguarded.drop_constraints("seats")
            db.session.remove()
        environ = _environ(Context(app, database, Path(folder), 0, 0, 0)) | {"DESK_RATE_LIMITS": "off"}
        if asked.control:
            environ["BENCH_UNGUARDED"] = "seats"
        with _gunicorn("bench.unguarded:app" if asked.control else "wsgi:app", environ) as url:
            race(url, parents[:12], first)  # every worker has compiled its statements
            answers = race(url, parents, schedule_id)
        with app.app_context():
            result = count(answers, schedule_id, asked.seats)
            sound = verify.run(full=True).sound
            db.session.remove()
            db.engine.dispose()
    database.drop()
    oversold = result.bookings - result.seats
    held = oversold > 0 if asked.control else result.exact and sound
    print(f"{asked.engine}: {asked.clients} clients, {asked.seats} seats: {result.bookings} bookings, {result.debits}"
          f" debits, counter {result.counter}, heard {dict(result.heard)}, errors {result.errors},"
          f" oversold {max(oversold, 0)}, p95 {p95(answers):.0f} ms, all answered in"
          f" {max(answer.milliseconds for answer in answers):.0f} ms: {_verdict(held, asked.control)}")  # fmt: skip
    raise SystemExit(0 if held else 1)


def _verdict(held: bool, control: bool) -> str:
    if control:
        return "oversold, as it must be without the guard" if held else "NOT OVERSOLD: the race is none"
    return "each seat once" if held else "BROKEN"


if __name__ == "__main__":
    main()
