"""Reading sessions: cards, the staff's calendar, parents' pages, alternatives, and how the database finds them."""

from __future__ import annotations

from datetime import timedelta

import pytest

from app import clock
from app.db import db
from app.domain.catalog import queries
from app.domain.catalog.models import Course, CourseSchedule
from app.domain.catalog.queries import Position
from tests.factories import make_course, make_session
from tests.statements import run_by

pytestmark = pytest.mark.usefixtures("app")


def ids(cards) -> list[int]:
    return [card.id for card in cards]


def test_a_card_says_all_of_a_session():
    course_id = make_course(level="L2", minutes=75, price="220.00")
    schedule_id = make_session(course_id, capacity=9, booked=4, held=2, kept=1)
    card = queries.session_card(schedule_id)
    row = db.session.get(CourseSchedule, schedule_id)
    assert (card.course_id, card.course_type, card.type_name, card.level) == (course_id, "regular", "regular课", "L2")
    assert (card.coach_id, card.venue_id, card.version) == (row.coach_id, row.venue_id, 1)
    assert (card.duration_minutes, str(card.price), card.is_trial) == (75, "220.00", False)
    assert (card.capacity, card.available, card.waitlist_count) == (9, 2, 0)
    assert queries.session_card(schedule_id + 1) is None


def test_a_session_is_finished_once_its_end_has_passed():
    schedule_id = make_session(starts_in=timedelta(hours=1))
    cancelled = make_session(starts_in=timedelta(hours=1), status="cancelled")
    ends_at = queries.session_card(schedule_id).ends_at
    with clock.travel(to=ends_at - timedelta(milliseconds=1)):
        assert queries.session_card(schedule_id).status == "scheduled"
    with clock.travel(to=ends_at):
        assert queries.session_card(schedule_id).status == "finished"
        assert queries.session_card(cancelled).status == "cancelled"


@pytest.mark.parametrize(("own", "course", "shown"), [(3, 5, 3), (None, 5, 5), (None, None, 8), (0, 5, 0)])
def test_the_nearest_word_on_the_waitlist_counts(own, course, shown):
    course_id = make_course()
    db.session.get(Course, course_id).waitlist_capacity = course
    db.session.commit()
    assert queries.session_card(make_session(course_id, waitlist_capacity=own)).waitlist_capacity == shown


def test_the_staffs_calendar_holds_all_of_its_interval(statements):
    at = clock.now() + timedelta(days=3)
    vip = make_course(type_code="vip", level="L3")
    first = make_session(starts_at=at)
    cancelled = make_session(vip, starts_at=at, status="cancelled")
    last = make_session(vip, starts_at=at + timedelta(hours=24) - timedelta(milliseconds=1))
    make_session(starts_at=at + timedelta(hours=24))
    make_session(starts_at=at - timedelta(milliseconds=1))
    statements.clear()
    cards = queries.between(at, at + timedelta(hours=24))
    assert ids(cards) == [first, cancelled, last]
    assert len([one for one in statements if "SAVEPOINT" not in one]) == 1
    for filters in (
        {"type": "vip"}, {"level": "L3"}, {"type": "vip", "level": "L3"},
    ):  # fmt: skip
        assert ids(queries.between(at, at + timedelta(hours=24), **filters)) == [cancelled, last]
    assert ids(queries.between(at, at + timedelta(hours=24), coach_id=cards[0].coach_id)) == [first]
    assert ids(queries.between(at, at + timedelta(hours=24), venue_id=cards[2].venue_id)) == [last]


def test_pages_go_on_where_they_stopped_though_others_came_between():
    at = clock.now() + timedelta(days=1)
    made = [make_session(starts_at=at + timedelta(hours=n // 2)) for n in range(5)]
    page = queries.coming(starts_from=clock.now(), limit=2)
    assert ids(page) == made[:3]
    # What is made before the position is not shown again, what is made after it is.
    make_session(starts_at=at - timedelta(hours=1))
    between = make_session(starts_at=at)
    rest = queries.coming(starts_from=clock.now(), limit=9, after=Position(page[1].starts_at, page[1].id))
    assert ids(rest) == [between, *made[2:]]


# ── instead of a full one ───────────────────────────────────────────────────────────────────────────


def test_alternatives_soonest_day_and_nearest_hour():
    course_id, noon = make_course(level="L1"), clock.day_bounds(clock.today())[0] + timedelta(days=5, hours=12)

    def at(days: int = 0, hours: int = 0, **columns) -> int:
        return make_session(course_id, starts_at=noon + timedelta(days=days, hours=hours), **columns)

    full = at(capacity=1, held=1)
    assert queries.alternatives(full) == []
    assert queries.alternatives(full + 100) == []
    far, near, before = at(hours=7), at(hours=2), at(hours=-3)
    next_day = at(days=1)
    at(hours=1, status="cancelled")
    at(hours=1, capacity=1, kept=1)
    make_session(make_course(type_code="vip", level="L1"), starts_at=noon + timedelta(hours=1))
    make_session(make_course(level="L2"), starts_at=noon + timedelta(hours=1))
    make_session(make_course(level=None), starts_at=noon + timedelta(hours=1))
    assert ids(queries.alternatives(full)) == [near, before, far]
    assert ids(queries.alternatives(full, limit=9)) == [near, before, far, next_day]
    sooner = at(days=-2, hours=6)
    assert ids(queries.alternatives(full)) == [sooner, near, before]
    busy = [(noon + timedelta(hours=1), noon + timedelta(hours=2, minutes=1))]
    assert ids(queries.alternatives(full, busy=busy)) == [sooner, before, far]
    touching = [(noon + timedelta(hours=1), noon + timedelta(hours=2))]
    assert ids(queries.alternatives(full, busy=touching)) == [sooner, near, before]
    with clock.travel(to=noon + timedelta(hours=2)):
        assert ids(queries.alternatives(full)) == [far, next_day]


def test_alternatives_of_a_class_for_all_levels_are_for_all_levels():
    course_id, at = make_course(level=None), clock.now() + timedelta(days=2)
    full = make_session(course_id, starts_at=at, capacity=1, booked=1)
    make_session(make_course(level="L1"), starts_at=at + timedelta(hours=1))
    mine = make_session(course_id, starts_at=at + timedelta(days=20))
    make_session(course_id, starts_at=at + timedelta(days=22))
    assert ids(queries.alternatives(full)) == [mine]


# ── how the database finds them ─────────────────────────────────────────────────────────────────────


#: what a page may look up for a session: its lapsed holds, and whether somebody waits
_BY_INDEX = ("SCALAR SUBQUERY", "ix_seat_reservations_session", "SEARCH waitlist_entries USING INDEX")


@pytest.mark.parametrize("filters", [{}, {"available": True}, {"after": True}])
def test_a_page_is_read_off_the_index(filters):
    """Among some thousand sessions of the past a page reads those that come, in their order, and sorts nothing."""
    course_id = make_course()
    row = db.session.get(CourseSchedule, make_session(course_id, starts_in=timedelta(days=1)))
    columns = {"course_id": course_id, "coach_id": row.coach_id, "venue_id": row.venue_id, "capacity": 6, "booked": 0,
               "held": 0, "kept": 0, "override_seats": 0, "status": "scheduled", "version": 1,
               "created_at": row.created_at}  # fmt: skip
    begins = [row.starts_at - timedelta(hours=n) for n in range(2000)]
    db.session.execute(
        CourseSchedule.__table__.insert(),
        [columns | {"starts_at": at, "ends_at": at + timedelta(hours=1)} for at in begins],
    )
    if "after" in filters:
        filters = {"after": Position(row.starts_at, row.id)}
    plan = _plan(lambda: queries.coming(starts_from=clock.now(), limit=20, **filters))
    if db.session.get_bind().dialect.name == "sqlite":
        lines = plan.splitlines()
        # What follows belongs to the names, which sort a page of rows.
        chosen, *holds = lines[1 : lines.index("SCAN page")]
        assert all(any(part in line for part in _BY_INDEX) for line in holds), plan
        assert "USING INDEX ix_course_schedules_starts_at (starts_at>" in chosen, plan
    else:
        (chosen,) = (line for line in plan.splitlines() if "DERIVED course_schedules" in line)
        assert "range" in chosen, plan
        assert "ix_course_schedules_starts_at" in chosen, plan
        assert "filesort" not in chosen, plan


def _plan(read) -> str:
    """The plan of the one statement that `read` runs."""
    ((statement, parameters),) = run_by(read)
    if db.session.get_bind().dialect.name == "sqlite":
        rows = db.session.connection().exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
        return "\n".join(row[-1] for row in rows)
    rows = db.session.connection().exec_driver_sql(f"EXPLAIN {statement}", parameters)
    return "\n".join(" ".join(map(str, row)) for row in rows)
