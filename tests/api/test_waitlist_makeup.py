"""Waiting with a credit over the contract: joining, changing how a seat would be taken, confirming (Q22, 95)."""

from __future__ import annotations

import pytest

from app.db import db
from app.domain.catalog.models import CourseSchedule
from app.domain.waitlist.models import WaitlistEntry
from tests.api.conftest import ok, refused, sign_in
from tests.api.missing import Missing
from tests.api.waiting import Scene, Waiter, full_class, join, joined
from tests.factories import make_session

MEANS = ("credit_id", "use_compensation", "accept_shorter", "auto_accept")


@pytest.fixture
def scene(client) -> Scene:
    """A full class of 60 minutes, which nobody waits for yet."""
    return full_class(client)


@pytest.fixture
def away(client) -> Missing:
    return Missing(sign_in(client, "openid-test-away-0001"), 60, 90, name="补补")


def waiter(away: Missing) -> Waiter:
    return Waiter(away.parent, away.profile_id)


def patch(one: Waiter, **changes):
    return one.parent.patch(f"/waitlist/{one.entry_id}", changes)


def means(entry: dict) -> tuple:
    return tuple(entry[name] for name in MEANS)


def test_joining_with_a_credit_and_confirming_with_it(scene, away):
    one = waiter(away)
    credit = away.credit_id()
    entry = joined(one, scene.schedule_id, credit_id=credit)["entry"]
    assert means(entry) == (credit, False, False, False)
    assert one.entry() == entry
    scene.free()
    before = one.parent.get("/wallet/balance").json["data"]["balance"]
    done = ok(one.respond("confirm"), "respond_to_offer")
    assert (done["booking"]["kind"], done["booking"]["price"], done["order"]) == ("makeup", "0.00", None)
    assert (done["entry"]["status"], means(done["entry"])) == ("confirmed", (credit, False, False, False))
    assert one.parent.get("/wallet/balance").json["data"]["balance"] == before
    assert away.credits("?status=booked")["items"][0]["makeup_booking"]["id"] == done["booking"]["id"]
    refused(patch(one, credit_id=None), 409, "INVALID_STATE")


def test_consent_in_advance_with_a_credit(scene, away):
    one = waiter(away)
    entry = joined(one, scene.schedule_id, credit_id=away.credit_id(1), accept_shorter=True, auto_accept=True)["entry"]
    assert means(entry) == (away.credit_id(1), False, True, True)
    scene.free()
    assert (one.entry()["status"], away.minutes()) == ("confirmed", 30)


def test_refused_when_joining(scene, away, other):
    one = waiter(away)
    asked = refused(join(one, scene.schedule_id, credit_id=away.credit_id(1)), 409, "SHORTER_CLASS")
    assert asked["message"] == "本课程仅1小时，比您原课程少0.5小时，是否确认预约？"
    foreign = Missing(other, 60).credit_id()
    for number in (foreign, 10**9, 0, -1, 2**62):
        refused(join(one, scene.schedule_id, credit_id=number), 404, "CREDIT_NOT_FOUND")
    long = away.session(90, capacity=1, booked=1)
    needed = {"needed": 30, "available": 0, "missing": 30}
    refusal = refused(
        join(one, long, credit_id=away.credit_id(), use_compensation=True), 409, "NOT_ENOUGH_COMPENSATION"
    )
    assert refusal["data"] == needed
    vip = away.session(60, type_code="vip", capacity=1, booked=1)
    refused(join(one, vip, credit_id=away.credit_id()), 409, "TYPE_NOT_ALLOWED")
    away.booked(away.session(60))
    refused(join(one, scene.schedule_id, credit_id=away.credit_id()), 409, "NO_CREDIT")
    assert db.session.query(WaitlistEntry).count() == 0


def test_a_full_queue_offers_what_the_credit_can_be_used_for(client, scene, away):
    joined(waiter(Missing(sign_in(client, "openid-test-away-0002"), name="前面")), scene.schedule_id)
    session = db.session.get(CourseSchedule, scene.schedule_id)
    session.waitlist_capacity = 1
    db.session.commit()
    free = make_session(session.course_id)
    body = refused(join(waiter(away), scene.schedule_id, credit_id=away.credit_id()), 409, "WAITLIST_FULL")
    assert free in [one["id"] for one in body["data"]["alternatives"]]


def test_changing_how_the_seat_would_be_taken(scene, away, other):
    one = waiter(away)
    joined(one, scene.schedule_id)
    credit, longer = away.credit_id(), away.credit_id(1)
    assert means(ok(patch(one, credit_id=credit), "patch_wait")) == (credit, False, False, False)
    # A switch that is null was not said, a credit that is null was.
    assert means(ok(patch(one, auto_accept=None), "patch_wait")) == (credit, False, False, False)
    refused(patch(one, credit_id=longer), 409, "SHORTER_CLASS")
    refused(patch(one, credit_id=Missing(other, 60).credit_id()), 404, "CREDIT_NOT_FOUND")
    for wrong, field in (({"credit_id": "7"}, "credit_id"), ({"accept_shorter": 1}, "accept_shorter")):
        refused(patch(one, **wrong), 422, "VALIDATION_FAILED", field)
    assert means(one.entry()) == (credit, False, False, False)
    done = ok(patch(one, credit_id=longer, accept_shorter=True, auto_accept=True), "patch_wait")
    assert means(done) == (longer, False, True, True)
    back = ok(patch(one, credit_id=None), "patch_wait")
    assert means(back) == (None, False, True, True)
    scene.free()
    assert one.entry()["status"] == "confirmed"
    assert len(away.credits("?status=available")["items"]) == 2, "paid from the wallet"
    (booking,) = one.parent.get("/bookings/my?status=booked").json["data"]["items"]
    assert (booking["kind"], booking["price"]) == ("regular", "200.00")


def test_used_elsewhere_between_offer_and_answer(scene, away):
    one = waiter(away)
    joined(one, scene.schedule_id, credit_id=away.credit_id())
    scene.free()
    away.booked(away.session(60))
    refused(one.respond("confirm"), 409, "NO_CREDIT")
    # The offer still stands, and the wallet may pay instead.
    ok(patch(one, credit_id=None), "patch_wait")
    assert ok(one.respond("confirm"), "respond_to_offer")["booking"]["kind"] == "regular"
