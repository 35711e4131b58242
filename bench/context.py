"""What every benchmark gets: a fresh MySQL database with the application on it, processes, clocks, rows of a table."""

from __future__ import annotations

import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pymysql
from sqlalchemy.engine import make_url

from app import create_app
from app.db import db, install_doorbell
from bench.charts import Chart
from tests import databases
from tests.conftest import build_app, make_settings
from tests.databases import FreshDatabase


@dataclass(frozen=True)
class Row:
    """One line of the table. `ratio` is measured ÷ floor where both are there; `held` says whether the goal is met."""

    what: str
    floor: str
    measured: str
    ratio: float | None
    goal: str
    held: bool | None


#: seconds of one measurement, rounds, rows, families
SIZES = {
    "quick": (1.0, 3, 50_000, 20_000),
    "normal": (2.0, 3, 200_000, 100_000),
    "full": (3.0, 5, 1_000_000, 1_000_000),
}


@dataclass
class Context:
    """`seconds` is how long one measurement runs, `rows` and `families` how large the large tables are."""

    app: object
    database: FreshDatabase | KeptDatabase
    instance: Path
    seconds: float
    rounds: int
    rows: int
    families: int = 0
    notes: list[str] = field(default_factory=list)
    charts: list[Chart] = field(default_factory=list)

    def bare(self) -> pymysql.Connection:
        """A connection without SQLAlchemy, set up as the application's are: the floor's client."""
        return bare_connection(self.database.url)

    def fleet(self, size: int):
        """`size` processes, each with an application of its own on this database."""
        return fleet(self.database.url, self.instance, size)


class KeptDatabase:
    """A database that a later run finds again as it was left: rows by the million take longer to make than to measure.
    `DROP DATABASE desk_bench_NAME` ends it."""

    def __init__(self, name: str):
        self.name = f"desk_bench_{name}"
        with databases.mysql_connection() as connection, connection.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE IF NOT EXISTS `{self.name}` CHARACTER SET utf8mb4")
        url = make_url(databases.MYSQL_URL).set(database=self.name, query={"charset": "utf8mb4"})
        self.url = url.render_as_string(hide_password=False)

    def drop(self) -> None:
        """It stays."""


@contextmanager
def context(*, size: str, kept: str | None = None):
    """Raises SystemExit when there is no MySQL/MariaDB or it is not fully durable. `kept` names a database to leave."""
    if not databases.has_mysql():
        raise SystemExit("make bench needs MariaDB or MySQL (DESK_TEST_MYSQL_URL)")
    database = FreshDatabase("mysql", "bench") if kept is None else KeptDatabase(kept)
    with tempfile.TemporaryDirectory(prefix="desk-bench-") as folder:
        app = build_app(database, Path(folder), DESK_RATE_LIMITS="off")
        # Waking the workers is no statement of the database's: it would be compared with nothing.
        install_doorbell(None)
        try:
            _require_durable(database.url)
            seconds, rounds, rows, families = SIZES[size]
            yield Context(app, database, Path(folder), seconds, rounds, rows, families)
        finally:
            with app.app_context():
                db.session.remove()
                db.engine.dispose()
            database.drop()


def _require_durable(url: str) -> None:
    connection = bare_connection(url)
    with connection.cursor() as cursor:
        cursor.execute("SELECT @@innodb_flush_log_at_trx_commit")
        flush = cursor.fetchone()[0]
    connection.close()
    if flush != 1:
        raise SystemExit(f"innodb_flush_log_at_trx_commit is {flush}; figures count only with 1")


def bare_connection(url: str, *, local_infile: bool = False) -> pymysql.Connection:
    address = make_url(url)
    connection = pymysql.connect(
        host=address.host,
        port=address.port or 3306,
        user=address.username,
        password=address.password or "",
        database=address.database,
        charset="utf8mb4",
        autocommit=False,
        local_infile=local_infile,
    )
    with connection.cursor() as cursor:
        cursor.execute("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
        cursor.execute("SET time_zone='+00:00'")
    return connection


# ── measuring ───────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Timing:
    """Operations per second and latencies in milliseconds."""

    rate: float
    p50: float
    p99: float


def timed(operation: Callable[[int], object], seconds: float) -> list[float]:
    """Call `operation(n)` for so many seconds; the latencies in seconds."""
    taken, n = [], 0
    end = time.perf_counter() + seconds
    while (began := time.perf_counter()) < end:
        operation(n)
        taken.append(time.perf_counter() - began)
        n += 1
    return taken


def summary(taken: list[float], seconds: float) -> Timing:
    ordered = sorted(taken)
    return Timing(
        rate=len(ordered) / seconds,
        p50=ordered[len(ordered) // 2] * 1000,
        p99=ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))] * 1000,
    )


def median(timings: list[Timing]) -> Timing:
    """The median of several rounds, figure by figure."""
    return Timing(*(statistics.median(getattr(t, name) for t in timings) for name in ("rate", "p50", "p99")))


def alternate(context: Context, **contestants: Callable[[int], Timing]) -> dict[str, Timing]:
    """Run the contestants turn by turn, so that a noisy machine is unfair to all alike; medians."""
    results: dict[str, list[Timing]] = {name: [] for name in contestants}
    for number in range(context.rounds):
        for name, run in contestants.items():
            results[name].append(run(number))
    return {name: median(timings) for name, timings in results.items()}


# ── processes ───────────────────────────────────────────────────────────────────────────────────────

_mp = multiprocessing.get_context("forkserver")
_mp.set_forkserver_preload(["tests.concurrency.preload"])
_barrier = None
url_here = ""


@contextmanager
def fleet(url: str, instance: Path, size: int):
    barrier = _mp.Barrier(size)
    members = _mp.Pool(size, initializer=_join, initargs=(url, str(instance), barrier))
    try:
        yield members
    finally:
        members.terminate()
        members.join()


def together() -> None:
    """Inside a task: wait for all of the fleet."""
    _barrier.wait(120)


def _join(url: str, instance: str, barrier) -> None:
    global _barrier, url_here
    _barrier, url_here = barrier, url
    create_app(make_settings(url, Path(instance), DESK_RATE_LIMITS="off")).app_context().push()
    install_doorbell(None)
