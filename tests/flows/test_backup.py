"""Backups: made under load, looked at, refused when damaged, brought back to the last fen and byte (Z9)."""

from __future__ import annotations

import io
import json
import shutil
import threading
from decimal import Decimal
from pathlib import Path

import pytest
import sqlalchemy as sa

from app import create_app
from app.cli.backup import group
from app.db import db, transaction
from app.domain.audit.actor import system
from app.domain.desk.models import Receipt
from app.domain.ledger import service as ledger
from app.domain.ledger import verify
from app.domain.ledger.models import TransactionType, WalletTransaction
from app.domain.ledger.verify import Finding, Report
from app.flows import backup, receipts
from app.flows.backup import BackupBroken, BackupFailed, NotEmpty
from app.flows.receipts import Upload
from tests.conftest import make_settings
from tests.databases import FreshDatabase
from tests.domain.desk.desk import ask
from tests.factories import make_family
from tests.gateways.receipt_files import pdf, png
from tests.portal import actor_of, make_staff

SYSTEM = system("test")


def deposit(family, key: str) -> None:
    with transaction():
        wallet = ledger.lock_wallet(family_id=family.id)
        ledger.post(
            wallet, type=TransactionType.RECHARGE, amount=Decimal("1.00"), idempotency_key=key,
            reference_type="import", reference_id=key, actor=SYSTEM, reason="测试",
        )  # fmt: skip


@pytest.fixture
def source(live_app):
    """A database with money and two receipts."""
    with live_app.app_context():
        family, clerk = make_family(balance="100.00"), make_staff("finance")
        files = receipts.keep(
            [Upload("a.png", io.BytesIO(png())), Upload("b.pdf", io.BytesIO(pdf()))], actor=actor_of(clerk)
        )
        assert ask(clerk, family, payment_method="pos", receipts=files).status == "completed"
        yield live_app, family


@pytest.fixture
def made(source, tmp_path):
    target, _manifest = backup.create(tmp_path / "backups")
    return target


@pytest.fixture
def elsewhere(source, tmp_path):
    """An application on an empty database and an empty store."""
    database = FreshDatabase(
        "sqlite" if source[0].config["SQLALCHEMY_DATABASE_URI"].startswith("sqlite") else "mysql", "bk"
    )
    if database.engine == "sqlite":
        Path(database.folder / "desk.db").unlink(missing_ok=True)
    app = create_app(make_settings(database.url, tmp_path / "elsewhere"))
    yield app
    with app.app_context():
        db.session.remove()
        db.engine.dispose()
    database.drop()


def counts() -> tuple[int, int]:
    return tuple(db.session.scalar(sa.select(sa.func.count()).select_from(m)) for m in (WalletTransaction, Receipt))


def test_brought_back_whole_and_only_into_an_empty_database(made, elsewhere):
    before = counts()
    db.session.rollback()
    with elsewhere.app_context():
        done = backup.restore(made)
        assert (done.report.sound, done.receipts) == (True, 2)
        assert counts() == before
        with pytest.raises(NotEmpty):
            backup.restore(made)
        # The triggers came along: money still needs its row.
        with pytest.raises(sa.exc.DBAPIError), transaction():
            db.session.execute(sa.text("UPDATE wallets SET balance = balance + 1"))


def test_it_names_the_last_anchor_if_there_is_one(source, tmp_path, elsewhere):
    _target, manifest = backup.create(tmp_path / "first")
    assert manifest.anchor is None
    kept = verify.run().root
    deposit(source[1], "after-the-anchor")
    target, manifest = backup.create(tmp_path / "backups")
    assert manifest.anchor == kept
    with elsewhere.app_context():
        assert backup.restore(target).report.sound


def test_made_while_money_moves(source, tmp_path, elsewhere):
    app, family = source
    stop, made = threading.Event(), []

    def write() -> None:
        with app.app_context():
            while not stop.is_set():
                deposit(family, f"load{len(made)}")
                made.append(1)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        target, _manifest = backup.create(tmp_path / "backups")
        second, _manifest = backup.create(tmp_path / "more")
    finally:
        stop.set()
        writer.join()
    assert made
    with elsewhere.app_context():
        assert backup.restore(second).report.sound
    assert backup.check(target)


def flip(path: Path, at: int = -5) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(bytes(data))


def drop_manifest_mac(made: Path) -> None:
    outer = json.loads((made / backup.MANIFEST).read_text())
    outer["manifest"] = outer["manifest"].replace('"receipts": 2', '"receipts": 1')
    (made / backup.MANIFEST).write_text(json.dumps(outer))


def a_receipt(made: Path) -> Path:
    return next(path for path in (made.parent / "receipts").rglob("*") if path.is_file())


HARMS = {
    "dump altered": lambda made: flip(made / backup.DATABASE),
    "dump gone": lambda made: (made / backup.DATABASE).unlink(),
    "list altered": lambda made: flip(made / backup.RECEIPTS, 3),
    "manifest altered": drop_manifest_mac,
    "no manifest": lambda made: (made / backup.MANIFEST).write_text("{}"),
    "receipt altered": lambda made: flip(a_receipt(made)),
    "receipt gone": lambda made: a_receipt(made).unlink(),
}


def test_a_damaged_one_is_refused_and_touches_nothing(made, elsewhere, tmp_path):
    with elsewhere.app_context():
        for name, harm in HARMS.items():
            harmed = shutil.copytree(made.parent, tmp_path / name) / made.name
            harm(harmed)
            with pytest.raises(BackupBroken):
                backup.restore(harmed)
            assert sa.inspect(db.engine).get_table_names() == [], name


def test_a_second_backup_copies_only_new_receipts(source, made, tmp_path):
    _app, family = source
    pool = made.parent / "receipts"
    old = {path: path.stat().st_mtime_ns for path in pool.rglob("*") if path.is_file()}
    clerk = make_staff("finance")
    more = receipts.keep([Upload("c.png", io.BytesIO(png() + b"\0"))], actor=actor_of(clerk))
    ask(clerk, family, payment_method="pos", receipts=more, amount=Decimal("31.00"))
    second, manifest = backup.create(tmp_path / "backups")
    now = {path: path.stat().st_mtime_ns for path in pool.rglob("*") if path.is_file()}
    assert len(now) == len(old) + 1 == manifest.receipts
    assert old.items() <= now.items()
    assert backup.check(made) != backup.check(second)


def test_a_receipt_that_is_missing_stops_the_backup(source, tmp_path):
    store = receipts.receipt_store()
    store.delete(db.session.scalar(sa.select(Receipt.storage_key).limit(1)))
    db.session.rollback()
    with pytest.raises(BackupBroken, match="不在存储里"):
        backup.create(tmp_path / "backups")
    assert not list((tmp_path / "backups").glob("desk-*"))


def test_an_unsound_ledger_is_not_passed_on(source, tmp_path, monkeypatch):
    monkeypatch.setattr(backup.verify, "run", lambda **_kw: Report(full=False, findings=[Finding(1, 1, "不符")]))
    with pytest.raises(BackupBroken, match="1 处不符"):
        backup.create(tmp_path / "backups")


def test_without_the_tools_it_says_so(source, tmp_path, monkeypatch):
    if source[0].config["SQLALCHEMY_DATABASE_URI"].startswith("sqlite"):
        pytest.skip("SQLite needs no tools")
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    with pytest.raises(BackupFailed, match="客户端工具"):
        backup.create(tmp_path / "backups")


def test_the_commands(source, elsewhere, tmp_path):
    app, _family = source
    db.session.rollback()
    run = app.test_cli_runner().invoke(group, ["create", str(tmp_path / "b")])
    assert run.exit_code == 0, run.output
    made = next((tmp_path / "b").glob("desk-*"))
    assert "完好" in app.test_cli_runner().invoke(group, ["check", str(made)]).output
    with elsewhere.app_context():
        run = elsewhere.test_cli_runner().invoke(group, ["restore", str(made)])
        assert run.exit_code == 0, run.output
        assert "凭证 2 个" in run.output
        again = elsewhere.test_cli_runner().invoke(group, ["restore", str(made)])
        assert (again.exit_code, "不是空的" in again.output) == (1, True)
        odd = elsewhere.test_cli_runner().invoke(group, ["restore", str(made), "--stop-position", "4"])
        assert (odd.exit_code, "--binlog" in odd.output) == (2, True)
