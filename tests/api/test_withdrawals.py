"""Withdrawals over the JSON contract: fields, refusals in their order, keys, whose they are (95, 96.12–17, W9)."""

from __future__ import annotations

from decimal import Decimal

import pytest
import sqlalchemy as sa

from app.db import db, transaction
from app.domain.desk.models import Withdrawal
from app.domain.ledger import control
from app.domain.ledger import service as ledger
from app.domain.ledger.models import Wallet
from tests.api.conftest import ok, refused
from tests.domain.withdrawals.steps import approve, fail, reject
from tests.portal import actor_of, make_staff

FIELDS = {"id", "amount", "reason", "status", "status_text", "note", "can_cancel", "created_at", "decided_at"}
ASKED = {"amount": "100.00", "reason": "搬家了"}


def give(someone, amount: str) -> None:
    with transaction():
        ledger.post(
            ledger.lock_wallet(family_id=someone.family_id), type="recharge", amount=Decimal(amount),
            idempotency_key=f"give-{someone.family_id}-{amount}", reference_type="import", reference_id=1,
            reason="充值", actor=someone.actor,
        )  # fmt: skip


def balance(someone) -> Decimal:
    db.session.rollback()
    return db.session.scalar(sa.select(Wallet.balance).where(Wallet.family_id == someone.family_id))


def count() -> int:
    db.session.rollback()
    return db.session.scalar(sa.select(sa.func.count()).select_from(Withdrawal))


@pytest.fixture
def parent(parent):
    give(parent, "300.00")
    return parent


def request(someone, key: str = "k1", **changes):
    return someone.post("/withdrawals", ASKED | changes, key=key)


def test_asked_listed_and_cancelled(parent):
    made = ok(request(parent), "request_withdrawal", 201)
    assert set(made) == FIELDS
    assert (made["amount"], made["reason"], made["status"], made["status_text"]) == (
        "100.00", "搬家了", "requested", "待审核",
    )  # fmt: skip
    assert (made["decided_at"], made["note"], made["can_cancel"]) == (None, None, True)
    assert made["created_at"].endswith("+08:00")
    assert parent.get("/wallet/balance").get_json()["data"]["balance"] == "200.00"
    assert ok(parent.get("/withdrawals/my"), "list_withdrawals") == {"items": [made], "next_cursor": None}

    ended = ok(parent.post(f"/withdrawals/{made['id']}/cancel"), "cancel_withdrawal", 200)
    assert (ended["status"], ended["status_text"], ended["can_cancel"]) == ("cancelled", "已取消", False)
    assert ended["decided_at"] is not None
    assert balance(parent) == Decimal("300.00")
    refused(parent.post(f"/withdrawals/{made['id']}/cancel"), 409, "INVALID_STATE")
    rows = parent.get("/wallet/transactions").get_json()["data"]["items"]
    assert [(row["type"], row["status"], row["reference_type"]) for row in rows[:2]] == [
        ("withdrawal_reversal", "cancelled", "withdrawal"), ("withdrawal", "cancelled", "withdrawal"),
    ]  # fmt: skip
    assert rows[0]["reverses_id"] == rows[1]["id"]


def test_more_than_the_balance(parent, other):
    body = refused(request(parent, amount="300.01"), 409, "INSUFFICIENT_BALANCE")
    assert body["data"] == {"balance": "300.00", "amount": "300.01", "shortfall": "0.01"}
    ok(request(parent, amount="300.00"), "request_withdrawal", 201)
    refused(request(parent, "k2", amount="0.01"), 409, "INSUFFICIENT_BALANCE")
    refused(request(other, amount="1"), 409, "INSUFFICIENT_BALANCE")


@pytest.mark.parametrize(
    ("changes", "fields"),
    [
        ({"amount": value}, ["amount"])
        for value in ("0", "0.00", "-1", "1.001", "1e2", "１００", " 1", "1,000", "", 100, 1.5, True, None, [], "9" * 9)
    ]
    + [({"reason": value}, ["reason"]) for value in ("", "  ", "\u202e", "长" * 201, None, 5, ["x"])]
    + [({"amount": "0", "reason": ""}, ["amount", "reason"])],
)
def test_fields_are_strict(parent, changes, fields):
    refused(request(parent, **changes), 422, "VALIDATION_FAILED", *fields)
    assert (count(), balance(parent)) == (0, Decimal("300.00"))


def test_missing_fields_and_unknown_ones(parent):
    refused(parent.post("/withdrawals", {}, key="k"), 422, "VALIDATION_FAILED", "amount", "reason")
    ok(request(parent, status="paid", approved_by=1), "request_withdrawal", 201)
    assert db.session.query(Withdrawal).one().status == "requested"


def test_the_key_is_needed_and_makes_one(parent, other):
    refused(parent.post("/withdrawals", ASKED), 400, "IDEMPOTENCY_KEY_REQUIRED")
    refused(request(parent, "with space"), 400, "IDEMPOTENCY_KEY_INVALID")
    first, again = (ok(request(parent), "request_withdrawal", 201) for _ in range(2))
    assert first == again
    refused(request(parent, amount="50.00"), 422, "IDEMPOTENCY_KEY_REUSED")
    give(other, "500.00")
    ok(request(other), "request_withdrawal", 201)
    assert (count(), balance(parent)) == (2, Decimal("200.00"))


def test_what_was_refused_may_be_tried_again_under_its_key(parent):
    refused(request(parent, amount="400.00"), 409, "INSUFFICIENT_BALANCE")
    give(parent, "100.00")
    ok(request(parent, amount="400.00"), "request_withdrawal", 201)


def test_cancelling_twice_under_one_key(parent):
    made = ok(request(parent), "request_withdrawal", 201)
    ends = [
        ok(parent.post(f"/withdrawals/{made['id']}/cancel", key="c"), "cancel_withdrawal", 200) for _ in range(2)
    ]  # fmt: skip
    assert ends[0] == ends[1]
    assert balance(parent) == Decimal("300.00")


def test_another_family_finds_nothing(parent, other):
    made = ok(request(parent), "request_withdrawal", 201)
    for number in (made["id"], 999999, 10**17):
        refused(other.post(f"/withdrawals/{number}/cancel"), 404, "NOT_FOUND")
    assert ok(other.get("/withdrawals/my"), "list_withdrawals")["items"] == []
    assert db.session.query(Withdrawal).one().status == "requested"
    assert parent.post("/withdrawals/0x1/cancel").status_code == 404


def test_frozen_and_closed(parent, other):
    manager = actor_of(make_staff("manager"))
    control.freeze(family_id=parent.family_id, reason="核实", actor=manager)
    refused(request(parent), 409, "WALLET_FROZEN")
    control.close(family_id=other.family_id, reason="离开", actor=manager)
    refused(request(other), 409, "WALLET_CLOSED")


def test_what_staff_decided_is_told(parent):
    one, two, three = (ok(request(parent, f"k{n}"), "request_withdrawal", 201)["id"] for n in range(3))
    finance = make_staff("finance")
    approve(one, finance)
    approve(two, finance)
    fail(two, finance, "账号填错")
    reject(three, finance, "请先结清课时")
    items = {item["id"]: item for item in ok(parent.get("/withdrawals/my"), "list_withdrawals")["items"]}
    assert [(items[n]["status"], items[n]["status_text"], items[n]["note"]) for n in (one, two, three)] == [
        ("approved", "待打款", None), ("failed", "打款失败", "账号填错"), ("rejected", "已驳回", "请先结清课时"),
    ]  # fmt: skip
    assert all(item["decided_at"] and not item["can_cancel"] for item in items.values())
    refused(parent.post(f"/withdrawals/{one}/cancel"), 409, "INVALID_STATE")


def test_pages_by_cursor(parent):
    made = [ok(request(parent, f"k{n}", amount="1.00"), "request_withdrawal", 201)["id"] for n in range(5)]
    seen, cursor = [], ""
    while cursor is not None:
        page = ok(parent.get(f"/withdrawals/my?limit=2{cursor}"), "list_withdrawals")
        seen += [item["id"] for item in page["items"]]
        cursor = page["next_cursor"] and f"&cursor={page['next_cursor']}"
    assert seen == made[::-1]
    refused(parent.get("/withdrawals/my?limit=0"), 422, "VALIDATION_FAILED", "limit")
    for wrong in ("x", parent.get("/wallet/transactions?limit=1").get_json()["data"]["next_cursor"]):
        refused(parent.get(f"/withdrawals/my?cursor={wrong}"), 422, "VALIDATION_FAILED", "cursor")
