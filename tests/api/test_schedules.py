"""The studio's classes over the JSON contract: fields, filters, pages, what each is to the family (C3, 96.15–21)."""

from __future__ import annotations

from datetime import timedelta

import pytest

from app import clock
from app.db import db
from app.domain.bookings import place
from app.domain.catalog.models import CourseSchedule
from tests.api.test_bookings import SCHEDULE, add_student, set_balance
from tests.factories import make_course, make_session


def ids(answer) -> list[int]:
    assert answer.status_code == 200, answer.json
    return [item["id"] for item in answer.json["data"]["items"]]


def test_every_field(parent):
    session = db.session.get(CourseSchedule, make_session(make_course(level="L2", minutes=90), waitlist_capacity=5))
    shown = parent.get(f"/schedules/{session.id}").json["data"]
    assert set(shown) == SCHEDULE
    assert shown == parent.get("/schedules").json["data"]["items"][0]
    assert (shown["course_type"], shown["level"], shown["duration_minutes"]) == ("regular", "L2", 90)
    assert (shown["price"], shown["status"], shown["my_state"]) == ("200.00", "scheduled", "none")
    assert shown["coach"]["id"] == session.coach_id
    assert shown["venue"]["name"].endswith("号馆")
    assert (shown["capacity"], shown["available"], shown["waitlist_count"], shown["waitlist_capacity"]) == (6, 6, 0, 5)
    assert shown["starts_at"].endswith("+08:00")


def test_availability_adds_up(parent):
    schedule_id = make_session(capacity=9, booked=4, held=2, kept=1)
    data = parent.get(f"/schedules/{schedule_id}/availability").json["data"]
    assert data == {"capacity": 9, "booked": 4, "held": 2, "kept_for_waitlist": 1, "available": 2,
                    "waitlist_count": 0, "waitlist_capacity": 8, "my_state": "none"}  # fmt: skip


@pytest.mark.parametrize("path", ["", "/availability"])
def test_unknown_sessions(parent, path):
    answer = parent.get(f"/schedules/999999{path}")
    assert (answer.status_code, answer.json["error"]) == (404, "SCHEDULE_NOT_FOUND")
    for impossible in (2**62, 0, "abc"):
        assert parent.get(f"/schedules/{impossible}{path}").status_code == 404


def test_states_of_the_family_and_of_one_student(parent):
    set_balance(parent, "900.00")
    first, second = add_student(parent, "大宝"), add_student(parent, "小宝")
    mine, full = make_session(capacity=1), make_session(capacity=1, held=1)
    place.book(schedule_id=mine, profile_id=first, actor=parent.actor)
    states = {one["id"]: one["my_state"] for one in parent.get("/schedules").json["data"]["items"]}
    assert states == {mine: "booked", full: "full"}
    narrowed = {
        one["id"]: one["my_state"] for one in parent.get(f"/schedules?profile_id={second}").json["data"]["items"]
    }
    assert narrowed == {mine: "full", full: "full"}
    assert parent.get(f"/schedules/{mine}?profile_id={first}").json["data"]["my_state"] == "booked"
    for path in ("/schedules", f"/schedules/{mine}", f"/schedules/{mine}/availability"):
        assert parent.get(f"{path}?profile_id=999999").json["error"] == "NOT_FOUND"


def test_filters(parent):
    vip = make_session(make_course(type_code="vip", level="L3"), starts_in=timedelta(days=3))
    full = make_session(make_course(level="L1"), starts_in=timedelta(days=2), capacity=1, kept=1)
    gone = make_session(starts_in=timedelta(days=2), status="cancelled")
    past = make_session(starts_in=timedelta(days=-2))
    coach, venue = (db.session.get(CourseSchedule, vip).coach_id, db.session.get(CourseSchedule, full).venue_id)
    assert ids(parent.get("/schedules")) == [full, vip]
    assert ids(parent.get("/schedules?type=vip")) == [vip]
    assert ids(parent.get("/schedules?level=L1")) == [full]
    assert ids(parent.get(f"/schedules?coach_id={coach}")) == [vip]
    assert ids(parent.get(f"/schedules?venue_id={venue}")) == [full]
    assert ids(parent.get("/schedules?available=true")) == [vip]
    assert ids(parent.get("/schedules?available=false")) == [full]
    assert ids(parent.get("/schedules?type=nothing")) == []
    day = clock.today() - timedelta(days=3)
    assert ids(parent.get(f"/schedules?date_from={day}")) == [past, full, vip]
    assert gone not in ids(parent.get(f"/schedules?date_from={day}"))
    finished = parent.get(f"/schedules/{past}").json["data"]
    assert (finished["status"], parent.get(f"/schedules/{gone}").json["data"]["status"]) == ("finished", "cancelled")


def test_days_are_the_studios_and_inclusive(parent):
    day = clock.today() + timedelta(days=5)
    begins, ends = clock.day_bounds(day)
    inside = [make_session(starts_at=begins), make_session(starts_at=ends - timedelta(seconds=1))]
    make_session(starts_at=begins - timedelta(seconds=1))
    make_session(starts_at=ends)
    assert ids(parent.get(f"/schedules?date_from={day}&date_to={day}")) == inside
    for bad in ("date_from=2026-13-01", "date_to=tomorrow", "limit=101", "available=yes", "coach_id=x", "cursor=!",
                "cursor=MTpiOjE"):  # fmt: skip
        answer = parent.get(f"/schedules?{bad}")
        assert (answer.status_code, list(answer.json["errors"])) == (422, [bad.split("=")[0]])


def test_pages_hold_together_at_equal_times(parent, statements):
    course_id, at = make_course(), clock.now() + timedelta(days=2)
    made = [make_session(course_id, starts_at=at + timedelta(hours=n // 3)) for n in range(7)]
    seen, cursor, pages = [], None, 0
    while pages == 0 or cursor:
        data = parent.get("/schedules?limit=2" + (f"&cursor={cursor}" if cursor else "")).json["data"]
        seen += [item["id"] for item in data["items"]]
        cursor, pages = data["next_cursor"], pages + 1
    assert (seen, pages) == (made, 4)
    statements.clear()
    parent.get("/schedules?limit=100")
    assert len([one for one in statements if "SAVEPOINT" not in one]) <= 5
