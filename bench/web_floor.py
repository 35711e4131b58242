"""The floor of the HTTP benchmarks: the barest Flask application on the same database, `gunicorn bench.web_floor:app`.

No hooks, no log, no sign-in: `/balance/<id>` reads one row by key through SQLAlchemy Core, `/seat/<id>` is one guarded
UPDATE by bare PyMySQL, and `/bookings` runs the statements of one recorded booking through Core (bench/recording.py).
"""

from __future__ import annotations

import hashlib
import os
import threading

import sqlalchemy as sa
from flask import Flask, request

from bench import recording
from bench.context import bare_connection

app = Flask(__name__)
_url = os.environ["BENCH_DATABASE_URL"]
_engine = sa.create_engine(_url, isolation_level="READ COMMITTED", pool_size=10)
_wallets = sa.table("wallets", sa.column("id"), sa.column("balance"))
_balance = sa.select(_wallets.c.id, _wallets.c.balance).where(_wallets.c.id == sa.bindparam("key"))
_own = threading.local()

if os.environ.get("BENCH_STATEMENTS"):
    _steps, _words, _known = recording.load(os.environ["BENCH_STATEMENTS"])


@app.get("/balance/<int:wallet_id>")
def balance(wallet_id: int):
    with _engine.connect() as connection:
        row = connection.execute(_balance, {"key": wallet_id}).one()
    return {"id": row.id, "balance": str(row.balance)}


@app.post("/seat/<int:schedule_id>")
def seat(schedule_id: int):
    connection = getattr(_own, "connection", None) or bare_connection(_url)
    _own.connection = connection
    with connection.cursor() as cursor:
        taken = cursor.execute(
            "UPDATE course_schedules SET booked = booked + 1 WHERE id = %s AND booked + held + kept < capacity",
            (schedule_id,),
        )
    connection.commit()
    return {"taken": taken}, 201 if taken else 409


@app.post("/bookings")
def book():
    """What a careful hand would write: ids, balance, number and hash from the rows, the rest as recorded."""
    asked = request.get_json()
    slots = _known["parents"][asked["profile_id"]] | _known["classes"][asked["course_schedule_id"]]
    slots |= {"schedule": asked["course_schedule_id"], "key": request.headers["Idempotency-Key"]}
    with _engine.connect() as connection:
        for step in _steps:
            if step.statement is None:
                connection.commit() if step.sql == recording.COMMIT else connection.rollback()
                continue
            values = recording.filled(step, _words, slots)
            if step.sql.startswith("INSERT INTO wallet_transactions"):
                values |= _movement(slots)
            elif step.sql.startswith("UPDATE wallets"):
                values |= {"version_was": slots["version"], "new_version": slots["version"] + 1,
                           "new_balance": slots["after"], "new_head": slots["hash"]}  # fmt: skip
            result = connection.execute(step.statement, values)
            if step.sql.startswith("INSERT INTO bookings"):
                slots["booking"] = result.lastrowid
            elif step.sql.startswith("INSERT INTO wallet_transactions"):
                slots["movement"] = result.lastrowid
            elif step.sql.startswith("SELECT"):
                rows = result.all()
                if "FROM wallets" in step.sql and "FOR UPDATE" in step.sql:
                    slots |= {"before": rows[0].balance, "version": rows[0].version, "head": rows[0].head_hash}
            elif result.rowcount != 1:
                return {"refused": step.sql}, 409
    return {"booking_id": slots["booking"], "balance": str(slots["after"])}, 201


def _movement(slots: dict) -> dict:
    """The wallet's next row; its trigger refuses any other balance."""
    slots["after"] = slots["before"] - _known["price"]
    slots["hash"] = hashlib.sha256((slots["head"] or b"") + slots["key"].encode()).digest()
    return {"seq": slots["version"] + 1, "balance_before": slots["before"], "balance_after": slots["after"],
            "prev_hash": slots["head"], "hash": slots["hash"]}  # fmt: skip
