"""Three Galera nodes: killed one by one, cut off, the writer killed behind the proxy, all killed and brought back.

The product's own booking runs on all nodes at once, and through the proxy of `deploy/galera` with one writer. After
each scene every node must hold the same: each acknowledged booking with its seat and its debit, no class with more
children than fit, a ledger that verifies. The control locks the class and writes elsewhere, as a program without the
guarded write would: on two nodes it must oversell (I-15, I-40).

    python -m tests.drills.galera [--seconds 20] [--first-port 33062]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

from app import create_app
from app.db import db
from bench.parents import make_parents, make_sessions
from tests.conftest import build_app, make_settings
from tests.drills import galera_raw
from tests.drills.cluster import Cluster, Node, Proxy
from tests.drills.galera_clients import Crowd, look
from tests.drills.report import Report, say
from tests.drills.servers import ended_by_sigterm, free_port

NAME = "desk"
CLIENTS, CHILDREN = 12, 5


class Stage:
    """The cluster, an application on each node, and one that goes through the proxy."""

    def __init__(self, folder: Path, first_port: int, report: Report):
        self.cluster, self.report = Cluster(folder, first_port), report
        self.proxy = Proxy(folder / "proxy", free_port(), self.cluster)
        self.folder = folder

    def open(self) -> None:
        folder = self.folder
        self.cluster.start()
        self.cluster.nodes[0].query(f"CREATE DATABASE {NAME} CHARACTER SET utf8mb4")
        first = build_app(SimpleNamespace(url=self.cluster.nodes[0].url(NAME)), folder / "instance")
        others = [self._app(node.url(NAME), folder) for node in self.cluster.nodes[1:]]
        self.apps = [first, *others]
        self.proxy.start()
        self.through = self._app(f"mysql+pymysql://root@127.0.0.1:{self.proxy.port}/{NAME}?charset=utf8mb4", folder)

    @staticmethod
    def _app(url: str, folder: Path):
        return create_app(make_settings(url, folder / "instance"))

    def people(self, classes: int, capacity: int):
        """(parents, classes) that no other scene has."""
        with self.apps[0].app_context():
            made = (
                make_parents(CLIENTS, balance="9000.00", children=CHILDREN),
                make_sessions(classes, capacity=capacity, price="1.00"),
            )
            db.session.remove()
        return made

    def scene(self, name: str, apps: list, during: Callable[[Crowd], None], *, classes: int, capacity: int = 999):
        """Clients on these applications while something happens; then each node is asked what it has."""
        say(f"scene: {name}")
        parents, schedules = self.people(classes, capacity)
        with Crowd(apps, parents, schedules) as crowd:
            during(crowd)
        self.cluster.whole()
        heard = crowd.heard
        found = [look(app, schedules, heard) for app in self.apps]
        facts = {"acknowledged": len(heard.acknowledged), "rows": found[0].bookings, "tried_again": dict(heard.again),
                 "silence_s": round(heard.longest_silence(), 2)}  # fmt: skip
        self.report.note(**{name: ", ".join(f"{key} {value}" for key, value in facts.items())})
        say(f"  {facts} {found[0]} {dict(heard.broken)}")
        self.report.check(f"{name}: every node has each acknowledged booking, its seat and its debit, once",
                          all(one.exact and one == found[0] for one in found))  # fmt: skip
        self.report.check(f"{name}: clients heard bookings, and nothing that they cannot act on",
                          bool(heard.acknowledged) and not heard.broken)  # fmt: skip
        return found[0]

    def writer(self) -> Node:
        """The node to which the proxy leads."""
        with galera_raw.connect(self.proxy.port) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT @@port")
            port = cursor.fetchone()[0]
        return next(node for node in self.cluster.nodes if node.port == port)

    def close(self) -> None:
        self.proxy.stop()
        self.cluster.stop()


def play(stage: Stage, seconds: float) -> None:
    cluster, nodes = stage.cluster, stage.cluster.nodes
    seats = stage.scene("two writers, last seats", stage.apps[:2], lambda crowd: crowd.until_done(90),
                        classes=6, capacity=6)  # fmt: skip
    stage.report.check("two writers sold each of 36 seats once", seats.bookings == 36)
    oversold = galera_raw.oversell_without_guard(nodes[:2])
    stage.report.note(control_oversold=oversold)
    stage.report.check("the control without the guarded write oversells", oversold > 0)
    stale = galera_raw.stale_reads(nodes[0], nodes[1], stage.proxy.port)
    stage.report.note(stale_reads=stale)
    stage.report.check("no stale read through the proxy, nor with wsrep_sync_wait",
                       stale["proxy"] == stale["sync_wait"] == 0)  # fmt: skip

    def kill_each(_crowd: Crowd) -> None:
        for node in nodes:
            time.sleep(seconds / 6)
            node.kill()
            time.sleep(seconds / 6)
            say(f"  {node.folder.name} back after {node.start(seconds=240):.1f} s")

    stage.scene("each node killed", stage.apps, kill_each, classes=400)

    def cut_off(_crowd: Crowd) -> None:
        time.sleep(seconds / 4)
        nodes[2].isolate(True)
        time.sleep(max(seconds / 2, 10))
        nodes[2].isolate(False)
        time.sleep(seconds / 4)

    stage.scene("one node cut off", stage.apps, cut_off, classes=400)

    def kill_the_writer(_crowd: Crowd) -> None:
        time.sleep(seconds / 3)
        writer = stage.writer()
        writer.kill()
        time.sleep(seconds / 3)
        stage.report.check("another node writes", stage.writer() is not writer)
        writer.start(seconds=240)
        time.sleep(seconds / 3)

    stage.scene("the writer killed behind the proxy", [stage.through], kill_the_writer, classes=400)

    def kill_all(_crowd: Crowd) -> None:
        time.sleep(seconds / 2)
        for node in nodes:
            node.kill()
        began = time.monotonic()
        said = cluster.recover()
        stage.report.note(all_three_back_after_seconds=time.monotonic() - began)
        say("  " + said.strip().replace("\n", "\n  "))
        time.sleep(seconds / 2)

    stage.scene("all three killed", [stage.through], kill_all, classes=400)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=float, default=20, help="roughly how long a scene lasts")
    parser.add_argument("--first-port", type=int, default=33062, help="three in a row")
    parser.add_argument("--json", type=Path, help="where the figures go")
    asked = parser.parse_args()
    ended_by_sigterm()
    report = Report("galera")
    with tempfile.TemporaryDirectory(prefix="desk-galera-") as folder:
        stage = Stage(Path(folder), asked.first_port, report)
        try:
            stage.open()
            play(stage, asked.seconds)
        finally:
            stage.close()
    report.finish(asked.json)


if __name__ == "__main__":
    main()
