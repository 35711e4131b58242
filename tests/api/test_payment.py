"""Trial orders over the contract, and WeChat Pay's callbacks (O1–O9, 95, 96.38–51)."""

from __future__ import annotations

import uuid
from datetime import timedelta

import pytest
import sqlalchemy as sa

from app import clock
from app.db import db, transaction
from app.domain.audit.models import AuditEntry
from app.domain.cases.models import MoneyCase
from app.domain.catalog.models import CourseSchedule
from app.domain.orders.models import CallbackNonce, PaymentNotification, PaymentOrder, PaymentTransaction
from app.domain.people.models import Profile
from app.flows import outbound
from app.flows.payments import expire
from sandbox.pay_callbacks import headers_for, seal
from sandbox.pay_state import trade
from tests.api.conftest import ok, refused
from tests.domain.orders.steps import seats, trial_session
from tests.factories import make_session

CREATE, PREPAY = "/payment/orders/create", "/payment/wxpay/create"
CALLBACK = "/api/v1/payment/wxpay/callback"


@pytest.fixture
def wechat(sandbox):
    sandbox.set_fault("wxpay", drop_callbacks=True)
    outbound.note_answer()
    return sandbox


@pytest.fixture
def student(parent) -> int:
    return child(parent)


def child(parent, name: str = "小雨") -> int:
    with transaction():
        made = Profile(family_id=parent.family_id, name=name, gender="unknown", created_at=clock.now())
        db.session.add(made)
        db.session.flush()
        return made.id


def create(parent, session: int, student: int, key: str | None = None, **more):
    body = {"course_schedule_id": session, "profile_id": student} | more
    return parent.post(CREATE, body, headers={"Idempotency-Key": key or uuid.uuid4().hex})


def new_order(parent, session: int, student: int) -> str:
    return ok(create(parent, session, student), "create_order")["order_id"]


def prepay(parent, order_id: str, **more):
    return parent.post(PREPAY, {"order_id": order_id} | more)


def test_an_order_and_its_end(wechat, parent, student):
    session = trial_session()
    made = ok(create(parent, session, student, amount="200.00"), "create_order")
    assert (made["status"], made["status_text"], made["seat_status"], made["next_action"]) == (
        "pending", "待支付", "held", "pay",
    )  # fmt: skip
    assert (made["amount"], made["currency"], made["booking_id"], made["refunds"]) == ("200.00", "CNY", None, [])
    assert made["schedule"]["my_state"] == "held"
    assert (made["schedule"]["held"], made["schedule"]["available"]) == (1, 5)
    assert made["hold"]["status"] == "temporary"
    assert ok(parent.get(f"/payment/orders/{made['order_id']}"), "get_order")["order_id"] == made["order_id"]
    cancelled = ok(parent.post(f"/payment/orders/{made['order_id']}/cancel"), "cancel_order")
    assert (cancelled["status"], cancelled["next_action"]) == ("cancelled", "none")
    assert seats(session) == (0, 0)


def test_the_same_session_again_is_given_back_with_200(parent, student):
    session, key = trial_session(), uuid.uuid4().hex
    first = ok(create(parent, session, student, key), "create_order")
    again = ok(create(parent, session, student), "create_order", status=200)
    assert again["order_id"] == first["order_id"]
    replay = ok(create(parent, session, student, key), "create_order")
    assert replay["order_id"] == first["order_id"]
    refused(create(parent, trial_session(), student, key), 422, "IDEMPOTENCY_KEY_REUSED")
    refused(create(parent, trial_session(), student), 409, "TRIAL_ALREADY_BOOKED")


def test_refusals_of_an_order(parent, other, student):
    session = trial_session()
    refused(parent.post(CREATE, {"course_schedule_id": session, "profile_id": student}), 400,
            "IDEMPOTENCY_KEY_REQUIRED")  # fmt: skip
    body = refused(create(parent, session, student, amount="199.00"), 422, "AMOUNT_MISMATCH", "amount")
    assert body["data"] == {"amount": "200.00"}
    refused(create(parent, session, student, amount=200), 422, "VALIDATION_FAILED", "amount")
    refused(create(parent, session, student, amount="2e2"), 422, "VALIDATION_FAILED", "amount")
    refused(create(parent, 10**9, student), 404, "SCHEDULE_NOT_FOUND")
    refused(create(parent, session, child(other)), 404, "NOT_FOUND")
    refused(create(parent, make_session(), student), 409, "NOT_A_TRIAL_CLASS")
    refused(create(parent, trial_session(status="cancelled"), student), 409, "SCHEDULE_CANCELLED")


def test_a_full_class_offers_others(parent, student):
    full = trial_session(capacity=1, booked=1)
    course = db.session.get(CourseSchedule, full).course_id
    free = make_session(course, starts_in=timedelta(days=3))
    body = refused(create(parent, full, student), 409, "SEAT_FULL")
    assert [one["id"] for one in body["data"]["alternatives"]] == [free]
    assert {"waitlist_count", "waitlist_capacity"} <= set(body["data"])


def test_nobody_elses_order(wechat, parent, other, student):
    order_id = new_order(parent, trial_session(), student)
    for number in (order_id, "0" * 32, "x"):
        refused(other.get(f"/payment/orders/{number}"), 404, "NOT_FOUND")
        refused(other.post(f"/payment/orders/{number}/cancel"), 404, "NOT_FOUND")
        refused(prepay(other, number), 404, "NOT_FOUND")
        refused(other.get(f"/payment/wxpay/qrcode/{number}"), 404, "NOT_FOUND")
        for path in ("/bookings/seat-reserve", "/bookings/confirm"):
            refused(other.post(path, {"order_id": number}), 404, "NOT_FOUND")
    for path in ("/bookings/seat-reserve", "/bookings/confirm", PREPAY):
        for number in ("订单", "\U0001f9fe", order_id + "\u00a9", order_id + "\n"):
            refused(other.post(path, {"order_id": number}), 404, "NOT_FOUND")
    assert db.session.query(PaymentOrder).one().status == "pending"


def test_paying_and_confirming(wechat, parent, student):
    session = trial_session()
    order_id = new_order(parent, session, student)
    begun = ok(prepay(parent, order_id), "create_prepay")
    assert (begun["trade_type"], begun["code_url"]) == ("JSAPI", None)
    assert set(begun["pay_params"]) == {"appId", "timeStamp", "nonceStr", "package", "signType", "paySign"}
    pending = parent.post("/bookings/confirm", {"order_id": order_id})
    assert pending.status_code == 202
    assert pending.get_json()["data"] == {"status": "pending", "retry_after": 3}
    assert ok(parent.get(f"/payment/orders/{order_id}"), "get_order")["status"] == "pending"
    wechat.pay(order_id)
    # A reader waits for five seconds; who says that they have paid is asked about at once (O5, 96.48).
    assert ok(parent.get(f"/payment/orders/{order_id}"), "get_order")["status"] == "pending"
    booking = ok(parent.post("/bookings/confirm", {"order_id": order_id}), "confirm_booking")
    assert (booking["kind"], booking["source"], booking["order_id"]) == ("trial", "wechat_pay", order_id)
    refused(prepay(parent, order_id), 409, "ORDER_NOT_PAYABLE")
    shown = ok(parent.post(f"/payment/orders/{order_id}/cancel"), "cancel_order")
    assert (shown["status"], shown["booking_id"]) == ("paid", booking["id"])
    refused(parent.post(f"/bookings/{booking['id']}/leave"), 409, "LEAVE_NOT_ALLOWED")


def test_holds_and_the_clock(wechat, parent, student):
    session = trial_session()
    order_id = new_order(parent, session, student)
    hold = ok(parent.post("/bookings/seat-reserve", {"order_id": order_id}), "reserve_seat")
    assert set(hold) == {"reservation_id", "status", "expires_at", "seconds_left"}
    now = clock.now()
    with clock.travel(to=now + timedelta(minutes=16)):
        shown = ok(parent.get(f"/payment/orders/{order_id}"), "get_order")
        assert (shown["seat_status"], shown["next_action"]) == ("released", "reserve")
        refused(prepay(parent, order_id), 409, "ORDER_NOT_PAYABLE")
        refused(parent.get(f"/payment/wxpay/qrcode/{order_id}"), 409, "ORDER_NOT_PAYABLE")
        assert ok(parent.post("/bookings/seat-reserve", {"order_id": order_id}), "reserve_seat")["seconds_left"] > 0
    with clock.travel(to=now + timedelta(minutes=31)):
        assert ok(parent.get(f"/payment/orders/{order_id}"), "get_order")["status"] == "expired"
        refused(prepay(parent, order_id), 409, "ORDER_EXPIRED")
        refused(parent.get(f"/payment/wxpay/qrcode/{order_id}"), 409, "ORDER_EXPIRED")
        refused(parent.post("/bookings/seat-reserve", {"order_id": order_id}), 409, "ORDER_EXPIRED")
        refused(parent.post("/bookings/confirm", {"order_id": order_id}), 409, "ORDER_EXPIRED")


def test_releasing_is_cancelling(wechat, parent, student):
    order_id = new_order(parent, trial_session(), student)
    released = ok(parent.delete("/bookings/seat-release", {"order_id": order_id}), "release_seat")
    assert (released["status"], released["seat_status"]) == ("cancelled", "released")
    refused(parent.post("/bookings/confirm", {"order_id": order_id}), 409, "ORDER_NOT_PAYABLE")


def test_a_release_may_name_its_order_in_the_address(wechat, parent, other, student):
    """A DELETE often cannot carry a body (96.22)."""
    order_id = new_order(parent, trial_session(), student)
    path = f"/bookings/seat-release?order_id={order_id}"
    refused(other.call("DELETE", path), 404, "NOT_FOUND")
    refused(parent.call("DELETE", "/bookings/seat-release"), 422, "VALIDATION_FAILED", "order_id")
    refused(parent.call("DELETE", f"{path}&order_id=x"), 422, "VALIDATION_FAILED", "order_id")
    # Said in both places, the body holds.
    refused(parent.delete(path, {"order_id": "f" * 32}), 404, "NOT_FOUND")
    first = ok(parent.call("DELETE", path, key="release"), "release_seat")
    assert (first["status"], first["seat_status"]) == ("cancelled", "released")
    assert ok(parent.call("DELETE", path, key="release"), "release_seat") == first
    elsewhere = parent.call("DELETE", f"/bookings/seat-release?order_id={'f' * 32}", key="release")
    refused(elsewhere, 422, "IDEMPOTENCY_KEY_REUSED")


@pytest.mark.parametrize("reported", [None, "failed"])
def test_an_end_is_told_the_same_before_and_after_its_job(wechat, parent, student, reported):
    """The clock says that an order is over; whether the job has written so changes no answer (96.43, 96.81)."""
    order_id = new_order(parent, trial_session(), student)
    if reported:
        ok(prepay(parent, order_id), "create_prepay")
        ok(parent.post(f"/payment/orders/{order_id}/cancel", {"result": reported}), "cancel_order")

    def answers():
        refused(prepay(parent, order_id), 409, "ORDER_EXPIRED")
        refused(parent.get(f"/payment/wxpay/qrcode/{order_id}"), 409, "ORDER_EXPIRED")
        refused(parent.post("/bookings/seat-reserve", {"order_id": order_id}), 409, "ORDER_EXPIRED")
        refused(parent.post("/bookings/confirm", {"order_id": order_id}), 409, "ORDER_EXPIRED")

    with clock.travel(to=clock.now() + timedelta(minutes=31)):
        answers()
        assert expire(order_id, None)
        assert ok(parent.get(f"/payment/orders/{order_id}"), "get_order")["status"] == (reported or "expired")
        answers()


def test_a_key_is_good_for_one_report(wechat, parent, student):
    order_id, key = new_order(parent, trial_session(), student), {"Idempotency-Key": "report-1"}
    path = f"/payment/orders/{order_id}/cancel"
    first = ok(parent.post(path, {"result": "failed", "reason": "余额不足"}, headers=key), "cancel_order")
    assert (first["status"], first["next_action"]) == ("pending", "reserve")
    assert ok(parent.post(path, {"result": "failed", "reason": "余额不足"}, headers=key), "cancel_order") == first
    refused(parent.post(path, {"result": "cancelled"}, headers=key), 422, "IDEMPOTENCY_KEY_REUSED")
    refused(parent.post(path, {"result": "done"}), 422, "VALIDATION_FAILED", "result")


@pytest.mark.parametrize(("kind", "start", "mimetype"), [
    ("png", b"\x89PNG", "image/png"), ("svg", b"<?xml", "image/svg+xml"),
])  # fmt: skip
def test_the_code_to_scan(wechat, parent, student, kind, start, mimetype):
    order_id = new_order(parent, trial_session(), student)
    image = parent.get(f"/payment/wxpay/qrcode/{order_id}?format={kind}")
    assert image.status_code == 200
    assert image.mimetype == mimetype
    assert image.headers["Cache-Control"] == "no-store"
    assert image.data.startswith(start)
    if kind == "png":
        width = int.from_bytes(image.data[16:20], "big")
        assert 300 <= width <= 700
    assert ok(prepay(parent, order_id, trade_type="NATIVE"), "create_prepay")["code_url"].startswith("weixin://")
    refused(parent.get(f"/payment/wxpay/qrcode/{order_id}?format=gif"), 422, "VALIDATION_FAILED", "format")


def test_wechat_pay_away(wechat, parent, student):
    session = trial_session()
    order_id = new_order(parent, session, student)
    wechat.set_fault("wxpay", down="reset")
    answer = prepay(parent, order_id)
    refused(answer, 503, "PAYMENT_UNAVAILABLE")
    assert answer.headers["Retry-After"]
    assert seats(session) == (0, 1)
    assert ok(parent.get(f"/payment/orders/{order_id}"), "get_order")["status"] == "pending"


# ── callbacks ───────────────────────────────────────────────────────────────────────────────────────


def notice(wechat, order_id: str, *, number: str = "EV-1", **changed):
    """WeChat's words of a payment of this order, signed; (headers, body)."""
    account = wechat.state.pay.account
    plain = trade(wechat.state.pay.order(order_id)) | {"trade_state": "SUCCESS"} | changed
    body = seal(account, "TRANSACTION.SUCCESS", plain, "transaction", number)
    return headers_for(account, body), body


def tell(client, headers, body, path: str = CALLBACK):
    return client.post(path, data=body, headers=headers | {"Content-Type": "application/json"})


def paid_order(wechat, parent, student, session=None) -> str:
    order_id = new_order(parent, session or trial_session(), student)
    ok(prepay(parent, order_id), "create_prepay")
    assert wechat.pay(order_id) == ""
    return order_id


@pytest.mark.parametrize("path", [CALLBACK, "/api/v1/payment/wxpay/refund-callback"])
def test_a_callback_settles(wechat, client, parent, student, path):
    session = trial_session()
    order_id = paid_order(wechat, parent, student, session)
    answer = tell(client, *notice(wechat, order_id), path)
    assert (answer.status_code, answer.get_json()) == (200, {"code": "SUCCESS", "message": "成功"})
    assert seats(session) == (1, 0)
    stored = db.session.query(PaymentNotification).one()
    assert (stored.notification_id, stored.outcome, stored.number) == ("EV-1", "settled", order_id)
    assert stored.resource["amount"]["total"] == 20000


def test_the_same_and_others_of_the_same_settle_once(wechat, client, parent, student):
    session = trial_session()
    order_id = paid_order(wechat, parent, student, session)
    same = notice(wechat, order_id)
    assert [tell(client, *same).status_code for _ in range(3)] == [200, 200, 200]
    assert tell(client, *notice(wechat, order_id, number="EV-2")).status_code == 200
    assert seats(session) == (1, 0)
    assert db.session.query(PaymentTransaction).count() == 1
    assert db.session.query(PaymentNotification).count() == 2
    assert db.session.scalar(sa.select(sa.func.count()).where(AuditEntry.action == "order.paid")) == 1


def counted() -> dict[str, int]:
    tables = (PaymentNotification, PaymentTransaction, CallbackNonce, MoneyCase, AuditEntry, PaymentOrder)
    return {table.__tablename__: db.session.query(table).count() for table in tables}


def test_what_does_not_verify_leaves_no_row_and_asks_nobody(wechat, client, parent, student):
    order_id = paid_order(wechat, parent, student)
    headers, body = notice(wechat, order_id)
    before, calls = counted(), len(wechat.calls())
    wrong = [
        ({}, body, 401), (headers | {"Wechatpay-Serial": "0" * 40}, body, 401),
        (headers | {"Wechatpay-Signature": "WECHATPAY/SIGNTEST/x"}, body, 401),
        (headers | {"Wechatpay-Timestamp": "1700000000"}, body, 401), (headers, body + b" ", 401),
        (headers, b"x" * 70_000, 413),
        (headers_for(wechat.state.pay.account, b"rubbish"), b"rubbish", 400),
    ]  # fmt: skip
    for sent, data, status in wrong:
        answer = tell(client, sent, data)
        assert answer.status_code == status
        assert answer.get_json()["code"] == "FAIL"
    assert counted() == before
    assert len(wechat.calls()) == calls
    assert tell(client, headers, body).status_code == 200


@pytest.mark.parametrize("changed", [
    {"amount": {"total": 19999, "currency": "CNY"}}, {"amount": {"total": 20000, "currency": "USD"}},
    {"mchid": "1"}, {"appid": "wx-other"}, {"payer": {"openid": "a-stranger"}},
])  # fmt: skip
def test_a_mismatch_is_stored_and_not_settled(wechat, client, parent, student, changed):
    order_id = paid_order(wechat, parent, student)
    assert tell(client, *notice(wechat, order_id, **changed)).status_code == 200
    assert db.session.query(PaymentNotification).one().outcome == "mismatch"
    assert db.session.query(MoneyCase).one().kind == "mismatch"
    assert db.session.query(PaymentOrder).one().status == "pending"
    # The true one still settles (96.47).
    assert tell(client, *notice(wechat, order_id, number="EV-2")).status_code == 200
    assert db.session.query(PaymentOrder).one().status == "paid"


def test_an_unknown_order_is_stored_and_on_the_board(wechat, client, parent, student):
    order_id = paid_order(wechat, parent, student)
    assert tell(client, *notice(wechat, order_id, out_trade_no="f" * 32)).status_code == 200
    assert db.session.query(MoneyCase).one().kind == "unknown_payment"
    assert db.session.query(PaymentOrder).one().status == "pending"


def test_what_is_neither_success_nor_known_is_kept_and_ignored(wechat, client, parent, student):
    order_id = paid_order(wechat, parent, student)
    assert tell(client, *notice(wechat, order_id, trade_state="NOTPAY")).status_code == 200
    assert db.session.query(PaymentNotification).one().outcome == "ignored"
    assert db.session.query(PaymentOrder).one().status == "pending"


def test_a_nonce_once_used_is_good_for_nothing_else(wechat, client, parent, student):
    order_id = paid_order(wechat, parent, student)
    headers, body = notice(wechat, order_id)
    tell(client, headers, body)
    other = seal(wechat.state.pay.account, "TRANSACTION.SUCCESS", trade(wechat.state.pay.order(order_id)),
                 "transaction", "EV-3")  # fmt: skip
    again = headers_for(wechat.state.pay.account, other)
    from sandbox.pay_callbacks import sign

    stamp, nonce = headers["Wechatpay-Timestamp"], headers["Wechatpay-Nonce"]
    again |= {
        "Wechatpay-Timestamp": stamp, "Wechatpay-Nonce": nonce,
        "Wechatpay-Signature": sign(wechat.state.pay.account, stamp, nonce, other),
    }  # fmt: skip
    assert tell(client, again, other).status_code == 401


def test_callbacks_are_posts(client):
    assert client.get(CALLBACK).status_code == 405
