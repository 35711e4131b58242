"""Bookings and classes at their edges: the last moment, lapsed tokens, forged positions, numbers that no row has, and
one key twice at once."""

from __future__ import annotations

import base64
from datetime import timedelta
from decimal import Decimal
from functools import partial

import pytest
import sqlalchemy as sa

from app import clock
from app.api.v1 import tokens
from app.db import db, transaction
from app.domain.bookings.models import Booking
from app.domain.catalog.models import Course, CourseSchedule
from app.domain.credits.models import MakeupCredit
from app.domain.ledger.models import Wallet, WalletTransaction
from app.domain.outbox import housekeeping
from app.domain.people import parent_sessions
from tests.api.conftest import Parent, ok, refused
from tests.api.test_bookings import add_student, balance, book, nothing_happened, set_balance
from tests.at_once import at_once
from tests.factories import make_course, make_family, make_session, parent_actor


@pytest.fixture
def student(parent):
    set_balance(parent, "500.00")
    return add_student(parent)


def cursor(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


# ── the last moment ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("late", "answer"), [(0, "cancelled"), (1, "CANCEL_TOO_LATE")])
def test_exactly_at_the_cutoff_is_in_time(parent, student, late, answer):
    starts_at = (clock.now() + timedelta(days=2)).replace(microsecond=0)
    made = ok(book(parent, make_session(starts_at=starts_at), student), "make_booking")["booking"]
    with clock.travel(to=starts_at - timedelta(hours=6) + timedelta(milliseconds=late)):
        parent.token = fresh_token(parent)
        shown = ok(parent.get(f"/bookings/{made['id']}"), "get_booking")
        assert shown["can_cancel"] is (late == 0)
        asked = parent.post(f"/bookings/{made['id']}/cancel", {})
        if late:
            refused(asked, 409, answer)
        else:
            assert ok(asked, "cancel_booking")["booking"]["status"] == answer


@pytest.mark.parametrize("early", [1, 0])
def test_leave_ends_with_the_start(parent, student, early):
    starts_at = (clock.now() + timedelta(days=2)).replace(microsecond=0)
    made = ok(book(parent, make_session(starts_at=starts_at), student), "make_booking")["booking"]
    with clock.travel(to=starts_at - timedelta(milliseconds=early)):
        parent.token = fresh_token(parent)
        assert ok(parent.get(f"/bookings/{made['id']}"), "get_booking")["can_leave"] is bool(early)
        asked = parent.post(f"/bookings/{made['id']}/leave", {})
        if early:
            ok(asked, "leave_booking")
        else:
            refused(asked, 409, "SCHEDULE_STARTED")
    assert db.session.scalar(sa.select(sa.func.count(MakeupCredit.id))) == early


def fresh_token(parent) -> str:
    session = parent_sessions.open_session(user_id=parent.user_id, actor=parent.actor)
    return tokens.issue(user_id=parent.user_id, session_id=session.id, seconds=session.access_seconds)


def test_a_moved_class_may_be_cancelled_free_until_it_starts(parent, student):
    made = ok(book(parent, make_session(starts_in=timedelta(hours=3)), student), "make_booking")["booking"]
    with transaction():
        db.session.get(Booking, made["id"]).free_cancel = True
    shown = ok(parent.get(f"/bookings/{made['id']}"), "get_booking")
    assert (shown["can_cancel"], shown["cancel_until"]) == (True, shown["schedule"]["starts_at"])
    assert ok(parent.post(f"/bookings/{made['id']}/cancel"), "cancel_booking")["refund_amount"] == "200.00"


# ── who, and with what ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/schedules"), ("GET", "/schedules/1"), ("GET", "/schedules/1/availability"), ("POST", "/bookings"),
     ("GET", "/bookings/my"), ("GET", "/bookings/1"), ("POST", "/bookings/1/cancel"), ("POST", "/bookings/1/leave")],
)  # fmt: skip
def test_a_lapsed_token_opens_nothing(parent, method, path):
    with clock.travel(by=timedelta(hours=3)):
        refused(parent.call(method, path), 401, "UNAUTHENTICATED")


def test_a_student_who_left_is_not_booked(parent, student):
    with transaction():
        db.session.execute(sa.text("UPDATE profiles SET status = 'left' WHERE id = :id"), {"id": student})
    refused(book(parent, make_session(), student), 404, "NOT_FOUND")
    assert nothing_happened(parent)


@pytest.mark.parametrize("number", [2**63 - 1, 2**63, 10**19 - 1, -(2**63) - 1, 0])
def test_numbers_that_no_row_has(parent, student, number):
    refused(book(parent, number, student, key="s"), 404, "SCHEDULE_NOT_FOUND")
    refused(book(parent, make_session(), number, key="p"), 404, "NOT_FOUND")
    assert nothing_happened(parent)


@pytest.mark.parametrize("body", ["1:s:999999999999999999:1", "1:s:1", "1:b:1:1", "1:s:0:1", "1:s:1:1:1"])
def test_forged_cursors(parent, body):
    refused(parent.get(f"/schedules?cursor={cursor(body)}"), 422, "VALIDATION_FAILED", "cursor")


@pytest.mark.parametrize(
    "query", ["type=", "type=%F0%9F%98%80", "type=a%00", "type=a&type=b", "type=" + "x" * 33, "level=",
              "level=a%00", "level=" + "x" * 33, "venue_id=0", "coach_id=1.5", "profile_id=-1", "available=1",
              "available=", "date_from=", "date_to=2199-12-32", "limit=0", "limit=1e1"],
)  # fmt: skip
def test_bad_queries(parent, query):
    refused(parent.get(f"/schedules?{query}"), 422, "VALIDATION_FAILED", query.split("=")[0])


def test_bodies_of_an_end(parent, student):
    made = ok(book(parent, make_session(), student), "make_booking")["booking"]
    for end in ("cancel", "leave"):
        path = f"/bookings/{made['id']}/{end}"
        refused(parent.post(path, {"reason": 5}), 422, "VALIDATION_FAILED", "reason")
        refused(parent.post(path, {"reason": "长" * 501}), 422, "VALIDATION_FAILED", "reason")
        refused(parent.post(path, {"reason": "a\0b"}), 422, "VALIDATION_FAILED", "body")
        refused(parent.call("POST", path, data=b"{", content_type="application/json"), 422, "VALIDATION_FAILED", "body")
    hostile = "<script>alert(1)</script>\u202e感冒"
    ok(parent.post(f"/bookings/{made['id']}/cancel", {"reason": hostile}), "cancel_booking")
    assert db.session.get(Booking, made["id"]).end_reason == "<script>alert(1)</script>感冒"


# ── money and seats ─────────────────────────────────────────────────────────────────────────────────


def test_a_price_that_changed_between_looking_and_booking(parent, student):
    schedule_id = make_session()
    seen = ok(parent.get(f"/schedules/{schedule_id}"), "get_schedule")["price"]
    with transaction():
        db.session.get(Course, db.session.get(CourseSchedule, schedule_id).course_id).price = Decimal("250.00")
    body = refused(book(parent, schedule_id, student, price=seen), 409, "PRICE_CHANGED")
    assert body["data"] == {"price": "250.00", "seen": "200.00"}
    assert nothing_happened(parent)
    # What was refused may be tried again under its key, with the price that is now known.
    made = ok(book(parent, schedule_id, student, price="250.00"), "make_booking")
    assert (made["booking"]["price"], made["balance"]) == ("250.00", "250.00")


def test_a_frozen_wallet_books_nothing(parent, student):
    with transaction():
        db.session.execute(sa.update(Wallet).where(Wallet.family_id == parent.family_id).values(status="frozen"))
    refused(book(parent, make_session(), student), 409, "WALLET_FROZEN")
    assert nothing_happened(parent)


def test_a_class_for_nothing_moves_no_money(parent):
    schedule_id = make_session(make_course(price="0.00"))
    made = ok(book(parent, schedule_id, add_student(parent)), "make_booking")
    assert (made["booking"]["price"], made["balance"]) == ("0.00", "0.00")
    ended = ok(parent.post(f"/bookings/{made['booking']['id']}/cancel"), "cancel_booking")
    assert (ended["refund_amount"], ended["balance"]) == ("0.00", "0.00")
    assert db.session.scalar(sa.select(sa.func.count(WalletTransaction.id))) == 0


def test_a_key_pays_once_for_ever(parent, student):
    """Kept answers are forgotten after days; what was paid under a key is not paid again, whatever became of it."""
    schedule, other = make_session(), make_session(starts_in=timedelta(days=3))
    made = book(parent, schedule, student, key="old").get_json()["data"]
    assert forget_all() == 1
    # While it stands, and after its money went back: the same request is the same booking.
    assert book(parent, schedule, student, key="old").get_json()["data"] == made
    parent.post(f"/bookings/{made['booking']['id']}/cancel")
    again = book(parent, schedule, student, key="old")
    assert (again.status_code, again.get_json()["data"]["balance"]) == (201, made["balance"])
    assert again.get_json()["data"]["booking"]["id"] == made["booking"]["id"]
    assert again.get_json()["data"]["booking"]["status"] == "cancelled"
    refused(book(parent, other, student, key="old"), 422, "IDEMPOTENCY_KEY_REUSED")
    assert (balance(parent), db.session.query(Booking).count()) == (Decimal("500.00"), 1)
    # Control: another key is another booking, and pays.
    assert book(parent, schedule, student, key="new").status_code == 201
    assert balance(parent) == Decimal("300.00")


def test_another_request_under_a_kept_key_is_told_so_though_it_paid(parent, student):
    schedule = make_session()
    assert book(parent, schedule, student, key="k").status_code == 201
    refused(book(parent, schedule, student, key="k", price="200.00"), 422, "IDEMPOTENCY_KEY_REUSED")
    assert (balance(parent), db.session.query(Booking).count()) == (Decimal("300.00"), 1)


def forget_all() -> int:
    with clock.travel(to=clock.now() + timedelta(days=4)):
        return housekeeping.forget_requests()


def test_leave_under_one_key_makes_one_credit(parent, student):
    made = ok(book(parent, make_session(), student), "make_booking")["booking"]
    path = f"/bookings/{made['id']}/leave"
    first = ok(parent.post(path, {}, key="l"), "leave_booking")
    assert ok(parent.post(path, {}, key="l"), "leave_booking") == first
    refused(parent.post(path, {"reason": "x"}, key="l"), 422, "IDEMPOTENCY_KEY_REUSED")
    refused(parent.post(path, {}, key="m"), 409, "INVALID_STATE")
    refused(parent.post(f"/bookings/{made['id']}/cancel"), 409, "INVALID_STATE")
    assert db.session.scalar(sa.select(sa.func.count(MakeupCredit.id))) == 1
    assert first["makeup_credit"]["original_schedule"]["id"] == made["schedule"]["id"]


def test_alternatives_leave_out_where_the_child_is_already(parent, student):
    course_id, at = make_course(), clock.now() + timedelta(days=2)
    full = make_session(course_id, starts_at=at, capacity=1, held=1)
    mine = make_session(course_id, starts_at=at + timedelta(hours=2))
    clashing = make_session(course_id, starts_at=at + timedelta(hours=2, minutes=30))
    free = make_session(course_id, starts_at=at + timedelta(hours=5))
    ok(book(parent, mine, student, key="a"), "make_booking")
    data = refused(book(parent, full, student, key="b"), 409, "SEAT_FULL")["data"]
    assert [one["id"] for one in data["alternatives"]] == [free]
    sibling = refused(book(parent, full, add_student(parent, "小弟"), key="c"), 409, "SEAT_FULL")["data"]
    assert {one["id"] for one in sibling["alternatives"]} == {mine, clashing, free}


@pytest.mark.concurrency
def test_one_key_eight_times_at_once(live_app):
    """The second waits for the first and is given its answer; or is told that the first still runs."""
    with live_app.app_context():
        family, schedule_id = make_family(balance="900.00"), make_session()
        session = parent_sessions.open_session(user_id=family.user_id, actor=parent_actor(family))
        token = tokens.issue(user_id=family.user_id, session_id=session.id, seconds=600)
        db.session.remove()
    parents = [Parent(live_app.test_client(), family.user_id, family.id, session.id, "", token) for _ in range(8)]
    answers = at_once(*(partial(book, parent, schedule_id, family.profile_ids[0], key="same") for parent in parents))
    won = [answer.json["data"] for answer in answers if answer.status_code == 201]
    others = {answer.json["error"] for answer in answers if answer.status_code != 201}
    assert won
    assert all(data == won[0] for data in won)
    assert others <= {"IDEMPOTENCY_IN_PROGRESS"}
    with live_app.app_context():
        assert db.session.scalar(sa.select(sa.func.count(Booking.id))) == 1
        assert db.session.scalar(sa.select(Wallet.balance).where(Wallet.id == family.wallet_id)) == 700
