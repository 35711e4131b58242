"""Two releases on one database while parents book: the schema moves, both serve, the old one goes (I-44, I-45).

    git archive <last release> | tar -x -C /srv/old
    python -m tests.drills.releases --old /srv/old

The schema is taken back to the old release's, whose gunicorn serves bookings over HTTP. Under that load `flask db
upgrade` of this checkout runs; the old code goes on with the new schema; this checkout's gunicorn starts beside it and
each request goes to either; the door stops sending to the old one, which gets SIGTERM with requests running; at last
the new one gets SIGHUP. Every request has to be answered at its first try: the clients try nothing twice, but for a
door that takes no connection. `--control` sends SIGKILL instead: requests must fail, and settle under their keys.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

from app.db import db
from bench.parents import make_parents, make_sessions
from tests.conftest import _KEYS, build_app
from tests.drills import chaos_checks
from tests.drills.chaos_clients import Heard
from tests.drills.report import Report, say
from tests.drills.servers import MariaDB, Server, ended_by_sigterm, free_port

NEW = Path(__file__).resolve().parents[2]
CHILDREN = 5


class Release(Server):
    """One checkout's gunicorn, with its own code and the machine's interpreter."""

    def __init__(self, checkout: Path, folder: Path, env: dict[str, str]):
        super().__init__(folder, free_port())
        self.checkout, self.env = checkout, os.environ | env | {"PYTHONPATH": str(checkout)}

    def command(self) -> list[str]:
        return [sys.executable, "-m", "gunicorn", "wsgi:app", "--chdir", str(self.checkout), "-c",
                str(self.checkout / "gunicorn.conf.py"), "-b", f"127.0.0.1:{self.port}", "-w", "2"]  # fmt: skip

    def launch(self, *more: str) -> None:
        with (self.folder / "process.log").open("a") as log:
            self.process = subprocess.Popen(
                [*self.command(), *more], stdout=log, stderr=log, env=self.env, cwd=self.checkout,
                start_new_session=True,
            )  # fmt: skip

    def answers(self) -> bool:
        try:
            return asked(self.port, "GET", "/healthz")[0] == 200
        except OSError:
            return False

    def flask(self, *words: str) -> str:
        """A command of this release; all that it printed. Raises RuntimeError."""
        done = subprocess.run([sys.executable, "-m", "flask", "--app", "wsgi", *words], env=self.env, cwd=self.checkout,
                              capture_output=True, text=True)  # fmt: skip
        if done.returncode:
            raise RuntimeError(f"flask {' '.join(words)}: {done.stderr[-2000:]}")
        return done.stdout + done.stderr

    def head(self) -> str:
        """The newest migration that this release knows."""
        return next(line.split()[0] for line in self.flask("db", "heads").splitlines() if "(head)" in line)


def asked(port: int, method: str, path: str, body: str | None = None, headers: dict | None = None) -> tuple[int, str]:
    """One request on a connection of its own, as a proxy asks by default: status and body."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request(method, path, body, (headers or {}) | {"Connection": "close"})
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


class Load:
    """Parents who book at several doors until they are told to stop; what failed is kept, and settled at the end."""

    def __init__(self, parents: list, classes: list[int]):
        self.ports: list[int] = []
        self.heard, self.failed, self.stop = Heard(), [], threading.Event()
        self.phase, self.by_phase = "", Counter()
        #: the longest answer of each phase, in seconds
        self.longest: dict[str, float] = {}
        self.clients = [threading.Thread(target=self._book, args=(one, classes), daemon=True) for one in parents]

    def _book(self, parent, classes: list[int]) -> None:
        for schedule_id in classes:
            for profile_id in parent.profile_ids:
                if self.stop.is_set():
                    return
                self._once((schedule_id, profile_id), parent.token, uuid.uuid4().hex)

    def _once(self, pair: tuple[int, int], token: str, key: str) -> None:
        phase, began = self.phase, time.monotonic()
        try:
            status, body = self._send(pair, token, key)
        except (OSError, http.client.HTTPException) as error:
            status, body = 0, type(error).__name__
        self.by_phase[phase] += 1
        self.longest[phase] = max(self.longest.get(phase, 0.0), round(time.monotonic() - began, 2))
        if status == 201:
            self.heard.acknowledged[pair] = json.loads(body)["data"]["booking"]["id"]
        else:
            self.failed.append((phase, pair, token, key, f"{status} {body[:120]}"))

    def _send(self, pair: tuple[int, int], token: str, key: str) -> tuple[int, str]:
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json", "Idempotency-Key": key}
        body = json.dumps({"course_schedule_id": pair[0], "profile_id": pair[1]})
        for port in random.sample(self.ports, len(self.ports)):
            try:
                return asked(port, "POST", "/api/v1/bookings", body, headers)
            except ConnectionRefusedError:
                continue  # nothing was sent: the next door, as a proxy does
        return 0, "no door is open"

    def settle(self) -> int:
        """Ask again, under the same keys, what failed; how many are booked then."""
        settled = 0
        for _phase, pair, token, key, _said in self.failed:
            status, body = self._send(pair, token, key)
            if status == 201:
                settled += 1
                self.heard.acknowledged[pair] = json.loads(body)["data"]["booking"]["id"]
        return settled


def play(old: Release, new: Release, load: Load, seconds: float, control: bool) -> int:
    """The story, phase by phase; how often a step of the schema had to come again."""

    def phase(name: str) -> None:
        load.phase = name
        say(name)

    load.ports = [old.port]
    phase("old code, old schema")
    for client in load.clients:
        client.start()
    time.sleep(seconds)
    phase("the schema moves under the old code")
    again = new.flask("db", "upgrade").count("others hold what it needs")
    phase("old code, new schema")
    time.sleep(seconds)
    new.start()
    load.ports = [old.port, new.port]
    phase("both, side by side")
    time.sleep(seconds)
    load.ports = load.ports if control else [new.port]
    phase("the old one ends")
    if control:
        os.killpg(old.process.pid, signal.SIGKILL)
    else:
        old.stop()
    time.sleep(seconds)
    load.ports = [new.port]
    phase("the new one reloads")
    new.process.send_signal(signal.SIGHUP)
    time.sleep(seconds)
    load.stop.set()
    for client in load.clients:
        client.join()
    return again


def main() -> None:
    given = _arguments()
    ended_by_sigterm()
    report = Report("releases side by side" + (", control by SIGKILL" if given.control else ""))
    with tempfile.TemporaryDirectory(prefix="desk-releases-") as scratch:
        folder = Path(scratch)
        database = MariaDB(folder / "mariadb", free_port())
        database.start()
        database.query("CREATE DATABASE releases CHARACTER SET utf8mb4")
        url = database.url("releases")
        env = _KEYS | {
            "DESK_ENV": "development", "DESK_DATABASE_URL": url, "DESK_RATE_LIMITS": "off",
            "DESK_REDIS_URL": "redis://127.0.0.1:1/0", "DESK_INSTANCE_DIR": str(folder / "instance"),
        }  # fmt: skip
        old, new = Release(given.old.resolve(), folder / "old", env), Release(NEW, folder / "new", env)
        try:
            app = build_app(SimpleNamespace(url=url), folder / "instance", DESK_RATE_LIMITS="off")
            with app.app_context():
                parents = make_parents(given.clients, balance="90000.00", children=CHILDREN)
                classes = make_sessions(400, capacity=999, price="1.00")
                db.session.remove()
                db.engine.dispose()
            report.note(old_schema=old.head(), new_schema=new.head())
            report.check("the releases have different schemas", old.head() != new.head())
            new.flask("db", "downgrade", old.head())
            old.start()
            load = Load(parents, classes)
            report.note(steps_tried_again=play(old, new, load, given.seconds, given.control))
            _judge(report, app, load, parents, classes, given.control)
        finally:
            old.stop()
            new.stop()
            database.stop()
    report.finish(given.json)


def _judge(report: Report, app, load: Load, parents: list, classes: list[int], control: bool) -> None:
    failed = Counter(phase for phase, *_ in load.failed)
    report.note(requests=sum(load.by_phase.values()), by_phase=dict(load.by_phase), longest_seconds=load.longest,
                failed=dict(failed) or 0, first_failures=[one[-1] for one in load.failed[:3]])  # fmt: skip
    report.check("requests were answered in every phase", len(load.by_phase) == 6)
    if control:
        report.check("a killed release fails requests", sum(failed.values()) > 0)
    else:
        report.check("no request failed", not failed)
    report.check("what failed is settled by its key", load.settle() == len(load.failed))
    found = chaos_checks.count(app, parents, classes, load.heard)
    done = {found[name] for name in ("bookings", "debits", "pairs", "seats", "told")} | {len(load.heard.acknowledged)}
    report.note(**{name: found[name] for name in ("bookings", "debits", "seats", "told")})
    report.check("each acknowledged request has one booking, debit, seat and message", len(done) == 1)
    report.check("the ledger verifies", found["chain_holds"] and found["sums_hold"] and not found["missing"])


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--old", type=Path, required=True, help="a checkout of the release before")
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=6.0, help="of each phase")
    parser.add_argument("--json", type=Path, help="where the figures go")
    parser.add_argument("--control", action="store_true", help="SIGKILL instead of SIGTERM: requests must fail")
    return parser.parse_args()


if __name__ == "__main__":
    main()
