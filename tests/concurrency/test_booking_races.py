"""Many at one seat, two at one child, in real processes (B1, B2, B7, C4). Each race has its control: the same race with
the guard off must go wrong, else it proves nothing."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import replace
from datetime import timedelta

import pytest
import sqlalchemy as sa

from app import clock
from app.db import db, transaction
from app.domain.audit.actor import Actor, ActorType
from app.domain.bookings import look, students
from app.domain.catalog.facts import SessionFacts
from app.domain.catalog.models import CourseSchedule
from app.domain.ledger import verify
from app.domain.people.models import User
from app.domain.seats import service as seats
from app.prepared import Prepared
from tests.concurrency.bookers import ROUNDS, Asked, book, booked, by_turns, in_rounds, live, moves
from tests.concurrency.processes import pool, together
from tests.factories import MadeFamily, make_course, make_family, make_session, parent_actor

pytestmark = pytest.mark.concurrency

SEATS, WRITERS, EACH = 6, 8, 5


# ── the last seats ──────────────────────────────────────────────────────────────────────────────────


def _crowd(count: int) -> tuple[int, list[Asked]]:
    schedule_id = make_session(make_course(price="200.00"), capacity=SEATS)
    families = [make_family(parent=f"家长{n}", balance="500.00") for n in range(count)]
    db.session.remove()
    return schedule_id, [Asked(schedule_id, f.profile_ids[0], parent_actor(f)) for f in families]


def _race(app, task, attempts: list[Asked]) -> Counter:
    shares = [attempts[n::WRITERS] for n in range(WRITERS)]
    with pool(app, WRITERS) as members:
        return Counter(code for codes in members.map(task, shares, chunksize=1) for code in codes)


def test_forty_parents_for_the_last_six_seats(live_app):
    with live_app.app_context():
        schedule_id, attempts = _crowd(WRITERS * EACH)
    codes = _race(live_app, by_turns, attempts)
    assert codes == {"ok": SEATS, "SEAT_FULL": WRITERS * EACH - SEATS}
    with live_app.app_context():
        assert booked(schedule_id) == live(schedule_id) == moves("deduction") == SEATS
        assert verify.run(full=True).sound


def _unguarded() -> None:
    """The seat is taken by a write that asks nothing, and nobody looks before it."""
    look.only_full = lambda *_: None
    SessionFacts.full = property(lambda _: False)
    table = CourseSchedule.__table__
    seats._take = Prepared(
        table.update()
        .where(table.c.id == sa.bindparam("schedule_key"), table.c.starts_at == sa.bindparam("starts_seen"))
        .values(booked=table.c.booked + 1)
    )


def unguarded(attempts: list[Asked]) -> list[str]:
    _unguarded()
    return by_turns(attempts)


def test_control_without_the_guard_the_check_refuses_with_an_error(live_app):
    """The table holds (C4), but the thirty-four who came too late get an error instead of an answer."""
    with live_app.app_context():
        schedule_id, attempts = _crowd(WRITERS * EACH)
    codes = _race(live_app, unguarded, attempts)
    assert codes["ok"] == SEATS
    assert codes["SEAT_FULL"] == 0
    assert sum(count for code, count in codes.items() if code.startswith("ERROR")) == WRITERS * EACH - SEATS
    with live_app.app_context():
        assert booked(schedule_id) == live(schedule_id) == moves("deduction") == SEATS


def read_then_write(attempts: list[Asked]) -> list[str]:
    """What a program without a guarded write does: look whether there is room, then book."""
    _unguarded()
    if db.engine.dialect.name == "sqlite":
        sa.event.listen(db.engine, "checkout", lambda raw, *_: raw.execute("PRAGMA ignore_check_constraints=ON"))
    together()
    codes = []
    for asked in attempts:
        room = db.session.execute(
            sa.select(CourseSchedule.capacity - CourseSchedule.booked).where(CourseSchedule.id == asked.schedule_id)
        ).scalar_one()
        db.session.rollback()
        codes.append(book(asked) if room > 0 else "SEAT_FULL")
    return codes


def test_control_read_then_write_oversells(live_app):
    """Neither guard nor CHECK: more than six sit in a class of six."""
    with live_app.app_context():
        schedule_id, attempts = _crowd(WRITERS * EACH)
        if db.engine.dialect.name == "mysql":
            with db.engine.begin() as connection:
                connection.exec_driver_sql("ALTER TABLE course_schedules DROP CONSTRAINT ck_course_schedules_seats")
    codes = _race(live_app, read_then_write, attempts)
    with live_app.app_context():
        assert codes["ok"] == live(schedule_id) > SEATS


# ── two parents, one child ──────────────────────────────────────────────────────────────────────────


def _parents(family: MadeFamily) -> list[Actor]:
    """The family's parent, and a second one."""
    with transaction():
        other = User(family_id=family.id, openid=f"second-of-{family.id}", registered_at=clock.now())
        db.session.add(other)
        db.session.flush()
        second = Actor(type=ActorType.PARENT, id=other.id, name="李先生", family_id=family.id)
    return [parent_actor(family), second]


def without_the_lock(attempts: list[Asked]) -> list[str]:
    """The student is read, not locked; and all have looked before one writes."""
    reads_only = students._lock._statement._clone()
    reads_only._for_update_arg = None
    students._lock = Prepared(reads_only)
    look = students.check_free

    def slowly(student, session):
        look(student, session)
        time.sleep(0.05)

    students.check_free = slowly
    return in_rounds(attempts)


def _one_child(overlapping: bool) -> list[list[Asked]]:
    family = make_family(balance="9000.00")
    course_id = make_course(price="100.00")
    tasks: list[list[Asked]] = [[], []]
    for day in range(ROUNDS):
        starts_in = timedelta(days=2 + day)
        first = make_session(course_id, starts_in=starts_in)
        second = make_session(course_id, starts_in=starts_in + timedelta(minutes=30)) if overlapping else first
        for task, schedule_id in zip(tasks, (first, second), strict=True):
            task.append(Asked(schedule_id, family.profile_ids[0], parent_actor(family)))
    actors = _parents(family)
    db.session.remove()
    return [[replace(asked, actor=actor) for asked in task] for task, actor in zip(tasks, actors, strict=True)]


@pytest.mark.parametrize(("overlapping", "refusal"), [(False, "ALREADY_BOOKED"), (True, "TIME_CONFLICT")])
def test_two_parents_book_one_child_at_once(live_app, overlapping, refusal):
    with live_app.app_context():
        tasks = _one_child(overlapping)
    with pool(live_app, 2) as members:
        answers = members.map(in_rounds, tasks, chunksize=1)
    assert [set(pair) for pair in zip(*answers, strict=True)] == [{"ok", refusal}] * ROUNDS
    with live_app.app_context():
        assert moves("deduction") == ROUNDS
        assert sum(booked(asked.schedule_id) for asked in tasks[0] + tasks[1]) == ROUNDS * (1 if overlapping else 2)


@pytest.mark.parametrize("overlapping", [False, True])
def test_control_without_the_students_lock_both_pass(live_app, overlapping):
    """Into two classes at one hour both go; into one class the constraint still says no (B7)."""
    with live_app.app_context():
        if db.engine.dialect.name == "sqlite":
            pytest.skip("SQLite has one write lock for all: nothing passes it")
        tasks = _one_child(overlapping)
    with pool(live_app, 2) as members:
        answers = members.map(without_the_lock, tasks, chunksize=1)
    both = [pair for pair in zip(*answers, strict=True) if pair == ("ok", "ok")]
    assert bool(both) is overlapping
    with live_app.app_context():
        assert moves("deduction") == ROUNDS + len(both)
