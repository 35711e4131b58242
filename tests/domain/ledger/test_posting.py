"""What a posting refuses, tells and leaves behind, case by case (W1, W5–W7, W22, R5, R7)."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.exc import DBAPIError, IntegrityError

from app import clock, ids
from app.column_types import canonical_json
from app.db import db, execute, transaction
from app.domain.audit.actor import Actor
from app.domain.audit.models import AuditEntry
from app.domain.ledger import hashing, service, verify
from app.domain.ledger.errors import AlreadyReversed, BalanceOutOfRange, WalletNotFound
from app.domain.ledger.models import Wallet, WalletTransaction
from app.domain.outbox.models import Notification
from app.domain.people.models import Staff
from app.domain.policy.models import PolicyValue
from app.errors import DomainError, Forbidden, IdempotencyKeyReused, Invalid
from app.prepared import Prepared
from tests.domain.ledger.wallets import SYSTEM, make_wallet, move, staff


def rows(wallet_id: int) -> int:
    query = sa.select(sa.func.count()).select_from(WalletTransaction).where(WalletTransaction.wallet_id == wallet_id)
    return db.session.scalar(query)


def post(wallet_id: int, amount: str, **more):
    facts = {"type": "adjustment", "idempotency_key": "p", "reference_type": "adjustment", "reference_id": 1,
             "reason": "测试", "actor": SYSTEM}  # fmt: skip
    with transaction():
        return service.post(service.lock_wallet(wallet_id=wallet_id), amount=Decimal(amount), **(facts | more))


# ── keys ──


@pytest.mark.parametrize("key", ["", "x" * 97, "键", "a\nb", "a\x00", "a b", "ab ", "ab\n"])
def test_keys_without_form(wallet, key):
    with pytest.raises(Invalid) as refused:
        post(wallet, "1.00", idempotency_key=key)
    assert list(refused.value.errors) == ["idempotency_key"]


def test_keys_differ_by_case(wallet):
    for key in ("abc", "ABC", "aBc"):
        assert not post(wallet, "1.00", idempotency_key=key).replayed
    assert rows(wallet) == 3


@pytest.mark.parametrize(
    "other",
    [
        {"type": "recharge"},
        {"reference_type": "booking"},
        {"reference_id": 2},
        {"reason": "别的"},
        {"details": {"a": 1}},
        {"user_id": 1},
    ],
)
def test_each_fact_counts_for_a_repeated_key(wallet, other):
    post(wallet, "1.00")
    with pytest.raises(IdempotencyKeyReused):
        post(wallet, "1.00", **other)
    assert rows(wallet) == 1


def test_the_actor_does_not_count_for_a_repeated_key(wallet):
    post(wallet, "1.00", details={"b": 1, "a": [1, "二"]})
    assert post(wallet, "1.00", details={"a": [1, "二"], "b": 1}, actor=staff(staff_id=9)).replayed


def test_a_key_belongs_to_one_wallet(wallet):
    post(wallet, "1.00")
    with pytest.raises(IdempotencyKeyReused):
        post(make_wallet(), "1.00")


def test_a_key_taken_between_look_and_insert_is_still_refused(wallet, monkeypatch):
    """Two wallets, one key, the same moment: the unique index catches what the look could not see."""
    post(wallet, "1.00")
    monkeypatch.setattr(service, "_recall", lambda *_: None)
    with pytest.raises(IdempotencyKeyReused):
        post(make_wallet(), "1.00")


def test_a_replay_is_answered_whatever_the_wallet_is_now(wallet):
    post(wallet, "1.00")
    with transaction():
        execute(sa.update(Wallet.__table__).values(status="closed"))
    assert post(wallet, "1.00").replayed


# ── rules ──


def test_a_movement_is_undone_once(wallet):
    first = move(wallet, "10.00")
    post(wallet, "-10.00", reverses_id=first.id)
    with pytest.raises(AlreadyReversed) as refused:
        post(wallet, "-10.00", reverses_id=first.id, idempotency_key="q")
    assert refused.value.data == {"transaction_id": first.id}
    assert rows(wallet) == 2


def test_a_reference_to_nothing_is_an_error_of_the_program(wallet):
    with pytest.raises(IntegrityError):
        post(wallet, "1.00", profile_id=10**9)
    with pytest.raises(IntegrityError):
        post(wallet, "1.00", reverses_id=10**9)


@pytest.mark.parametrize(("start", "amount"), [("99999999.99", "0.01"), ("-99999999.99", "-0.01")])
def test_a_balance_out_of_range(app, start, amount):
    wallet = make_wallet(start)
    with pytest.raises(BalanceOutOfRange) as refused:
        post(wallet, amount, enforce_limit=False)
    assert (refused.value.code, refused.value.data["balance"]) == ("BALANCE_OUT_OF_RANGE", start)


def test_what_has_happened_may_pass_the_limit(wallet):
    assert post(wallet, "-5000.00", enforce_limit=False).balance_after == Decimal("-5000.00")


def test_an_own_limit_of_zero(wallet):
    with transaction():
        execute(sa.update(Wallet.__table__).values(overdraft_limit=Decimal("0.00")))
    with pytest.raises(DomainError, match="超出欠费上限 ¥0.00"):
        post(wallet, "-0.01")


def test_a_policy_change_counts_at_once(wallet):
    with transaction():
        db.session.add(PolicyValue(name="overdraft_limit", value="10.00", updated_at=clock.now(), updated_by="t"))
    with pytest.raises(DomainError, match="超出欠费上限 ¥10.00"):
        post(wallet, "-10.01")
    assert post(wallet, "-10.00").balance_after == Decimal("-10.00")


@pytest.mark.parametrize("amount", ["0", "-1.00", "NaN"])
@pytest.mark.parametrize("use", [service.credit, service.debit])
def test_amounts_are_positive(wallet, use, amount):
    with pytest.raises(Invalid) as refused:
        use(wallet_id=wallet, amount=Decimal(amount), idempotency_key="k", reference_type="import", reference_id=1,
            reason="x", actor=SYSTEM)  # fmt: skip
    assert list(refused.value.errors) == ["amount"]


def test_a_transfer_is_checked_and_repeated_as_one(wallet):
    move(wallet, "10.00")
    other = make_wallet()
    facts = {"amount": Decimal("4.00"), "idempotency_key": "t", "reason": "合并", "actor": SYSTEM}
    with pytest.raises(Invalid):
        service.transfer(from_wallet_id=wallet, to_wallet_id=wallet, **facts)
    service.transfer(from_wallet_id=wallet, to_wallet_id=other, **facts)
    again = service.transfer(from_wallet_id=wallet, to_wallet_id=other, **facts)
    assert again.out.replayed
    assert again.into.replayed
    with pytest.raises(WalletNotFound):
        service.transfer(from_wallet_id=wallet, to_wallet_id=10**9, **(facts | {"idempotency_key": "u"}))
    assert rows(wallet) == 2


@pytest.mark.parametrize("role", ["front_desk", "auditor", "admin"])
def test_who_may_not_move_money(wallet, role):
    for amount in ("1.00", "-1.00"):
        with pytest.raises(Forbidden):
            move(wallet, amount, actor=staff(role, staff_id=1))
    with pytest.raises(Forbidden):
        move(wallet, "1.00", actor=Actor(type="parent", id=1, name="家长"))


# ── locks ──


def test_a_wallet_is_locked_once_per_transaction(wallet, statements):
    with transaction():
        one = service.lock_wallet(wallet_id=wallet)
        assert service.lock_wallet(wallet_id=wallet) is one
        assert service.lock_wallet(family_id=one.family_id) is one
    assert len([s for s in statements if "FROM wallets" in s]) == 1


def test_locking_downwards_is_a_mistake(wallet):
    other = make_wallet()
    with transaction():
        service.lock_wallet(wallet_id=other)
        with pytest.raises(RuntimeError, match="sorted"):
            service.lock_wallet(wallet_id=wallet)


def test_nothing_is_posted_outside_a_transaction(wallet):
    with pytest.raises(RuntimeError, match="outside"):
        service.lock_wallet(wallet_id=wallet)


def test_several_postings_on_one_lock(wallet):
    with transaction():
        locked = service.lock_wallet(wallet_id=wallet)
        for n in range(3):
            service.post(locked, type="adjustment", amount=Decimal("1.00"), idempotency_key=f"s{n}",
                         reference_type="adjustment", reference_id=n, reason="x", actor=SYSTEM)  # fmt: skip
        assert (locked.balance, locked.version) == (Decimal("3.00"), 3)
        assert db.session.get(Wallet, wallet).balance == Decimal("3.00")
    assert verify.run(full=True).sound


def test_an_object_loaded_before_is_not_stale(wallet):
    with transaction():
        held = db.session.get(Wallet, wallet)
        assert held.balance == 0
        locked = service.lock_wallet(wallet_id=wallet)
        service.post(locked, type="adjustment", amount=Decimal("1.00"), idempotency_key="k",
                     reference_type="adjustment", reference_id=1, reason="x", actor=SYSTEM)  # fmt: skip
        assert held.balance == Decimal("1.00")


def test_a_wallet_that_moved_although_locked_is_an_error(wallet, monkeypatch):
    monkeypatch.setattr(service, "_move_wallet", Prepared(service._move_wallet._statement.where(sa.false())))
    with pytest.raises(RuntimeError, match="although it was locked"):
        post(wallet, "1.00")
    monkeypatch.undo()
    assert rows(wallet) == 0


def test_a_locked_wallet_that_is_made_up_is_refused_by_the_database(wallet):
    with transaction():
        locked = service.lock_wallet(wallet_id=wallet)
        locked.version += 1
        with pytest.raises(DBAPIError):
            service.post(locked, type="adjustment", amount=Decimal("1.00"), idempotency_key="k",
                         reference_type="adjustment", reference_id=1, reason="x", actor=SYSTEM)  # fmt: skip


# ── what it tells ──


def told(wallet_id: int) -> list[str]:
    family_id = db.session.get(Wallet, wallet_id).family_id
    query = sa.select(Notification.type).where(Notification.family_id == family_id, Notification.status != "suppressed")
    return sorted(db.session.scalars(query.order_by(Notification.id)))


@pytest.mark.parametrize(
    ("start", "amount", "expected"),
    [
        ("500.00", "-300.00", ["balance_changed"]),
        ("500.00", "-300.01", ["balance_changed", "low_balance"]),
        ("500.00", "-500.01", ["arrears", "balance_changed"]),
        ("500.00", "100.00", ["balance_changed"]),
        ("0", "100.00", ["balance_changed", "low_balance"]),
        ("0", "200.00", ["balance_changed"]),
        ("-300.00", "-1.00", ["arrears", "balance_changed"]),
        ("-300.00", "100.00", ["balance_changed", "low_balance"]),
    ],
)
def test_thresholds(app, start, amount, expected):
    wallet = make_wallet("1000.00")
    if Decimal(start) != 1000:
        move(wallet, str(Decimal(start) - 1000))
    with transaction():
        # What was told of the way here is not asked for, and must not count for the cooldown.
        execute(sa.delete(Notification.__table__))
    move(wallet, amount)
    assert told(wallet) == expected


def test_a_replay_tells_nothing_again(wallet):
    move(wallet, "500.00", key="k")
    before = told(wallet)
    move(wallet, "500.00", key="k")
    assert told(wallet) == before


def test_the_audit_row(wallet):
    with transaction():
        person = Staff(username="fin", display_name="财务", password_hash="x", role="finance", created_at=clock.now())
        db.session.add(person)
    ids.set_request_id("request-0001")
    done = move(wallet, "500.00", actor=staff("finance", staff_id=person.id))
    entry = db.session.scalar(sa.select(AuditEntry).where(AuditEntry.action == "wallet.posted"))
    assert (entry.actor_id, entry.transaction_id, entry.target_id) == (person.id, str(done.id), str(wallet))
    assert entry.before == {"balance": "0.00"}
    assert entry.after == {"balance": "500.00", "amount": "500.00", "type": "recharge", "reference": "booking:1"}
    assert db.session.get(WalletTransaction, done.id).performed_by == person.id
    db.session.rollback()


# ── the hash ──

HOSTILE = [
    "|",
    "5|abc",
    "-1|",
    "\u4f60\u597d",
    "😀",
    "'; DROP TABLE wallets; --",
    "a\nb",
    "%s %(x)s",
    ":x",
    "\\",
    " x ",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_hashed_as_it_is_stored(wallet, text):
    post(wallet, "1.00", reason=text, details={text: [text, 1, None, True]}, reference_id="r|1")
    report = verify.run(full=True)
    assert report.sound, report.findings
    stored = db.session.scalar(sa.select(WalletTransaction).where(WalletTransaction.wallet_id == wallet))
    assert (stored.reason, stored.details) == (text, {text: [text, 1, None, True]})


def test_the_encoding_is_the_documented_one(wallet):
    with clock.travel(to=clock.now().replace(year=2026, month=1, day=2, hour=3, minute=4, second=5, microsecond=6)):
        done = post(wallet, "-12.30", reason="扣|费", details={"b": 1, "a": "二"}, idempotency_key="k|1")
    row = db.session.execute(sa.select(WalletTransaction.__table__).where(WalletTransaction.id == done.id)).mappings()
    stored = dict(row.one())
    stored["metadata"] = canonical_json(stored["metadata"])
    expected = (
        f"v1|{wallet}|1|-1230|0|-1230|||||2026-01-02 03:04:05.000006|10|adjustment|3|k|1|10|adjustment|1|1"
        '|7|扣|费|17|{"a":"二","b":1}'
    )
    assert hashing.encode(stored).decode() == expected
    assert hashing.digest(None, expected.encode()) == stored["hash"]


texts = st.text(max_size=12)
encodings = st.tuples(texts, texts, texts, texts, texts, st.none() | texts)


@given(one=encodings, two=encodings)
@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow], deadline=timedelta(seconds=5))
def test_different_texts_never_encode_alike(one, two):
    def encoded(parts):
        *fields, metadata = parts
        return hashing.encode_stored(1, 1, 1, 0, 1, (None,) * 4, "t", fields, metadata)

    assert (encoded(one) == encoded(two)) is (one == two)
