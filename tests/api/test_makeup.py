"""Credits, what they can be used for, and compensation minutes over the contract: every field, filters, pages (95,
96.11–17, 96.65–71, M2–M8, M13)."""

from __future__ import annotations

from datetime import timedelta

import sqlalchemy as sa

from app import clock
from app.db import db, transaction
from app.domain.bookings import place
from app.domain.bookings.models import Booking
from app.domain.catalog.models import Coach, CourseSchedule
from app.domain.credits.models import MakeupCredit
from app.domain.ledger.models import WalletTransaction
from app.domain.people.models import Profile
from tests.api.conftest import ok, refused
from tests.api.missing import Missing, makeups
from tests.api.test_bookings import BOOKING, CREDIT, SCHEDULE, add_student
from tests.domain.makeups.steps import whole
from tests.factories import make_level, make_session


def test_the_story_of_the_minutes_with_every_field(parent):
    one = Missing(parent, 120, 120)
    short, long = one.session(90), one.session(150)
    asked = refused(one.book(short), 409, "SHORTER_CLASS")
    assert asked["message"] == "本课程仅1.5小时，比您原课程少0.5小时，是否确认预约？"
    assert makeups() == 0
    first = one.booked(short, accept_shorter=True)
    assert set(first) == {"makeup_booking_id", "booking", "duration_difference", "compensation_used",
                          "compensation_earned", "remaining_compensation"}  # fmt: skip
    assert [value for name, value in first.items() if name != "booking"] == [first["booking"]["id"], -30, 0, 30, 30]
    booking = first["booking"]
    assert (set(booking), set(booking["schedule"])) == (BOOKING, SCHEDULE)
    assert (booking["kind"], booking["source"], booking["price"], booking["status"]) == (
        "makeup", "makeup_credit", "0.00", "booked",
    )  # fmt: skip
    refusal = refused(one.book(long, 1), 409, "NOT_ENOUGH_COMPENSATION")
    assert refusal["data"] == {"needed": 30, "available": 30, "missing": 0}
    second = one.booked(long, 1, use_compensation=True)
    assert (second["duration_difference"], second["compensation_used"], second["remaining_compensation"]) == (30, 30, 0)
    ended = ok(one.cancel(second["makeup_booking_id"]), "cancel_makeup")
    assert set(ended) == {"booking", "credit", "remaining_compensation"}
    assert set(ended["credit"]) == CREDIT
    assert (ended["booking"]["status"], ended["credit"]["status"], ended["remaining_compensation"]) == (
        "cancelled", "available", 30,
    )  # fmt: skip
    rows = ok(one.parent.get(f"/compensation/history?profile_id={one.profile_id}"), "list_minutes")["items"]
    assert [(row["kind"], row["kind_text"], row["minutes"]) for row in rows] == [
        ("returned", "取消补课", 30), ("used", "使用", -30), ("earned", "获得", 30),
    ]  # fmt: skip
    assert set(rows[0]) == {"id", "kind", "kind_text", "minutes", "at", "schedule", "note"}
    assert [row["schedule"]["id"] for row in rows] == [long, long, short]
    balance = ok(one.parent.get(f"/compensation/balance?profile_id={one.profile_id}"), "get_minutes")
    assert balance["minutes"] == 30
    (lot,) = balance["lots"]
    assert (set(lot), lot["minutes_left"]) == ({"id", "minutes_left", "earned_at", "expires_at"}, 30)
    kinds = sa.select(WalletTransaction.type).where(WalletTransaction.reference_type == "booking")
    assert list(db.session.scalars(kinds)) == ["deduction", "deduction"], "only the missed classes cost money"
    whole()


def test_my_credits_by_state(parent):
    one = Missing(parent, 60, 90, 60, 60)
    made = one.booked(one.session(60), 1, accept_shorter=True)
    soon = one.session(60, starts_in=timedelta(hours=2))
    one.booked(soon, 2)
    with transaction():
        db.session.get(MakeupCredit, one.credit_id(3)).valid_until = clock.now()
        past = db.session.get(CourseSchedule, soon)
        past.starts_at, past.ends_at = clock.now() - timedelta(hours=2), clock.now() - timedelta(hours=1)
    data = one.credits()
    assert [(item["status"], item["status_text"]) for item in data["items"]] == [
        ("expired", "已失效"), ("done", "已补课"), ("booked", "已预约"), ("available", "待补课"),
    ]  # fmt: skip
    assert (data["compensation_minutes"], data["compensation_hint"]) == (30, "您有课时补偿可使用")
    assert all(set(item) == CREDIT | {"makeup_booking"} for item in data["items"])
    assert [item["original_booking_id"] for item in data["items"]] == one.originals[::-1]
    assert data["items"][2]["makeup_booking"] == made["booking"]
    assert data["items"][3]["makeup_booking"] is None
    for item in data["items"]:
        assert one.credits(f"?status={item['status']}")["items"] == [item]
    seen, cursor = [], ""
    while cursor is not None:
        page = one.credits(f"?limit=3{cursor}")
        seen += page["items"]
        cursor = page["next_cursor"] and f"&cursor={page['next_cursor']}"
    assert seen == data["items"]
    refused(parent.get("/makeup/my?status=used"), 422, "VALIDATION_FAILED", "status")


def test_nothing_yet(parent):
    assert ok(parent.get("/makeup/my"), "list_credits") == {
        "items": [], "next_cursor": None, "compensation_minutes": 0, "compensation_hint": None,
    }  # fmt: skip


def test_what_a_credit_can_be_used_for(parent):
    make_level("L1", 1), make_level("L2", 2), make_level("L3", 3)
    level_id = make_level("L2", 2)
    one = Missing(parent)
    with transaction():
        student = db.session.get(Profile, one.profile_id)
        student.level_id, student.level_confirmed = level_id, True
    one.originals = [one.miss(60, level="L2")]
    lower = one.session(60, level="L1", starts_in=timedelta(days=3))
    short = one.session(45, level="L2", starts_in=timedelta(days=5))
    long = one.session(90, level="L2", starts_in=timedelta(days=6))
    full = one.session(60, level="L2", starts_in=timedelta(days=7), capacity=1, booked=1)
    one.session(60, level="L3")
    one.session(60, type_code="vip")
    one.session(60, level="L2", starts_in=timedelta(days=61))
    one.session(60, level="L2", starts_in=timedelta(minutes=-1))
    busy = one.session(60, level="L2", starts_in=timedelta(days=9))
    place.book(schedule_id=busy, profile_id=one.profile_id, actor=parent.actor)
    missed = db.session.get(Booking, one.originals[0]).course_schedule_id
    data = one.available()
    items = {item["schedule"]["id"]: item for item in data["items"]}
    assert list(items) == [missed, short, long, full, lower]
    assert set(items[short]) == {"schedule", "match", "original_price", "price", "duration_difference", "can_book",
                                 "can_join_waitlist", "blocked_by"}  # fmt: skip
    assert set(items[short]["schedule"]) == SCHEDULE
    assert (items[short]["original_price"], items[short]["price"]) == ("180.00", "0.00")
    facts = ("duration_difference", "can_book", "can_join_waitlist", "blocked_by")
    assert [tuple(item[name] for name in facts) for item in items.values()] == [
        (0, True, False, None), (-15, True, False, None), (30, False, False, "NOT_ENOUGH_COMPENSATION"),
        (0, False, True, "SEAT_FULL"), (0, True, False, None),
    ]  # fmt: skip
    assert set(items[short]["match"]) == {"level", "type", "coach", "venue", "minutes", "text"}
    assert (items[short]["match"]["level"], items[short]["match"]["minutes"]) == ("级别相同", "少15分钟")
    assert items[lower]["match"]["level"] == "级别较低（L1）"
    assert items[lower]["match"]["coach"].startswith("教练不同（")
    assert items[short]["match"]["minutes"] in items[short]["match"]["text"]
    assert (data["compensation_minutes"], data["compensation_hint"]) == (0, None)
    seen, cursor = [], ""
    while cursor is not None:
        page = one.available(f"&limit=2{cursor}")
        seen += [item["schedule"]["id"] for item in page["items"]]
        cursor = page["next_cursor"] and f"&cursor={page['next_cursor']}"
    assert seen == list(items)


def test_the_filters(parent):
    one = Missing(parent, 60)
    day = clock.today() + timedelta(days=10)
    morning, noon = clock.day_bounds(day)[0] + timedelta(hours=9), clock.day_bounds(day)[0] + timedelta(hours=12)
    first = one.session(60, starts_at=morning)
    second = one.session(60, starts_at=noon)
    third = one.session(60, starts_at=noon + timedelta(days=1))
    card = db.session.get(CourseSchedule, second)
    on = f"&date_from={day}"
    assert one.found(on) == [first, second, third]
    assert one.found(f"{on}&date_to={day}") == [first, second]
    assert one.found(f"{on}&time_from=09:01") == [second, third]
    assert one.found(f"{on}&time_from=09:00&time_to=09:00") == [first]
    assert one.found(f"{on}&coach_id={card.coach_id}") == [second]
    assert one.found(f"{on}&venue_id={card.venue_id}") == [second]
    assert one.found(f"{on}&weekday={day.isoweekday()}") == [first, second]
    assert one.found(f"&date_from={clock.today() + timedelta(days=70)}") == []
    for query, field in (
        ("time_from=9:00", "time_from"), ("time_to=24:00", "time_to"), ("weekday=0", "weekday"),
        ("weekday=8", "weekday"), ("date_from=2026-13-01", "date_from"), ("coach_id=x", "coach_id"),
        ("limit=101", "limit"), ("cursor=x", "cursor"),
    ):  # fmt: skip
        answer = parent.get(f"/makeup/available?credit_id={one.credit_id()}&{query}")
        refused(answer, 422, "VALIDATION_FAILED", field)
    refused(parent.get("/makeup/available"), 422, "VALIDATION_FAILED", "credit_id")
    strange = parent.get("/schedules?limit=1").json["data"]["next_cursor"]
    refused(
        parent.get(f"/makeup/available?credit_id={one.credit_id()}&cursor={strange}"), 422, "VALIDATION_FAILED",
        "cursor",
    )  # fmt: skip


def test_minutes_are_the_students_own(parent):
    one = Missing(parent, 90)
    sibling = add_student(parent, "弟弟")
    one.booked(one.session(60), accept_shorter=True)
    empty = ok(parent.get(f"/compensation/balance?profile_id={sibling}"), "get_minutes")
    assert empty == {"minutes": 0, "lots": []}
    assert ok(parent.get(f"/compensation/history?profile_id={sibling}"), "list_minutes")["items"] == []
    assert one.minutes() == 30
    with clock.travel(by=timedelta(days=14, seconds=1)):
        renewed = parent.post("/auth/refresh", {"refresh_token": parent.refresh_token}).json["data"]
        parent.token = renewed["access_token"]
        assert one.minutes() == 0
        assert one.credits()["compensation_hint"] is None
    for name in ("balance", "history"):
        for query in ("", "?profile_id=", "?profile_id=x", "?profile_id=0"):
            refused(parent.get(f"/compensation/{name}{query}"), 422, "VALIDATION_FAILED", "profile_id")


def test_the_history_in_pages(parent):
    one = Missing(parent, 90)
    schedule_id = one.session(60)
    for _ in range(2):
        made = one.booked(schedule_id, accept_shorter=True)
        ok(one.cancel(made["makeup_booking_id"]), "cancel_makeup")
    path = f"/compensation/history?profile_id={one.profile_id}"
    whole_list = [row["id"] for row in ok(parent.get(path), "list_minutes")["items"]]
    assert len(whole_list) == 4
    seen, cursor = [], ""
    while cursor is not None:
        page = ok(parent.get(f"{path}&limit=3{cursor}"), "list_minutes")
        seen += [row["id"] for row in page["items"]]
        cursor = page["next_cursor"] and f"&cursor={page['next_cursor']}"
    assert seen == whole_list
    whole()


def test_the_coach_is_named(parent):
    one = Missing(parent, 60)
    original = db.session.get(CourseSchedule, db.session.get(Booking, one.originals[0]).course_schedule_id)
    same = make_session(original.course_id, starts_in=timedelta(days=9))
    with transaction():
        db.session.get(CourseSchedule, same).coach_id = original.coach_id
    match = next(item for item in one.available()["items"] if item["schedule"]["id"] == same)["match"]
    assert match["coach"] == "教练相同"
    assert db.session.get(Coach, original.coach_id).name not in match["text"]
