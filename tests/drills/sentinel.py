"""Three Redis and three Sentinels: the master killed while messages are queued; each is sent, sign-in goes on (I-41).

Parents are told things all the time, worker and scheduler of the product send them to the sandbox, and the master of
Redis dies by SIGKILL, twice. Every message has to arrive, and somebody signs in at the portal within ten seconds of
each death. `redis+sentinel://` is the only address that the processes have. The control has no scheduler and so no
sweep: what was queued in the moment of a death stays behind, which shows that the drill hits such moments.

    python -m tests.drills.sentinel [--messages 10000] [--control]
"""

from __future__ import annotations

import argparse
import tempfile
import threading
import time
from collections import deque
from pathlib import Path

import pytest
import redis
import sqlalchemy as sa

from app.db import db, transaction
from app.domain.outbox import service
from app.domain.outbox.models import Notification
from bench import killed_web
from sandbox.testing import running_sandbox
from tests.conftest import _KEYS, build_app, make_settings
from tests.databases import FreshDatabase
from tests.domain.outbox.families import make_family
from tests.drills.report import Report, say
from tests.drills.servers import RedisServer, Server, ended_by_sigterm, free_port
from tests.tasks.processes import desk as running_desk

MASTER = "desk"
FAMILIES = 40
OURS = Notification.type == "payment_result"
FACTS = {
    "course": "启蒙课",
    "amount": "200.00",
    "result": "支付成功",
    "time": "2026-11-20T11:00:00+00:00",
    "remark": "好",
}


class Watcher(Server):
    """One Sentinel."""

    def __init__(self, folder: Path, port: int, master: int):
        super().__init__(folder, port)
        (folder / "sentinel.conf").write_text(
            f"port {port}\nbind 127.0.0.1\ndir {folder}\nsentinel monitor {MASTER} 127.0.0.1 {master} 2\n"
            f"sentinel down-after-milliseconds {MASTER} 2000\nsentinel failover-timeout {MASTER} 8000\n"
        )

    def command(self) -> list[str]:
        return ["redis-server", str(self.folder / "sentinel.conf"), "--sentinel"]

    def answers(self) -> bool:
        return self.master() is not None

    def master(self) -> int | None:
        """The port of the master as this one sees it."""
        try:
            with redis.Redis(port=self.port, socket_timeout=2, decode_responses=True) as client:
                return int(client.execute_command("SENTINEL", "get-master-addr-by-name", MASTER)[1])
        except (redis.RedisError, TypeError):
            return None


class Watched:
    """A master, two replicas, three Sentinels."""

    def __init__(self, folder: Path):
        first = free_port()
        self.stores = [RedisServer(folder / "r1", first)]
        self.stores += [RedisServer(folder / f"r{n}", free_port(), "--replicaof", f"127.0.0.1 {first}") for n in (2, 3)]
        self.watchers = [Watcher(folder / f"s{n}", free_port(), first) for n in (1, 2, 3)]

    @property
    def url(self) -> str:
        hosts = ",".join(f"127.0.0.1:{watcher.port}" for watcher in self.watchers)
        return f"redis+sentinel://{hosts}/{MASTER}/0"

    def start(self) -> None:
        for server in (*self.stores, *self.watchers):
            server.start()
        time.sleep(3)  # the watchers find the replicas and each other

    def kill_master(self) -> float:
        """Seconds until there was another master; the dead one is started again as a replica."""
        port = self.watchers[0].master()
        dead = next(store for store in self.stores if store.port == port)
        began = time.monotonic()
        dead.kill()
        while any(watcher.master() in (port, None) for watcher in self.watchers):
            if time.monotonic() - began > 60:
                raise RuntimeError("no other master within a minute")
            time.sleep(0.05)
        took = time.monotonic() - began
        dead.start()
        return took

    def stop(self) -> None:
        for server in (*self.watchers, *self.stores):
            server.stop()


def play(asked: argparse.Namespace, folder: Path, report: Report) -> None:
    database, watched = FreshDatabase("mysql", "sentinel"), Watched(folder)
    patch = pytest.MonkeyPatch()
    app = build_app(database, folder / "instance")
    (folder / "logs").mkdir()
    try:
        watched.start()
        with running_sandbox() as sandbox, running_desk(app, folder / "logs", sandbox, patch) as desk:
            sandbox.state.messages = deque()  # it keeps two thousand otherwise
            desk.environ["DESK_REDIS_URL"] = watched.url
            desk.settings = make_settings(database.url, folder / "instance", **desk.environ)
            app.extensions["desk.settings"] = desk.settings
            with app.app_context():
                _messages(asked, desk, watched, sandbox, report, database, folder)
                db.session.remove()
                db.engine.dispose()
    finally:
        patch.undo()
        watched.stop()
        database.drop()


def _messages(asked, desk, watched: Watched, sandbox, report: Report, database, folder: Path) -> None:
    families = [make_family(consents={"payment_result": asked.messages}) for _ in range(FAMILIES)]
    openids = list(db.session.scalars(sa.text("SELECT openid FROM users")))
    for openid in openids:
        sandbox.consent(openid, "payment_result", asked.messages)
    (name, *_), _ids = killed_web.prepare(desk.app, 1)
    desk.start("worker", "--processes", "2")
    if not asked.control:
        desk.start("scheduler")
    outages, signed_in = [], []
    web = killed_web.KilledWeb(database, folder / "instance", workers=2, log=folder / "logs" / "web.log")
    web.env |= _KEYS | {"DESK_ENV": "development", "DESK_REDIS_URL": watched.url}
    with web:
        deaths = threading.Thread(target=_deaths, args=(asked, watched, web.url, name, outages, signed_in), daemon=True)
        deaths.start()
        began = time.monotonic()
        for number in range(asked.messages):
            with transaction():
                service.tell_family(families[number % FAMILIES][0], "payment_result", FACTS, dedupe=f"drill{number}")
            time.sleep(max(0.0, began + (number + 1) * asked.spread / asked.messages - time.monotonic()))
        queued = time.monotonic() - began
        deaths.join()
    drained = _wait_until_sent(asked.messages, 60 if asked.control else 600)
    _judge(asked, sandbox, openids, report, outages=outages, signed_in=signed_in, queued=queued, drained=drained)


def _deaths(asked, watched: Watched, url: str, name: str, outages: list, signed_in: list) -> None:
    for _ in range(2):
        time.sleep(asked.spread / 3)
        death = threading.Thread(target=lambda: outages.append(watched.kill_master()))
        began = time.monotonic()
        death.start()
        killed_web.sign_in(url, name)
        signed_in.append(time.monotonic() - began)
        death.join()
        say(f"  another master after {outages[-1]:.1f} s, signed in after {signed_in[-1]:.1f} s")


def _wait_until_sent(wanted: int, seconds: float) -> float:
    """Seconds until all were sent, or the time is over."""
    began, query = time.monotonic(), sa.select(sa.func.count()).where(OURS, Notification.status == "sent")
    while (sent := db.session.scalar(query)) < wanted and time.monotonic() - began < seconds:
        db.session.rollback()
        say(f"  {sent:,} of {wanted:,} sent")
        time.sleep(5)
    db.session.rollback()
    return time.monotonic() - began


def _judge(asked, sandbox, openids, report: Report, *, outages, signed_in, queued: float, drained: float) -> None:
    arrived = sum(len(sandbox.messages(openid)) for openid in openids)
    by_status = sa.select(Notification.status, sa.func.count()).where(OURS).group_by(Notification.status)
    rows = dict(db.session.execute(by_status).all())
    report.note(messages=asked.messages, queued_within_s=queued, drained_after_s=drained, rows=rows, arrived=arrived,
                outages_s=", ".join(f"{one:.1f}" for one in outages),
                signed_in_s=", ".join(f"{one:.1f}" for one in signed_in))  # fmt: skip
    left = asked.messages - rows.get("sent", 0)
    if asked.control:
        report.note(left_behind=left)
        report.check("without the sweep some stay behind", left > 0)
        return
    report.check("every message was sent", left == 0)
    report.check("none arrived less than once, and at most one in a hundred twice",
                 asked.messages <= arrived <= asked.messages * 1.01)  # fmt: skip
    report.check("the master died twice and another took over", len(outages) == 2)
    report.check("somebody signed in within ten seconds of each death", len(signed_in) == 2 and max(signed_in) <= 10)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--messages", type=int, default=10_000)
    parser.add_argument("--spread", type=float, default=60, help="seconds over which they are queued")
    parser.add_argument("--control", action="store_true", help="no sweep: some must stay behind")
    parser.add_argument("--json", type=Path, help="where the figures go")
    asked = parser.parse_args()
    ended_by_sigterm()
    report = Report("sentinel, control without the sweep" if asked.control else "sentinel")
    with tempfile.TemporaryDirectory(prefix="desk-sentinel-") as folder:
        play(asked, Path(folder), report)
    report.finish(asked.json)


if __name__ == "__main__":
    main()
