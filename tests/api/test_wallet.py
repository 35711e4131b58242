"""/wallet, /wallet/balance, /wallet/transactions."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest

from app import clock
from app.db import db
from app.domain.audit.actor import system
from app.domain.ledger import service as ledger
from app.domain.ledger.models import Wallet
from app.domain.questions import service as questions
from tests.api.conftest import ok, refused
from tests.portal import actor_of, make_staff


def wallet_id(someone) -> int:
    return db.session.query(Wallet.id).filter_by(family_id=someone.family_id).scalar()


def move(someone, amount: str, key: str, **more):
    value = Decimal(amount)
    facts = {
        "wallet_id": wallet_id(someone), "amount": abs(value), "idempotency_key": key, "reference_type": "adjustment",
        "reference_id": "1", "reason": f"测试 {key}", "actor": system("test"),
    } | more  # fmt: skip
    if value > 0:
        return ledger.credit(type="recharge", **facts)
    return ledger.debit(type="deduction", **facts)


def test_the_wallet(parent):
    move(parent, "500.00", "a")
    ok(parent.post("/profiles", {"name": "小雨"}), "add_profile")
    data = ok(parent.get("/wallet"), "get_wallet")
    assert (data["balance"], data["available"], data["overdraft_limit"]) == ("500.00", "1500.00", "1000.00")
    assert (data["state"], data["status"], data["booking_allowed"]) == ("normal", "active", True)
    assert [(m["kind"], m["name"]) for m in data["members"]] == [("parent", "小雨妈妈"), ("student", "小雨")]


@pytest.mark.parametrize(
    ("amount", "state", "allowed"),
    [("200.00", "normal", True), ("199.99", "low", True), ("-0.01", "arrears", True), ("-599.99", "arrears", True),
     ("-600.00", "blocked", False), ("-1000.00", "blocked", False)],
)  # fmt: skip
def test_states(parent, amount, state, allowed):
    move(parent, amount, "a")
    data = ok(parent.get("/wallet/balance"), "get_balance")
    assert (data["balance"], data["state"]) == (amount, state)
    whole = ok(parent.get("/wallet"), "get_wallet")
    assert (whole["state"], whole["booking_allowed"]) == (state, allowed)
    assert any("一" <= char <= "鿿" for char in whole["state_text"])


def test_the_balance_is_right_right_after_a_commit(parent):
    for n, expected in enumerate(("100.00", "200.00", "300.00")):
        move(parent, "100.00", f"k{n}")
        assert ok(parent.get("/wallet/balance"), "get_balance")["balance"] == expected


def test_the_balance_costs_one_statement(parent, statements):
    ok(parent.get("/wallet/balance"), "get_balance")
    statements.clear()
    ok(parent.get("/wallet/balance"), "get_balance")
    asked = [text for text in statements if text.lstrip().upper().startswith("SELECT")]
    assert len(asked) == 1, asked


def test_transactions_newest_first(parent, other):
    for n in range(7):
        move(parent, "10.00", f"m{n}")
    move(other, "99.00", "theirs")
    page = ok(parent.get("/wallet/transactions?limit=3"), "list_transactions")
    assert [item["seq"] for item in page["items"]] == [7, 6, 5]
    first = page["items"][0]
    assert first["type_text"] == "充值"
    assert (first["amount"], first["balance_before"], first["balance_after"]) == ("10.00", "60.00", "70.00")
    assert (first["status"], first["reference_type"], first["description"]) == ("posted", "adjustment", "测试 m6")
    seen = [item["seq"] for item in page["items"]]
    while page["next_cursor"]:
        page = ok(parent.get(f"/wallet/transactions?limit=3&cursor={page['next_cursor']}"), "list_transactions")
        seen += [item["seq"] for item in page["items"]]
    assert seen == [7, 6, 5, 4, 3, 2, 1]
    assert ok(parent.get("/wallet/transactions?limit=7"), "list_transactions")["next_cursor"] is None


def test_filters(parent, other):
    student = ok(parent.post("/profiles", {"name": "小雨"}), "add_profile")["id"]
    move(parent, "100.00", "a")
    move(parent, "-30.00", "b", profile_id=student)
    today = clock.today()
    for query, seqs in (
        ("type=recharge", [1]), ("type=deduction", [2]), ("type=refund", []), (f"profile_id={student}", [2]),
        (f"date_from={today}", [2, 1]), (f"date_to={today}", [2, 1]), (f"date_to={today - timedelta(days=1)}", []),
        (f"date_from={today + timedelta(days=1)}", []), (f"date_from={today}&date_to={today}&type=recharge", [1]),
    ):  # fmt: skip
        page = ok(parent.get(f"/wallet/transactions?{query}"), "list_transactions")
        assert [item["seq"] for item in page["items"]] == seqs, query
    item = ok(parent.get("/wallet/transactions?type=deduction"), "list_transactions")["items"][0]
    assert (item["amount"], item["profile_id"], item["profile_name"]) == ("-30.00", student, "小雨")
    refused(other.get(f"/wallet/transactions?profile_id={student}"), 404, "NOT_FOUND")
    refused(parent.get("/wallet/transactions?profile_id=999999999"), 404, "NOT_FOUND")


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("type=bonus", "type"), ("type=", "type"), ("type=RECHARGE", "type"), ("date_from=2026-13-01", "date_from"),
        ("date_from=20260101", "date_from"), ("date_to=yesterday", "date_to"),
        ("date_to=2026-01-01T00:00:00", "date_to"),
        ("date_from=0000-01-01", "date_from"), ("profile_id=0", "profile_id"), ("profile_id=abc", "profile_id"),
        ("profile_id=1e3", "profile_id"), ("profile_id=" + "9" * 30, "profile_id"), ("limit=101", "limit"),
        ("cursor=1", "cursor"), ("cursor=MTpuOjU", "cursor"), ("limit=5&limit=6", "limit"),
        ("type=recharge&type=x", "type"),
    ],
)  # fmt: skip
def test_bad_queries(parent, query, field):
    refused(parent.get(f"/wallet/transactions?{query}"), 422, "VALIDATION_FAILED", field)


@pytest.mark.parametrize("query", ["date_from=0001-01-01", "date_to=9999-12-31", "date_to=0001-01-01"])
def test_days_at_the_ends_of_the_calendar(parent, query):
    refused(parent.get(f"/wallet/transactions?{query}"), 422, "VALIDATION_FAILED", query.partition("=")[0])
    ok(parent.get("/wallet/transactions?date_from=1900-01-01&date_to=2199-12-31"), "list_transactions")


def test_somebody_elses_money_is_never_shown(parent, other):
    move(other, "777.77", "a")
    for path in ("/wallet", "/wallet/balance", "/wallet/transactions"):
        assert "777.77" not in parent.get(path).get_data(as_text=True)


# ── questions about transactions (W28) ──────────────────────────────────────────────────────────────


def newest(someone) -> dict:
    return ok(someone.get("/wallet/transactions"), "list_transactions")["items"][0]


def test_a_question_is_asked_and_read_with_its_answer(parent):
    move(parent, "100.00", "a")
    item = newest(parent)
    assert item["question"] is None
    path = f"/wallet/transactions/{item['id']}/question"
    asked = ok(parent.post(path, {"text": " 为什么\u202e？ "}, key="q1"), "ask_about_transaction")
    assert asked["status"] == "open"
    assert ok(parent.post(path, {"text": " 为什么\u202e？ "}, key="q1"), "ask_about_transaction") == asked
    refused(parent.post(path, {"text": "还有"}), 409, "QUESTION_OPEN")
    assert newest(parent)["question"]["text"] == "为什么？"
    clerk = actor_of(make_staff("front_desk"))
    questions.answer(question_id=asked["id"], text="前台收的现金", actor=clerk)
    assert newest(parent)["question"]["answer"] == "前台收的现金"
    inbox = ok(parent.get("/notifications"), "list_notifications")
    assert "前台收的现金" in inbox["items"][0]["text"]
    assert inbox["items"][0]["page"] == "pages/wallet/index"
    again = ok(parent.post(path, {"text": "还有"}), "ask_about_transaction")
    assert again["id"] != asked["id"]
    assert newest(parent)["question"]["text"] == "还有"


def test_whose_and_what_a_question_may_not_be(parent, other):
    move(parent, "100.00", "a")
    path = f"/wallet/transactions/{newest(parent)['id']}/question"
    refused(other.post(path, {"text": "这是谁的？"}), 404, "TRANSACTION_NOT_FOUND")
    refused(parent.post("/wallet/transactions/999999999999/question", {"text": "?"}), 404, "TRANSACTION_NOT_FOUND")
    refused(parent.post("/wallet/transactions/0/question", {"text": "?"}), 404, "NOT_FOUND")
    for body in ({}, {"text": ""}, {"text": "  "}, {"text": 5}, {"text": None}, {"text": ["x"]}, {"text": "长" * 501}):
        refused(parent.post(path, body), 422, "VALIDATION_FAILED", "text")
    assert parent.client.post("/api/v1" + path, json={"text": "?"}).status_code == 401
