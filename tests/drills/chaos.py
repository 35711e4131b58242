"""Deductions over HTTP while web workers, the database and Redis are killed: each done once, none lost (I-06).

Parents with real tokens book class after class over `/api/v1/bookings`. A client that hears nothing, or that the desk
is away, sends the same request under the same key until it is answered. Meanwhile gunicorn's workers die every 0.3 s,
MariaDB every 30 s and Redis every 20 s, all by SIGKILL. After each round the database must hold exactly one booking,
debit, seat, key and message per request, every booking that was acknowledged among them, and the ledger must verify.

    python -m tests.drills.chaos --deductions 1000000 --folder /srv/chaos

It goes round by round and keeps what it has in `state.json`: the same command again goes on after the last round.
`--control` leaves the key out, over a product that looks for no earlier booking: it must charge twice.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

from app.db import db
from bench import unguarded
from bench.killed_web import KilledWeb
from bench.parents import make_parents, make_sessions
from tests.conftest import _KEYS, build_app
from tests.drills import chaos_checks
from tests.drills.chaos_clients import Heard, book_all
from tests.drills.killer import Killer
from tests.drills.report import Report, say
from tests.drills.servers import MariaDB, RedisServer, ended_by_sigterm, free_port

CHILDREN = 5
PRICE = "1.00"


class Stage:
    """Servers, application and web of one drill, on a folder that outlives it."""

    def __init__(self, asked: argparse.Namespace, folder: Path, *options: str):
        self.asked, self.folder = asked, folder
        self.database = MariaDB(folder / "mariadb", asked.port or free_port(), *options)
        self.redis = RedisServer(folder / "redis", free_port())
        self.database.start()
        self.redis.start()
        self.name = "control" if asked.control else "chaos"
        self.database.query(f"CREATE DATABASE IF NOT EXISTS {self.name} CHARACTER SET utf8mb4")
        self.url = self.database.url(self.name)
        self.app = build_app(SimpleNamespace(url=self.url), folder / "instance", DESK_RATE_LIMITS="off")
        if asked.control:
            with self.app.app_context():
                unguarded.drop_constraints("twice")

    def web(self, warm: dict) -> KilledWeb:
        """gunicorn on this database; `warm` as tests/drills/warm_web.py reads it."""
        web = KilledWeb(
            SimpleNamespace(url=self.url), self.folder / "instance", interval=self.asked.web,
            workers=self.asked.workers, application="tests.drills.warm_web:app", log=self.folder / "web.log",
        )  # fmt: skip
        # What gunicorn itself answers with 500 is said in no line of ours.
        web.command = ["error" if word == "critical" else word for word in web.command]
        web.env |= _KEYS | {"DESK_ENV": "development", "DESK_REDIS_URL": self.redis.url}
        web.env |= {"DRILL_WARM": json.dumps(warm)} | ({"BENCH_UNGUARDED": "twice"} if self.asked.control else {})
        return web

    def close(self) -> None:
        with self.app.app_context():
            db.session.remove()
            db.engine.dispose()
        self.redis.stop()
        self.database.stop()


def play(stage: Stage, deductions: int) -> dict:
    """One round: new parents and classes, all clients at once under fire, then the count. Its figures as plain data."""
    asked = stage.asked
    per_client = -(-deductions // asked.clients)
    with stage.app.app_context():
        parents = make_parents(asked.clients, balance="9000.00", children=CHILDREN)
        classes = make_sessions(-(-per_client // CHILDREN), capacity=999, price=PRICE)
        [first], [apart] = make_parents(1, balance="9000.00"), make_sessions(1, capacity=999, price=PRICE)
        db.session.remove()
    heard = Heard()
    with stage.web({"token": first.token, "schedule": apart, "profile": first.profile_ids[0]}) as web:
        killers = [
            Killer("database", stage.database, asked.database, stage.database.start),
            Killer("redis", stage.redis, asked.redis, stage.redis.start),
        ]
        web.start_killing()
        for killer in killers:
            killer.begin()
        began = time.monotonic()
        watch = threading.Thread(target=_tell_progress, args=(heard, per_client * asked.clients), daemon=True)
        watch.start()
        try:
            book_all(web.port, parents, classes, per_client, heard, control=asked.control)
        finally:
            for killer in killers:
                killer.end()
        seconds = time.monotonic() - began
    asked_for = per_client * asked.clients
    found = chaos_checks.count(stage.app, parents, classes, heard)
    return {
        "asked": asked_for, "acknowledged": len(heard.acknowledged), "tries": heard.tries, "again": heard.again,
        "seconds": seconds, "web_kills": web.kills,
        "database_kills": killers[0].kills, "redis_kills": killers[1].kills, "answers": dict(heard.answers),
        "slowest_return": max(heard.returns(killers[0].returns), default=0.0), **found,
    }  # fmt: skip


def _tell_progress(heard: Heard, wanted: int) -> None:
    began = time.monotonic()
    while not heard.done.wait(20):
        have = len(heard.acknowledged)
        say(f"  {have:,} of {wanted:,} acknowledged, {have / (time.monotonic() - began):.0f}/s, {dict(heard.answers)}")


def sound(played: dict) -> bool:
    """Whether a round shows what it has to."""
    counts = {played[name] for name in ("asked", "acknowledged", "bookings", "debits", "pairs", "seats", "told")}
    return len(counts) == 1 and not played["missing"] and played["sums_hold"] and played["chain_holds"]


def main() -> None:
    asked = _arguments()
    ended_by_sigterm()
    with tempfile.TemporaryDirectory(prefix="desk-chaos-") as scratch:
        folder = asked.folder or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        kept = folder / "state.json"
        rounds = json.loads(kept.read_text()) if kept.exists() and not asked.control else []
        stage = Stage(asked, folder)
        try:
            while (left := asked.deductions - sum(played["asked"] for played in rounds)) > 0:
                rounds.append(play(stage, min(left, asked.round)))
                kept.write_text(json.dumps(rounds, indent=2))
                say(f"round {len(rounds)}: {rounds[-1]}")
                if not asked.control and not sound(rounds[-1]):
                    break
            with stage.app.app_context():
                whole = chaos_checks.verify_all()
        finally:
            stage.close()
    _report(asked, rounds, whole).finish(asked.json)


def _report(asked: argparse.Namespace, rounds: list[dict], whole: bool) -> Report:
    report = Report("chaos, control without keys" if asked.control else "chaos")
    names = ("asked", "acknowledged", "tries", "again", "replayed", "bookings", "debits", "pairs", "web_kills")
    totals = {name: sum(played[name] for played in rounds) for name in (*names, "database_kills", "redis_kills")}
    answers = sum((Counter(played["answers"]) for played in rounds), Counter())
    seconds = sum(played["seconds"] for played in rounds)
    report.note(rounds=len(rounds), clients=asked.clients, **totals, answers=dict(answers), seconds_under_fire=seconds,
                a_second=totals["asked"] / seconds,
                slowest_return_seconds=max(played["slowest_return"] for played in rounds))  # fmt: skip
    if asked.control:
        twice = totals["debits"] - totals["pairs"]
        report.note(charged_twice=twice)
        report.check("without keys some are charged twice", twice > 0)
        return report
    report.check("every request has one booking, debit, seat and message, and nobody was told anything else",
                 all(sound(played) for played in rounds))  # fmt: skip
    report.check("everything acknowledged is there", not sum(played["missing"] for played in rounds))
    report.check("who could not be served was told to come again, and nobody heard 500", not answers["500"])
    report.check("workers, database and Redis were killed",
                 min(totals["web_kills"], totals["database_kills"], totals["redis_kills"]) > 0)  # fmt: skip
    report.check("some answers were lost and settled by their key", totals["replayed"] > 0)
    report.check("the whole ledger verifies", whole)
    return report


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--deductions", type=int, default=20_000)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--round", type=int, default=10_000, help="deductions between two counts")
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--web", type=float, default=0.3, help="seconds between two workers killed")
    parser.add_argument("--database", type=float, default=30.0, help="seconds between two kills of MariaDB")
    parser.add_argument("--redis", type=float, default=20.0, help="seconds between two kills of Redis")
    parser.add_argument("--folder", type=Path, help="where data and state stay; without it nothing stays")
    parser.add_argument("--port", type=int, help="MariaDB's; a free one without it")
    parser.add_argument("--json", type=Path, help="where the figures go")
    parser.add_argument("--control", action="store_true", help="no keys: must charge twice")
    return parser.parse_args()


if __name__ == "__main__":
    main()
