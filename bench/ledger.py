"""Large ledgers: building, verifying against reading, and the transactions page at depth."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal

import pymysql.cursors

from app import clock
from app.db import db, transaction
from app.domain.audit.actor import system
from app.domain.ledger import bulk, hashing, queries, service, verify
from app.domain.people.models import Family
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
        rows.append(_pages(context))
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
    written = bulk.build(_rounds(wallets, context.rows), actor=ACTOR)
    rate = written / (time.perf_counter() - began)
    return Row(f"building {written:,} rows past the triggers", "–", f"{rate:,.0f} rows/s", None, "–", None)


def _verify(context: Context) -> list[Row]:
    floors, fulls = [], []
    for _ in range(min(context.rounds, 3)):
        began = time.perf_counter()
        count = _read_all(context)
        floors.append(time.perf_counter() - began)
        began = time.perf_counter()
        report = verify.run(full=True)
        fulls.append(time.perf_counter() - began)
        if not report.sound:
            raise SystemExit(f"the benchmark's ledger is broken: {report.findings[:3]}")
    floor, full = statistics.median(floors), statistics.median(fulls)
    began = time.perf_counter()
    verify.run()
    daily = time.perf_counter() - began
    return [
        Row(f"ledger verify --full, {count:,} rows", f"{count / floor:,.0f} rows/s read by bare PyMySQL",
            f"{count / full:,.0f} rows/s", full / floor, "≤ 3.00 × the time", full / floor <= 3),
        Row("ledger verify --full, 10 M rows (from the rate)", "–", f"{10_000_000 / (count / full):.0f} s", None,
            "≤ 60 s", 10_000_000 / (count / full) <= 60),
        Row("ledger verify, nothing moved since the anchor", "–", f"{daily * 1000:.0f} ms", None, "seconds",
            daily < 10),
    ]  # fmt: skip


def _read_all(context: Context) -> int:
    connection = context.bare()
    with connection.cursor(pymysql.cursors.SSCursor) as cursor:
        cursor.execute("SELECT * FROM wallet_transactions ORDER BY id")
        count = sum(1 for _ in cursor)
    connection.close()
    return count


# ── the transactions page at depth ──


def _pages(context: Context) -> Row:
    wallet_id = deep_wallet(context, PAGE * DEPTH + PAGE)
    top = queries.wallet(wallet_id=wallet_id).version
    deep = str(top - PAGE * (DEPTH - 1) + 1)
    first, last = [], []
    for _ in range(200):
        for taken, cursor in ((first, None), (last, deep)):
            began = time.perf_counter()
            page = queries.history(wallet_id, limit=PAGE, cursor=cursor)
            taken.append(time.perf_counter() - began)
            assert len(page.items) == PAGE
            db.session.rollback()
    one, many = statistics.median(first), statistics.median(last)
    return Row(f"transactions page, page {DEPTH:,} of one wallet", f"page 1: {one * 1000:.2f} ms",
               f"{many * 1000:.2f} ms", many / one, "≤ 1.20", many / one <= 1.2)  # fmt: skip


def deep_wallet(context: Context, rows: int) -> int:
    """One wallet with very many rows. Only here, in a database that is thrown away, the two triggers that ask for one
    movement at a time are dropped; the rows are as true as any."""
    (wallet_id,) = _open(1)
    connection = context.bare()
    cursor = connection.cursor()
    for trigger in ("wallet_transactions_continue", "wallets_follow_transactions"):
        cursor.execute(f"DROP TRIGGER {trigger}")
    began, head, fen, batch = clock.now() - timedelta(days=365), None, 0, []
    for seq in range(1, rows + 1):
        amount = 100 if seq % 2 else -100
        moment = hashing.moment_text(began + timedelta(seconds=seq))
        texts = ("adjustment", f"deep-{seq}", "import", str(seq), "深页")
        encoded = hashing.encode_stored(wallet_id, seq, amount, fen, fen + amount, (None,) * 4, moment, texts, None)
        previous, head = head, hashing.digest(head, encoded)
        money = (bulk.yuan_text(figure) for figure in (amount, fen, fen + amount))
        batch.append((wallet_id, seq, texts[0], *money, *texts[1:], moment, previous, head))
        fen += amount
        if len(batch) == 5000 or seq == rows:
            cursor.executemany(
                "INSERT INTO wallet_transactions (wallet_id, seq, type, amount, balance_before, balance_after,"
                " idempotency_key, reference_type, reference_id, reason, created_at, prev_hash, hash)"
                " VALUES (%s,%s,%s,%s,%s,%s,%s,%s,%s,%s,%s,%s,%s)",
                batch,
            )
            batch = []
    cursor.execute("UPDATE wallets SET version=%s, balance=%s, head_hash=%s WHERE id=%s",
                   (rows, bulk.yuan_text(fen), head, wallet_id))  # fmt: skip
    connection.commit()
    connection.close()
    return wallet_id
