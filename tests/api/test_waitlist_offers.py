"""Answering an offered seat over the contract: begin, confirm, decline, too late, taken, money (Q6–Q13, 96.53–63)."""

from __future__ import annotations

import uuid
from datetime import timedelta
from decimal import Decimal

import pytest
import sqlalchemy as sa

from app import clock
from app.api.v1 import tokens
from app.db import db
from app.domain.bookings.models import Booking
from app.domain.catalog.models import CourseSchedule
from app.domain.ledger.models import WalletTransaction
from app.domain.offers import advance
from app.domain.orders import checkout
from app.domain.people import parent_sessions
from app.domain.waitlist.models import SeatRelease
from tests.api.conftest import Parent, ok, refused
from tests.api.test_bookings import set_balance
from tests.api.waiting import Waiter, availability, family, full_class, join, joined, set_deadline, waits
from tests.at_once import at_once
from tests.domain.orders.steps import trial_session
from tests.factories import make_family, make_session, parent_actor

OFFER = {"id", "kind", "deadline", "decision_seconds_left", "server_time", "begun_at"}
NOTICE = {"id", "kind", "status", "queued_at", "sent_at", "deadline", "answer", "answered_at"}
TICK = timedelta(microseconds=1)


def deadline_of(waiter) -> str:
    return waiter.entry()["offer"]["deadline"]


def balance(waiter) -> str:
    return waiter.parent.get("/wallet/balance").json["data"]["balance"]


@pytest.fixture
def scene(client):
    """Three wait, and the seat has come free."""
    made = full_class(client, waiters=3)
    made.free()
    return made


def test_an_open_round_offers_to_everybody_with_one_deadline(scene):
    offers = [waiter.entry()["offer"] for waiter in scene.waiters]
    assert all(set(one) == OFFER for one in offers)
    assert {one["kind"] for one in offers} == {"open"}
    assert len({one["deadline"] for one in offers}) == 1
    for one in offers:
        assert 880 <= one["decision_seconds_left"] <= 900
        assert one["server_time"] < one["deadline"]
        assert one["begun_at"] is None
    first = scene.waiters[0]
    assert (first.entry()["status"], first.entry()["position"]) == ("offered", 1)
    data = ok(first.parent.get(f"/waitlist/position/{first.entry_id}"), "get_position")
    assert set(data) == {"position", "queue_length", "estimated_wait_time", "offer"}
    assert data["offer"]["deadline"] == offers[0]["deadline"]
    # The seat is kept: not even one who waits gets it past the queue (96.54).
    body = {"course_schedule_id": scene.schedule_id, "profile_id": first.profile_id}
    refused(first.parent.post("/bookings", body, key="past"), 409, "SEAT_FULL")


def test_the_first_to_confirm_has_it(scene):
    winner, others = scene.waiters[1], (scene.waiters[0], scene.waiters[2])
    data = ok(winner.respond("confirm", "mine"), "respond_to_offer")
    assert set(data) == {"entry", "booking", "order", "clashes"}
    assert (data["entry"]["status"], data["entry"]["status_text"]) == ("confirmed", "已补上")
    assert (data["entry"]["position"], data["entry"]["offer"]) == (None, None)
    assert (data["booking"]["status"], data["booking"]["schedule"]["my_state"]) == ("booked", "booked")
    assert (data["order"], data["clashes"], balance(winner)) == (None, [], "300.00")
    for position, waiter in enumerate(others, start=1):
        body = refused(waiter.respond("confirm"), 409, "SEAT_TAKEN")
        assert body["message"] == "名额已被抢占"
        assert (waiter.entry()["status"], waiter.entry()["position"]) == ("waiting", position)
        assert (waiter.entry()["offer"], balance(waiter)) == (None, "500.00")
    # A repetition is the first answer; another key finds the same booking (96.55).
    again = winner.respond("confirm", "mine")
    assert (again.status_code, again.json["data"]) == (200, data)
    other = ok(winner.respond("confirm"), "respond_to_offer")
    assert (other["booking"]["id"], other["order"], balance(winner)) == (data["booking"]["id"], None, "300.00")
    refused(winner.respond("decline", "mine"), 422, "IDEMPOTENCY_KEY_REUSED")
    assert availability(winner.parent, scene.schedule_id)["kept_for_waitlist"] == 0


def test_the_form_of_an_answer(scene):
    path, parent = f"/waitlist/{scene.waiters[0].entry_id}/respond", scene.waiters[0].parent
    refused(parent.put(path, {"action": "begin"}), 400, "IDEMPOTENCY_KEY_REQUIRED")
    refused(parent.put(path, {"action": "begin"}, key="a b"), 400, "IDEMPOTENCY_KEY_INVALID")
    for body in ({}, {"action": None}, {"action": "accept"}, {"action": 1}):
        refused(parent.put(path, body), 422, "VALIDATION_FAILED", "action")
    stranger = {"headers": {"Authorization": "Bearer x"}}
    assert parent.put(path, {"action": "begin"}, **stranger).status_code == 401
    assert scene.waiters[0].entry()["offer"]["begun_at"] is None


def test_without_an_offer(client):
    scene = full_class(client, waiters=2)
    for action in ("begin", "confirm", "decline"):
        refused(scene.waiters[0].respond(action), 409, "NO_OFFER")
    scene.free()
    first, second = scene.waiters
    declined = ok(first.respond("decline", "no-thanks"), "respond_to_offer")
    assert ok(first.respond("decline", "no-thanks"), "respond_to_offer") == declined
    assert (declined["entry"]["status"], declined["entry"]["status_text"]) == ("declined", "已放弃")
    assert (declined["booking"], declined["order"], declined["clashes"]) == (None, None, [])
    refused(first.respond("confirm"), 409, "NO_OFFER")
    refused(first.respond("begin"), 409, "NO_OFFER")
    refused(first.respond("decline"), 409, "NO_OFFER")
    assert (second.entry()["status"], second.entry()["position"]) == ("offered", 1)
    ok(second.respond("decline"), "respond_to_offer")
    # Nobody is left: on sale at once (96.56).
    now = availability(first.parent, scene.schedule_id)
    assert (now["available"], now["kept_for_waitlist"], now["my_state"]) == (1, 0, "none")


@pytest.mark.parametrize("action", ["begin", "confirm", "decline"])
@pytest.mark.parametrize("late", [-1, 0, 1])
def test_the_deadline_to_the_microsecond(scene, action, late):
    waiter, deadline = scene.waiters[0], clock.now() + timedelta(minutes=10)
    set_deadline(waiter.entry_id, deadline)
    with clock.travel(to=deadline + late * TICK):
        answer = waiter.respond(action)
        if late < 0:
            ok(answer, "respond_to_offer")
            return
        body = refused(answer, 409, "OFFER_EXPIRED")
        assert body["message"] == "候补确认已过期，名额已顺位给下一位候补用户"
        # No job has run: the clock alone says so.
        assert (waiter.entry()["status"], waiter.entry()["offer"]) == ("waiting", None)
    assert balance(waiter) == "500.00"


def test_begun_in_time_may_finish_in_the_grace_and_not_after(scene):
    waiter, other = scene.waiters[0], scene.waiters[1]
    deadline = clock.now() + timedelta(minutes=10)
    set_deadline(waiter.entry_id, deadline)
    begun_at = deadline - timedelta(seconds=30)
    with clock.travel(to=begun_at):
        offer = ok(waiter.respond("begin"), "respond_to_offer")["entry"]["offer"]
        assert (offer["begun_at"], offer["decision_seconds_left"]) == (offer["server_time"], 300)
    with clock.travel(to=begun_at + timedelta(minutes=1)):
        again = ok(waiter.respond("begin"), "respond_to_offer")["entry"]["offer"]
        assert (again["begun_at"], again["deadline"]) == (offer["begun_at"], offer["deadline"])  # once
        refused(other.respond("confirm"), 409, "OFFER_EXPIRED")
        advance.advance(schedule_id=scene.schedule_id)
        assert [one.entry()["offer"] for one in scene.waiters[1:]] == [None, None]  # the passing-on waits
    with clock.travel(to=begun_at + timedelta(minutes=5)):
        refused(waiter.respond("confirm"), 409, "OFFER_EXPIRED")
    with clock.travel(to=begun_at + timedelta(minutes=5) - TICK):
        assert ok(waiter.respond("confirm"), "respond_to_offer")["entry"]["status"] == "confirmed"


def test_beginning_promises_nothing_in_an_open_round(scene):
    first, second = scene.waiters[:2]
    ok(first.respond("begin"), "respond_to_offer")
    ok(second.respond("begin"), "respond_to_offer")
    ok(second.respond("confirm"), "respond_to_offer")
    refused(first.respond("confirm"), 409, "SEAT_TAKEN")
    assert first.entry()["status"] == "waiting"


def test_one_by_one_after_the_open_round(scene):
    first, second, third = scene.waiters
    deadline = clock.now() + timedelta(minutes=10)
    set_deadline(first.entry_id, deadline)
    with clock.travel(to=deadline + timedelta(seconds=1)):
        advance.advance(schedule_id=scene.schedule_id)
        offer = first.entry()["offer"]
        assert (offer["kind"], offer["decision_seconds_left"]) == ("exclusive", 900)
        assert [one.entry()["status"] for one in (second, third)] == ["waiting", "waiting"]
        refused(second.respond("confirm"), 409, "OFFER_EXPIRED")
    with clock.travel(to=deadline + timedelta(minutes=15, seconds=2)):
        assert first.entry()["status"] == "expired"  # by the clock, before any job
        refused(first.respond("confirm"), 409, "OFFER_EXPIRED")
        advance.advance(schedule_id=scene.schedule_id)
        assert (first.entry()["status"], second.entry()["offer"]["kind"]) == ("expired", "exclusive")
        assert second.entry()["position"] == 1
        ok(second.respond("confirm"), "respond_to_offer")
        assert (third.entry()["status"], third.entry()["position"]) == ("waiting", 1)


def test_at_the_cutoff_everything_ends(client):
    scene = full_class(client, waiters=2, starts_in=timedelta(hours=6, minutes=5))
    scene.free()
    waiter = scene.waiters[0]
    starts_at = db.session.get(CourseSchedule, scene.schedule_id).starts_at
    # No deadline is past the cutoff.
    assert 290 <= waiter.entry()["offer"]["decision_seconds_left"] <= 300
    with clock.travel(to=starts_at - timedelta(hours=6)):
        refused(waiter.respond("confirm"), 409, "OFFER_EXPIRED")
        advance.advance(schedule_id=scene.schedule_id)
        assert {one.entry()["status"] for one in scene.waiters} == {"expired"}
        assert waiter.respond("confirm").json["error"] in ("OFFER_EXPIRED", "WAITLIST_CLOSED")
        assert availability(waiter.parent, scene.schedule_id)["available"] == 1


def test_who_owes_too_much_is_passed_over_and_refused_money_keeps_the_offer(client):
    scene, poor = full_class(client, waiters=1), family(client, 7, "-900.00")
    joined(poor, scene.schedule_id)
    scene.free()
    (waiter,) = scene.waiters
    assert (poor.entry()["status"], poor.entry()["offer"]) == ("waiting", None)
    set_balance(waiter.parent, "-900.00")
    body = refused(waiter.respond("confirm"), 409, "ARREARS_BLOCKED")
    assert body["data"]["balance"] == "-900.00"
    assert waiter.entry()["status"] == "offered"
    set_balance(waiter.parent, "200.00")
    ok(waiter.respond("confirm"), "respond_to_offer")
    assert balance(waiter) == "0.00"


def test_what_changed_since_the_offer_is_refused_and_leaves_it_standing(client):
    scene = full_class(client, waiters=2)
    scene.free()
    first = scene.waiters[0]
    starts_at = db.session.get(CourseSchedule, scene.schedule_id).starts_at
    clash = make_session(starts_at=starts_at)
    body = {"course_schedule_id": clash, "profile_id": first.profile_id}
    booking = first.parent.post("/bookings", body, key="clash").json["data"]["booking"]["id"]
    refused(first.respond("confirm"), 409, "TIME_CONFLICT")
    assert first.entry()["status"] == "offered"
    assert first.parent.post(f"/bookings/{booking}/cancel").status_code == 200
    ok(first.respond("confirm"), "respond_to_offer")


def test_another_trial_ordered_since_the_offer_is_refused(client):
    session, taker = trial_session(capacity=1), make_family()
    checkout.create(schedule_id=session, profile_id=taker.profile_ids[0], actor=parent_actor(taker))
    waiter = family(client, 1, "0.00")
    joined(waiter, session)
    with clock.travel(by=timedelta(minutes=16)):
        advance.advance(schedule_id=session)
        assert waiter.entry()["status"] == "offered"
        checkout.create(schedule_id=trial_session(), profile_id=waiter.profile_id, actor=waiter.parent.actor)
        refused(waiter.respond("confirm"), 409, "TRIAL_ALREADY_BOOKED")
        assert waiter.entry()["status"] == "offered"


def test_clashing_waits_are_named_after_a_confirm(client):
    scene = full_class(client, waiters=1)
    (waiter,) = scene.waiters
    starts_at = db.session.get(CourseSchedule, scene.schedule_id).starts_at
    clash = make_session(capacity=1, booked=1, starts_at=starts_at + timedelta(minutes=30))
    apart = make_session(capacity=1, booked=1, starts_at=starts_at + timedelta(minutes=60))
    mine = waiter.entry_id
    for schedule_id in (clash, apart):
        joined(waiter, schedule_id)
    waiter.entry_id = mine
    scene.free()
    data = ok(waiter.respond("confirm"), "respond_to_offer")
    assert [one["schedule"]["id"] for one in data["clashes"]] == [clash]
    assert data["clashes"][0]["status"] == "waiting"


def test_a_trial_is_confirmed_by_an_order_to_pay(client):
    session, taker = trial_session(capacity=1), make_family()
    order = checkout.create(schedule_id=session, profile_id=taker.profile_ids[0], actor=parent_actor(taker)).order_id
    first, second = family(client, 1, "0.00"), family(client, 2, "0.00")
    for waiter in (first, second):
        joined(waiter, session)
    with clock.travel(by=timedelta(minutes=16)):  # the hold has lapsed: the seat is the queue's from that moment
        assert availability(second.parent, session)["available"] == 0
        advance.advance(schedule_id=session)
        data = ok(first.respond("confirm", "k"), "respond_to_offer")
        assert (data["entry"]["status"], data["booking"]) == ("confirmed", None)
        assert (data["order"]["status"], data["order"]["seat_status"]) == ("pending", "held")
        assert (data["order"]["next_action"], data["order"]["amount"]) == ("pay", "200.00")
        assert data["order"]["order_id"] != order
        again = ok(first.respond("confirm"), "respond_to_offer")
        assert again["order"]["order_id"] == data["order"]["order_id"]
        refused(second.respond("confirm"), 409, "SEAT_TAKEN")
        shown = ok(first.parent.get(f"/payment/orders/{data['order']['order_id']}"), "get_order")
        assert shown["schedule"]["id"] == session


def test_notifications_newest_first_with_the_answer(scene):
    waiter = scene.waiters[0]
    path = f"/waitlist/{waiter.entry_id}/notifications"

    def notices():
        data = ok(waiter.parent.get(path), "list_notices")
        assert data["next_cursor"] is None
        return data["items"]

    (first,) = notices()
    assert set(first) == NOTICE
    assert (first["kind"], first["deadline"], first["answer"]) == ("open", deadline_of(waiter), None)
    ok(waiter.respond("begin"), "respond_to_offer")
    (begun,) = notices()
    assert begun["answer"] == "begin"
    assert begun["answered_at"]
    deadline = clock.now() + timedelta(minutes=10)
    set_deadline(scene.waiters[1].entry_id, deadline)
    with clock.travel(by=timedelta(minutes=16)):
        advance.advance(schedule_id=scene.schedule_id)
        later = notices()
        assert [one["kind"] for one in later] == ["exclusive", "open"]
        ok(waiter.respond("decline"), "respond_to_offer")
        assert [one["answer"] for one in notices()] == ["decline", "begin"]


# ── at once ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def live_scene(live_app):
    """A freed seat offered to six parents, everything committed; each has a client of its own."""
    with live_app.app_context():
        schedule_id = make_session(capacity=1)
        people = [make_family(balance="900.00") for _ in range(7)]
        parents = []
        for one in people:
            session = parent_sessions.open_session(user_id=one.user_id, actor=parent_actor(one))
            token = tokens.issue(user_id=one.user_id, session_id=session.id, seconds=600)
            parents.append(Parent(live_app.test_client(), one.user_id, one.id, session.id, "", token))
        all_of_them = [Waiter(parent, one.profile_ids[0]) for parent, one in zip(parents, people, strict=True)]
        holder, waiters = all_of_them[0], all_of_them[1:]
        body = {"course_schedule_id": schedule_id, "profile_id": holder.profile_id}
        booking = holder.parent.post("/bookings", body, key="first").json["data"]["booking"]["id"]
        for waiter in waiters:
            waiter.entry_id = join(waiter, schedule_id).json["data"]["waitlist_id"]
        assert holder.parent.post(f"/bookings/{booking}/cancel").status_code == 200
        advance.advance(schedule_id=schedule_id)
        db.session.remove()
    return live_app, schedule_id, waiters


def debits() -> list[Decimal]:
    return list(db.session.scalars(sa.select(WalletTransaction.amount).where(WalletTransaction.type == "deduction")))


def test_six_confirm_at_once(live_scene):
    app, schedule_id, waiters = live_scene
    answers = at_once(*(lambda waiter=waiter: waiter.respond("confirm") for waiter in waiters))
    assert sorted(one.status_code for one in answers) == [200] + [409] * 5
    lost = [one.json for one in answers if one.status_code == 409]
    assert {(one["error"], one["message"]) for one in lost} == {("SEAT_TAKEN", "名额已被抢占")}
    with app.app_context():
        live = sa.select(sa.func.count(Booking.id)).where(Booking.status == "booked")
        assert db.session.scalar(live) == 1
        assert len(debits()) == 2  # the first holder's, given back since, and the winner's
        card = db.session.get(CourseSchedule, schedule_id)
        assert (card.booked, card.held, card.kept) == (1, 0, 0)
        assert [one.status for one in db.session.query(SeatRelease)] == ["filled"]
    places = [waits(one.parent)[0]["position"] for one in waiters]
    assert sorted(place for place in places if place) == [1, 2, 3, 4, 5]


def test_one_parent_confirms_many_times_at_once(live_scene):
    app, _, waiters = live_scene
    waiter = waiters[2]
    clients = [Waiter(Parent(app.test_client(), 0, 0, "", "", waiter.parent.token), 0, waiter.entry_id)
               for _ in range(6)]  # fmt: skip
    keys = ["same"] * 3 + [uuid.uuid4().hex for _ in range(3)]
    answers = at_once(
        *(lambda one=one, key=key: one.respond("confirm", key) for one, key in zip(clients, keys, strict=True))
    )
    bookings = {one.json["data"]["booking"]["id"] for one in answers if one.status_code == 200}
    assert len(bookings) == 1
    assert {one.json["error"] for one in answers if one.status_code != 200} <= {"IDEMPOTENCY_IN_PROGRESS"}
    with app.app_context():
        assert len(debits()) == 2


def test_confirming_and_leaving_at_once(live_scene):
    app, schedule_id, waiters = live_scene
    confirming, leaving = waiters[0], waiters[0]
    second = Parent(app.test_client(), 0, 0, "", "", leaving.parent.token)
    confirmed, left = at_once(
        lambda: confirming.respond("confirm"), lambda: second.call("DELETE", f"/waitlist/{leaving.entry_id}")
    )
    assert sorted((confirmed.status_code, left.status_code)) == [200, 409]
    with app.app_context():
        card = db.session.get(CourseSchedule, schedule_id)
        assert card.booked + card.kept == 1
        assert card.booked == (confirmed.status_code == 200)


def test_joining_eight_times_at_once(live_app):
    with live_app.app_context():
        schedule_id, one = make_session(capacity=1, booked=1), make_family()
        session = parent_sessions.open_session(user_id=one.user_id, actor=parent_actor(one))
        token = tokens.issue(user_id=one.user_id, session_id=session.id, seconds=600)
        db.session.remove()
    clients = [Waiter(Parent(live_app.test_client(), one.user_id, one.id, "", "", token), one.profile_ids[0])
               for _ in range(8)]  # fmt: skip
    answers = at_once(*(lambda waiter=waiter: join(waiter, schedule_id) for waiter in clients))
    assert sorted(one.status_code for one in answers) == [201] + [409] * 7
    assert {one.json["error"] for one in answers if one.status_code == 409} == {"ALREADY_WAITING"}
