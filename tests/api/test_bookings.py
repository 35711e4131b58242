"""Bookings over the JSON contract: fields, refusals in their order, keys, money and seat (95, 96.28, B1–B6)."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
import sqlalchemy as sa

from app import clock
from app.db import db, transaction
from app.domain.bookings import place
from app.domain.bookings.models import Booking
from app.domain.catalog.models import Course, CourseSchedule
from app.domain.ledger import service as ledger
from app.domain.ledger.models import Wallet
from app.domain.people.models import Level, Profile
from tests.factories import make_course, make_family, make_level, make_session, parent_actor

BOOKING = {"id", "kind", "status", "status_text", "source", "price", "schedule", "profile_id", "profile_name",
           "order_id", "created_at", "can_cancel", "can_leave", "cancel_until"}  # fmt: skip
SCHEDULE = {"id", "course_name", "course_type", "level", "coach", "venue", "starts_at", "ends_at", "duration_minutes",
            "price", "status", "capacity", "booked", "held", "available", "waitlist_count", "waitlist_capacity",
            "my_state"}  # fmt: skip
CREDIT = {"id", "status", "status_text", "original_booking_id", "original_schedule", "left_at", "valid_until",
          "course_type", "level", "minutes", "profile_id"}  # fmt: skip


def add_student(parent, name="小雨") -> int:
    with transaction():
        profile = Profile(family_id=parent.family_id, name=name, gender="unknown", created_at=clock.now())
        db.session.add(profile)
        db.session.flush()
        return profile.id


def set_balance(parent, amount: str) -> None:
    with transaction():
        wallet = ledger.lock_wallet(family_id=parent.family_id)
        ledger.post(
            wallet, type="adjustment", amount=Decimal(amount) - wallet.balance,
            idempotency_key=f"opening-{parent.family_id}-{wallet.version}", reference_type="import",
            reference_id=parent.family_id, reason="期初", actor=parent.actor,
        )  # fmt: skip


@pytest.fixture
def student(parent):
    set_balance(parent, "500.00")
    return add_student(parent)


def book(parent, schedule_id, profile_id, key="k1", **more):
    return parent.post("/bookings", {"course_schedule_id": schedule_id, "profile_id": profile_id, **more}, key=key)


def balance(parent) -> Decimal:
    return db.session.scalar(sa.select(Wallet.balance).where(Wallet.family_id == parent.family_id))


def nothing_happened(parent, was="500.00") -> bool:
    return balance(parent) == Decimal(was) and not db.session.scalar(sa.select(sa.func.count(Booking.id)))


def test_a_booking_with_every_field(parent, student):
    schedule_id = make_session()
    answer = book(parent, schedule_id, student)
    body = answer.json
    assert (answer.status_code, body["code"], body["message"]) == (201, 201, "操作成功")
    assert set(body["data"]) == {"booking", "balance"}
    booking = body["data"]["booking"]
    assert set(booking) == BOOKING
    assert set(booking["schedule"]) == SCHEDULE
    assert (booking["status"], booking["status_text"], booking["kind"], booking["source"]) == (
        "booked", "已预约", "regular", "wallet")  # fmt: skip
    assert (booking["price"], body["data"]["balance"], booking["order_id"]) == ("200.00", "300.00", None)
    assert (booking["schedule"]["my_state"], booking["schedule"]["booked"]) == ("booked", 1)
    assert booking["can_cancel"] is True
    assert booking["can_leave"] is True
    assert booking["cancel_until"] < booking["schedule"]["starts_at"]
    assert parent.get(f"/bookings/{booking['id']}").json["data"] == booking


def test_the_same_key_gives_the_same_answer(parent, student):
    schedule_id = make_session()
    first, again = book(parent, schedule_id, student), book(parent, schedule_id, student)
    assert (again.status_code, again.json["data"], again.json["message"]) == (201, first.json["data"], "操作成功")
    assert again.json["request_id"] != first.json["request_id"]
    assert balance(parent) == Decimal("300.00")
    other = book(parent, make_session(), student)
    assert (other.status_code, other.json["error"]) == (422, "IDEMPOTENCY_KEY_REUSED")
    assert book(parent, schedule_id, student, key=None).json["error"] == "IDEMPOTENCY_KEY_REQUIRED"
    refused = book(parent, schedule_id, student, key="k2")
    assert (refused.status_code, refused.json["error"]) == (409, "ALREADY_BOOKED")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "course_schedule_id"), ({"course_schedule_id": "1", "profile_id": 1}, "course_schedule_id"),
        ({"course_schedule_id": 1.5, "profile_id": 1}, "course_schedule_id"),
        ({"course_schedule_id": True, "profile_id": 1}, "course_schedule_id"),
        ({"course_schedule_id": 1, "profile_id": None}, "profile_id"),
        ({"course_schedule_id": 1, "profile_id": 1, "price": 200}, "price"),
        ({"course_schedule_id": 1, "profile_id": 1, "price": "２００"}, "price"),
        ({"course_schedule_id": 1, "profile_id": 1, "price": "-200.00"}, "price"),
    ],
)  # fmt: skip
def test_wrong_fields_are_named(parent, body, field):
    answer = parent.post("/bookings", body, key="k")
    assert (answer.status_code, answer.json["error"]) == (422, "VALIDATION_FAILED")
    assert field in answer.json["errors"]


def test_nobody_books_without_a_token(client):
    answer = client.post("/api/v1/bookings", json={"course_schedule_id": 1, "profile_id": 1})
    assert (answer.status_code, answer.json["error"]) == (401, "UNAUTHENTICATED")


def test_foreign_and_unknown_ids(parent, other, student):
    theirs = add_student(other)
    answer = book(parent, make_session(), theirs)
    assert (answer.status_code, answer.json["error"]) == (404, "NOT_FOUND")
    for unknown in (999_999, 2**62, 0, -1):
        answer = book(parent, unknown, student, key=f"u{unknown}")
        assert (answer.status_code, answer.json["error"]) == (404, "SCHEDULE_NOT_FOUND")
    assert nothing_happened(parent)


@pytest.mark.parametrize(
    ("columns", "status", "code"),
    [({"starts_in": timedelta(hours=-1)}, 409, "SCHEDULE_STARTED"),
     ({"status": "cancelled"}, 409, "SCHEDULE_CANCELLED"), ({"capacity": 1, "booked": 1}, 409, "SEAT_FULL")],
)  # fmt: skip
def test_refused_sessions(parent, student, columns, status, code):
    answer = book(parent, make_session(**columns), student)
    assert (answer.status_code, answer.json["error"]) == (status, code)
    assert nothing_happened(parent)


def test_refused_by_level_clash_trial_and_price(parent, student):
    make_level("L1", 1)
    make_level("L2", 2)
    at = clock.now() + timedelta(days=2)
    assert book(parent, make_session(make_course(level="L2")), student, "l").json["error"] == "LEVEL_NOT_ALLOWED"
    trial = make_session(make_course(type_code="trial", is_trial=True))
    assert book(parent, trial, student, "t").json["error"] == "TRIAL_NEEDS_PAYMENT"
    changed = book(parent, make_session(), student, "p", price="180.00")
    assert (changed.json["error"], changed.json["data"]) == ("PRICE_CHANGED", {"price": "200.00", "seen": "180.00"})
    assert nothing_happened(parent)
    book(parent, make_session(starts_at=at), student, "a")
    clash = make_session(starts_at=at + timedelta(minutes=30))
    assert book(parent, clash, student, "b").json["error"] == "TIME_CONFLICT"


def test_full_names_what_else_there_is(parent, student):
    course_id, at = make_course(level=None), clock.now() + timedelta(days=2)
    full = make_session(course_id, starts_at=at, capacity=1, held=1)
    later = make_session(course_id, starts_at=at + timedelta(hours=3))
    near = make_session(course_id, starts_at=at + timedelta(hours=1))
    make_session(course_id, starts_at=at + timedelta(hours=2), capacity=1, kept=1)
    make_session(make_course(type_code="vip"), starts_at=at + timedelta(hours=1))
    next_day = make_session(course_id, starts_at=at + timedelta(days=1))
    make_session(course_id, starts_at=at + timedelta(days=3))
    data = book(parent, full, student).json["data"]
    assert set(data) == {"alternatives", "waitlist_count", "waitlist_capacity"}
    assert (data["waitlist_count"], data["waitlist_capacity"]) == (0, 8)
    shown = [one["id"] for one in data["alternatives"]]
    assert len(shown) == 3
    assert set(shown) == {near, later, next_day}
    assert all(set(one) == SCHEDULE for one in data["alternatives"])


def test_arrears_and_overdraft_in_words_and_figures(parent):
    student = add_student(parent)
    set_balance(parent, "-600.00")
    blocked = book(parent, make_session(), student)
    assert (blocked.status_code, blocked.json["error"]) == (409, "ARREARS_BLOCKED")
    assert blocked.json["message"] == "您已欠费 ¥600.00，请先充值后再预约"
    set_balance(parent, "-500.00")
    dear = book(parent, make_session(make_course(price="600.00")), student, key="k2")
    assert (dear.status_code, dear.json["error"]) == (409, "OVERDRAFT_LIMIT_EXCEEDED")
    assert dear.json["message"] == "余额不足：当前余额 ¥-500.00，本次需 ¥600.00，超出欠费上限 ¥1000.00"
    assert dear.json["data"] == {"balance": "-500.00", "limit": "1000.00", "shortfall": "100.00"}
    assert nothing_happened(parent, "-500.00")


def test_the_order_of_refusals(parent, student):
    """96.28: each wrong thing hides those that come after it."""
    make_level("L1", 1)
    make_level("L3", 3)
    set_balance(parent, "-600.00")
    course_id = make_course(level="L3")
    at = clock.now() + timedelta(days=1)
    session = make_session(course_id, starts_at=at, capacity=1, held=1, status="cancelled")
    clash = make_session(starts_at=at, capacity=1)
    with transaction():
        db.session.get(Course, db.session.get(CourseSchedule, clash).course_id).price = Decimal("0.00")
    keys = iter("abcdefg")

    def code() -> str:
        return book(parent, session, student, key=next(keys)).json["error"]

    def change(**columns) -> None:
        with transaction():
            db.session.execute(sa.update(CourseSchedule).where(CourseSchedule.id == session).values(**columns))

    set_balance(parent, "0.00")
    taken = book(parent, clash, student, key="clash").json["data"]["booking"]["id"]
    set_balance(parent, "-600.00")
    assert code() == "SCHEDULE_CANCELLED"
    change(status="scheduled")
    assert code() == "TIME_CONFLICT"
    parent.post(f"/bookings/{taken}/cancel", {})
    assert code() == "LEVEL_NOT_ALLOWED"
    with transaction():
        profile = db.session.get(Profile, student)
        profile.level_id = db.session.scalar(sa.select(Level.id).where(Level.name == "L3"))
        profile.level_confirmed = True
    assert code() == "SEAT_FULL"
    change(held=0)
    assert code() == "ARREARS_BLOCKED"


# ── cancelling and leave ────────────────────────────────────────────────────────────────────────────


def test_cancelling_gives_back(parent, student):
    made = book(parent, make_session(), student).json["data"]["booking"]
    answer = parent.post(f"/bookings/{made['id']}/cancel", {"reason": "感冒"}, key="c1")
    data = answer.json["data"]
    assert answer.status_code == 200
    assert set(data) == {"booking", "refund_amount", "balance"}
    assert (data["refund_amount"], data["balance"], data["booking"]["status"]) == ("200.00", "500.00", "cancelled")
    assert (data["booking"]["can_cancel"], data["booking"]["can_leave"]) == (False, False)
    again = parent.post(f"/bookings/{made['id']}/cancel", {"reason": "感冒"}, key="c1")
    assert again.json["data"] == data
    twice = parent.post(f"/bookings/{made['id']}/cancel", {})
    assert (twice.status_code, twice.json["error"]) == (409, "INVALID_STATE")
    assert balance(parent) == Decimal("500.00")
    shown = parent.get("/wallet/transactions").json["data"]["items"]
    assert [item["type"] for item in shown[:2]] == ["refund", "deduction"]
    assert shown[0]["reverses_id"] == shown[1]["id"]
    assert {item["status"] for item in shown[:2]} == {"posted"}


def test_cancelling_needs_no_body(parent, student):
    made = book(parent, make_session(), student).json["data"]["booking"]
    assert parent.post(f"/bookings/{made['id']}/cancel").status_code == 200
    assert parent.post(f"/bookings/{made['id']}/cancel", [1]).status_code == 422


def test_too_late_suggests_leave_and_leave_makes_a_credit(parent, student):
    made = book(parent, make_session(starts_in=timedelta(hours=3)), student).json["data"]["booking"]
    assert (made["can_cancel"], made["can_leave"]) == (False, True)
    late = parent.post(f"/bookings/{made['id']}/cancel", {})
    assert (late.status_code, late.json["error"]) == (409, "CANCEL_TOO_LATE")
    assert "请假" in late.json["message"]
    answer = parent.post(f"/bookings/{made['id']}/leave", {"reason": "发烧"})
    data = answer.json["data"]
    assert (answer.status_code, set(data)) == (200, {"booking", "makeup_credit"})
    assert data["booking"]["status"] == "on_leave"
    credit = data["makeup_credit"]
    assert set(credit) == CREDIT
    assert (credit["status"], credit["minutes"], credit["original_booking_id"]) == ("available", 60, made["id"])
    assert balance(parent) == Decimal("300.00")
    assert parent.post(f"/bookings/{made['id']}/leave").json["error"] == "INVALID_STATE"


def test_another_familys_booking_does_not_exist(parent, other, student):
    made = book(parent, make_session(), student).json["data"]["booking"]
    for method, path in (("GET", ""), ("POST", "/cancel"), ("POST", "/leave")):
        answer = other.call(method, f"/bookings/{made['id']}{path}")
        assert (answer.status_code, answer.json["error"]) == (404, "NOT_FOUND")
        assert parent.call(method, f"/bookings/{2**62}{path}").status_code == 404
    assert other.get("/bookings/my").json["data"]["items"] == []
    assert balance(parent) == Decimal("300.00")


def test_my_bookings_in_pages_and_by_state(parent, student, statements):
    set_balance(parent, "5000.00")
    made = [
        book(parent, make_session(starts_in=timedelta(days=n)), student, key=f"k{n}").json["data"]["booking"]["id"]
        for n in range(2, 7)
    ]
    parent.post(f"/bookings/{made[1]}/cancel")
    seen, cursor, pages = [], None, 0
    while pages == 0 or cursor:
        query = "?limit=2" + (f"&cursor={cursor}" if cursor else "")
        data = parent.get(f"/bookings/my{query}").json["data"]
        seen += [item["id"] for item in data["items"]]
        cursor, pages = data["next_cursor"], pages + 1
    assert (seen, pages) == (made[::-1], 3)
    cancelled = parent.get("/bookings/my?status=cancelled").json["data"]["items"]
    assert [item["id"] for item in cancelled] == [made[1]]
    statements.clear()
    parent.get("/bookings/my?limit=100")
    assert len([one for one in statements if "SAVEPOINT" not in one]) <= 6
    for query in ("status=lost", "limit=0", "limit=101", "cursor=x", "cursor=MTpzOjE"):
        assert parent.get(f"/bookings/my?{query}").status_code == 422


def test_a_booking_of_staff_is_the_familys_too(parent, student):
    from tests.portal import actor_of, make_staff

    done = place.book(schedule_id=make_session(), profile_id=student, actor=actor_of(make_staff("front_desk")))
    shown = parent.get(f"/bookings/{done.booking_id}").json["data"]
    assert (shown["source"], shown["can_cancel"]) == ("staff", True)


def test_two_families_do_not_see_each_others_state(parent, other, student):
    family, schedule_id = make_family(balance="500.00"), make_session()
    place.book(schedule_id=schedule_id, profile_id=family.profile_ids[0], actor=parent_actor(family))
    assert parent.get(f"/schedules/{schedule_id}").json["data"]["my_state"] == "none"
    assert parent.get(f"/schedules/{schedule_id}").json["data"]["booked"] == 1
