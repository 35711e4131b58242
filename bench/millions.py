"""Ten million transactions: verified in full with time and memory, and the transactions page ten thousand pages down.

With `--kept NAME` the rows of an earlier run are used again.
"""

from __future__ import annotations

import time

from app.db import db
from bench import large_ledger, ledger
from bench.context import Context, Row

TITLE = "Ten million transactions"
#: movements of each wallet
DEPTH = 500
MOST_SECONDS = 60


def run(context: Context) -> list[Row]:
    """Ten times the rows of the other tables: with `--full` they are the ten million of the goal."""
    rows = [_build(context, context.rows * 10)]
    rows += _verify(context)
    with context.app.app_context():
        _, first, last = ledger.page_times(context, ledger.PAGE * ledger.DEPTH + ledger.PAGE)
        db.session.remove()
    total = _count(context)
    rows.append(ledger.page_row(f"transactions page, page {ledger.DEPTH:,}, in {total:,} rows", first, last))
    return rows


def _build(context: Context, wanted: int) -> Row:
    have = _count(context)
    missing = wanted - have
    if missing < DEPTH:
        return Row(f"{have:,} rows are there already", "–", "–", None, "–", None)
    wallets = large_ledger.open_wallets(context, missing // DEPTH)
    began = time.perf_counter()
    written = large_ledger.fill(context, wallets, DEPTH)
    taken = time.perf_counter() - began
    return Row(f"loading {written:,} rows with true hashes, 2 processes", "–", f"{written / taken:,.0f} rows/s,"
               f" {taken:.0f} s", None, "–", None)  # fmt: skip


def _count(context: Context) -> int:
    # Of ten million rows this takes longer than the application lets a statement run.
    with context.bare() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT COUNT(*) FROM wallet_transactions")
        return cursor.fetchone()[0]


def _verify(context: Context) -> list[Row]:
    floor, count = ledger.read_all(context)
    full = ledger.verified(context, full=True)
    again = ledger.verified(context, full=False)
    goal = f"≤ {MOST_SECONDS} s for 10 M"
    held = full.seconds <= MOST_SECONDS if count >= 10_000_000 else None
    return [
        Row(f"ledger verify --full, {count:,} rows, {full.wallets:,} wallets", f"read by bare PyMySQL: {floor:.1f} s",
            f"{full.seconds:.1f} s, {count / full.seconds:,.0f} rows/s", full.seconds / floor, "≤ 3.00 × the time",
            full.seconds <= 3 * floor),
        Row("the same: seconds", "–", f"{full.seconds:.1f} s", None, goal, held),
        Row("the same: memory above the app's, at most", "–", f"{full.grown:.1f} MB of {full.peak:.0f} MB", None, "–",
            None),
        Row("ledger verify, nothing moved since the anchor", "–", f"{again.seconds:.2f} s, {again.grown:.1f} MB", None,
            "seconds", again.seconds < 10),
    ]  # fmt: skip
