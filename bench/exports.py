"""Taking a long list out: one wallet's transactions as csv and as xlsx, through the portal's own route (U8).

Each file is taken by a process of its own, which reads it piece by piece and keeps nothing, as a browser would. The
floor of csv is bare PyMySQL with an unbuffered cursor into csv.writer; the floor of xlsx is openpyxl's write-only
workbook on a tenth of the rows.
"""

from __future__ import annotations

import csv
import re
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import pymysql.cursors
import sqlalchemy as sa
from flask import current_app
from openpyxl import Workbook

from app.db import db
from app.domain.ledger.models import Wallet
from bench.context import Context, Row
from bench.ledger import deep_wallet
from tests.portal import PAGE, Browser, make_staff

TITLE = "Exports"
#: of the specification: the bare app's and this
MOST_MB = 30
_QUERY = (
    "SELECT seq, created_at, type, reason, amount, balance_before, balance_after, profile_id, performed_by, id,"
    " reverses_id FROM wallet_transactions WHERE wallet_id = %s ORDER BY seq DESC"
)


@dataclass(frozen=True)
class Taken:
    """One file: seconds to its first byte and to its last, its size, and what the process grew by at most, in MB."""

    first: float
    total: float
    size: int
    grown: float


def run(context: Context) -> list[Row]:
    with context.app.app_context():
        wallet_id = deep_wallet(context, context.rows)
        family_id = db.session.scalar(sa.select(Wallet.family_id).where(Wallet.id == wallet_id))
        db.session.remove()
    floors = {"csv": _csv_floor(context, wallet_id), "xlsx": _xlsx_floor(context, wallet_id)}
    rows = []
    for form, floor in floors.items():
        with context.fleet(1) as members:
            taken = members.apply(take, (form, family_id))
        ratio = taken.total / floor
        what = f"{context.rows:,} transactions as {form}"
        rows += [
            Row(f"{what}, {taken.size / 1e6:.0f} MB", f"{floor:.1f} s", f"{taken.total:.1f} s", ratio, "–", None),
            Row(f"{what}, first byte", "–", f"{taken.first * 1000:.0f} ms", None, "–", None),
            Row(f"{what}, peak memory above the app's", "–", f"{taken.grown:.1f} MB", None, f"≤ {MOST_MB} MB",
                taken.grown <= MOST_MB),
        ]  # fmt: skip
    return rows


def take(form: str, family_id: int) -> Taken:
    """In a process of its own. A short list first, so that what any first request loads is not counted."""
    browser = Browser(current_app._get_current_object()).sign_in(make_staff("finance", username=f"taker-{form}"))
    _post(browser, f"/exports/transactions?family={family_id}&from=2000-01-01&to=2000-01-01", form)
    before = _memory("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak is counted from here
    first, total, size = _post(browser, f"/exports/transactions?family={family_id}", form)
    return Taken(first, total, size, (_memory("VmHWM") - before) / 1024)


def _post(browser: Browser, address: str, form: str) -> tuple[float, float, int]:
    data = {"csrf_token": browser.csrf_token(), "format": form}
    began = time.perf_counter()
    answer = browser.client.post(address, data=data, headers=PAGE, buffered=False)
    assert answer.status_code == 200
    parts = iter(answer.response)
    size = len(next(parts))
    first = time.perf_counter() - began
    size += sum(len(part) for part in parts)
    total = time.perf_counter() - began
    answer.close()
    return first, total, size


def _memory(name: str) -> int:
    """Of this process, in KB."""
    return int(re.search(rf"{name}:\s+(\d+)", Path("/proc/self/status").read_text()).group(1))


# ── floors ──────────────────────────────────────────────────────────────────────────────────────────


def _csv_floor(context: Context, wallet_id: int) -> float:
    connection = context.bare()
    began = time.perf_counter()
    with tempfile.TemporaryFile("w") as file, connection.cursor(pymysql.cursors.SSCursor) as cursor:
        cursor.execute(_QUERY, (wallet_id,))
        csv.writer(file).writerows(cursor)
    taken = time.perf_counter() - began
    connection.close()
    return taken


def _xlsx_floor(context: Context, wallet_id: int) -> float:
    connection = context.bare()
    began = time.perf_counter()
    book = Workbook(write_only=True)
    sheet = book.create_sheet()
    with tempfile.TemporaryFile() as file, connection.cursor(pymysql.cursors.SSCursor) as cursor:
        cursor.execute(f"{_QUERY} LIMIT {context.rows // 10}", (wallet_id,))
        for row in cursor:
            sheet.append(row)
        book.save(file)
    taken = time.perf_counter() - began
    connection.close()
    return taken * 10
