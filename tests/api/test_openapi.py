"""The document is valid, complete, bare, and readable without an outside host (96.19)."""

from __future__ import annotations

import re

import pytest

from app.api.v1 import openapi
from app.api.v1.codes import CODES
from app.api.v1.contract import ENDPOINTS

#: what this release serves, as the contract writes it
CALLS = {
    ("post", "/auth/login"): {"code", "nickname", "consent_version"},
    ("post", "/auth/refresh"): {"refresh_token"},
    ("post", "/auth/logout"): None,
    ("post", "/auth/phone"): {"code"},
    ("get", "/me"): None,
    ("patch", "/me"): {"nickname", "real_name"},
    ("get", "/profiles"): None,
    ("post", "/profiles"): {"name", "birthday", "gender", "level"},
    ("patch", "/profiles/{profile_id}"): {"name", "birthday", "gender", "level"},
    ("get", "/me/notification-preferences"): None,
    ("put", "/me/notification-preferences"): {
        "booking_made", "booking_cancelled", "balance_changed", "low_balance", "class_reminder",
    },
    ("get", "/me/features"): None,
    ("get", "/me/subscriptions"): None,
    ("post", "/me/subscriptions"): {"template", "accepted"},
    ("get", "/notifications"): None,
    ("post", "/notifications/{notification_id}/read"): None,
    ("get", "/wallet"): None,
    ("get", "/wallet/balance"): None,
    ("get", "/wallet/transactions"): None,
    ("post", "/wallet/transactions/{transaction_id}/question"): {"text"},
    ("post", "/withdrawals"): {"amount", "reason"},
    ("get", "/withdrawals/my"): None,
    ("post", "/withdrawals/{withdrawal_id}/cancel"): None,
    ("get", "/schedules"): None,
    ("get", "/schedules/{schedule_id}"): None,
    ("get", "/schedules/{schedule_id}/availability"): None,
    ("post", "/bookings"): {"course_schedule_id", "profile_id", "price"},
    ("get", "/bookings/my"): None,
    ("get", "/bookings/{booking_id}"): None,
    ("post", "/bookings/{booking_id}/cancel"): {"reason"},
    ("post", "/bookings/{booking_id}/leave"): {"reason"},
    ("post", "/bookings/seat-reserve"): {"order_id"},
    ("delete", "/bookings/seat-release"): {"order_id"},
    ("post", "/bookings/confirm"): {"order_id"},
    ("post", "/payment/orders/create"): {"course_schedule_id", "profile_id", "amount"},
    ("get", "/payment/orders/{order_id}"): None,
    ("post", "/payment/orders/{order_id}/cancel"): {"result", "reason"},
    ("post", "/payment/wxpay/create"): {"order_id", "trade_type"},
    ("get", "/payment/wxpay/qrcode/{order_id}"): None,
    ("post", "/waitlist/join"): {
        "course_schedule_id", "profile_id", "auto_accept", "credit_id", "use_compensation", "accept_shorter",
    },
    ("get", "/waitlist/my"): None,
    ("get", "/waitlist/position/{waitlist_id}"): None,
    ("patch", "/waitlist/{waitlist_id}"): {"auto_accept", "credit_id", "use_compensation", "accept_shorter"},
    ("delete", "/waitlist/{waitlist_id}"): None,
    ("put", "/waitlist/{waitlist_id}/respond"): {"action"},
    ("get", "/waitlist/{waitlist_id}/notifications"): None,
    ("post", "/waitlist/notify"): {"waitlist_id"},
    ("get", "/makeup/my"): None,
    ("get", "/makeup/available"): None,
    ("post", "/makeup/book"): {
        "course_schedule_id", "profile_id", "original_booking_id", "use_compensation", "accept_shorter",
    },
    ("delete", "/makeup/{makeup_booking_id}/cancel"): None,
    ("post", "/makeup/credits/{credit_id}/request"): {"text", "wishes"},
    ("get", "/compensation/balance"): None,
    ("get", "/compensation/history"): None,
}  # fmt: skip
#: what is no call of a phone: WeChat's, and what lies beside the contract; the fields of a body, None without one
OTHERS = {
    ("post", "/payment/wxpay/callback"): {
        "id", "create_time", "resource_type", "event_type", "summary", "resource",
    },
    ("post", "/payment/wxpay/refund-callback"): {
        "id", "create_time", "resource_type", "event_type", "summary", "resource",
    },
    ("get", "/openapi.json"): None,
    ("get", "/api/docs"): None,
    ("get", "/healthz"): None,
    ("get", "/readyz"): None,
    ("get", "/metrics"): None,
}  # fmt: skip
ANSWERS = {
    "login": "access_token expires_in refresh_token user profiles wallet",
    "refresh": "access_token expires_in refresh_token",
    "get_me": "id nickname real_name phone_masked member_status registered_at family_id",
    "add_profile": "id name birthday gender level status",
    "list_profiles": "items next_cursor",
    "list_subscriptions": "items next_cursor",
    "add_subscription": "template remaining",
    "list_notifications": "items next_cursor unread_count",
    "read_notification": "id type title text page created_at read_at",
    "get_wallet": "balance currency status state state_text overdraft_limit available booking_allowed members",
    "get_balance": "balance state updated_at",
    "list_transactions": "items next_cursor",
    "list_schedules": "items next_cursor",
    "get_schedule": "id course_name course_type level coach venue starts_at ends_at duration_minutes price status"
    " capacity booked held available waitlist_count waitlist_capacity my_state",
    "get_availability": "capacity booked held kept_for_waitlist available waitlist_count waitlist_capacity my_state",
    "make_booking": "booking balance",
    "get_booking": "id kind status status_text source price schedule profile_id profile_name order_id created_at"
    " can_cancel can_leave cancel_until",
    "list_bookings": "items next_cursor",
    "cancel_booking": "booking refund_amount balance",
    "leave_booking": "booking makeup_credit",
    "reserve_seat": "reservation_id status expires_at seconds_left",
    "create_order": "order_id status status_text seat_status amount currency schedule profile_id created_at expires_at"
    " paid_at closing hold booking_id refunds next_action",
    "join_waitlist": "waitlist_id position estimated_wait_time alternatives entry",
    "list_waits": "items next_cursor",
    "get_position": "position queue_length estimated_wait_time offer",
    "patch_wait": "id status status_text position queue_length schedule profile_id profile_name joined_at auto_accept"
    " credit_id use_compensation accept_shorter offer",
    "leave_wait": "id status status_text position queue_length schedule profile_id profile_name joined_at auto_accept"
    " credit_id use_compensation accept_shorter offer",
    "respond_to_offer": "entry booking order clashes",
    "list_notices": "items next_cursor",
    "create_prepay": "order_id trade_type expires_at pay_params code_url",
    "list_credits": "items next_cursor compensation_minutes compensation_hint",
    "list_choices": "items next_cursor compensation_minutes compensation_hint",
    "book_makeup": "makeup_booking_id booking duration_difference compensation_used compensation_earned"
    " remaining_compensation",
    "cancel_makeup": "booking credit remaining_compensation",
    "ask_for_makeup": "id status",
    "get_minutes": "minutes lots",
    "list_minutes": "items next_cursor",
}
QUERIES = {
    "list_notifications": {"cursor", "limit", "unread"},
    "list_transactions": {"type", "date_from", "date_to", "profile_id", "cursor", "limit"},
    "list_schedules": {
        "date_from",
        "date_to",
        "type",
        "level",
        "venue_id",
        "coach_id",
        "available",
        "profile_id",
        "cursor",
        "limit",
    },
    "get_schedule": {"profile_id"},
    "get_availability": {"profile_id"},
    "list_bookings": {"status", "cursor", "limit"},
    "get_qrcode": {"format"},
    "release_seat": {"order_id"},
    "list_waits": {"status"},
    "list_credits": {"status", "cursor", "limit"},
    "list_choices": {
        "credit_id", "date_from", "date_to", "time_from", "time_to", "venue_id", "coach_id", "weekday", "cursor",
        "limit",
    },
    "get_minutes": {"profile_id"},
    "list_minutes": {"profile_id", "cursor", "limit"},
}  # fmt: skip


@pytest.fixture
def document(client):
    response = client.get("/api/v1/openapi.json")
    assert response.mimetype == "application/json"
    return response.get_json()


def operations(document):
    return {
        (method, path.removeprefix("/api/v1")): operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }


def resolve(document, schema):
    return document["components"]["schemas"][schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema


def test_every_call_with_its_body(document):
    found = operations(document)
    assert set(found) == set(CALLS | OTHERS)
    for call, fields in (CALLS | OTHERS).items():
        body = found[call].get("requestBody")
        assert (body is None) == (fields is None), call
        if body:
            schema = resolve(document, body["content"]["application/json"]["schema"])
            assert set(schema["properties"]) == fields, call


@pytest.mark.parametrize("name", ANSWERS)
def test_every_answer_has_the_fields_of_the_contract(document, name):
    operation = next(op for op in operations(document).values() if op["operationId"] == name)
    made = ("add_profile", "make_booking", "create_order", "join_waitlist", "book_makeup", "ask_for_makeup")
    status = "201" if name in made else "200"
    envelope = operation["responses"][status]["content"]["application/json"]["schema"]
    assert set(envelope["required"]) == {"code", "message", "data", "request_id"}
    data = resolve(document, envelope["properties"]["data"])
    assert set(data["properties"]) == set(ANSWERS[name].split())
    assert set(data["required"]) >= set(ANSWERS[name].split()) - {"currency"}


@pytest.mark.parametrize("name", QUERIES)
def test_every_query(document, name):
    operation = next(op for op in operations(document).values() if op["operationId"] == name)
    asked = {p["name"]: p["required"] for p in operation["parameters"] if p["in"] == "query"}
    assert set(asked) == QUERIES[name]
    needed = {"list_choices": {"credit_id"}, "get_minutes": {"profile_id"}, "list_minutes": {"profile_id"}}
    assert {field for field, required in asked.items() if required} == needed.get(name, set())


def test_structure(document):
    assert document["openapi"] == "3.1.0"
    assert set(document) == {"openapi", "info", "servers", "tags", "paths", "components"}
    assert {"title", "version"} <= set(document["info"])
    ids = [operation["operationId"] for operation in operations(document).values()]
    assert len(ids) == len(set(ids))
    tags = {tag["name"] for tag in document["tags"]}
    for (method, path), operation in operations(document).items():
        assert set(operation["tags"]) <= tags
        assert operation["summary"]
        assert operation["description"]
        in_path = [p for p in operation["parameters"] if p["in"] == "path"]
        assert {p["name"] for p in in_path} == set(re.findall(r"{(\w+)}", path))
        assert all(p["required"] for p in in_path)
        assert all({"name", "in", "schema"} <= set(p) for p in operation["parameters"])
        assert all(re.fullmatch("[1-5][0-9][0-9]", status) for status in operation["responses"])
        assert all(answer["description"] for answer in operation["responses"].values())
        secured = {"/auth/login": [], "/auth/refresh": [], "/waitlist/notify": [{"staff": []}]}
        secured |= {other: [] for _, other in OTHERS}
        assert operation["security"] == secured.get(path, [{"token": []}])
        assert ("requestBody" in operation) <= (method != "get")


def test_references_and_schemas(document):
    names = set(document["components"]["schemas"])
    used = set()

    def walk(part):
        if isinstance(part, dict):
            if "$ref" in part:
                assert part["$ref"].startswith("#/components/schemas/")
                used.add(part["$ref"].rpartition("/")[2])
            kinds = part.get("type")
            if isinstance(kinds, str):
                assert kinds in {"object", "array", "string", "integer", "number", "boolean", "null", "http", "apiKey"}
                assert kinds != "number", "money and ids are no floats"
            if kinds == "array":
                assert "items" in part
            assert all(re.fullmatch(r"[A-Za-z0-9._-]+", name) for name in part.get("schemas", {}))
            for value in part.values():
                walk(value)
        elif isinstance(part, list):
            for value in part:
                walk(value)

    walk(document)
    assert used <= names
    unused = names - used - {spec.query.__name__ for spec in ENDPOINTS if spec.query}
    assert unused == set()


def test_every_code_that_a_call_names_is_explained(app):
    for spec in ENDPOINTS:
        assert set(openapi.codes_of(spec)) <= set(CODES)


def test_what_is_no_endpoint_is_there(client):
    """The document's other addresses answer: none of them is the envelope's 404."""
    for method, path in OTHERS:
        whole = path if path in ("/api/docs", "/healthz", "/readyz", "/metrics") else f"/api/v1{path}"
        answer = client.open(whole, method=method.upper())
        assert answer.status_code == (401 if method == "post" else 200), whole
        assert "request_id" not in (answer.get_json(silent=True) or {})


def test_requests_compute_no_schema(parent, monkeypatch):
    from pydantic import BaseModel

    def forbidden(*args, **kwargs):
        raise AssertionError("a schema was computed for a request")

    monkeypatch.setattr(BaseModel, "model_json_schema", forbidden)
    assert parent.get("/wallet/transactions?limit=5").status_code == 200
    assert parent.post("/profiles", {"name": "小雨"}).status_code == 201


def test_the_readable_page(client):
    response = client.get("/api/docs")
    text = response.get_data(as_text=True)
    assert response.status_code == 200
    for method, path in CALLS:
        assert method.upper() in text
        assert f"/api/v1{path}" in text
    for method, path in OTHERS:
        assert f"<span>{method.upper()}</span><code>" in text
        assert f"{path}</code>" in text
    for code in CODES:
        assert code in text
    assert not re.search(r"(src|href)=\"(https?:)?//", text)
    assert not re.search(r"<script(?![^>]*\bsrc=)", text)
    assert " style=" not in text
    assert " onclick=" not in text
