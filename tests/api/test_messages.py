"""/notifications, /me/notification-preferences, /me/subscriptions."""

from __future__ import annotations

import secrets

import pytest

from app import clock
from app.db import db
from app.domain.outbox.models import Notification
from tests.api.conftest import ok, refused


def put_message(someone, text: str, channel: str = "in_app", **more) -> int:
    row = Notification(
        channel=channel, type="balance_changed", queue="default", recipient="openid", family_id=someone.family_id,
        user_id=someone.user_id, payload={}, title="余额变动", text=text, page=None,
        dedupe_key=secrets.token_hex(8),
        status="sent", attempts=0, created_at=clock.now(), **more,
    )  # fmt: skip
    db.session.add(row)
    db.session.commit()
    return row.id


def test_messages_newest_first_with_cursor(parent, other):
    mine = [put_message(parent, f"第{n}条") for n in range(5)]
    put_message(other, "别人的")
    put_message(parent, "微信的", channel="wechat")
    page = ok(parent.get("/notifications?limit=2"), "list_notifications")
    assert [item["id"] for item in page["items"]] == [mine[4], mine[3]]
    assert page["unread_count"] == 5
    seen = list(page["items"])
    while page["next_cursor"]:
        page = ok(parent.get(f"/notifications?limit=2&cursor={page['next_cursor']}"), "list_notifications")
        seen += page["items"]
    assert [item["id"] for item in seen] == mine[::-1]


def test_reading(parent, other):
    first, second = put_message(parent, "一"), put_message(parent, "二")
    read = ok(parent.post(f"/notifications/{first}/read"), "read_notification")
    assert read["read_at"] is not None
    assert ok(parent.post(f"/notifications/{first}/read", key="r"), "read_notification") == read
    page = ok(parent.get("/notifications?unread=true"), "list_notifications")
    assert ([item["id"] for item in page["items"]], page["unread_count"]) == ([second], 1)
    assert len(ok(parent.get("/notifications?unread=false"), "list_notifications")["items"]) == 2
    refused(other.post(f"/notifications/{second}/read"), 404, "NOT_FOUND")
    refused(parent.post("/notifications/999999/read"), 404, "NOT_FOUND")


def test_a_key_is_for_one_message(parent):
    first, second = put_message(parent, "一"), put_message(parent, "二")
    one = ok(parent.post(f"/notifications/{first}/read", key="r"), "read_notification")
    assert ok(parent.post(f"/notifications/{first}/read", key="r"), "read_notification") == one
    refused(parent.post(f"/notifications/{second}/read", key="r"), 422, "IDEMPOTENCY_KEY_REUSED")


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"), ("limit=101", "limit"), ("limit=x", "limit"), ("limit=", "limit"), ("limit=1.5", "limit"),
        ("limit=-1", "limit"), ("limit=２", "limit"), ("limit=%31%00", "limit"), ("limit=1&limit=2", "limit"),
        ("unread=1", "unread"), ("unread=TRUE", "unread"), ("cursor=x", "cursor"), ("cursor=", "cursor"),
        ("cursor=MTp0OjU", "cursor"), ("cursor=MTpuOjA", "cursor"), ("cursor=%F0%9F%98%80", "cursor"),
        ("cursor=" + "A" * 500, "cursor"), ("cursor=AAAAA", "cursor"), ("cursor=____", "cursor"),
        ("cursor=MTpuOjEw%0A", "cursor"),
    ],
)  # fmt: skip
def test_bad_queries(parent, query, field):
    refused(parent.get(f"/notifications?{query}"), 422, "VALIDATION_FAILED", field)


def test_limits_of_a_page(parent):
    for query in ("limit=1", "limit=100", "", "nobody=knows", "cursor=MTpuOjEw"):
        ok(parent.get(f"/notifications?{query}"), "list_notifications")


# ── preferences ─────────────────────────────────────────────────────────────────────────────────────

SWITCHES = {"booking_made", "booking_cancelled", "balance_changed", "low_balance", "class_reminder"}


def test_preferences(parent, other):
    assert ok(parent.get("/me/notification-preferences"), "get_preferences") == dict.fromkeys(SWITCHES, True)
    after = ok(parent.put("/me/notification-preferences", {"low_balance": False}), "put_preferences")
    assert after == dict.fromkeys(SWITCHES, True) | {"low_balance": False}
    assert ok(parent.get("/me/notification-preferences"), "get_preferences") == after
    assert ok(parent.put("/me/notification-preferences", {}), "put_preferences") == after
    assert ok(other.get("/me/notification-preferences"), "get_preferences")["low_balance"] is True


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"arrears": False}, "arrears"),
        ({"low_balance": False, "": True}, "body"),
        ({"{label}": False}, "{label}"),
        ({"x" * 500: False}, "x" * 64),
        ({"low_balance": 0}, "low_balance"),
        ({"low_balance": None}, "low_balance"),
        ({"low_balance": "false"}, "low_balance"),
    ],
)
def test_preferences_refuse(parent, body, field):
    refused(parent.put("/me/notification-preferences", body), 422, "VALIDATION_FAILED", field)


def test_preferences_honour_a_key(parent):
    off = ok(parent.put("/me/notification-preferences", {"low_balance": False}, key="a"), "put_preferences")
    ok(parent.put("/me/notification-preferences", {"low_balance": True}, key="b"), "put_preferences")
    assert ok(parent.put("/me/notification-preferences", {"low_balance": False}, key="a"), "put_preferences") == off
    assert ok(parent.get("/me/notification-preferences"), "get_preferences")["low_balance"] is True


# ── subscriptions ───────────────────────────────────────────────────────────────────────────────────


def test_subscriptions_count_taps(app, parent, other):
    template = app.extensions["desk.settings"].templates["low_balance"]
    page = ok(parent.get("/me/subscriptions"), "list_subscriptions")
    assert len(page["items"]) == 17
    assert all(item["remaining"] == 0 for item in page["items"])
    body = {"template": template, "accepted": True}
    assert ok(parent.post("/me/subscriptions", body), "add_subscription") == {"template": template, "remaining": 1}
    assert ok(parent.post("/me/subscriptions", body, key="s"), "add_subscription")["remaining"] == 2
    assert ok(parent.post("/me/subscriptions", body, key="s"), "add_subscription")["remaining"] == 2
    assert ok(parent.post("/me/subscriptions", body | {"accepted": False}), "add_subscription")["remaining"] == 2
    items = {item["type"]: item for item in ok(parent.get("/me/subscriptions"), "list_subscriptions")["items"]}
    assert items["low_balance"] == {"type": "low_balance", "template_id": template, "remaining": 2}
    assert all(item["remaining"] == 0 for item in ok(other.get("/me/subscriptions"), "list_subscriptions")["items"])
