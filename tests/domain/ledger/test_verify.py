"""Tampering with the triggers dropped: each kind is named with its wallet and the seq of the first bad row."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import sqlalchemy as sa

from app.db import db
from app.domain.ledger import anchors, verify
from app.domain.ledger.models import LedgerAnchor
from tests import databases
from tests.conftest import build_app
from tests.databases import FreshDatabase
from tests.domain.ledger.wallets import make_wallet, move

TABLES = ("ledger_anchor_leaves", "ledger_anchors", "wallet_transactions", "wallets")
ROWS = 6


@pytest.fixture(scope="module", params=databases.engines())
def ledger(request, tmp_path_factory):
    """A committed ledger of three wallets with six rows each, without its triggers, and a copy to go back to."""
    database = FreshDatabase(request.param, "tamper")
    app = build_app(database, Path(tmp_path_factory.mktemp("instance")))
    with app.app_context():
        wallets = [make_wallet(parents=0) for _ in range(3)]
        for number in range(ROWS):
            for wallet_id in wallets:
                move(wallet_id, "100.00" if number % 2 == 0 else "-30.00", details={"n": number})
        with db.engine.begin() as connection:
            _drop_triggers(connection)
            for table in TABLES:
                connection.exec_driver_sql(f"CREATE TABLE kept_{table} AS SELECT * FROM {table}")
        yield Ledger(app, wallets)
        db.session.remove()
        db.engine.dispose()
    database.drop()


class Ledger:
    def __init__(self, app, wallets):
        self.app, self.wallets = app, wallets

    def sql(self, *statements: str) -> None:
        """Run statements as someone who may do everything; {a}, {b}, {c} are the wallets."""
        a, b, c = self.wallets
        cents = 1 if db.engine.dialect.name == "mysql" else 100
        with db.engine.begin() as connection:
            _foreign_keys(connection, on=False)
            for statement in statements:
                connection.exec_driver_sql(statement.format(a=a, b=b, c=c, one=cents))
            _foreign_keys(connection, on=True)

    def restore(self) -> None:
        self.sql(*(f"DELETE FROM {table}" for table in TABLES))
        self.sql(*(f"INSERT INTO {table} SELECT * FROM kept_{table}" for table in reversed(TABLES)))


def _foreign_keys(connection, *, on: bool) -> None:
    if connection.dialect.name == "mysql":
        connection.exec_driver_sql(f"SET foreign_key_checks={int(on)}")
        connection.exec_driver_sql(f"SET check_constraint_checks={int(on)}")
    else:
        connection.exec_driver_sql("COMMIT")
        connection.exec_driver_sql(f"PRAGMA foreign_keys={'ON' if on else 'OFF'}")
        connection.exec_driver_sql(f"PRAGMA ignore_check_constraints={'OFF' if on else 'ON'}")
        connection.exec_driver_sql("BEGIN")


def _drop_triggers(connection) -> None:
    if connection.dialect.name == "mysql":
        names = [row[0] for row in connection.exec_driver_sql("SHOW TRIGGERS")]
    else:
        names = [row[0] for row in connection.exec_driver_sql("SELECT name FROM sqlite_master WHERE type='trigger'")]
    for name in names:
        connection.exec_driver_sql(f"DROP TRIGGER {name}")


@pytest.fixture(autouse=True)
def _restored(ledger):
    yield
    db.session.rollback()
    ledger.restore()


COPY = (
    "INSERT INTO wallet_transactions (wallet_id, seq, type, amount, balance_before, balance_after, idempotency_key,"
    " reference_type, reference_id, reason, metadata, created_at, prev_hash, hash) SELECT {what}, type, amount,"
    " balance_before, balance_after, 'forged', reference_type, reference_id, reason, metadata, created_at, prev_hash,"
    " hash FROM wallet_transactions WHERE wallet_id={{a}} AND seq={seq}"
)
SWAP = [
    "UPDATE wallet_transactions SET seq=100 WHERE wallet_id={b} AND seq=2",
    "UPDATE wallet_transactions SET seq=2 WHERE wallet_id={b} AND seq=4",
    "UPDATE wallet_transactions SET seq=4 WHERE wallet_id={b} AND seq=100",
]
T = "UPDATE wallet_transactions SET "
AT = " WHERE wallet_id={b} AND seq=3"

# name → (statements, wallet (a, b or c), seq, whether an incremental run after an anchor sees it, too)
KINDS = {
    "amount altered": ([T + "amount = amount + {one}" + AT], "b", 3, False),
    "amount and balances altered alike": (
        [T + "amount = amount + {one}, balance_after = balance_after + {one}" + AT], "b", 3, False),
    "balances shifted": (
        [T + "balance_before = balance_before + {one}, balance_after = balance_after + {one}" + AT], "b", 3, False),
    "reason altered": ([T + "reason = '别的'" + AT], "b", 3, False),
    "metadata altered": ([T + "metadata = '{{\"n\":9}}'" + AT], "b", 3, False),
    "metadata removed": ([T + "metadata = NULL" + AT], "b", 3, False),
    "created_at altered": ([T + "created_at = '2020-01-01 00:00:00.000000'" + AT], "b", 3, False),
    "created_at altered by a microsecond": (
        [T + "created_at = (SELECT created_at FROM kept_wallet_transactions k WHERE k.wallet_id={b} AND k.seq=4)" + AT],
        "b", 3, False),
    "key altered": ([T + "idempotency_key = 'other'" + AT], "b", 3, False),
    "type altered": ([T + "type = 'refund'" + AT], "b", 3, False),
    "reference altered": ([T + "reference_id = '2'" + AT], "b", 3, False),
    "text moved over a field's edge": ([T + "reference_type = 'bookin', reference_id = 'g1'" + AT], "b", 3, False),
    "student set": ([T + "profile_id = 7" + AT], "b", 3, False),
    "reversal set": ([T + "reverses_id = 1" + AT], "b", 3, False),
    "staff set": ([T + "performed_by = 7" + AT], "b", 3, False),
    "hash altered": ([T + "hash = prev_hash" + AT], "b", 3, False),
    "row deleted": (["DELETE FROM wallet_transactions" + AT], "b", 3, False),
    "first row deleted": (["DELETE FROM wallet_transactions WHERE wallet_id={b} AND seq=1"], "b", 1, False),
    "row inserted at the end": ([COPY.format(what="{b}, 7", seq=6)], "b", 7, True),
    "row inserted before the first": ([COPY.format(what="{b}, 0", seq=1)], "b", 0, False),
    "two rows swapped": (SWAP, "b", 2, False),
    "row moved to another wallet": ([T + "wallet_id={c}, seq=7" + AT], "b", 3, True),
    "balance set": (["UPDATE wallets SET balance = balance + {one} WHERE id={b}"], "b", 6, True),
    "head set": ([("UPDATE wallets SET head_hash = (SELECT hash FROM wallet_transactions"
                  " WHERE wallet_id={b} AND seq=1) WHERE id={b}")], "b", 6, True),
    "version set": (["UPDATE wallets SET version = 9 WHERE id={b}"], "b", 7, True),
    "newest rows cut": (["DELETE FROM wallet_transactions WHERE wallet_id={b} AND seq>4"], "b", 5, True),
    "wallet gone": (["DELETE FROM wallets WHERE id={b}"], "b", 1, True),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_a_full_run_names_what_was_tampered_with(ledger, kind):
    statements, wallet, seq, _ = KINDS[kind]
    ledger.sql(*statements)
    report = verify.run(full=True)
    expected = ledger.wallets["abc".index(wallet)]
    assert (expected, seq) in [(f.wallet_id, f.seq) for f in report.findings]
    others = {f.wallet_id for f in report.findings} - {expected}
    assert others <= ({ledger.wallets[2]} if "another wallet" in kind else set())
    assert report.root is None


@pytest.mark.parametrize("kind", KINDS)
def test_after_an_anchor(ledger, kind):
    """What touches heads shows in an incremental run at once, an old row in the next full run."""
    assert verify.run().sound
    statements, wallet, seq, at_once = KINDS[kind]
    ledger.sql(*statements)
    expected = ledger.wallets["abc".index(wallet)]
    found = [f.wallet_id for f in verify.run(keep_anchor=False).findings]
    if at_once:
        assert found
    else:
        assert found == []
    assert expected in [f.wallet_id for f in verify.run(full=True).findings]


CUT = [
    "DELETE FROM wallet_transactions WHERE wallet_id={b} AND seq>4",
    (
        "UPDATE wallets SET version=4,"
        " balance=(SELECT balance_after FROM wallet_transactions WHERE wallet_id={b} AND seq=4),"
        " head_hash=(SELECT hash FROM wallet_transactions WHERE wallet_id={b} AND seq=4) WHERE id={b}"
    ),
]


@pytest.mark.parametrize("full", [True, False])
def test_newest_rows_gone_with_the_wallet_set_back(ledger, full):
    """The chain that is left is sound in itself: only the anchor knows that it was longer."""
    verify.run()
    ledger.sql(*CUT)
    assert [(f.wallet_id, f.seq) for f in verify.run(full=full).findings] == [(ledger.wallets[1], 5)]


def test_without_an_anchor_a_cut_chain_looks_sound(ledger):
    """The control of the test above."""
    ledger.sql(*CUT)
    assert verify.run(full=True, keep_anchor=False).sound


def test_an_incremental_run_reads_only_what_moved(ledger):
    assert verify.run().rows_read == 3 * ROWS
    assert verify.run().rows_read == 0
    move(ledger.wallets[0], "5.00")
    report = verify.run()
    assert (report.sound, report.full, report.rows_read) == (True, False, 1)
    assert db.session.scalar(sa.select(sa.func.count(LedgerAnchor.id))) == 2
    ledger.sql("UPDATE wallet_transactions SET amount = amount + {one} WHERE wallet_id={a} AND seq=7")
    assert verify.run().rows_read == 0
    move(ledger.wallets[0], "6.00")
    ledger.sql("UPDATE wallet_transactions SET amount = amount + {one} WHERE wallet_id={a} AND seq=8")
    report = verify.run()
    assert [(f.wallet_id, f.seq) for f in report.findings] == [(ledger.wallets[0], 8)]


def test_an_edited_checkpoint_is_noticed_and_everything_is_read(ledger):
    verify.run()
    ledger.sql("UPDATE ledger_anchor_leaves SET seq=5 WHERE wallet_id={a}")
    report = verify.run()
    assert report.full
    assert report.rows_read == 3 * ROWS
    assert report.findings[0].wallet_id == 0


def test_a_checkpoint_edited_with_its_root_is_found_by_the_full_run(ledger):
    """An old row altered, the checkpoint edited to fit: the incremental run is deceived, the full one is not."""
    verify.run()
    ledger.sql(
        "UPDATE wallet_transactions SET amount = amount + {one}, balance_after = balance_after + {one}"
        " WHERE wallet_id={b} AND seq=6",
        "UPDATE wallets SET balance = balance + {one} WHERE id={b}",
        "UPDATE ledger_anchor_leaves SET balance = balance + {one} WHERE wallet_id={b}",
    )
    with db.engine.connect() as connection:
        root = anchors.merkle_root(anchors.last(connection).heads)
    ledger.sql(f"UPDATE ledger_anchors SET root='{root}'")
    assert verify.run(keep_anchor=False).sound
    assert [(f.wallet_id, f.seq) for f in verify.run(full=True).findings] == [(ledger.wallets[1], 6)]


def test_rows_pushed_behind_an_unmoved_wallet_are_found_at_once(ledger):
    verify.run()
    ledger.sql(COPY.format(what="{b}, 7", seq=6))
    assert [(f.wallet_id, f.seq) for f in verify.run().findings] == [(ledger.wallets[1], 7)]


def test_an_outside_root_proves_that_its_state_is_still_there(ledger):
    root = verify.run().root
    move(ledger.wallets[1], "5.00")
    later = verify.run().root
    assert root != later
    for known in (root, later, root.upper()):
        assert verify.run(anchor_root=known).sound
    ledger.sql(
        "DELETE FROM ledger_anchor_leaves WHERE anchor_id=2",
        "DELETE FROM ledger_anchors WHERE id=2",
        *CUT,
    )
    findings = verify.run(anchor_root=root).findings
    assert [(f.wallet_id, f.seq) for f in findings] == [(ledger.wallets[1], 5)]


def test_an_unknown_root_or_edited_leaves_prove_nothing(ledger):
    root = verify.run().root
    assert verify.run(anchor_root="0" * 64).findings[0].wallet_id == 0
    ledger.sql("DELETE FROM ledger_anchor_leaves WHERE wallet_id={a}")
    assert verify.run(anchor_root=root).findings[0].wallet_id == 0


def test_the_command(ledger):
    runner = ledger.app.test_cli_runner()
    done = runner.invoke(args=["ledger", "verify", "--full"])
    assert done.exit_code == 0, done.output
    root = re.search(r"当前检查点 ([0-9a-f]{64})", done.output)[1]
    assert runner.invoke(args=["ledger", "verify", "--anchor", root]).exit_code == 0
    assert runner.invoke(args=["ledger", "verify", "--anchor", "nonsense"]).exit_code == 2
    unknown = runner.invoke(args=["ledger", "verify", "--anchor", "0" * 64])
    assert (unknown.exit_code, "检查点：" in unknown.output) == (1, True)
    ledger.sql("UPDATE wallet_transactions SET amount = amount + {one} WHERE wallet_id={b} AND seq=3")
    failed = runner.invoke(args=["ledger", "verify", "--full"])
    assert failed.exit_code == 1
    assert f"wallet={ledger.wallets[1]} seq=3 " in failed.output


def test_rows_too_large_for_one_answer_are_read_in_parts(ledger, monkeypatch):
    """Rows of 60 kB and a server that answers with at most 300 kB."""
    monkeypatch.setattr(verify, "PACK", 4)
    asked = []
    scalar = verify._Check._scalar

    def small(check, query):
        asked.append(query)
        return 300_000 if "max_allowed_packet" in query else scalar(check, query)

    monkeypatch.setattr(verify._Check, "_scalar", small)
    for n in range(6):
        move(ledger.wallets[0], "1.00", details={"text": f"{n}" * 60_000})
    report = verify.run(full=True)
    assert report.sound, report.findings
    assert report.rows_read == 3 * ROWS + 6
    assert asked or db.engine.dialect.name == "sqlite"
    ledger.sql("UPDATE wallet_transactions SET reason='x' WHERE wallet_id={a} AND seq=9")
    assert [(f.wallet_id, f.seq) for f in verify.run(full=True).findings] == [(ledger.wallets[0], 9)]


def test_two_runs_side_by_side_write_one_anchor(ledger):
    verify.run()
    with db.engine.connect() as connection:
        base = anchors.last(connection)
    move(ledger.wallets[0], "5.00")
    older = dict(base.heads)
    verify.run()
    older[ledger.wallets[2]] = anchors.Head(1, 1, b"x" * 32)
    anchors.write(heads=older, base=base, actor=verify.system("test"))
    with db.engine.connect() as connection:
        assert anchors.last(connection).intact
    assert verify.run().sound


def test_the_root_covers_every_leaf_and_its_place():
    one, two, three = (anchors.Head(1, 100, bytes([n]) * 32) for n in range(3))
    roots = {
        anchors.merkle_root(heads)
        for heads in (
            {}, {1: one}, {2: one}, {1: one, 2: two}, {1: two, 2: one}, {1: one, 2: two, 3: three},
            {1: one, 2: two, 3: anchors.Head(2, 100, three.hash)}, {1: one, 2: two, 3: anchors.EMPTY},
        )
    }  # fmt: skip
    assert len(roots) == 8
