"""A million debits by processes that are killed, on a database that is killed: each done once, none lost (I-06, I-07).

The chaos drill goes over HTTP and so does some fifty a second. Here the clients are processes that call the ledger as
the product's edges do, forked from one warm parent. Every 0.3 s one of them dies by SIGKILL, and a fork goes on with
what was not acknowledged, under the same keys; every 30 s MariaDB dies. Which wallet each debit is from, and how much,
is a plan made from a kept seed. Afterwards the database alone must hold each debit of the plan once, with one audit
row and one message, all that was acknowledged among them, and every balance and chain must be right.

    python -m tests.drills.debits --deductions 1000000 --folder /srv/debits

It goes round by round and keeps what it has in `state.json`: the same command again goes on, also within a round.
`--control` gives each try a key of its own: it must debit twice. Redis has no part in a debit: it only wakes the
workers after the commit, which `chaos` and `sentinel` look at.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import random
import signal
import tempfile
import time
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace

from app.db import db, install_doorbell
from app.domain.ledger import service, verify
from bench.wallet import ACTOR, _wallet
from tests.conftest import build_app
from tests.drills import debit_checks
from tests.drills.debit_clients import Debit, heard, make_plan, work
from tests.drills.report import Report, say
from tests.drills.servers import MariaDB, ended_by_sigterm, free_port

#: seconds between two looks at who has ended
TICK = 0.02


@dataclass
class State:
    """What outlives the drill: the seed of the plan, the wallets, what each round found."""

    file: Path
    seed: int = field(default_factory=lambda: random.SystemRandom().getrandbits(48))
    wallets: list[int] = field(default_factory=list)
    rounds: list[dict] = field(default_factory=list)
    #: debits of the round that was begun and not counted yet: begun again it must be the same ones
    begun: int = 0

    @classmethod
    def load(cls, file: Path) -> State:
        return cls(file, **(json.loads(file.read_text()) if file.exists() else {}))

    def keep(self) -> None:
        new = self.file.with_suffix(".new")
        kept = {name: getattr(self, name) for name in ("seed", "wallets", "rounds", "begun")}
        new.write_text(json.dumps(kept, indent=1))
        new.replace(self.file)

    @property
    def done(self) -> int:
        return sum(played["asked"] for played in self.rounds)

    def plan(self, number: int, size: int) -> list[Debit]:
        """The debits of one round, the same whenever it is asked for."""
        return make_plan(f"{self.seed}/{number}", self.done, size, self.wallets)


class Stage:
    """The database and the warm parent of all clients."""

    def __init__(self, asked: argparse.Namespace, folder: Path):
        self.asked, self.folder = asked, folder
        self.state = State.load(folder / "state.json")
        # With a large redo log no checkpoint comes, and each recovery replays all since the last clean stop.
        options = ("--innodb-buffer-pool-size=1G", "--innodb-log-file-size=48M", "--max-binlog-size=256M")
        self.database = MariaDB(folder / "mariadb", asked.port or free_port(), *options)
        self.database.start()
        self.database.query("CREATE DATABASE IF NOT EXISTS debits CHARACTER SET utf8mb4")
        url = self.database.url("debits")
        self.app = build_app(SimpleNamespace(url=url), folder / "instance", DESK_RATE_LIMITS="off")
        install_doorbell(None)
        with self.app.app_context():
            if not self.state.wallets:
                say("opening the wallets")
                self.state.wallets = [_wallet(number) for number in range(asked.wallets)]
                self.state.keep()
            # What one movement needs is imported and compiled here once, instead of in every fork.
            service.credit(wallet_id=self.state.wallets[-1], amount=Decimal("1.00"), reference_type="import",
                           idempotency_key=f"warm-{random.SystemRandom().getrandbits(64):x}", reference_id="warm",
                           reason="热身", actor=ACTOR)  # fmt: skip
            self.hang_up()
        gc.collect()
        gc.freeze()

    def hang_up(self) -> None:
        """No connection may be open when a client is forked: it would be the child's too."""
        db.session.remove()
        db.engine.dispose()

    def close(self) -> None:
        with self.app.app_context():
            self.hang_up()
        self.database.stop()


class Clients:
    """The processes of one round. Who is killed is replaced by a fork that reads what its place has acknowledged."""

    def __init__(self, stage: Stage, plan: list[Debit], folder: Path):
        self.stage, self.plan, self.folder = stage, plan, folder
        self.running: dict[int, int] = {}  # pid → place
        self.broken: list[str] = []
        self.kills = 0
        for place in range(stage.asked.clients):
            self.fork(place)

    def fork(self, place: int) -> None:
        pid = os.fork()
        if pid == 0:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            share = self.plan[place :: self.stage.asked.clients]
            work(self.stage.app, share, self.folder / f"heard-{place}", control=self.stage.asked.control)
        self.running[pid] = place

    def kill_one(self) -> None:
        pid = random.choice(list(self.running))
        os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        place = self.running.pop(pid)
        if os.WIFSIGNALED(status):
            self.kills += 1
            self.fork(place)
        else:
            self._ended(place, status)

    def look(self) -> None:
        """Note who has come to the end."""
        while self.running:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid not in self.running:
                return
            self._ended(self.running.pop(pid), status)

    def _ended(self, place: int, status: int) -> None:
        if status:
            self.broken.append(f"client {place} ended with {status}: see heard-{place}.errors")

    def end(self) -> None:
        for pid in self.running:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        self.running.clear()


def play(stage: Stage, number: int, size: int) -> dict:
    """One round under fire, then its count. Its figures as plain data."""
    asked, folder = stage.asked, stage.folder / f"round-{number}"
    folder.mkdir(exist_ok=True)
    plan, already = stage.state.plan(number, size), len(heard(folder).acknowledged)
    began = time.monotonic()
    clients = Clients(stage, plan, folder)
    next_kill, next_death, back, returns, deaths = began, began + asked.database, None, [], 0
    try:
        while clients.running:
            time.sleep(TICK)
            now = time.monotonic()
            clients.look()
            if now >= next_kill and clients.running:
                clients.kill_one()
                next_kill += asked.every
            if back is not None and stage.database.answers():
                returns.append(time.monotonic() - back)
                next_death, back = time.monotonic() + asked.database, None
            elif back is None and now >= next_death:
                stage.database.kill()
                deaths, back = deaths + 1, time.monotonic()
                stage.database.launch()
    finally:
        clients.end()
    if back is not None:
        stage.database.wait()
    seconds = time.monotonic() - began
    said = heard(folder)
    with stage.app.app_context():
        found = debit_checks.count(plan, said.acknowledged)
        sound = verify.run().sound
        stage.hang_up()
    return {
        "asked": size, "already": already, "acknowledged": len(said.acknowledged),
        "answers_lost_and_found": said.replayed, "told_to_come_again": said.again,
        "seconds": seconds, "client_kills": clients.kills, "database_kills": deaths,
        "slowest_return": max(returns, default=0.0), "broken": clients.broken,
        "chain_holds": sound, **found,
    }  # fmt: skip


def sound(played: dict) -> bool:
    """Each debit of the round once, and nobody heard anything but "done" or "come again"."""
    counts = {played[name] for name in ("asked", "acknowledged", "debits", "requests")}
    return len(counts) == 1 and not played["missing"] and not played["broken"] and played["chain_holds"]


def _rate(rounds: list[dict]) -> float:
    """Debits a second. Of a round that was broken off, what was done before counts as little as the time it took."""
    return sum(played["asked"] - played["already"] for played in rounds) / sum(played["seconds"] for played in rounds)


def main() -> None:
    asked = _arguments()
    ended_by_sigterm()
    with tempfile.TemporaryDirectory(prefix="desk-debits-") as scratch:
        folder = asked.folder or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        stage = Stage(asked, folder)
        state, until = stage.state, time.monotonic() + asked.minutes * 60
        try:
            while (left := asked.deductions - state.done) > 0 and time.monotonic() < until:
                state.begun = state.begun or min(left, asked.round)
                state.keep()
                played = play(stage, len(state.rounds), state.begun)
                state.rounds.append(played)
                state.begun = 0
                state.keep()
                say(f"{state.done:,} of {asked.deductions:,}, {_rate([played]):.0f}/s: {played}")
                if not asked.control and not sound(played):
                    break
            say("counting all")
            with stage.app.app_context():
                whole = debit_checks.count_all()
                whole["ledger_verifies"] = verify.run(full=True).sound
                stage.hang_up()
        finally:
            stage.close()
    _report(asked, state, whole).finish(asked.json)


def _report(asked: argparse.Namespace, state: State, whole: dict) -> Report:
    report = Report("debits, control without keys" if asked.control else "debits")
    rounds = state.rounds
    names = ("acknowledged", "answers_lost_and_found", "told_to_come_again", "client_kills", "database_kills")
    totals = {name: sum(played[name] for played in rounds) for name in names}
    seconds = sum(played["seconds"] for played in rounds)
    report.note(asked=state.done, rounds=len(rounds), clients=asked.clients, wallets=len(state.wallets), **totals,
                debits=whole["debits"], most_in_one_wallet=whole["most"], seconds_under_fire=seconds,
                a_second=_rate(rounds), wallet_rows=whole["rows"],
                slowest_return_seconds=max(played["slowest_return"] for played in rounds))  # fmt: skip
    if asked.control:
        twice = whole["debits"] - whole["requests"]
        report.note(debited_twice=twice)
        report.check("without keys some are debited twice", twice > 0)
        return report
    report.check("all that were asked for were done", state.done == asked.deductions or asked.minutes < NO_END)
    report.check("as many debits as requests, none of them twice",
                 state.done == whole["debits"] == whole["requests"])  # fmt: skip
    report.check("everything acknowledged is there, from its wallet and of its amount",
                 not sum(played["missing"] for played in rounds))  # fmt: skip
    report.check("each round held", all(sound(played) for played in rounds))
    report.check("each balance is the sum of its rows, numbered without gaps", not whole["wrong_wallets"])
    report.check("each row has one audit row and one message", not whole["wrong_audit"] and not whole["wrong_messages"])
    report.check("the whole ledger verifies", whole["ledger_verifies"])
    report.check("clients and database were killed", min(totals["client_kills"], totals["database_kills"]) > 0)
    report.check("some answers were lost and settled by their key", totals["answers_lost_and_found"] > 0)
    return report


NO_END = 10**6


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--deductions", type=int, default=20_000)
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--wallets", type=int, default=4000, help="of which the first has every ninth debit (Zipf)")
    parser.add_argument("--round", type=int, default=50_000, help="deductions between two counts")
    parser.add_argument("--every", type=float, default=0.3, help="seconds between two clients killed")
    parser.add_argument("--database", type=float, default=30.0, help="seconds from MariaDB's return to its next death")
    parser.add_argument("--minutes", type=float, default=NO_END, help="no new round after so many")
    parser.add_argument("--folder", type=Path, help="where data and state stay; without it nothing stays")
    parser.add_argument("--port", type=int, help="MariaDB's; a free one without it")
    parser.add_argument("--json", type=Path, help="where the figures go")
    parser.add_argument("--control", action="store_true", help="no keys: must debit twice")
    return parser.parse_args()


if __name__ == "__main__":
    main()
