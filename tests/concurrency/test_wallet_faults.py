"""What a wallet does when the database or the wire fails in the middle (Z4, I-05, I-07, I-38)."""

from __future__ import annotations

import threading
from decimal import Decimal

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import make_url

from app import connections, create_app
from app.db import db, execute, transaction, transactional
from app.domain.ledger import service, verify
from app.domain.ledger.models import Wallet, WalletTransaction
from app.errors import Busy, OutcomeUnknown
from tests import databases, migrated
from tests.commit_cutter import CommitCutter
from tests.conftest import make_settings
from tests.domain.ledger.wallets import SYSTEM, make_wallet, move

pytestmark = pytest.mark.concurrency


@pytest.fixture(params=[engine for engine in databases.engines() if engine == "mysql"])
def cut(request, tmp_path):
    """(application behind a proxy, the proxy) on a MySQL database of its own."""
    database = migrated.take(request.param)
    url = make_url(database.url)
    proxy = CommitCutter(url.host, url.port or 3306)
    through = url.set(host="127.0.0.1", port=proxy.port).render_as_string(hide_password=False)
    app = create_app(make_settings(through, tmp_path / "instance"))
    with app.app_context():
        yield app, proxy
        db.session.remove()
        db.engine.dispose()
    proxy.close()
    database.drop()


def _rows(wallet_id: int) -> int:
    query = sa.select(sa.func.count()).select_from(WalletTransaction).where(WalletTransaction.wallet_id == wallet_id)
    return db.session.scalar(query)


@pytest.mark.parametrize(("mode", "replayed"), [("after", True), ("before", False)])
def test_a_commit_without_answer_is_settled_by_the_key(cut, mode, replayed):
    _, proxy = cut
    wallet_id = make_wallet("100.00")
    proxy.cut_next(mode)
    posting = move(wallet_id, "-10.00", key="once")
    assert proxy.cuts == 1
    assert posting.replayed is replayed
    assert posting.balance_after == Decimal("90.00")
    assert _rows(wallet_id) == 2
    assert verify.run(full=True).sound


def test_many_cut_commits_charge_nobody_twice(cut):
    _, proxy = cut
    wallet_id = make_wallet("100.00")
    for n in range(20):
        proxy.cut_next("after" if n % 2 else "before")
        move(wallet_id, "-1.00", key=f"cut-{n}")
    assert proxy.cuts == 20
    assert _rows(wallet_id) == 21
    assert db.session.get(Wallet, wallet_id).balance == Decimal("80.00")


@transactional
def _keyless(*, wallet_id: int, key: str):
    wallet = service.lock_wallet(wallet_id=wallet_id)
    service.post(wallet, type="deduction", amount=Decimal("-1.00"), idempotency_key=key, reference_type="booking",
                 reference_id=key, reason="无请求键", actor=SYSTEM)  # fmt: skip


def test_without_a_key_the_outcome_is_unknown_and_said_so(cut):
    """The control: a client that tries again under a new key has paid twice."""
    _, proxy = cut
    wallet_id = make_wallet("100.00")
    proxy.cut_next("after")
    with pytest.raises(OutcomeUnknown):
        _keyless(wallet_id=wallet_id, key="first")
    _keyless(wallet_id=wallet_id, key="again")
    assert _rows(wallet_id) == 3


def test_a_killed_idle_connection_is_replaced_unseen(cut, monkeypatch):
    monkeypatch.setattr(connections, "IDLE_SECONDS", -1.0)
    wallet_id = make_wallet("100.00")
    db.session.remove()
    with db.engine.connect() as connection:
        mine = connection.exec_driver_sql("SELECT CONNECTION_ID()").scalar_one()
    with databases.mysql_connection() as other, other.cursor() as cursor:
        cursor.execute(f"KILL {mine}")
    assert service.get_balance(wallet_id=wallet_id) == Decimal("100.00")


def test_a_connection_lost_before_commit_is_run_again(cut):
    wallet_id = make_wallet("100.00")
    killed = []

    @transactional
    def interrupted():
        wallet = service.lock_wallet(wallet_id=wallet_id)
        posting = service.post(
            wallet, type="deduction", amount=Decimal("-1.00"), idempotency_key="k", reference_type="booking",
            reference_id="1", reason="断线", actor=SYSTEM,
        )  # fmt: skip
        if not killed:
            killed.append(execute(sa.text("SELECT CONNECTION_ID()")).scalar_one())
            with databases.mysql_connection() as other, other.cursor() as cursor:
                cursor.execute(f"KILL {killed[0]}")
        execute(sa.text("SELECT 1"))
        return posting

    assert not interrupted().replayed
    assert _rows(wallet_id) == 2


def test_a_lock_that_is_not_given_leaves_nothing(live_app, tmp_path):
    """Lock wait timeout (1205, SQLite busy): Busy, no row, no balance; and all is well afterwards (I-05)."""
    settings = live_app.extensions["desk.settings"]
    impatient = create_app(make_settings(settings.database_url, tmp_path / "two", DESK_DATABASE_TIMEOUT="1"))
    with live_app.app_context():
        wallet_id = make_wallet("100.00")
    held, release = threading.Event(), threading.Event()

    def hold():
        with live_app.app_context(), transaction():
            service.lock_wallet(wallet_id=wallet_id)
            held.set()
            release.wait(60)

    holder = threading.Thread(target=hold)
    holder.start()
    assert held.wait(30)
    with impatient.app_context():
        if db.engine.dialect.name == "sqlite":
            sa.event.listen(db.engine, "connect", lambda raw, _: raw.execute("PRAGMA busy_timeout=500"))
        with pytest.raises(Busy):
            move(wallet_id, "-10.00", key="late")
        release.set()
        holder.join()
        assert _rows(wallet_id) == 1
        assert move(wallet_id, "-10.00", key="late").replayed is False
        assert _rows(wallet_id) == 2
        db.session.remove()
        db.engine.dispose()


def test_a_refused_posting_leaves_everything_as_it_was(live_app):
    """I-05: an error after the debit undoes the debit, and the lock with it."""

    @transactional
    def fails_at_the_end():
        wallet = service.lock_wallet(wallet_id=wallet_id)
        service.post(wallet, type="deduction", amount=Decimal("-1.00"), idempotency_key="k",
                     reference_type="booking", reference_id="1", reason="失败", actor=SYSTEM)  # fmt: skip
        raise ZeroDivisionError

    with live_app.app_context():
        wallet_id = make_wallet("100.00")
        with pytest.raises(ZeroDivisionError):
            fails_at_the_end()
        assert _rows(wallet_id) == 1
        assert move(wallet_id, "-1.00", key="k").replayed is False
