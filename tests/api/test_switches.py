"""Switches per capability over the contract (Z15): off refuses and changes nothing, what runs is finished."""

from __future__ import annotations

from decimal import Decimal

import pytest
import sqlalchemy as sa

from app.db import db, transaction
from app.domain.offers import advance
from app.domain.orders import refunds
from app.domain.orders.models import RefundStatus
from app.domain.outbox import delivery, service
from app.domain.policy import changes
from app.domain.policy.switches import FeatureOff
from tests.api.conftest import ok, refused
from tests.api.missing import Missing
from tests.api.test_bookings import add_student, book, set_balance
from tests.api.test_payment import create, new_order, prepay, wechat  # noqa: F401 (a fixture)
from tests.api.waiting import availability, family, full_class, join, joined
from tests.domain.desk import batches
from tests.domain.orders.refunds import paid_trial
from tests.domain.orders.steps import trial_session
from tests.domain.outbox.families import make_family, remaining, rows
from tests.factories import make_family as make_one
from tests.factories import make_session
from tests.portal import actor_of, make_staff


def switch(name: str, value: str = "off") -> None:
    changes.set_by_command(name=f"open_{name}", value=value, who="测试")


def everything() -> dict[str, int]:
    """Rows of every table but the counters of requests, and what all wallets hold."""
    db.session.rollback()
    tables = [table for table in db.metadata.sorted_tables if table.name != "rate_counts"]
    counts = {table.name: db.session.scalar(sa.select(sa.func.count()).select_from(table)) for table in tables}
    return counts | {"cents": str(db.session.scalar(sa.text("SELECT SUM(balance) FROM wallets")))}


def transaction_path(parent) -> str:
    newest = parent.get("/wallet/transactions").json["data"]["items"][0]
    return f"/wallet/transactions/{newest['id']}/question"


def missed(parent):
    child = Missing(parent, 60)
    session = child.session(60)
    return lambda: child.book(session)


def waiting(parent):
    scene = full_class(parent.client)
    waiter = family(parent.client, 7)
    return lambda: join(waiter, scene.schedule_id)


def booking(parent):
    student, session = add_student(parent), make_session()
    return lambda: book(parent, session, student)


def trial(parent):
    student, session = add_student(parent), trial_session()
    return lambda: create(parent, session, student, key="k1")


def asking(parent):
    path = transaction_path(parent)
    return lambda: parent.post(path, {"text": "为什么？"})


def withdrawing(parent):
    return lambda: parent.post("/withdrawals", {"amount": "100.00", "reason": "搬家了"}, key="k1")


@pytest.mark.parametrize(
    ("name", "act"),
    [("booking", booking), ("trial_order", trial), ("payment", trial), ("waitlist", waiting), ("makeup", missed),
     ("withdrawal", withdrawing), ("question", asking)],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_off_refuses_and_changes_nothing_and_open_does_it(parent, name, act):
    set_balance(parent, "500.00")
    attempt = act(parent)
    switch(name)
    before = everything()

    refused(attempt(), 409, "FEATURE_OFF")
    assert everything() == before
    assert ok(parent.get("/me/features"), "get_features")[name] is False

    switch(name, "all")
    assert attempt().status_code == 201, "the same request, once it is open"


def test_named_families_may_and_others_may_not(parent, other):
    session = make_session()
    switch("booking", f"families:{parent.family_id}")
    for one in (parent, other):
        set_balance(one, "500.00")
    assert book(parent, session, add_student(parent)).status_code == 201
    refused(book(other, session, add_student(other)), 409, "FEATURE_OFF")
    shown = [ok(one.get("/me/features"), "get_features")["booking"] for one in (parent, other)]
    assert shown == [True, False]


def test_a_full_class_is_not_full_for_whom_booking_is_closed(client, parent):
    """The look that answers before the transaction must not answer for the switch."""
    scene = full_class(client)
    set_balance(parent, "500.00")
    student = add_student(parent)
    refused(book(parent, scene.schedule_id, student, key="a"), 409, "SEAT_FULL")
    switch("booking")
    refused(book(parent, scene.schedule_id, student, key="b"), 409, "FEATURE_OFF")


def test_a_repetition_of_what_was_done_gets_its_answer(parent):
    set_balance(parent, "500.00")
    student, session = add_student(parent), make_session()
    first = book(parent, session, student)
    switch("booking")
    again = book(parent, session, student)
    assert (again.status_code, again.json["data"]) == (201, first.json["data"])


def test_another_familys_student_is_not_found_whatever_is_open(parent, other):
    theirs, session = add_student(other), make_session()
    switch("booking")
    refused(book(parent, session, theirs), 404, "NOT_FOUND")


def test_a_payment_under_way_is_finished(wechat, parent):  # noqa: F811
    """The attempt that runs goes on, what was paid is booked, and nobody else begins one."""
    student, session = add_student(parent), trial_session()
    order_id = new_order(parent, session, student)
    ok(prepay(parent, order_id), "create_prepay")
    switch("payment")
    switch("trial_order")

    ok(prepay(parent, order_id), "create_prepay")
    refused(prepay(parent, order_id, trade_type="NATIVE"), 409, "FEATURE_OFF")
    wechat.pay(order_id)
    booked = ok(parent.post("/bookings/confirm", {"order_id": order_id}), "confirm_booking")
    assert (booked["status"], booked["order_id"]) == ("booked", order_id)


def test_an_offer_under_way_is_confirmed_and_no_other_begins(client):
    scene = full_class(client, waiters=1)
    scene.free()
    for name in ("offers", "waitlist", "booking"):
        switch(name)
    answer = ok(scene.waiters[0].respond("confirm"), "respond_to_offer")
    assert answer["booking"]["status"] == "booked"

    late = family(client, 9)
    switch("waitlist", "all")
    joined(late, scene.schedule_id)
    made = answer["booking"]["id"]
    assert scene.waiters[0].parent.post(f"/bookings/{made}/cancel").status_code == 200
    advance.advance(schedule_id=scene.schedule_id)
    entry = late.entry()
    assert (entry["status"], entry["offer"]) == ("waiting", None), "nobody is told"
    assert availability(late.parent, scene.schedule_id)["available"] == 1, "and the seat is on sale"


def test_wechat_refunds_are_asked_by_no_one_and_the_asked_one_goes_out(app):
    paid = paid_trial()
    asked = {"amount": Decimal("100.00"), "reason": "家长改期不来", "note": "电话确认", "order_id": paid.order_id,
             "refund_to": "original", "actor": actor_of(paid.finance)}  # fmt: skip
    number = refunds.ask(**asked)
    switch("wechat_refund")
    before = everything()
    with pytest.raises(FeatureOff, match="退到余额"):
        refunds.ask(**asked)
    assert everything() == before
    assert refunds.approve(refund_no=number, actor=actor_of(paid.manager)) == RefundStatus.APPROVED
    assert refunds.ask(**asked | {"refund_to": "wallet"}), "the other ways stay open"


def test_a_message_goes_in_app_and_its_consent_is_kept(app):
    facts = {"course": "启蒙课", "amount": "200.00", "result": "支付成功", "time": "2026-11-20T11:00:00+00:00",
             "remark": "好"}  # fmt: skip
    family_id, [user_id] = make_family(consents={"payment_result": 1})
    with transaction():
        [row_id] = service.tell_family(family_id, "payment_result", facts, dedupe="1")
    switch("wechat_message")

    assert delivery.claim(notification_id=row_id) is None
    told = rows(user_id=user_id)
    assert [(one.channel, one.status, one.error_code) for one in told] == [
        ("wechat", "suppressed", "feature_off"), ("in_app", "sent", None),
    ]  # fmt: skip
    assert remaining(user_id, "payment_result") == 1


def test_sheets_are_not_taken_while_they_are_switched_off(app):
    changes.set_by_command(name="bulk_adjustments", value="off", who="测试")
    before = everything()
    with pytest.raises(FeatureOff, match="逐笔调整"):
        batches.draft(make_staff("finance"), [batches.cells(make_one())])
    assert everything()["adjustment_batches"] == before["adjustment_batches"]
