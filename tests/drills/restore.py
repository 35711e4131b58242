"""Last night's backup and the binary log bring the books back to a chosen moment, after the server was killed (I-43).

Money moves while `flask backup` runs, and after it; the log is rotated, the server killed and started again. Somebody
then wants the state of one moment: backup and logs are loaded into an empty schema, every balance and count is compared
with what was there then, the ledger is verified, and the time is measured. The control goes on to the end of the log:
what came after the moment must be there.

    python -m tests.drills.restore [--families 50] [--deposits 2000]
"""

from __future__ import annotations

import argparse
import tempfile
import threading
import time
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace

import sqlalchemy as sa

from app import create_app
from app.db import db
from app.domain.ledger.models import Wallet, WalletTransaction
from app.flows import backup
from tests.conftest import build_app, make_settings
from tests.drills.report import Report, say
from tests.drills.servers import MariaDB, ended_by_sigterm, free_port
from tests.factories import make_family
from tests.flows.test_backup import deposit

Books = dict[int, tuple[Decimal, int]]


class Writers:
    """Threads that pay money in; `still()` waits until nothing is on its way, `go()` lets them on."""

    def __init__(self, app, families: list, wanted: int):
        self._app, self._families, self._left = app, families, iter(range(wanted))
        self._going, self._done = threading.Event(), threading.Event()
        self._lock = threading.Lock()
        self._busy = [threading.Lock() for _ in range(4)]
        self._threads = [threading.Thread(target=self._work, args=(mine,), daemon=True) for mine in self._busy]
        for thread in self._threads:
            thread.start()

    def go(self) -> None:
        self._going.set()

    def still(self) -> None:
        self._going.clear()
        for one in self._busy:
            with one:
                """Whoever held it has answered."""

    def finish(self) -> None:
        self.go()
        for thread in self._threads:
            thread.join()

    def _work(self, mine: threading.Lock) -> None:
        while True:
            self._going.wait()
            with mine, self._lock:
                number = next(self._left, None)
            if number is None:
                return
            with mine, self._app.app_context():
                # A server that was killed: this one goes without, as a client would that gives up.
                with suppress(Exception):
                    deposit(self._families[number % len(self._families)], f"drill{number}")
                db.session.remove()


def books(app) -> Books:
    """Each wallet's balance and number of rows."""
    query = sa.select(Wallet.id, Wallet.balance, sa.func.count(WalletTransaction.id)).join(WalletTransaction)
    with app.app_context():
        found = {wallet: (balance, rows) for wallet, balance, rows in db.session.execute(query.group_by(Wallet.id))}
        db.session.remove()
    return found


def play(asked: argparse.Namespace, folder: Path, report: Report) -> None:
    server = MariaDB(folder / "mariadb", free_port(), "--log-bin-trust-function-creators=1")
    try:
        server.start()
        for name in ("one", "two", "three"):
            server.query(f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
        one = build_app(SimpleNamespace(url=server.url("one")), folder / "one")
        with one.app_context():
            families = [make_family(balance="100.00") for _ in range(asked.families)]
            db.session.remove()
        _act(asked, folder, report, server, one, families)
    finally:
        server.stop()


def _act(asked, folder: Path, report: Report, server: MariaDB, one, families: list) -> None:
    writers = Writers(one, families, asked.deposits)
    writers.go()
    time.sleep(1)
    began = time.monotonic()
    with one.app_context():
        made, manifest = backup.create(folder / "backups")
        db.session.remove()
    report.note(backup_seconds=time.monotonic() - began, megabytes=manifest.bytes / 1e6)
    server.query("FLUSH BINARY LOGS")
    time.sleep(1)
    say("killing the server")
    server.kill()
    server.start()
    time.sleep(1)
    writers.still()
    then, (last, position) = books(one), server.query("SHOW MASTER STATUS")[0][:2]
    writers.finish()
    after = books(one)
    logs = _logs(server, manifest.position[0])
    up_to_then = logs[: logs.index(server.data / last) + 1]
    report.note(rows_then=_rows(then), rows_after=_rows(after), logs=len(logs))
    two, three = _application(server, "two", folder), _application(server, "three", folder)
    seconds, restored = _restore(two, made, up_to_then, position)
    report.note(restore_seconds=seconds, rows_a_second=_rows(then) / seconds)
    report.check("the restored ledger verifies, with the backup's root in it", restored.report.sound)
    report.check("each wallet is what it was at that moment", books(two) == then)
    report.check("money moved after the backup and after the moment", _rows(after) > _rows(then) > 2 * asked.families)
    _restore(three, made, logs, None)
    report.check("control: to the end of the log, what came later is there", books(three) == after != then)


def _logs(server: MariaDB, first: str) -> list[Path]:
    """The binary logs from this one on; a last empty one takes what restoring writes."""
    server.query("FLUSH BINARY LOGS")
    names = [row[0] for row in server.query("SHOW BINARY LOGS")][:-1]
    return [server.data / name for name in names[names.index(first) :]]


def _restore(app, made: Path, logs: list[Path], stop: int | None):
    began = time.monotonic()
    with app.app_context():
        done = backup.restore(made, logs=logs, stop=stop)
        db.session.remove()
        db.engine.dispose()
    return time.monotonic() - began, done


def _application(server: MariaDB, name: str, folder: Path):
    return create_app(make_settings(server.url(name), folder / name))


def _rows(found: Books) -> int:
    return sum(rows for _, rows in found.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--families", type=int, default=50)
    parser.add_argument("--deposits", type=int, default=2000)
    parser.add_argument("--json", type=Path, help="where the figures go")
    asked = parser.parse_args()
    ended_by_sigterm()
    report = Report("restore")
    with tempfile.TemporaryDirectory(prefix="desk-restore-") as folder:
        play(asked, Path(folder), report)
    report.finish(asked.json)


if __name__ == "__main__":
    main()
