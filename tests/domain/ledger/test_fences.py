"""Nobody but the ledger moves money: the ORM refuses, and the database refuses hand-written SQL (R3, W2, W3)."""

from __future__ import annotations

import sqlite3
from decimal import Decimal

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from app import clock
from app.db import db, execute, transaction
from app.domain.ledger.models import Wallet, WalletStatus, WalletTransaction
from app.domain.ledger.orm_guard import LedgerViolation
from tests.domain.ledger.wallets import make_wallet, move


@pytest.fixture
def paid(wallet):
    """A wallet with two rows."""
    move(wallet, "500.00", key="first")
    move(wallet, "-200.00", key="second")
    return wallet


def _row(wallet_id: int, /, **changes):
    """The next row of a wallet as it would have to be, with changes."""
    head = db.session.execute(sa.select(Wallet.__table__).where(Wallet.id == wallet_id)).one()
    return {
        "wallet_id": wallet_id, "seq": head.version + 1, "type": "adjustment", "amount": Decimal("1.00"),
        "balance_before": head.balance, "balance_after": head.balance + Decimal("1.00"), "idempotency_key": "forged",
        "reference_type": "adjustment", "reference_id": "1", "reason": "x", "created_at": clock.now(),
        "prev_hash": head.head_hash, "hash": b"h" * 32, **changes,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("sql", "says"),
    [
        ("UPDATE wallets SET balance = balance + 1", "moves only with its transaction"),
        ("UPDATE wallets SET balance = 0", "moves only with its transaction"),
        ("UPDATE wallets SET version = version + 1", "moves only with its transaction"),
        ("UPDATE wallets SET version = version - 1", "moves only with its transaction"),
        ("UPDATE wallets SET head_hash = NULL", "moves only with its transaction"),
        ("UPDATE wallets SET balance = 0, version = 0, head_hash = NULL", "moves only with its transaction"),
        ("UPDATE wallets SET family_id = family_id + 1000", "keeps its id and family|foreign key|FOREIGN KEY"),
        ("DELETE FROM wallets", "never deleted|foreign key|FOREIGN KEY"),
        ("UPDATE wallet_transactions SET amount = amount + 1", "append-only"),
        ("UPDATE wallet_transactions SET reason = 'x'", "append-only"),
        ("UPDATE wallet_transactions SET reason = reason", "append-only"),
        ("DELETE FROM wallet_transactions", "append-only"),
        ("DELETE FROM wallet_transactions WHERE seq = 2", "append-only"),
    ],
)
def test_sql_by_hand_is_refused(paid, sql, says):
    with transaction(), pytest.raises(DBAPIError, match=says):
        execute(sa.text(sql))
    assert db.session.get(Wallet, paid).balance == Decimal("300.00")


@pytest.mark.parametrize(
    "changes",
    [
        {"seq": 1},
        {"seq": 4},
        {"balance_before": Decimal("0.00"), "balance_after": Decimal("1.00")},
        {"prev_hash": None},
        {"prev_hash": b"x" * 32},
        {"wallet_id": 10**9},
        {"balance_after": Decimal("999.00")},
        {"amount": Decimal("0.00"), "balance_after": Decimal("300.00")},
        {"idempotency_key": "first"},
    ],
)
def test_a_row_that_does_not_continue_its_wallet_is_refused(paid, changes):
    with transaction(), pytest.raises(DBAPIError):
        execute(WalletTransaction.__table__.insert(), _row(paid, **changes))


def test_the_same_row_without_the_fault_is_taken(paid):
    """The control of the test above."""
    with transaction():
        execute(WalletTransaction.__table__.insert(), _row(paid))


@pytest.mark.parametrize("way", ["replace", "upsert"])
def test_replacing_is_refused(paid, way):
    row = _row(paid, idempotency_key="first")
    insert = WalletTransaction.__table__.insert()
    if db.session.get_bind().dialect.name == "sqlite":
        insert = insert.prefix_with("OR REPLACE") if way == "replace" else insert
    elif way == "replace":
        insert = sa.text(
            "REPLACE INTO wallet_transactions SELECT * FROM wallet_transactions WHERE idempotency_key = 'first'"
        )
        row = {}
    else:
        insert = sa.dialects.mysql.insert(WalletTransaction.__table__).on_duplicate_key_update(reason="x")
    with transaction(), pytest.raises(DBAPIError):
        execute(insert, row)


def test_sqlite_refuses_replace_from_a_foreign_connection_too(live_app):
    """The sqlite3 shell has neither recursive_triggers nor foreign_keys on: rows must not vanish there either."""
    with live_app.app_context():
        wallet_id = make_wallet("100.00", parents=0)
        if db.engine.dialect.name != "sqlite":
            assert move(wallet_id, "1.00").seq == 2
            return
        row = _row(wallet_id, idempotency_key=f"open-{wallet_id}")
        raw = sqlite3.connect(db.engine.url.database)
        values = [row["wallet_id"], row["seq"], row["type"], 100, 10000, 10100, row["idempotency_key"], "adjustment",
                  "1", "x", "2026-01-01 00:00:00.000000", row["prev_hash"], row["hash"]]  # fmt: skip
        with pytest.raises(sqlite3.IntegrityError, match="exists"):
            raw.execute(
                "INSERT OR REPLACE INTO wallet_transactions (wallet_id, seq, type, amount, balance_before,"
                " balance_after, idempotency_key, reference_type, reference_id, reason, created_at, prev_hash, hash)"
                " VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?)",
                values,
            )
        with pytest.raises(sqlite3.IntegrityError, match="has its wallet"):
            raw.execute(
                "INSERT OR REPLACE INTO wallets (id, family_id, balance, status, version, created_at, updated_at)"
                " SELECT id, family_id, 0, status, 0, created_at, updated_at FROM wallets"
            )
        raw.close()


@pytest.mark.parametrize("values", [{"balance": Decimal("5.00")}, {"version": 1}, {"head_hash": b"x" * 32}])
def test_a_wallet_begins_empty(paid, values):
    now = clock.now()
    fields = {"family_id": 10**6, "balance": Decimal("0.00"), "status": "active", "version": 0, "created_at": now,
              "updated_at": now, **values}  # fmt: skip
    with transaction(), pytest.raises(DBAPIError, match="begins empty|FOREIGN KEY"):
        execute(Wallet.__table__.insert(), fields)


# ── the ORM ──


@pytest.mark.parametrize("name", ["balance", "version", "head_hash"])
def test_the_orm_moves_no_wallet(paid, name):
    wallet = db.session.get(Wallet, paid)
    setattr(wallet, name, {"balance": Decimal("1.00"), "version": 9, "head_hash": b"x" * 32}[name])
    with pytest.raises(LedgerViolation):
        db.session.flush()
    db.session.rollback()


def test_the_orm_changes_no_row(paid):
    row = db.session.scalar(sa.select(WalletTransaction).limit(1))
    row.reason = "x"
    with pytest.raises(LedgerViolation):
        db.session.flush()
    db.session.rollback()


@pytest.mark.parametrize("model", [Wallet, WalletTransaction])
def test_the_orm_deletes_nothing(paid, model):
    db.session.delete(db.session.scalar(sa.select(model).limit(1)))
    with pytest.raises(LedgerViolation):
        db.session.flush()
    db.session.rollback()


def test_the_orm_inserts_no_row(paid):
    db.session.add(WalletTransaction(wallet_id=paid, seq=3))
    with pytest.raises(LedgerViolation):
        db.session.flush()
    db.session.rollback()


@pytest.mark.parametrize(
    ("statement", "parameters"),
    [
        (sa.update(Wallet).values(balance=Decimal("1.00")), None),
        (sa.update(Wallet).values({Wallet.version: 9}), None),
        (sa.update(Wallet).ordered_values((Wallet.head_hash, None)), None),
        (sa.update(Wallet), [{"id": 1, "balance": Decimal("1.00")}]),
        (sa.delete(Wallet), None),
        (sa.update(WalletTransaction).values(reason="x"), None),
        (sa.delete(WalletTransaction), None),
        (sa.insert(WalletTransaction), [{"wallet_id": 1}]),
    ],
)
def test_the_orm_does_nothing_in_bulk(paid, statement, parameters):
    with pytest.raises(LedgerViolation):
        db.session.execute(statement, parameters)
    db.session.rollback()


def test_the_orm_may_change_what_is_not_money(paid):
    """The control: a wallet's status is not the ledger's."""
    wallet = db.session.get(Wallet, paid)
    wallet.status = WalletStatus.FROZEN
    db.session.flush()
    db.session.execute(sa.update(Wallet).where(Wallet.id == paid).values(status=WalletStatus.ACTIVE))
    db.session.execute(sa.select(Wallet))
    db.session.rollback()
