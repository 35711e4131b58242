"""Large ledgers: building, verifying against reading, and the transactions page at depth."""

from __future__ import annotations

import re
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pymysql.cursors
import sqlalchemy as sa

from app import clock
from app.db import db, transaction
from app.domain.audit.actor import system
from app.domain.ledger import bulk, queries, service, verify
from app.domain.ledger.models import WalletTransaction
from app.domain.people.models import Family
from bench import large_ledger
from bench.charts import Chart, Line
from bench.context import Context, Row

TITLE = "Ledger"
ACTOR = system("bench")
WALLETS = 2000
PAGE = 20
DEPTH = 10_000


def run(context: Context) -> list[Row]:
    with context.app.app_context():
        rows = [_build(context)]
        rows += _verify(context)
        rows += _pages(context)
    return rows


def _open(count: int) -> list[int]:
    with transaction():
        families = [Family(name=f"大账本{n}", created_at=clock.now()) for n in range(count)]
        db.session.add_all(families)
        db.session.flush()
        return [service.open_wallet(family.id) for family in families]


def _rounds(wallets: list[int], total: int) -> Iterator[list[bulk.Movement]]:
    began = clock.now() - timedelta(days=365)
    for number in range(total // len(wallets)):
        kind, amount = ("recharge", "400.00") if number % 3 == 0 else ("deduction", "-200.00")
        yield [
            bulk.Movement(wallet_id, kind, Decimal(amount), f"bulk-{wallet_id}-{number}", "booking", str(number),
                          "正式课扣费", began + timedelta(minutes=number))
            for wallet_id in wallets
        ]  # fmt: skip


def _build(context: Context) -> Row:
    wallets = _open(WALLETS)
    began = time.perf_counter()
    written = bulk.build(_rounds(wallets, context.rows // 4), actor=ACTOR)
    rate = written / (time.perf_counter() - began)
    return Row(f"building {written:,} rows past the triggers", "–", f"{rate:,.0f} rows/s", None, "–", None)


@dataclass(frozen=True)
class Verified:
    """A run of the check in a process of its own: seconds, and MB at its peak, in all and above what it had before."""

    seconds: float
    rows: int
    wallets: int
    peak: float
    grown: float


def verified(context: Context, *, full: bool) -> Verified:
    """Raises SystemExit where the ledger is not sound."""
    with context.fleet(1) as members:
        return members.apply(_verify_here, (full,))


def _verify_here(full: bool) -> Verified:
    db.session.execute(sa.text("SELECT 1"))  # the connection is there
    db.session.rollback()
    before = memory_of_self("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak is counted from here
    began = time.perf_counter()
    report = verify.run(full=full)
    taken, peak = time.perf_counter() - began, memory_of_self("VmHWM")
    if not report.sound:
        raise SystemExit(f"the benchmark's ledger is broken: {report.findings[:3]}")
    return Verified(taken, report.rows_read, report.wallets, peak, peak - before)


def memory_of_self(name: str) -> float:
    """MB of this process: VmRSS, VmHWM."""
    return int(re.search(rf"{name}:\s+(\d+)", Path("/proc/self/status").read_text()).group(1)) / 1024


def read_all(context: Context) -> tuple[float, int]:
    """Seconds that bare PyMySQL takes to read all rows without looking at them, and how many they are."""
    connection = context.bare()
    began = time.perf_counter()
    with connection.cursor(pymysql.cursors.SSCursor) as cursor:
        cursor.execute("SELECT * FROM wallet_transactions ORDER BY id")
        count = sum(1 for _ in cursor)
    connection.close()
    return time.perf_counter() - began, count


def _verify(context: Context) -> list[Row]:
    """Twice the rows again and again; the judgement is of the last."""
    steps: list[tuple[int, float, Verified]] = []
    for wanted in [context.rows // 4, context.rows // 2, context.rows, context.rows * 2]:
        _fill_up(context, wanted)
        rounds = [(*read_all(context), verified(context, full=True)) for _ in range(min(context.rounds, 3))]
        count = rounds[0][1]
        floor = statistics.median(taken for taken, _, _ in rounds)
        full = sorted((one for _, _, one in rounds), key=lambda one: one.seconds)[len(rounds) // 2]
        steps.append((count, floor, full))
    daily = verified(context, full=False)
    context.charts.append(_verify_chart(steps))
    rows = [
        Row(f"ledger verify --full, {count:,} rows", f"{count / floor:,.0f} rows/s read by bare PyMySQL",
            f"{count / full.seconds:,.0f} rows/s; {full.grown:.1f} MB", full.seconds / floor, "≤ 3.00 × the time",
            full.seconds <= 3 * floor)
        for count, floor, full in steps
    ]  # fmt: skip
    rows.append(Row("ledger verify, nothing moved since the anchor", "–", f"{daily.seconds * 1000:.0f} ms", None,
                    "seconds", daily.seconds < 10))  # fmt: skip
    return rows


def _fill_up(context: Context, wanted: int) -> None:
    have = db.session.scalar(sa.select(sa.func.count()).select_from(WalletTransaction))
    db.session.rollback()
    if wanted - have >= WALLETS:
        large_ledger.fill(context, large_ledger.open_wallets(context, WALLETS), (wanted - have) // WALLETS)


def _verify_chart(steps: list[tuple[int, float, Verified]]) -> Chart:
    return Chart(
        name="verify", title="Verifying the whole ledger", x_title="transactions", y_title="seconds",
        x=[count for count, _, _ in steps],
        lines=[
            Line("ledger verify --full", [full.seconds for _, _, full in steps]),
            Line("read by bare PyMySQL", [floor for _, floor, _ in steps], floor=True),
        ],
    )  # fmt: skip


# ── the transactions page at depth ──


def _pages(context: Context) -> list[Row]:
    """Of wallets with ten times as many rows, and again; the judgement is of page 10,000."""
    deepest = PAGE * DEPTH + PAGE
    sizes = sorted({context.rows // 100, context.rows // 10, max(context.rows, deepest)})
    measured = [page_times(context, size) for size in sizes]
    context.charts.append(
        Chart(
            name="pages", title="A page of a wallet's transactions", x_title="rows of the wallet", y_title="ms",
            x=sizes,
            lines=[
                Line("last, or page 10,000", [last * 1000 for _, _, last in measured]),
                Line("first page", [first * 1000 for _, first, _ in measured], floor=True),
            ],
        )
    )  # fmt: skip
    return [
        page_row(f"transactions page, page {depth:,} of a wallet of {size:,}", first, last)
        for size, (depth, first, last) in zip(sizes, measured, strict=True)
    ]


def page_times(context: Context, rows: int) -> tuple[int, float, float]:
    """(the deep page's number, seconds of the first page, of the deep one), of a new wallet with so many rows."""
    wallet_id = deep_wallet(context, rows)
    top = queries.wallet(wallet_id=wallet_id).version
    depth = min(DEPTH, top // PAGE)
    deep = str(top - PAGE * (depth - 1) + 1)
    first, last = [], []
    for _ in range(200):
        for taken, cursor in ((first, None), (last, deep)):
            began = time.perf_counter()
            page = queries.history(wallet_id, limit=PAGE, cursor=cursor)
            taken.append(time.perf_counter() - began)
            assert len(page.items) == PAGE
            db.session.rollback()
    return depth, statistics.median(first), statistics.median(last)


def page_row(what: str, first: float, last: float) -> Row:
    ratio = last / first
    return Row(what, f"page 1: {first * 1000:.2f} ms", f"{last * 1000:.2f} ms", ratio, "≤ 1.20", ratio <= 1.2)


def deep_wallet(context: Context, rows: int) -> int:
    """A new wallet with very many rows."""
    [wallet_id] = large_ledger.open_wallets(context, 1)
    large_ledger.fill(context, [wallet_id], rows)
    db.session.rollback()
    return wallet_id
