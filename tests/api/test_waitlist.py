"""Joining a queue, one's place in it, the consent and leaving, over the contract (Q1–Q4, Q9, Q15, 95, 96.14)."""

from __future__ import annotations

import uuid
from datetime import timedelta

import pytest

from app import clock
from app.db import db, transaction
from app.domain.bookings import place
from app.domain.catalog.models import CourseSchedule
from app.domain.orders import checkout
from app.domain.outbox import consents
from app.domain.waitlist.models import WaitlistEntry
from tests.api.conftest import ok, refused
from tests.api.test_bookings import add_student
from tests.api.waiting import JOIN, availability, family, full_class, join, joined, waits
from tests.domain.orders.steps import trial_session
from tests.factories import make_course, make_family, make_level, make_session, parent_actor
from tests.portal import Browser

ENTRY = {"id", "status", "status_text", "position", "queue_length", "schedule", "profile_id", "profile_name",
         "joined_at", "auto_accept", "credit_id", "use_compensation", "accept_shorter", "offer"}  # fmt: skip


def entries() -> int:
    return db.session.query(WaitlistEntry).count()


def test_joining_with_every_field(client):
    scene = full_class(client, waiters=3)
    other = make_session(db.session.get(CourseSchedule, scene.schedule_id).course_id, starts_in=timedelta(days=3))
    fourth = family(client, 4)
    body = join(fourth, scene.schedule_id).json
    assert (body["code"], body["message"]) == (201, "您是第4位候补")
    data = body["data"]
    assert set(data) == {"waitlist_id", "position", "estimated_wait_time", "alternatives", "entry"}
    assert set(data["entry"]) == ENTRY
    assert (data["position"], data["estimated_wait_time"]) == (4, "暂无数据")
    assert [one["id"] for one in data["alternatives"]] == [other]
    entry = data["entry"]
    assert (entry["id"], entry["status"], entry["status_text"]) == (data["waitlist_id"], "waiting", "候补中")
    assert (entry["position"], entry["queue_length"], entry["auto_accept"], entry["offer"]) == (4, 4, False, None)
    assert (entry["profile_id"], entry["profile_name"]) == (fourth.profile_id, "学员4")
    assert (entry["schedule"]["my_state"], entry["schedule"]["waitlist_count"]) == ("waiting", 4)
    assert waits(fourth.parent) == [entry]


def test_the_state_of_a_class_with_a_queue(client):
    scene = full_class(client, waiters=2)
    first, stranger = scene.waiters[0].parent, family(client, 9).parent
    assert availability(first, scene.schedule_id) == {
        "capacity": 1, "booked": 1, "held": 0, "kept_for_waitlist": 0, "available": 0, "waitlist_count": 2,
        "waitlist_capacity": 8, "my_state": "waiting",
    }  # fmt: skip
    assert availability(stranger, scene.schedule_id)["my_state"] == "full"
    body = {"course_schedule_id": scene.schedule_id, "profile_id": add_student(stranger)}
    full = refused(stranger.post("/bookings", body, key="full"), 409, "SEAT_FULL")["data"]
    assert (full["waitlist_count"], full["waitlist_capacity"], full["alternatives"]) == (2, 8, [])
    sibling = add_student(first, "妹妹")
    narrowed = first.get(f"/schedules/{scene.schedule_id}/availability?profile_id={sibling}")
    assert ok(narrowed, "get_availability")["my_state"] == "full"
    scene.free()
    now = availability(first, scene.schedule_id)
    assert (now["booked"], now["kept_for_waitlist"], now["available"], now["my_state"]) == (0, 1, 0, "offered")
    assert availability(stranger, scene.schedule_id)["my_state"] == "full"
    found = first.get(f"/schedules?available=true&date_to={clock.today() + timedelta(days=5)}")
    assert scene.schedule_id not in [one["id"] for one in ok(found, "list_schedules")["items"]]


def test_a_key_gives_the_same_answer_with_its_words(client):
    scene, waiter = full_class(client, waiters=1), family(client, 7)
    first = join(waiter, scene.schedule_id, key="once")
    late = family(client, 8)
    joined(late, scene.schedule_id)
    again = join(waiter, scene.schedule_id, key="once")
    assert (again.status_code, again.json["message"], again.json["data"]) == (201, "您是第2位候补", first.json["data"])
    assert again.json["request_id"] != first.json["request_id"]
    refused(join(waiter, scene.schedule_id, key="once", auto_accept=True), 422, "IDEMPOTENCY_KEY_REUSED")
    refused(join(waiter, scene.schedule_id, key="two words"), 400, "IDEMPOTENCY_KEY_INVALID")
    refused(join(waiter, scene.schedule_id), 409, "ALREADY_WAITING")
    assert entries() == 3


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"course_schedule_id": None}, "course_schedule_id"), ({"course_schedule_id": "1"}, "course_schedule_id"),
        ({"profile_id": 1.5}, "profile_id"), ({"profile_id": True}, "profile_id"),
        ({"auto_accept": "true"}, "auto_accept"), ({"auto_accept": 1}, "auto_accept"),
        ({"credit_id": 5.5}, "credit_id"), ({"credit_id": "5"}, "credit_id"), ({"credit_id": True}, "credit_id"),
        ({"use_compensation": 0}, "use_compensation"), ({"accept_shorter": "no"}, "accept_shorter"),
    ],
)  # fmt: skip
def test_wrong_fields_come_before_the_key_and_the_rules(parent, changed, field):
    body = {"course_schedule_id": 1, "profile_id": 1} | changed
    refused(parent.post(JOIN, body, key="ungültig"), 422, "VALIDATION_FAILED", field)


def test_who_may_not_and_what_is_not_there(client, parent, other):
    scene, student = full_class(client), add_student(parent)
    assert client.post(f"/api/v1{JOIN}", json={}).status_code == 401
    refused(parent.call("POST", JOIN, data=b"[]"), 422, "VALIDATION_FAILED", "body")
    body = {"course_schedule_id": scene.schedule_id, "profile_id": add_student(other)}
    refused(parent.post(JOIN, body), 404, "NOT_FOUND")
    for unknown in (10**9, 2**62, 0, -1):
        body = {"course_schedule_id": unknown, "profile_id": student}
        refused(parent.post(JOIN, body), 404, "SCHEDULE_NOT_FOUND")
    assert entries() == 0


def test_nobody_elses_entry(client, other):
    scene = full_class(client, waiters=1)
    number = scene.waiters[0].entry_id
    for wrong in (number, 10**9):
        refused(other.get(f"/waitlist/position/{wrong}"), 404, "NOT_FOUND")
        refused(other.get(f"/waitlist/{wrong}/notifications"), 404, "NOT_FOUND")
        refused(other.patch(f"/waitlist/{wrong}", {"auto_accept": True}), 404, "NOT_FOUND")
        refused(other.patch(f"/waitlist/{wrong}", {}), 404, "NOT_FOUND")
        refused(other.call("DELETE", f"/waitlist/{wrong}"), 404, "NOT_FOUND")
        for action in ("begin", "confirm", "decline"):
            refused(other.put(f"/waitlist/{wrong}/respond", {"action": action}, key=uuid.uuid4().hex), 404, "NOT_FOUND")
    for path in ("0", "x", "-1", str(10**30)):
        assert other.get(f"/waitlist/position/{path}").status_code == 404
    assert waits(other) == []
    assert scene.waiters[0].entry()["status"] == "waiting"


def test_refused_by_the_session(client, parent):
    student = add_student(parent)

    def ask(schedule_id):
        return parent.post(JOIN, {"course_schedule_id": schedule_id, "profile_id": student})

    refused(ask(make_session()), 409, "SEAT_AVAILABLE")
    refused(ask(make_session(capacity=1, booked=1, status="cancelled")), 409, "SCHEDULE_CANCELLED")
    refused(ask(make_session(capacity=1, booked=1, starts_in=timedelta(minutes=-1))), 409, "SCHEDULE_STARTED")
    refused(ask(make_session(capacity=1, booked=1, starts_in=timedelta(hours=5))), 409, "WAITLIST_CLOSED")
    assert entries() == 0


@pytest.mark.parametrize(("late", "status"), [(-1, 201), (0, 409), (1, 409)])
def test_the_cutoff_to_the_microsecond(client, late, status):
    scene, waiter = full_class(client), family(client, 1)
    starts_at = db.session.get(CourseSchedule, scene.schedule_id).starts_at
    with clock.travel(by=starts_at - timedelta(hours=6, minutes=1) - clock.now()):
        token = waiter.parent.post("/auth/refresh", {"refresh_token": waiter.parent.refresh_token}).json["data"]
        waiter.parent.token = token["access_token"]
        with clock.travel(to=starts_at - timedelta(hours=6) + timedelta(microseconds=late)):
            answer = join(waiter, scene.schedule_id)
            assert answer.status_code == status, answer.json
            if status == 409:
                refused(answer, 409, "WAITLIST_CLOSED")


def test_refused_by_the_student(client):
    make_level("L1", 1)
    make_level("L2", 2)
    scene = full_class(client)
    refused(join(scene.holder, scene.schedule_id), 409, "ALREADY_BOOKED")
    waiter = family(client, 1)
    card = db.session.get(CourseSchedule, scene.schedule_id)
    clash = make_session(capacity=1, booked=1, starts_at=card.starts_at + timedelta(minutes=30))
    refused(join(scene.holder, clash), 409, "TIME_CONFLICT")
    high = make_session(make_course(level="L2"), capacity=1, booked=1)
    refused(join(waiter, high), 409, "LEVEL_NOT_ALLOWED")


def test_arrears_do_not_stop_joining(client):
    scene, poor = full_class(client), family(client, 1, "-900.00")
    assert joined(poor, scene.schedule_id)["position"] == 1


def test_a_full_queue_offers_other_classes(client):
    scene = full_class(client, waiters=2)
    with transaction():
        db.session.get(CourseSchedule, scene.schedule_id).waitlist_capacity = 2
    free = make_session(db.session.get(CourseSchedule, scene.schedule_id).course_id, starts_in=timedelta(days=3))
    body = refused(join(family(client, 7), scene.schedule_id), 409, "WAITLIST_FULL")
    assert body["message"] == "候补队列已满，请选择其他课程"
    assert [one["id"] for one in body["data"]["alternatives"]] == [free]
    assert (body["data"]["waitlist_count"], body["data"]["waitlist_capacity"]) == (2, 2)
    # Who waits already stays, and hears so first.
    refused(join(scene.waiters[0], scene.schedule_id), 409, "ALREADY_WAITING")


def test_two_children_of_one_family_wait_apart(client):
    scene, waiter = full_class(client, waiters=1), family(client, 5)
    joined(waiter, scene.schedule_id)
    sibling = add_student(waiter.parent, "弟弟")
    body = {"course_schedule_id": scene.schedule_id, "profile_id": sibling}
    assert waiter.parent.post(JOIN, body).json["data"]["position"] == 3
    assert [(one["profile_name"], one["position"]) for one in waits(waiter.parent)] == [("弟弟", 3), ("学员5", 2)]


def test_a_trial_that_is_running_waits_for_no_other(client):
    session, family_ = trial_session(capacity=1), make_family()
    place_taker = family_.profile_ids[0]
    checkout.create(schedule_id=session, profile_id=place_taker, actor=parent_actor(family_))
    waiter = family(client, 1, "0.00")
    assert joined(waiter, session, auto_accept=True)["entry"]["auto_accept"] is False  # a trial is paid by hand
    trying = family(client, 2, "0.00")
    checkout.create(schedule_id=trial_session(), profile_id=trying.profile_id, actor=trying.parent.actor)
    refused(join(trying, session), 409, "TRIAL_ALREADY_BOOKED")


# ── place, consent, leaving ─────────────────────────────────────────────────────────────────────────


def test_positions_close_up_when_somebody_leaves(client):
    scene = full_class(client, waiters=3)
    first, second, third = scene.waiters
    left = ok(first.parent.call("DELETE", f"/waitlist/{first.entry_id}"), "leave_wait")
    assert (left["status"], left["status_text"], left["position"], left["offer"]) == ("cancelled", "已退出", None, None)
    assert left["schedule"]["my_state"] == "full"
    for waiter, position in ((second, 1), (third, 2)):
        data = ok(waiter.parent.get(f"/waitlist/position/{waiter.entry_id}"), "get_position")
        assert data == {"position": position, "queue_length": 2, "estimated_wait_time": "暂无数据", "offer": None}
    gone = ok(first.parent.get(f"/waitlist/position/{first.entry_id}"), "get_position")
    assert (gone["position"], gone["estimated_wait_time"]) == (None, None)
    # Who joins again goes to the end, as a new entry.
    assert joined(first, scene.schedule_id)["position"] == 3
    assert [one["status"] for one in waits(first.parent)] == ["waiting", "cancelled"]


def test_leaving_twice_under_one_key_and_under_none(client):
    scene = full_class(client, waiters=1)
    (waiter,) = scene.waiters
    path = f"/waitlist/{waiter.entry_id}"
    first = waiter.parent.call("DELETE", path, key="bye")
    again = waiter.parent.call("DELETE", path, key="bye")
    assert (again.status_code, again.json["data"]) == (200, first.json["data"])
    assert ok(waiter.parent.call("DELETE", path), "leave_wait")["status"] == "cancelled"
    scene.free()
    assert availability(waiter.parent, scene.schedule_id)["available"] == 1


def test_the_list_by_status(client):
    scene = full_class(client, waiters=1)
    (waiter,) = scene.waiters
    assert [one["id"] for one in waits(waiter.parent, "?status=waiting")] == [waiter.entry_id]
    assert waits(waiter.parent, "?status=offered") == []
    refused(waiter.parent.get("/waitlist/my?status=lost"), 422, "VALIDATION_FAILED", "status")
    scene.free()
    assert [one["id"] for one in waits(waiter.parent, "?status=offered")] == [waiter.entry_id]
    assert waits(waiter.parent, "?status=waiting") == []


def test_consent_is_given_and_revoked(client):
    scene = full_class(client, waiters=1)
    (waiter,) = scene.waiters
    path = f"/waitlist/{waiter.entry_id}"
    for on in (True, True, False):
        assert ok(waiter.parent.patch(path, {"auto_accept": on}), "patch_wait")["auto_accept"] is on
    assert ok(waiter.parent.patch(path, {"auto_accept": None, "unknown": 1}), "patch_wait")["auto_accept"] is False
    assert ok(waiter.parent.patch(path, {"use_compensation": True}), "patch_wait")["auto_accept"] is False
    for body, name in (({"auto_accept": "on"}, "auto_accept"), ({"credit_id": "3"}, "credit_id")):
        refused(waiter.parent.patch(path, body), 422, "VALIDATION_FAILED", name)
    waiter.parent.call("DELETE", path)
    refused(waiter.parent.patch(path, {"auto_accept": True}), 409, "INVALID_STATE")


def test_a_consent_books_at_once_and_charges(client):
    scene = full_class(client, waiters=2)
    first, second = scene.waiters
    second.parent.patch(f"/waitlist/{second.entry_id}", {"auto_accept": True})
    scene.free()
    assert second.entry()["status"] == "confirmed"
    assert second.parent.get("/wallet/balance").json["data"]["balance"] == "300.00"
    (booked,) = second.parent.get("/bookings/my").json["data"]["items"]
    assert booked["schedule"]["id"] == scene.schedule_id
    # Before the others are told: nobody was offered a seat that was gone.
    assert (first.entry()["status"], first.entry()["position"]) == ("waiting", 1)


def test_booking_another_way_ends_the_wait_or_clashes_at_the_offer(client):
    scene = full_class(client, waiters=2)
    first, second = scene.waiters
    starts_at = db.session.get(CourseSchedule, scene.schedule_id).starts_at
    place.book(schedule_id=make_session(starts_at=starts_at), profile_id=first.profile_id, actor=first.parent.actor)
    scene.free()
    assert (first.entry()["status"], first.entry()["offer"]) == ("waiting", None)
    assert second.entry()["status"] == "offered"


def test_only_staff_send_again(client):
    scene = full_class(client, waiters=1)
    (waiter,) = scene.waiters
    assert client.post("/api/v1/waitlist/notify", json={"waitlist_id": waiter.entry_id}).status_code == 401
    for body in ({"waitlist_id": waiter.entry_id}, {"waitlist_id": 10**9}, {"waitlist_id": "1"}, None):
        refused(waiter.parent.post("/waitlist/notify", body), 403, "FORBIDDEN")


def test_staff_send_again_with_the_portals_session(client, app):
    scene = full_class(client, waiters=1)
    (waiter,) = scene.waiters
    consents.record(user_id=waiter.parent.actor.id, type="waitlist_offer", accepted=True, actor=waiter.parent.actor)
    browser = Browser(app).sign_in("front_desk")

    def notify(entry_id: int = waiter.entry_id, **headers):
        return browser.client.post("/api/v1/waitlist/notify", json={"waitlist_id": entry_id}, headers=headers)

    refused(notify(), 409, "NO_OFFER")
    refused(notify(10**9), 404, "NOT_FOUND")
    scene.free()
    consents.record(user_id=waiter.parent.actor.id, type="waitlist_offer", accepted=True, actor=waiter.parent.actor)
    refused(notify(), 409, "RESEND_LIMIT")
    with clock.travel(by=timedelta(minutes=2)):
        refused(notify(Origin="http://elsewhere.localhost"), 403, "FORBIDDEN")
        refused(notify(**{"Sec-Fetch-Site": "cross-site"}), 403, "FORBIDDEN")
        sent = notify(**{"Idempotency-Key": "again"})
        assert (sent.status_code, sent.json["data"]["kind"]) == (200, "open")
        assert notify(**{"Idempotency-Key": "again"}).json["data"] == sent.json["data"]
    assert len(waiter.parent.get(f"/waitlist/{waiter.entry_id}/notifications").json["data"]["items"]) == 2
    auditor = Browser(app).sign_in("auditor").client
    refused(auditor.post("/api/v1/waitlist/notify", json={"waitlist_id": waiter.entry_id}), 403, "FORBIDDEN")
