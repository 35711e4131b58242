"""The floor of the HTTP benchmarks: the barest Flask application on the same database, `gunicorn bench.web_floor:app`.

No hooks, no log, no sign-in: `/balance/<id>` reads one row by key through SQLAlchemy Core.
"""

from __future__ import annotations

import os

import sqlalchemy as sa
from flask import Flask

app = Flask(__name__)
_engine = sa.create_engine(os.environ["BENCH_DATABASE_URL"], isolation_level="READ COMMITTED", pool_size=10)
_wallets = sa.table("wallets", sa.column("id"), sa.column("balance"))
_balance = sa.select(_wallets.c.id, _wallets.c.balance).where(_wallets.c.id == sa.bindparam("key"))


@app.get("/balance/<int:wallet_id>")
def balance(wallet_id: int):
    with _engine.connect() as connection:
        row = connection.execute(_balance, {"key": wallet_id}).one()
    return {"id": row.id, "balance": str(row.balance)}
