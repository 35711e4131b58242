"""`python -m bench.wallet_race [--writers 16] [--each 1000] [--engine mysql]`: many processes, one wallet, every fen
counted. Not a figure but a proof: rows = requests, Σ rows = balance, the chain holds; any difference exits 1."""

from __future__ import annotations

import argparse
import tempfile
import time
from decimal import Decimal
from pathlib import Path

import sqlalchemy as sa

from app.db import db
from app.domain.ledger import queries, service, verify
from app.domain.ledger.models import WalletTransaction
from bench.context import fleet, together
from bench.wallet import ACTOR, ONE, _wallet
from tests.conftest import build_app
from tests.databases import FreshDatabase


def writer(wallet_id: int, number: int, each: int) -> int:
    together()
    for n in range(each):
        key = f"race-{number}-{n}"
        service.debit(wallet_id=wallet_id, amount=ONE, idempotency_key=key, reference_type="booking",
                      reference_id=key, reason="正式课扣费", actor=ACTOR)  # fmt: skip
    return each


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--writers", type=int, default=16)
    parser.add_argument("--each", type=int, default=1000)
    parser.add_argument("--engine", choices=["mysql", "sqlite"], default="mysql")
    asked = parser.parse_args()
    database = FreshDatabase(asked.engine, "race")
    with tempfile.TemporaryDirectory(prefix="desk-race-") as folder:
        app = build_app(database, Path(folder))
        with app.app_context():
            wallet_id = _wallet(0)
            db.session.remove()
        began = time.perf_counter()
        with fleet(database.url, Path(folder), asked.writers) as members:
            tasks = [(wallet_id, number, asked.each) for number in range(asked.writers)]
            done = sum(members.starmap(writer, tasks, chunksize=1))
        seconds = time.perf_counter() - began
        with app.app_context():
            wallet = queries.wallet(wallet_id=wallet_id)
            count = sa.select(sa.func.count()).where(WalletTransaction.wallet_id == wallet_id)
            rows = db.session.scalar(count.select_from(WalletTransaction))
            held = (
                rows == done + 1
                and wallet.balance == Decimal("9000000.00") - done * ONE
                and verify.run(full=True).sound
            )
            db.session.remove()
            db.engine.dispose()
    database.drop()
    print(f"{asked.engine}: {asked.writers} writers, {done:,} requests, {rows - 1:,} rows, {done / seconds:,.0f}/s,"
          f" {'every fen is there' if held else 'BROKEN'}")  # fmt: skip
    raise SystemExit(0 if held else 1)


if __name__ == "__main__":
    main()
