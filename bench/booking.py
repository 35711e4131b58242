"""Booking over HTTP against the barest Flask route that runs the same statements by SQLAlchemy Core, both under
gunicorn (gthread, 3 × 4); 200 clients for 6 seats; and what a cache of free seats in Redis could gain (Z12)."""

from __future__ import annotations

import itertools
import re
import shutil
import statistics
import subprocess
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import redis
import sqlalchemy as sa

from app.db import db
from app.domain.catalog.models import CourseSchedule
from app.domain.ledger import verify
from app.domain.ledger.models import Wallet
from bench import last_seats, recording, seat_clients
from bench.context import Context, Row
from bench.crowd import Answer, ask_all, p95
from bench.http import CONNECTIONS, ROOT, _environ, _gunicorn
from bench.parents import Parent, make_parents, make_sessions
from tests import databases

TITLE = "Booking"
PARENTS = 120
#: classes of a contestant; each of its parents books each of them once at most
CLASSES = 240
#: pairs of parent and class that one round may use up
SHARE = 3_000
CLIENTS, SEATS = 200, 6
PRICE = "1.00"


def run(context: Context) -> list[Row]:
    context.notes.append("Limits off, messages in-app; every booking is another pair of child and class.")
    path = context.instance / "booking.statements"
    with context.app.app_context():
        contestants = {name: _contestant(context, name) for name in ("floor", "ours")}
        _record(context, path, contestants["floor"][0])
        rows = _cache(context, contestants["ours"][1][0])
        races = iter(make_sessions(4 * (context.rounds + 1), capacity=SEATS, price=PRICE))
        crowd = make_parents(CLIENTS, balance="900.00")
        db.session.remove()
        db.engine.dispose()
    environ = _environ(context) | {"DESK_RATE_LIMITS": "off", "BENCH_STATEMENTS": str(path)}
    with _gunicorn("bench.web_floor:app", environ) as floor, _gunicorn("wsgi:app", environ) as ours:
        urls = {"floor": f"{floor}/bookings", "ours": f"{ours}/api/v1/bookings"}
        rates: dict[str, list[float]] = {name: [] for name in urls}
        for number in range(context.rounds + 1):
            for name, url in urls.items():
                rates[name].append(_load(context, name, url, number))
        race_rows = _races(context, floor, ours, crowd, races)
    race_rows += _direct_races(context, crowd, races)
    with context.app.app_context():
        _check(contestants)
    # The first round warms both up.
    floor_rate, our_rate = (statistics.median(rates[name][1:]) for name in ("floor", "ours"))
    ratio = our_rate / floor_rate
    what = f"booking over HTTP, {CONNECTIONS} connections"
    return [Row(what, f"{floor_rate:,.0f}/s", f"{our_rate:,.0f}/s", ratio, "≥ 0.60", ratio >= 0.60), *race_rows, *rows]


# ── bookings under load ─────────────────────────────────────────────────────────────────────────────


def _contestant(context: Context, name: str) -> tuple[list[Parent], list[int]]:
    """Parents and classes of its own, written where wrk finds them."""
    parents = make_parents(PARENTS, balance="90000.00")
    classes = make_sessions(CLASSES, capacity=999, price=PRICE)
    _file(context, name, "parents").write_text("".join(f"{p.token} {p.profile_ids[0]}\n" for p in parents))
    _file(context, name, "classes").write_text("".join(f"{schedule_id}\n" for schedule_id in classes))
    return parents, classes


def _file(context: Context, name: str, what: str) -> Path:
    return context.instance / f"{name}.{what}"


def _record(context: Context, path: Path, parents: list[Parent]) -> None:
    """One booking of the product, as the floor's template; the one before it has opened all connections."""
    _ask(context, make_parents(1, balance="900.00")[0], make_sessions(1, capacity=9, price=PRICE)[0], "bench-warm")
    first = {
        "families": 81_0000_0001, "users": 82_0000_0001, "profiles": 83_0000_0001, "wallets": 84_0000_0001,
        "course_schedules": 85_0000_0001, "bookings": 86_0000_0001, "wallet_transactions": 87_0000_0001,
    }  # fmt: skip
    with db.engine.connect() as connection:
        recording.set_next_ids(connection, first)
    parent, [schedule_id] = make_parents(1, balance="900.00")[0], make_sessions(1, capacity=9, price=PRICE)
    key, session_id = f"bench-{uuid.uuid4().hex}", _session_of(parent)
    steps: list[recording.Step] = []
    with db.engine.connect() as connection:
        recording.set_next_ids(connection, {"wallet_transactions": first["wallet_transactions"] + 1})
    db.session.remove()
    with recording.recorded(steps):
        _ask(context, parent, schedule_id, key)
    slots = {
        "family": parent.family_id, "user": parent.user_id, "profile": parent.profile_ids[0],
        "wallet": first["wallets"], "schedule": schedule_id, "booking": first["bookings"],
        "movement": first["wallet_transactions"] + 1, "key": key, "session": session_id, **_times()[schedule_id],
    }  # fmt: skip
    known = {"price": Decimal(PRICE), "parents": {p.profile_ids[0]: _slots(p) for p in parents}, "classes": _times()}
    recording.save(path, _of_our_connections(steps), slots, known)
    sent = [sql for sql, _ in steps]
    statements = len([sql for sql in sent if sql not in (recording.COMMIT, recording.ROLLBACK)])
    context.notes.append(f"A booking sends {statements} statements and {sent.count(recording.COMMIT)} COMMIT.")


def _ask(context: Context, parent: Parent, schedule_id: int, key: str) -> None:
    answer = context.app.test_client().post(
        "/api/v1/bookings",
        json={"course_schedule_id": schedule_id, "profile_id": parent.profile_ids[0]},
        headers={"Authorization": f"Bearer {parent.token}", "Idempotency-Key": key},
    )
    if answer.status_code != 201:
        raise SystemExit(f"the booking to record answers {answer.status_code}: {answer.text}")


def _of_our_connections(steps: list[recording.Step]) -> list[recording.Step]:
    """Without what sets up a new connection."""
    return [step for step in steps if not step[0].startswith("SET ")]


def _slots(parent: Parent) -> dict:
    wallet_id = db.session.scalar(sa.select(Wallet.id).where(Wallet.family_id == parent.family_id))
    return {"family": parent.family_id, "user": parent.user_id, "profile": parent.profile_ids[0],
            "wallet": wallet_id, "session": _session_of(parent)}  # fmt: skip


def _times() -> dict[int, dict]:
    rows = db.session.execute(sa.text("SELECT id, starts_at, ends_at FROM course_schedules"))
    return {row.id: {"begins": row.starts_at, "ends": row.ends_at} for row in rows}


def _session_of(parent: Parent) -> str:
    query = "SELECT id FROM user_sessions WHERE user_id = :user"
    return db.session.execute(sa.text(query), {"user": parent.user_id}).scalar_one()


def _load(context: Context, name: str, url: str, number: int) -> float:
    """Bookings per second; every one must be answered with success."""
    wrk = shutil.which("wrk")
    if wrk is None:
        raise SystemExit("bench booking needs wrk (apt-get install wrk)")
    files = [str(_file(context, name, what)) for what in ("parents", "classes")]
    command = [wrk, "-t1", f"-c{CONNECTIONS}", f"-d{max(1, round(context.seconds))}s", "--timeout", "10s",
               "-s", str(ROOT / "bench" / "book.lua"), url, "--", *files, str(number * SHARE)]  # fmt: skip
    text = subprocess.run(command, capture_output=True, text=True, check=True, timeout=context.seconds + 60).stdout
    done = int(re.search(r"(\d+) requests in", text)[1])
    if "Non-2xx" in text or "Socket errors" in text or done + CONNECTIONS > SHARE:
        raise SystemExit(f"errors under load at {url}:\n{text}")
    return float(re.search(r"Requests/sec:\s+([\d.]+)", text)[1])


def _check(contestants: dict[str, tuple[list[Parent], list[int]]]) -> None:
    """What was measured were bookings: the counters of both contestants' classes, and the ledger of ours."""
    db.session.rollback()
    for name, (_, classes) in contestants.items():
        query = (
            "SELECT SUM(s.booked), (SELECT COUNT(*) FROM bookings b WHERE b.live_profile_id IS NOT NULL AND"
            " b.course_schedule_id BETWEEN :first AND :last), (SELECT COUNT(*) FROM bookings b WHERE b.debit_id IS NOT"
            " NULL AND b.course_schedule_id BETWEEN :first AND :last) FROM course_schedules s"
            " WHERE s.id BETWEEN :first AND :last"
        )
        row = db.session.execute(sa.text(query), {"first": classes[0], "last": classes[-1]}).one()
        if len({int(value) for value in row}) != 1:
            raise SystemExit(f"{name}: seats, bookings and debits differ: {tuple(row)}")
    db.session.rollback()
    report = verify.run(full=True)
    ours = {p.family_id for p in contestants["ours"][0]}
    bad = {f.wallet_id for f in report.findings}
    wrong = db.session.scalars(sa.select(Wallet.id).where(Wallet.id.in_(bad), Wallet.family_id.in_(ours))).all()
    if wrong:
        raise SystemExit(f"ledger of ours is broken: {wrong}")


# ── 200 clients for 6 seats ─────────────────────────────────────────────────────────────────────────


def _races(context: Context, floor: str, ours: str, crowd: list[Parent], classes: Iterator[int]) -> list[Row]:
    """Turn by turn: one guarded UPDATE by bare PyMySQL behind the barest route, and the whole booking."""
    times: dict[str, list[float]] = {"floor": [], "ours": []}
    tails: dict[str, list[float]] = {"floor": [], "ours": []}
    oversold = failed = 0
    for number in range(context.rounds + 1):
        bare_id, schedule_id = next(classes), next(classes)
        bare = ask_all([(f"{floor}/seat/{bare_id}", {}, {}) for _ in crowd])
        answers = last_seats.race(ours, crowd, schedule_id)
        with context.app.app_context():
            result = last_seats.count(answers, schedule_id, SEATS)
            db.session.remove()
        oversold += max(result.bookings - SEATS, 0)
        failed += 0 if result.exact else 1
        for name, got in (("floor", bare), ("ours", answers)):
            if number:  # the first round warms both up
                times[name].append(_last(got))
                tails[name].append(p95(got))
    floor_time, our_time = (statistics.median(times[name]) for name in ("floor", "ours"))
    floor_tail, our_tail = (statistics.median(tails[name]) for name in ("floor", "ours"))
    ratio = floor_time / our_time
    what = f"{CLIENTS} clients for {SEATS} seats over HTTP"
    return [
        Row(f"{what}: all answered in", f"one guarded UPDATE: {floor_time:.0f} ms, p95 {floor_tail:.0f} ms",
            f"{our_time:.0f} ms, p95 {our_tail:.0f} ms", ratio, "≥ 0.50", ratio >= 0.5),
        Row(f"{what}: oversold, trials not exact", "–", f"{oversold}, {failed} of {context.rounds + 1}", None, "0, 0",
            oversold == failed == 0),
    ]  # fmt: skip


def _direct_races(context: Context, crowd: list[Parent], classes: Iterator[int]) -> list[Row]:
    """The same without HTTP: the clients call the service, or send the one UPDATE by bare PyMySQL."""
    times: dict[str, list[float]] = {"floor": [], "ours": []}
    wrong = 0
    halves = [crowd[::2], crowd[1::2]]
    with context.fleet(len(halves)) as members:
        for number in range(context.rounds + 1):
            for name, task in (("floor", seat_clients.bare_clients), ("ours", seat_clients.our_clients)):
                schedule_id = next(classes)
                parts = members.starmap(task, [(schedule_id, half) for half in halves], chunksize=1)
                heard = [one for part in parts for one in part]
                said = Counter(word for word, _ in heard)
                wrong += said != {"ok": SEATS, "SEAT_FULL": CLIENTS - SEATS}
                if number:  # the first round warms both up
                    times[name].append(max(milliseconds for _, milliseconds in heard))
    floor_time, our_time = (statistics.median(times[name]) for name in ("floor", "ours"))
    ratio = floor_time / our_time
    return [
        Row(f"{CLIENTS} clients for {SEATS} seats through the service: all answered in",
            f"one guarded UPDATE by bare PyMySQL: {floor_time:.0f} ms", f"{our_time:.0f} ms", ratio, "≥ 0.50",
            ratio >= 0.5),
        Row(f"{CLIENTS} clients for {SEATS} seats through the service: trials not exact", "–",
            f"{wrong} of {2 * (context.rounds + 1)}", None, "0", not wrong),
    ]  # fmt: skip


def _last(answers: list[Answer]) -> float:
    return max(answer.milliseconds for answer in answers)


# ── would a cache of free seats gain anything? ──────────────────────────────────────────────────────


def _cache(context: Context, schedule_id: int) -> list[Row]:
    """A session's counters by primary key against the same from Redis."""
    if not databases.has_redis():
        return []
    table = CourseSchedule.__table__
    query = sa.select(table.c.capacity, table.c.booked, table.c.held, table.c.kept).where(
        table.c.id == sa.bindparam("key")
    )
    client = redis.Redis.from_url(databases.REDIS_URL, socket_timeout=5)
    name = f"desk-bench:availability:{schedule_id}"
    client.set(name, '{"capacity":6,"booked":5,"held":0,"kept_for_waitlist":0}', ex=600)
    connection = db.session.connection()
    reads = {
        "redis": lambda: client.get(name),
        "key": lambda: connection.execute(query, {"key": schedule_id}).one(),
    }
    taken: dict[str, list[float]] = {what: [] for what in reads}
    for what, _ in itertools.product(reads, range(50)):
        reads[what]()
    for _ in range(500 * context.rounds):
        for what, read in reads.items():
            began = time.perf_counter()
            read()
            taken[what].append((time.perf_counter() - began) * 1e6)
    db.session.rollback()
    client.delete(name)
    client.close()
    cost = {what: statistics.median(times) for what, times in taken.items()}
    ratio = cost["key"] / cost["redis"]
    return [Row("free seats by primary key, one client (Z12)", f"Redis GET: {cost['redis']:.0f} µs",
                f"{cost['key']:.0f} µs", ratio, "–", None)]  # fmt: skip
