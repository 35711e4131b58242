"""What refuses a makeup over the contract: rules in their order, keys, fields, whose it is, cutoffs (96.12–17, 96.27,
96.35, 96.70, M3–M5, M7, M11)."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest

from app import clock
from app.db import db, transaction
from app.domain.bookings import place
from app.domain.bookings.models import Booking
from app.domain.catalog.models import CourseSchedule
from app.domain.credits.models import MakeupCredit, MakeupRequest
from app.domain.makeups import asking
from tests.api.conftest import ok, refused
from tests.api.missing import Missing, makeups, taken
from tests.api.test_bookings import add_student, set_balance
from tests.portal import actor_of, make_staff


def test_a_full_class_offers_others_that_the_credit_can_be_used_for(parent):
    one = Missing(parent, 60)
    full = taken(one.session(60, capacity=1))
    starts = db.session.get(CourseSchedule, full).starts_at
    free = one.session(60, starts_at=starts + timedelta(days=1))
    with transaction():
        db.session.get(MakeupCredit, one.credit_id()).valid_until = starts + timedelta(days=2)
    one.session(60, starts_at=starts + timedelta(days=3))
    body = refused(one.book(full), 409, "SEAT_FULL")
    assert (body["data"]["waitlist_count"], body["data"]["waitlist_capacity"]) == (0, 8)
    assert [other["id"] for other in body["data"]["alternatives"]][-1] == free
    assert len(body["data"]["alternatives"]) == 2  # the class that was given up has a free seat again
    assert (makeups(), one.minutes()) == (0, 0)


def test_refusals(parent):
    one = Missing(parent, 60, 60)
    fits = one.session(60)
    refused(one.book(10**9), 404, "SCHEDULE_NOT_FOUND")
    refused(one.book(one.session(60, status="cancelled")), 409, "SCHEDULE_CANCELLED")
    refused(one.book(one.session(60, starts_in=timedelta(seconds=-1))), 409, "SCHEDULE_STARTED")
    refused(one.book(one.session(60, starts_in=timedelta(days=61))), 409, "CREDIT_EXPIRED")
    refused(one.book(one.session(60, type_code="vip")), 409, "TYPE_NOT_ALLOWED")
    kept = place.book(schedule_id=one.session(60), profile_id=one.profile_id, actor=parent.actor)
    refused(one.book(fits, original_booking_id=kept.booking_id), 409, "NO_CREDIT")
    at = db.session.get(CourseSchedule, db.session.get(Booking, kept.booking_id).course_schedule_id).starts_at
    refused(one.book(one.session(60, starts_at=at + timedelta(minutes=30))), 409, "TIME_CONFLICT")
    sibling = add_student(parent, "弟弟")
    refused(one.book(fits, profile_id=sibling), 409, "NO_CREDIT")
    assert makeups() == 0
    one.booked(fits)
    refused(one.book(one.session(60)), 409, "NO_CREDIT")
    refused(one.book(fits, 1), 409, "ALREADY_BOOKED")
    assert makeups() == 1


def test_another_family_finds_nothing(parent, other):
    one, two = Missing(parent, 60, 60), Missing(other, 60)
    made = one.booked(one.session(60))["makeup_booking_id"]
    fits = one.session(60)
    for number in (one.originals[1], 10**9, 0, -1):
        refused(two.book(fits, original_booking_id=number), 404, "BOOKING_NOT_FOUND")
    refused(two.book(fits, profile_id=one.profile_id), 404, "NOT_FOUND")
    for number in (made, two.originals[0], 10**9):
        refused(two.cancel(number), 404, "BOOKING_NOT_FOUND")
    for number in (one.credit_id(1), 10**9):
        refused(other.get(f"/makeup/available?credit_id={number}"), 404, "CREDIT_NOT_FOUND")
        refused(other.post(f"/makeup/credits/{number}/request", {"text": "请安排"}), 404, "CREDIT_NOT_FOUND")
    for profile_id in (one.profile_id, 10**9):
        refused(other.get(f"/compensation/balance?profile_id={profile_id}"), 404, "NOT_FOUND")
        refused(other.get(f"/compensation/history?profile_id={profile_id}"), 404, "NOT_FOUND")
    assert [item["profile_id"] for item in two.credits()["items"]] == [two.profile_id]
    assert makeups() == 1


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"course_schedule_id": None}, "course_schedule_id"), ({"course_schedule_id": "1"}, "course_schedule_id"),
        ({"profile_id": 1.5}, "profile_id"), ({"original_booking_id": True}, "original_booking_id"),
        ({"original_booking_id": []}, "original_booking_id"), ({"use_compensation": 1}, "use_compensation"),
        ({"accept_shorter": "true"}, "accept_shorter"),
    ],
)  # fmt: skip
def test_wrong_fields_come_before_the_key_and_the_rules(parent, changed, field):
    body = {"course_schedule_id": 1, "profile_id": 1, "original_booking_id": 1} | changed
    refused(parent.post("/makeup/book", body, key="a b"), 422, "VALIDATION_FAILED", field)


def test_the_key_is_needed_and_makes_one(parent):
    one = Missing(parent, 60, 60)
    first, second = one.session(60), one.session(60)
    body = {"course_schedule_id": first, "profile_id": one.profile_id, "original_booking_id": one.originals[0]}
    refused(parent.post("/makeup/book", body), 400, "IDEMPOTENCY_KEY_REQUIRED")
    refused(one.book(first, key="a b"), 400, "IDEMPOTENCY_KEY_INVALID")
    made, again = (one.booked(first, key="once") for _ in range(2))
    assert made == again
    refused(one.book(second, 1, key="once"), 422, "IDEMPOTENCY_KEY_REUSED")
    # A refusal is not kept, so that the parent's yes may come under the same key.
    short = one.session(45)
    refused(one.book(short, 1, key="short"), 409, "SHORTER_CLASS")
    one.booked(short, 1, key="short", accept_shorter=True)
    ends = [ok(one.cancel(made["makeup_booking_id"], key="end"), "cancel_makeup") for _ in range(2)]
    assert ends[0] == ends[1]
    refused(one.cancel(made["makeup_booking_id"]), 409, "INVALID_STATE")
    assert makeups() == 2


@pytest.mark.parametrize(("early", "status"), [(0, 200), (1, 409)])
def test_cancelling_until_six_hours_before(parent, early, status):
    one = Missing(parent, 60)
    schedule_id = one.session(60, starts_in=timedelta(days=2))
    made = one.booked(schedule_id)
    assert made["booking"]["can_cancel"] is True
    cutoff = db.session.get(CourseSchedule, schedule_id).starts_at - timedelta(hours=6)
    with clock.travel(by=cutoff - timedelta(minutes=5) - clock.now()):
        renewed = parent.post("/auth/refresh", {"refresh_token": parent.refresh_token}).json["data"]
        parent.token = renewed["access_token"]
        with clock.travel(to=cutoff + timedelta(microseconds=early)):
            answer = one.cancel(made["makeup_booking_id"])
            assert answer.status_code == status, answer.json
            if status == 409:
                assert "请假" in refused(answer, 409, "CANCEL_TOO_LATE")["message"]
                left = ok(parent.post(f"/bookings/{made['makeup_booking_id']}/leave"), "leave_booking")
                assert left["makeup_credit"]["status"] == "available"
                assert left["makeup_credit"]["original_booking_id"] == one.originals[0]


def test_asking_the_desk(parent):
    one = Missing(parent, 60, 60)
    path = f"/makeup/credits/{one.credit_id()}/request"
    hostile = "<b>周六</b>\u202e上午'; DROP TABLE--"
    made, again = (ok(parent.post(path, {"text": hostile, "wishes": None}, key="ask"), "ask_for_makeup") for _ in "ab")
    assert made == again == {"id": made["id"], "status": "open"}
    row = db.session.get(MakeupRequest, made["id"])
    assert (row.text, row.wishes, row.family_id) == ("<b>周六</b>上午'; DROP TABLE--", None, parent.family_id)
    refused(parent.post(path, {"text": "再问"}), 409, "REQUEST_OPEN")
    asking.answer(request_id=made["id"], text="周六可以", actor=actor_of(make_staff("front_desk")))
    assert ok(parent.post(path, {"text": "改周日"}), "ask_for_makeup")["id"] != made["id"]
    for body, field in (
        ({}, "text"), ({"text": " "}, "text"), ({"text": "\u202e"}, "text"), ({"text": 5}, "text"),
        ({"text": "长" * 501}, "text"), ({"text": "好", "wishes": ["周六"]}, "wishes"),
        ({"text": "好", "wishes": "长" * 501}, "wishes"),
    ):  # fmt: skip
        refused(parent.post(f"/makeup/credits/{one.credit_id(1)}/request", body), 422, "VALIDATION_FAILED", field)
    one.booked(one.session(60), 1)
    refused(parent.post(f"/makeup/credits/{one.credit_id(1)}/request", {"text": "好"}), 409, "NO_CREDIT")


def test_money_is_not_asked_for(parent):
    """A family in arrears, even a blocked one, still makes up for what it paid (M3)."""
    one = Missing(parent, 60)
    set_balance(parent, "-900.00")
    assert one.booked(one.session(60))["booking"]["price"] == "0.00"
    assert parent.get("/wallet/balance").json["data"]["balance"] == str(Decimal("-900.00"))
