"""Many writers on few wallets, in real processes (W5, I-01, I-02, I-08, I-38). Each race has its control."""

from __future__ import annotations

import importlib
from decimal import Decimal

import pytest
import sqlalchemy as sa

from app.db import db, execute, transactional
from app.domain.ledger import service, verify
from app.domain.ledger.errors import OverdraftLimitExceeded
from app.domain.ledger.models import Wallet, WalletTransaction
from tests.concurrency.processes import pool, together
from tests.domain.ledger.wallets import SYSTEM, make_wallet, move

pytestmark = pytest.mark.concurrency

WRITERS = 16


def _debit(wallet_id: int, key: str, amount: str = "1.00"):
    return service.debit(wallet_id=wallet_id, amount=Decimal(amount), idempotency_key=key, reference_type="booking",
                         reference_id=key, reason="正式课扣费", actor=SYSTEM)  # fmt: skip


def deduct_many(wallet_id: int, writer: int, count: int) -> int:
    together()
    return sum(not _debit(wallet_id, f"w{writer}-{n}").replayed for n in range(count))


def test_sixteen_writers_lose_nothing(live_app):
    each = 12
    with live_app.app_context():
        wallet_id = make_wallet("1000.00")
    with pool(live_app, WRITERS) as members:
        done = members.starmap(deduct_many, [(wallet_id, writer, each) for writer in range(WRITERS)], chunksize=1)
    assert done == [each] * WRITERS
    with live_app.app_context():
        wallet = db.session.get(Wallet, wallet_id)
        assert wallet.balance == Decimal("1000.00") - WRITERS * each
        assert wallet.version == 1 + WRITERS * each
        assert _rows(wallet_id) == 1 + WRITERS * each
        assert verify.run(full=True).sound


def storm(wallet_id: int, keys: int) -> list[tuple[int, bool]]:
    together()
    return [(p.id, p.replayed) for p in (_debit(wallet_id, f"storm-{n}") for n in range(keys))]


def test_equal_keys_at_the_same_moment_are_done_once(live_app):
    with live_app.app_context():
        wallet_id = make_wallet("1000.00")
    with pool(live_app, 8) as members:
        answers = members.starmap(storm, [(wallet_id, 4)] * 8, chunksize=1)
    for nth in zip(*answers, strict=True):
        assert len({row_id for row_id, _ in nth}) == 1
        assert [replayed for _, replayed in nth].count(False) == 1
    with live_app.app_context():
        assert _rows(wallet_id) == 1 + 4
        assert db.session.get(Wallet, wallet_id).balance == Decimal("996.00")


def to_the_edge(wallet_id: int, writer: int) -> bool:
    together()
    try:
        _debit(wallet_id, f"edge-{writer}", "400.00")
    except OverdraftLimitExceeded:
        return False
    return True


def test_the_limit_holds_at_the_edge(live_app):
    """0.00 and a limit of 1000.00: exactly two of eight debits of 400.00 fit (I-04)."""
    with live_app.app_context():
        wallet_id = make_wallet()
    with pool(live_app, 8) as members:
        fits = members.starmap(to_the_edge, [(wallet_id, writer) for writer in range(8)], chunksize=1)
    assert sum(fits) == 2
    with live_app.app_context():
        assert db.session.get(Wallet, wallet_id).balance == Decimal("-800.00")


def swap_money(one: int, two: int, writer: int, count: int) -> int:
    together()
    source, target = (one, two) if writer % 2 else (two, one)
    for n in range(count):
        service.transfer(from_wallet_id=source, to_wallet_id=target, amount=Decimal("1.00"),
                         idempotency_key=f"t{writer}-{n}", reason="互转", actor=SYSTEM)  # fmt: skip
    return count


def test_opposite_transfers_all_arrive(live_app):
    with live_app.app_context():
        one, two = make_wallet("500.00"), make_wallet("500.00")
    with pool(live_app, 4) as members:
        done = members.starmap(swap_money, [(one, two, writer, 10) for writer in range(4)], chunksize=1)
    assert done == [10] * 4
    with live_app.app_context():
        assert [db.session.get(Wallet, i).balance for i in (one, two)] == [Decimal("500.00")] * 2
        assert _rows(one) == _rows(two) == 1 + 40
        assert verify.run(full=True).sound


@transactional
def _grab_both(*, first: int, second: int, key: str):
    """Locks in the order that it is told: what `lock_wallets` forbids."""
    for wallet_id in (first, second):
        execute(sa.select(Wallet.id).where(Wallet.id == wallet_id).with_for_update())
    wallet = service.lock_wallet(wallet_id=min(first, second))
    service.post(wallet, type="deduction", amount=Decimal("-1.00"), idempotency_key=key, reference_type="booking",
                 reference_id=key, reason="交叉加锁", actor=SYSTEM)  # fmt: skip


def cross(one: int, two: int, writer: int, count: int) -> int:
    retried = []
    importlib.import_module("app.db").metrics_hook = lambda outcome, *_: retried.append(outcome)
    together()
    first, second = (one, two) if writer % 2 else (two, one)
    for n in range(count):
        _grab_both(first=first, second=second, key=f"x{writer}-{n}")
    return retried.count("retried")


def test_deadlocks_are_retried_until_all_is_done_once(live_app):
    with live_app.app_context():
        one, two = make_wallet("500.00"), make_wallet("500.00")
    with pool(live_app, 2) as members:
        retried = members.starmap(cross, [(one, two, writer, 40) for writer in range(2)], chunksize=1)
    with live_app.app_context():
        assert _rows(one) == 1 + 80
        assert verify.run(full=True).sound
        if db.engine.dialect.name == "mysql":
            assert sum(retried) > 0  # the deadlocks were real; SQLite has one write lock and none


# ── controls ──


def deduct_without_lock(count: int) -> None:
    connection = db.engine.raw_connection().driver_connection
    if hasattr(connection, "autocommit") and callable(connection.autocommit):
        connection.autocommit(True)  # sqlite3 is told so when it connects
    cursor = connection.cursor()
    together()
    for _ in range(count):
        cursor.execute("SELECT balance FROM naive_wallet")
        balance = cursor.fetchone()[0]
        cursor.execute(f"UPDATE naive_wallet SET balance = {balance - 1}")


def test_control_without_the_lock_updates_are_lost(live_app):
    """The same race by read-then-write: money disappears, so the race above is one."""
    with live_app.app_context(), db.engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE naive_wallet (balance INTEGER)")
        connection.exec_driver_sql("INSERT INTO naive_wallet VALUES (100000)")
    with pool(live_app, 8) as members:
        members.map(deduct_without_lock, [50] * 8, chunksize=1)
    with live_app.app_context(), db.engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT balance FROM naive_wallet").scalar_one() > 100000 - 8 * 50


def deduct_twice(wallet_id: int, writer: int, same_key: bool) -> None:
    together()
    for attempt in range(2):  # a client that did not hear the first answer
        _debit(wallet_id, f"c{writer}" if same_key else f"c{writer}-{attempt}")


@pytest.mark.parametrize("same_key", [True, False])
def test_control_without_a_key_a_repeated_request_is_charged_twice(live_app, same_key):
    with live_app.app_context():
        wallet_id = make_wallet("100.00")
    with pool(live_app, 4) as members:
        members.starmap(deduct_twice, [(wallet_id, writer, same_key) for writer in range(4)], chunksize=1)
    with live_app.app_context():
        assert _rows(wallet_id) - 1 == (4 if same_key else 8)
        # The balance adds up either way: it does not show a double charge (W5).
        assert verify.run(full=True).sound


def _rows(wallet_id: int) -> int:
    return db.session.scalar(
        sa.select(sa.func.count()).select_from(WalletTransaction).where(WalletTransaction.wallet_id == wallet_id)
    )


def test_verifying_a_moving_ledger_reports_nothing(live_app):
    with live_app.app_context():
        wallet_id = make_wallet("1000.00")
        move(wallet_id, "1.00")
    with pool(live_app, 2) as members:
        running = members.starmap_async(deduct_many, [(wallet_id, w, 40) for w in range(2)], chunksize=1)
        with live_app.app_context():
            runs = 0
            while not running.ready():
                report = verify.run(full=runs % 2 == 0)
                assert report.sound, report.findings
                runs += 1
        running.get()
    assert runs > 1
