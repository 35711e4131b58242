"""Races in the calendar, with real commits: one coach, one room, and two who put a class there at once (C2).

The control takes the locks away and must then go wrong.
"""

from __future__ import annotations

import itertools
import threading
from datetime import date, timedelta

import pytest
import sqlalchemy as sa

from app import clock
from app.db import db
from app.domain.audit.actor import system
from app.domain.catalog import catalog_import, courses, sessions
from app.domain.catalog.import_rows import gather
from app.domain.catalog.models import Coach, CourseSchedule
from app.sheets import Row
from tests.at_once import at_once_in
from tests.concurrency.test_approvals import is_mysql
from tests.factories import make_course
from tests.portal import actor_of, make_staff

pytestmark = pytest.mark.concurrency

_numbers = itertools.count(1)


@pytest.fixture
def manager(desk):
    return actor_of(make_staff("manager"))


def coach(manager) -> int:
    return courses.create_coach(name=f"教练{next(_numbers)}", actor=manager)


def venue(manager) -> int:
    return courses.create_venue(name=f"{next(_numbers)}号馆", actor=manager)


def overlaps() -> list[tuple]:
    """Pairs of sessions that have a coach or a room at the same time: there must be none."""
    db.session.rollback()
    one, two = sa.orm.aliased(CourseSchedule), sa.orm.aliased(CourseSchedule)
    query = sa.select(one.id, two.id).where(
        one.id < two.id, one.status == "scheduled", two.status == "scheduled",
        sa.or_(one.coach_id == two.coach_id, one.venue_id == two.venue_id),
        one.starts_at < two.ends_at, two.starts_at < one.ends_at,
    )  # fmt: skip
    return list(db.session.execute(query))


def names(answers) -> list[str]:
    return sorted(type(answer).__name__ for answer in answers)


def act(manager, course_id, coach_id, venue_id, moment):
    return lambda: sessions.create(
        course_id=course_id, coach_id=coach_id, venue_id=venue_id, starts_at=moment, capacity=6, actor=manager
    )


def test_one_coach_in_many_rooms_at_once(desk, manager):
    course_id, coach_id = make_course(), coach(manager)
    moment = clock.now() + timedelta(days=3)
    answers = at_once_in(desk, *(
        act(manager, course_id, coach_id, venue(manager), moment + timedelta(minutes=7 * n)) for n in range(6)
    ))  # fmt: skip
    assert names(answers) == ["CoachBusy"] * 5 + ["int"]
    assert not overlaps()


def test_one_room_for_many_coaches_at_once(desk, manager):
    course_id, venue_id = make_course(), venue(manager)
    moment = clock.now() + timedelta(days=3)
    answers = at_once_in(desk, *(act(manager, course_id, coach(manager), venue_id, moment) for _ in range(6)))
    assert names(answers) == ["VenueBusy"] * 5 + ["int"]
    assert not overlaps()


def test_crosswise_coaches_and_rooms_do_not_deadlock(desk, manager):
    course_id = make_course()
    coaches, venues = [coach(manager) for _ in range(3)], [venue(manager) for _ in range(3)]
    moment = clock.now() + timedelta(days=3)
    acts = [act(manager, course_id, c, v, moment) for c in coaches for v in venues]
    answers = at_once_in(desk, *acts)
    made = [answer for answer in answers if isinstance(answer, int)]
    assert 1 <= len(made) <= 3
    assert set(names(answers)) <= {"int", "CoachBusy", "VenueBusy"}, answers
    assert not overlaps()


def next_monday(weeks: int = 1) -> date:
    today = clock.today()
    return today - timedelta(days=today.weekday()) + timedelta(days=7 * weeks)


def test_a_week_copied_by_two_at_once_is_copied_once(desk, manager):
    course_id, coach_id, venue_id = make_course(), coach(manager), venue(manager)
    monday = next_monday(3)
    for hour in range(8):
        sessions.create(
            course_id=course_id, coach_id=coach_id, venue_id=venue_id, capacity=6, actor=manager,
            starts_at=clock.day_bounds(monday)[0] + timedelta(hours=9 + hour),
        )  # fmt: skip
    answers = at_once_in(desk, *(
        lambda: sessions.copy_week(from_monday=monday, to_monday=monday + sessions.WEEK, actor=manager)
        for _ in range(3)
    ))  # fmt: skip
    assert all(isinstance(answer, sessions.Copied) for answer in answers), answers
    assert sorted(len(answer.made) for answer in answers) == [0, 0, 8]
    assert not overlaps()


def test_a_coach_who_is_archived_at_that_moment_has_no_class_after_it(desk, manager):
    for _ in range(4):
        course_id, coach_id = make_course(), coach(manager)
        moment = clock.now() + timedelta(days=3)
        made, gone = at_once_in(
            desk, act(manager, course_id, coach_id, venue(manager), moment),
            lambda c=coach_id: courses.archive_coach(coach_id=c, actor=manager),
        )  # fmt: skip
        assert gone is None
        assert isinstance(made, int) or type(made).__name__ == "Archived"


def test_a_file_and_a_person_at_the_same_hour(desk, manager):
    """An import of many rows and a manager who takes its coach: one of them hears of the other."""
    for _ in range(3):
        course_id, coach_id, venue_id = make_course(), coach(manager), venue(manager)
        moment = clock.now() + timedelta(days=60)
        name = db.session.get(Coach, coach_id).name
        db.session.rollback()
        cells = {
            "course_type": "file", "course_type_name": "", "waitlist_capacity": "", "is_trial": "",
            "course": f"课{next(_numbers)}", "level": "", "duration_minutes": "60", "price": "1.00", "coach": name,
            "venue": f"另一馆{next(_numbers)}", "starts_at": moment.isoformat(), "capacity": "6",
        }  # fmt: skip
        lines, errors = gather([Row(2, cells)])
        assert not errors
        file, person = at_once_in(
            desk, lambda found=lines: catalog_import.import_catalog(lines=found, actor=system("test")),
            act(manager, course_id, coach_id, venue_id, moment),
        )  # fmt: skip
        assert (type(file).__name__, type(person).__name__) in {("Totals", "CoachBusy"), ("ImportRefused", "int")}
        assert not overlaps()


def test_control_without_the_locks_a_coach_is_in_two_places(desk, manager, monkeypatch):
    if not is_mysql(desk):
        return  # SQLite has one writer at a time: there is no lock to take away
    gate = threading.Barrier(4)
    monkeypatch.setattr(sessions, "lock_row", lambda model, row_id: db.session.get(model, row_id))
    checked = sessions.check_free

    def slow(*args):
        checked(*args)
        gate.wait(timeout=10)

    monkeypatch.setattr(sessions, "check_free", slow)
    course_id, coach_id = make_course(), coach(manager)
    moment = clock.now() + timedelta(days=30)
    answers = at_once_in(desk, *(act(manager, course_id, coach_id, venue(manager), moment) for _ in range(4)))
    assert names(answers) == ["int"] * 4
    assert overlaps()
