"""Balance over HTTP against the barest Flask route, both under gunicorn (gthread, 3 × 4, preloaded); and what a cache
of balances in Redis could gain (Z12)."""

from __future__ import annotations

import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import redis
import sqlalchemy as sa

from app import clock
from app.api.v1 import tokens
from app.db import db, transaction
from app.domain.ledger import queries
from app.domain.ledger.models import Wallet
from app.domain.people import parent_sessions
from app.domain.people.models import User
from app.domain.policy.models import PolicyValue
from bench.charts import Chart, Line
from bench.context import Context, Row
from bench.wallet import ACTOR, _wallet
from tests import databases
from tests.conftest import _KEYS

TITLE = "Over HTTP"
ROOT = Path(__file__).resolve().parent.parent
CONNECTIONS = 16
GROWTH = (4, 8, 16, 32, 64)


def run(context: Context) -> list[Row]:
    with context.app.app_context():
        wallet_id = _wallet(0)
        user_id, session_id, token = _sign_in(wallet_id)
        rows = _cache(context, wallet_id, user_id, session_id)
    environ = _environ(context)
    with _gunicorn("bench.web_floor:app", environ) as floor, _gunicorn("wsgi:app", environ) as ours:
        asked = {
            "floor": (f"{floor}/balance/{wallet_id}", None),
            "ours": (f"{ours}/api/v1/wallet/balance", token),
        }
        measured = {count: _rates(context, asked, count) for count in GROWTH}
    context.charts.append(_chart(measured))
    return [*(_row(count, rates) for count, rates in measured.items()), *rows]


def _rates(context: Context, asked: dict[str, tuple[str, str | None]], connections: int) -> dict[str, float]:
    """Answers per second of each contestant, in turns; the first round warms both up."""
    rates: dict[str, list[float]] = {name: [] for name in asked}
    for _ in range(context.rounds + 1):
        for name, (url, bearer) in asked.items():
            rates[name].append(_load(url, bearer, context.seconds, connections))
    return {name: statistics.median(found[1:]) for name, found in rates.items()}


def _row(connections: int, rates: dict[str, float]) -> Row:
    """The goal is that of the connections the floors were first measured with; the others show how it grows."""
    ratio, judged = rates["ours"] / rates["floor"], connections == CONNECTIONS
    return Row(f"balance over HTTP, {connections} connections", f"{rates['floor']:,.0f}/s", f"{rates['ours']:,.0f}/s",
               ratio, "≥ 0.70" if judged else "–", ratio >= 0.70 if judged else None)  # fmt: skip


def _chart(measured: dict[int, dict[str, float]]) -> Chart:
    return Chart(
        name="http", title="Balances over HTTP per second by connections", x_title="connections", y_title="per second",
        x=list(measured),
        lines=[
            Line("balance", [rates["ours"] for rates in measured.values()]),
            Line("barest Flask route", [rates["floor"] for rates in measured.values()], floor=True),
        ],
    )  # fmt: skip


def _sign_in(wallet_id: int) -> tuple[int, str, str]:
    """User, session and access token of a parent of this wallet's family, who may read as often as the load does."""
    query = sa.select(User.id).join(Wallet, Wallet.family_id == User.family_id).where(Wallet.id == wallet_id)
    user_id = db.session.scalar(query)
    db.session.rollback()
    opened = parent_sessions.open_session(user_id=user_id, actor=ACTOR)
    with transaction():  # one token does what a thousand parents do in a minute
        db.session.add(PolicyValue(name="limit_read", value="100000", updated_at=clock.now(), updated_by="bench"))
    return user_id, opened.id, tokens.issue(user_id=user_id, session_id=opened.id, seconds=36_000)


# ── servers and load ────────────────────────────────────────────────────────────────────────────────


def _environ(context: Context) -> dict[str, str]:
    return {
        **os.environ, **_KEYS, "DESK_ENV": "development", "DESK_DATABASE_URL": context.database.url,
        "BENCH_DATABASE_URL": context.database.url, "DESK_INSTANCE_DIR": str(context.instance),
        "DESK_REDIS_URL": databases.REDIS_URL if databases.has_redis() else "embedded",
        "DESK_LOG_FORMAT": "json",
    }  # fmt: skip


@contextmanager
def _gunicorn(application: str, environ: dict[str, str]):
    """Serve an application as in production; its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "gunicorn", application, "--preload", "-k", "gthread", "-w", "3", "--threads", "4",
               "-b", f"127.0.0.1:{port}"]  # fmt: skip
    server = subprocess.Popen(command, env=environ, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _await(port)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(timeout=30)


def _await(port: int) -> None:
    for _ in range(1200):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise SystemExit("gunicorn did not come up")


def _load(url: str, bearer: str | None, seconds: float, connections: int = CONNECTIONS) -> float:
    """Answers per second; every one must be 200."""
    headers = {"Authorization": f"Bearer {bearer}"} if bearer else {}
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=10) as answer:
        if answer.status != 200:
            raise SystemExit(f"{url} answers {answer.status}")
    wrk = shutil.which("wrk")
    if wrk is None:
        raise SystemExit("bench http needs wrk (apt-get install wrk)")
    command = [wrk, "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "--timeout", "10s"]
    for name, value in headers.items():
        command += ["-H", f"{name}: {value}"]
    text = subprocess.run([*command, url], capture_output=True, text=True, check=True, timeout=seconds + 60).stdout
    if "Non-2xx" in text or "Socket errors" in text:
        raise SystemExit(f"errors under load at {url}:\n{text}")
    return float(re.search(r"Requests/sec:\s+([\d.]+)", text)[1])


# ── would a cache of balances gain anything? ────────────────────────────────────────────────────────


def _cache(context: Context, wallet_id: int, user_id: int, session_id: str) -> list[Row]:
    """The balance by primary key against the same value from Redis; and what the balance adds to the statement that
    every call needs for its sign-in anyway, which is what a cache would have to beat."""
    if not databases.has_redis():
        return []
    query = sa.select(Wallet.__table__.c.balance).where(Wallet.__table__.c.id == sa.bindparam("key"))
    client = redis.Redis.from_url(databases.REDIS_URL, socket_timeout=5)
    name = f"desk-bench:wallet:balance:{wallet_id}"
    client.set(name, "9000000.00", ex=600)
    connection = db.session.connection()
    reads = {
        "redis": lambda: client.get(name),
        "key": lambda: connection.execute(query, {"key": wallet_id}).scalar_one(),
        "sign-in": lambda: parent_sessions.signed_in(session_id, user_id),
        "both": lambda: queries.balance_of_sign_in(session_id, user_id),
    }
    taken: dict[str, list[float]] = {what: [] for what in reads}
    for _ in range(500 * context.rounds):
        for what, read in reads.items():
            began = time.perf_counter()
            read()
            taken[what].append((time.perf_counter() - began) * 1e6)
    db.session.rollback()
    client.delete(name)
    client.close()
    cost = {what: statistics.median(times) for what, times in taken.items()}
    added = cost["both"] - cost["sign-in"]
    floor = f"Redis GET: {cost['redis']:.0f} µs"
    return [
        Row("balance by primary key, one client (Z12)", floor, f"{cost['key']:.0f} µs", cost["key"] / cost["redis"],
            "–", None),
        Row("what the balance adds to the sign-in's statement (Z12)", floor, f"{added:.0f} µs", added / cost["redis"],
            "≤ 1.00: no cache", added <= cost["redis"]),
    ]  # fmt: skip
