"""The database's disk is full, or fails: nothing acknowledged is lost, who asks is told to come again (I-42).

Parents book over HTTP on a MariaDB of the drill's own. First its disk, a small file system of its own, is filled up and
after a while given room again: nobody may hear 500, and bookings go on without anybody touching the server. Then its
writes and its flushes fail with EIO (`strace` injects that), MariaDB ends itself as it should, and is started again as
systemd does. The counts of the chaos drill follow. Needs root, for the file system and for strace.

    python -m tests.drills.disk [--faults 4] [--control]

The control of the full disk is a product that does not know what a full disk says: 500 must be heard. The control of
EIO is a database that flushes once a second: something acknowledged must be lost.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from app.db import db
from bench.parents import make_parents, make_sessions
from tests.drills import chaos_checks
from tests.drills.chaos import CHILDREN, PRICE, Stage
from tests.drills.chaos_clients import Heard, book_all
from tests.drills.report import Report, say
from tests.drills.servers import MariaDB, ended_by_sigterm

#: bytes of the small disk, and what is left of it when it is full
ROOM, LEFT = 600 * 2**20, 128 * 2**10
#: which of its calls fail, and from the how-manieth after strace has come on
FAULTS = ("fdatasync,fsync:error=EIO:when=1+", "pwrite64:error=EIO:when=1+", "fdatasync,fsync:error=EIO:when=40+")


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """A file system of its own at this folder, in a file beside it."""
    image = folder.with_suffix(".img")
    folder.mkdir(parents=True)
    with image.open("wb") as file:
        file.truncate(ROOM)
    subprocess.run(["mkfs.ext4", "-q", "-m", "0", image], check=True)
    subprocess.run(["mount", "-o", "loop", image, folder], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", folder], check=True)


def fill(folder: Path) -> Path:
    """Take nearly all that is left; the file that gives it back when it is deleted."""
    room, filler = os.statvfs(folder), folder / "filler"
    with filler.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, room.f_bavail * room.f_frsize - LEFT)
    return filler


def fail(database: MariaDB, fault: str) -> bool:
    """Let the server's calls fail; True when it ended itself within half a minute."""
    calls = fault.partition(":")[0]
    command = ["strace", "-f", "-qq", "-p", str(database.process.pid), "-e", f"trace={calls}", "-e", f"inject={fault}"]
    with subprocess.Popen([*command, "-o", database.folder / "strace.log"], stderr=subprocess.DEVNULL) as tracer:
        try:
            database.process.wait(30)
            return True
        except subprocess.TimeoutExpired:
            return False
        finally:
            tracer.terminate()


class Systemd:
    """Starts a server that ended itself again after five seconds, as its unit says (`Restart=on-abnormal`)."""

    def __init__(self, database: MariaDB):
        self.database, self.starts = database, 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.wait(5):
            if self.database.process.poll() is not None:
                self.starts += 1
                self.database.launch()

    def end(self) -> int:
        """How often it was started again."""
        self._stop.set()
        self._thread.join()
        return self.starts


class Trial:
    """Parents who book until all is done, and a fault in the middle of it."""

    def __init__(self, asked: argparse.Namespace, folder: Path, *options: str, small: bool = False, **environ: str):
        self.asked, self.folder, self.environ = asked, folder, environ
        self.options, self.small, self.heard = options, small, Heard()

    def run(self, fault: Callable[[Trial], dict]) -> dict:
        """All bookings around one fault; its figures, and the counts of the chaos drill."""
        if not self.small:
            return self._run(fault)
        with small_disk(self.folder / "mariadb" / "data"):  # its log is outside, as with systemd
            return self._run(fault)

    def _run(self, fault: Callable[[Trial], dict]) -> dict:
        guarded = argparse.Namespace(**{**vars(self.asked), "control": False})  # the controls of chaos are others
        stage = self.stage = Stage(guarded, self.folder, *self.options)
        try:
            each, enough = -(-self.asked.deductions // self.asked.clients), threading.Event()
            with stage.app.app_context():
                parents = make_parents(self.asked.clients, balance="9000.00", children=CHILDREN)
                classes = make_sessions(-(-each // CHILDREN), capacity=999, price=PRICE)
                [first], [apart] = make_parents(1, balance="9000.00"), make_sessions(1, capacity=999, price=PRICE)
                db.session.remove()
            web = stage.web({"token": first.token, "schedule": apart, "profile": first.profile_ids[0]})
            web.env |= self.environ
            with web:
                booking = threading.Thread(
                    target=book_all, args=(web.port, parents, classes, each, self.heard),
                    kwargs={"control": False, "enough": enough}, daemon=True,
                )  # fmt: skip
                booking.start()
                self.wait_for(100)
                figures = fault(self)
                self.wait_for(len(self.heard.acknowledged) + 100)
                enough.set()
                booking.join()
            found = chaos_checks.count(stage.app, parents, classes, self.heard)
            with stage.app.app_context():
                found["whole_ledger"] = chaos_checks.verify_all()
            return {
                "acknowledged": len(self.heard.acknowledged),
                **figures,
                "answers": dict(self.heard.answers),
                **found,
            }
        finally:
            stage.close()

    def wait_for(self, acknowledged: int, seconds: float = 300) -> float:
        """Seconds until so many are acknowledged. Raises RuntimeError."""
        began = time.monotonic()
        while len(self.heard.acknowledged) < acknowledged:
            if time.monotonic() - began > seconds:
                raise RuntimeError(f"no more than {len(self.heard.acknowledged)} acknowledged: {self.heard.answers}")
            time.sleep(0.02)
        return time.monotonic() - began

    def next_answer(self) -> float:
        return self.wait_for(len(self.heard.acknowledged) + 1)


def full(trial: Trial) -> dict:
    """No room for a while, then room: nobody touches the server."""
    before, filler = dict(trial.heard.answers), fill(trial.folder / "mariadb" / "data")
    say("  the disk is full")
    watch = Systemd(trial.stage.database)
    time.sleep(trial.asked.full)
    meanwhile = {what: n - before.get(what, 0) for what, n in trial.heard.answers.items() if n != before.get(what, 0)}
    filler.unlink()
    again = trial.next_answer()
    say(f"  there is room: goes on after {again:.1f} s; heard meanwhile: {meanwhile}")
    return {"meanwhile": meanwhile, "goes_on_after_s": again, "ended_itself": watch.end()}


def failing(trial: Trial) -> dict:
    """EIO again and again; a server that ended itself is started again."""
    ended, back = 0, []
    while len(back) < trial.asked.faults and not trial.heard.done.is_set():
        fault = FAULTS[len(back) % len(FAULTS)]
        ended += fail(trial.stage.database, fault)
        trial.stage.database.kill()
        began = time.monotonic()
        trial.stage.database.start()
        trial.next_answer()
        back.append(time.monotonic() - began)
        say(f"  {fault}: ended itself {ended} of {len(back)} times, an answer {back[-1]:.1f} s after the start")
        time.sleep(2)
    return {"faults": len(back), "ended_itself": ended, "slowest_return_s": max(back, default=0.0)}


def _judge(report: Report, name: str, found: dict) -> None:
    report.note(**{f"{name}: {what}": figure for what, figure in found.items()})
    counts = {found[what] for what in ("acknowledged", "bookings", "debits", "pairs", "seats", "told")}
    report.check(f"{name}: each request has one booking, debit, seat and message", len(counts) == 1)
    report.check(f"{name}: everything acknowledged is there", not found["missing"])
    report.check(f"{name}: nobody heard 500", not found["answers"].get("500") and not found["refused"])
    report.check(f"{name}: the whole ledger verifies", found["whole_ledger"])


def play(asked: argparse.Namespace, folder: Path, report: Report) -> None:
    if "full" in asked.parts:
        say("a full disk")
        found = Trial(asked, folder / "full", "--innodb-log-file-size=48M", small=True).run(full)
        _judge(report, "full disk", found)
        report.check("full disk: some were told to come again", found["meanwhile"].get("503", 0) > 0)
        report.check("full disk: it went on within a minute and a half of room", found["goes_on_after_s"] <= 90)
    if "eio" in asked.parts:
        say("a disk that fails")
        found = Trial(asked, folder / "eio").run(failing)
        _judge(report, "failing disk", found)
        report.check("failing disk: the server ended itself each time", found["ended_itself"] == found["faults"] > 0)


def control(asked: argparse.Namespace, folder: Path, report: Report) -> None:
    if "full" in asked.parts:
        say("a full disk, and a product that does not know it")
        found = Trial(asked, folder / "full", "--innodb-log-file-size=48M", small=True, DRILL_FORGETFUL="1").run(full)
        report.note(full_disk=found["meanwhile"])
        report.check("without knowing the error 500 is heard", found["meanwhile"].get("500", 0) > 0)
    if "eio" in asked.parts:
        say("a disk that fails, and a database that flushes once a second")
        lazy = ("--innodb-flush-log-at-trx-commit=0", "--sync-binlog=0")
        found = Trial(asked, folder / "eio", *lazy).run(failing)
        report.note(failing_disk_lost=found["missing"])
        report.check("without flushing at each commit something acknowledged is lost", found["missing"] > 0)


def main() -> None:
    asked = _arguments()
    if os.geteuid():
        raise SystemExit("needs root: a file system is mounted and strace attached")
    ended_by_sigterm()
    report = Report("disk, controls" if asked.control else "disk")
    with tempfile.TemporaryDirectory(prefix="desk-disk-") as folder:
        (control if asked.control else play)(asked, Path(folder), report)
    report.finish(asked.json)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--deductions", type=int, default=6000, help="how many there may be; they end after the faults")
    parser.add_argument("--clients", type=int, default=12)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--full", type=float, default=60, help="seconds for which the disk is full")
    parser.add_argument("--faults", type=int, default=4, help="how often EIO")
    parser.add_argument("--parts", default="full,eio")
    parser.add_argument("--json", type=Path, help="where the figures go")
    parser.add_argument("--control", action="store_true", help="both controls")
    parser.set_defaults(port=None, web=None)
    return parser.parse_args()


if __name__ == "__main__":
    main()
