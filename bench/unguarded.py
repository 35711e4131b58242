"""The product with its guards off, for the controls: `gunicorn bench.unguarded:app` with BENCH_UNGUARDED=seats|twice.

`seats`: who finds room books, as a program does that reads a count and then writes it. `twice`: nobody looks whether
the child is in the class already. The tables' own constraints are taken away by `drop_constraints`.
"""

from __future__ import annotations

import os

import sqlalchemy as sa

from app import create_app
from app.db import db
from app.domain.bookings import errors, look, place, students
from app.domain.catalog.facts import SessionFacts
from app.domain.catalog.models import CourseSchedule
from app.domain.seats import service as seats
from app.prepared import Prepared

_sessions = CourseSchedule.__table__


def drop_constraints(what: str) -> None:
    """The last guards, on MySQL; SQLite cannot drop them and is told on each connection to look away."""
    if db.engine.dialect.name == "mysql":
        drop = {
            "seats": "ALTER TABLE course_schedules DROP CONSTRAINT ck_course_schedules_seats",
            "twice": "ALTER TABLE bookings ADD INDEX bench_class (course_schedule_id), DROP INDEX uq_bookings_live",
        }
        with db.engine.begin() as connection:
            connection.exec_driver_sql(drop[what])


def _unguard_seats() -> None:
    look.only_full = lambda *_: None
    SessionFacts.full = property(lambda _: False)
    seats._take = Prepared(
        _sessions.update()
        .where(_sessions.c.id == sa.bindparam("schedule_key"), _sessions.c.starts_at == sa.bindparam("starts_seen"))
        .values(booked=_sessions.c.booked + 1)
    )
    book = place.book

    def look_then_book(*, schedule_id: int, **asked):
        free = sa.select(_sessions.c.capacity - _sessions.c.booked).where(_sessions.c.id == schedule_id)
        room = db.session.execute(free).scalar_one()
        db.session.rollback()
        if room <= 0:
            raise errors.SeatFull(data={})
        return book(schedule_id=schedule_id, **asked)

    place.book = look_then_book


if os.environ.get("BENCH_UNGUARDED"):
    if os.environ["BENCH_UNGUARDED"] == "seats":
        _unguard_seats()
    else:
        students.check_free = lambda student, session: None
    app = create_app()
    with app.app_context():
        if db.engine.dialect.name == "sqlite":
            sa.event.listen(db.engine, "checkout", lambda raw, *_: raw.execute("PRAGMA ignore_check_constraints=ON"))
