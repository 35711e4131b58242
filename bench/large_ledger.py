"""A ledger of millions of rows in minutes, for a database that is thrown away: true rows with true hashes, loaded by
the file. `flask ledger verify --full` must find it sound.

The product's own builder (app/domain/ledger/bulk.py) goes past the triggers, which ask for each row whether it
continues its wallet: some nine thousand rows a second. Here the two triggers that ask so are taken away meanwhile, and
rows come by LOAD DATA, from several processes, a group of wallets each.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

import pymysql

from app import clock
from app.domain.ledger import bulk, hashing
from bench.context import Context, bare_connection

#: wallets whose movements are written in turn; all of a group before the next, so that the indices' pages stay near
GROUP = 500
_COLUMNS = (
    "id", "wallet_id", "seq", "type", "amount", "balance_before", "balance_after", "idempotency_key",
    "reference_type", "reference_id", "reason", "created_at", "@prev_hash", "@hash",
)  # fmt: skip
#: by how much in fen each movement of a wallet moves it, again and again, with its type and reason
_TURNS = (
    (40000, "recharge", "充值"), (-20000, "deduction", "正式课扣费"), (-15000, "deduction", "正式课 · 体操课"),
)  # fmt: skip
_TRIGGERS = ("wallet_transactions_continue", "wallets_follow_transactions")


def open_wallets(context: Context, count: int) -> list[int]:
    """Ids of so many new empty wallets, with a family each."""
    moment = hashing.moment_text(clock.now())
    with context.bare() as connection, connection.cursor() as cursor:
        first = {}
        for table in ("families", "wallets"):
            cursor.execute(f"SELECT COALESCE(MAX(id), 0) + 1 FROM {table}")
            first[table] = cursor.fetchone()[0]
        cursor.executemany(
            "INSERT INTO families (id, name, created_at) VALUES (%s, %s, %s)",
            [(first["families"] + n, f"大账本{n}", moment) for n in range(count)],
        )
        cursor.executemany(
            "INSERT INTO wallets (id, family_id, balance, status, version, created_at, updated_at)"
            " VALUES (%s, %s, 0, 'active', 0, %s, %s)",
            [(first["wallets"] + n, first["families"] + n, moment, moment) for n in range(count)],
        )
        connection.commit()
    return list(range(first["wallets"], first["wallets"] + count))


def fill(context: Context, wallets: list[int], depth: int, *, processes: int = 2) -> int:
    """Give each of these empty wallets `depth` movements; returns how many rows were written."""
    with context.bare() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT COALESCE(MAX(id), 0) + 1 FROM wallet_transactions")
        next_id = cursor.fetchone()[0]
    began = clock.now() - timedelta(days=365)
    groups = [wallets[start : start + GROUP] for start in range(0, len(wallets), GROUP)]
    tasks = [(context.database.url, group, depth, next_id + n * GROUP * depth, began) for n, group in enumerate(groups)]
    with _triggers_away(context):
        if len(tasks) == 1:
            load_group(*tasks[0])
        else:
            with context.fleet(processes) as members:
                members.starmap(load_group, tasks, chunksize=1)
    return len(wallets) * depth


def load_group(url: str, wallets: list[int], depth: int, first_id: int, began: datetime) -> None:
    """Write a group's rows into a file, load it, and let its wallets follow."""
    connection = bare_connection(url, local_infile=True)
    heads: dict[int, tuple[int, bytes | None]] = dict.fromkeys(wallets, (0, None))
    with connection, connection.cursor() as cursor, tempfile.NamedTemporaryFile("w", suffix=".tsv") as file:
        file.writelines(_lines(heads, depth, first_id, began))
        file.flush()
        cursor.execute("SET unique_checks = 0, foreign_key_checks = 0")
        cursor.execute(
            f"LOAD DATA LOCAL INFILE '{file.name}' INTO TABLE wallet_transactions CHARACTER SET utf8mb4"
            f" ({', '.join(_COLUMNS)}) SET prev_hash = UNHEX(@prev_hash), hash = UNHEX(@hash)"
        )
        if cursor.rowcount != len(wallets) * depth:
            raise SystemExit(f"{cursor.rowcount} of {len(wallets) * depth} rows were loaded")
        cursor.executemany(
            "UPDATE wallets SET version = %s, balance = %s, head_hash = %s WHERE id = %s",
            [(depth, bulk.yuan_text(fen), head, wallet_id) for wallet_id, (fen, head) in heads.items()],
        )
        connection.commit()


def _lines(
    heads: dict[int, tuple[int, bytes | None]], depth: int, first_id: int, began: datetime
) -> Iterator[str]:  # fmt: skip
    """The group's rows in the order of their ids; `heads` follow."""
    row_id = first_id
    for seq in range(1, depth + 1):
        amount, kind, reason = _TURNS[seq % 3 - 1]
        moment = hashing.moment_text(began + timedelta(seconds=seq * 30))
        for wallet_id, (before, previous) in heads.items():
            after = before + amount
            texts = (kind, f"large-{row_id:010d}", "import", str(row_id), reason)
            encoded = hashing.encode_stored(wallet_id, seq, amount, before, after, (None,) * 4, moment, texts, None)
            digest = hashing.digest(previous, encoded)
            money = "\t".join(map(bulk.yuan_text, (amount, before, after)))
            head = previous.hex() if previous else r"\N"
            yield (
                f"{row_id}\t{wallet_id}\t{seq}\t{kind}\t{money}\t{texts[1]}\timport\t{row_id}\t{reason}\t{moment}\t"
                f"{head}\t{digest.hex()}\n"
            )
            heads[wallet_id] = after, digest
            row_id += 1


@contextmanager
def _triggers_away(context: Context) -> Iterator[None]:
    connection: pymysql.Connection = context.bare()
    kept = []
    with connection, connection.cursor() as cursor:
        for name in _TRIGGERS:
            cursor.execute(f"SHOW CREATE TRIGGER {name}")
            kept.append(cursor.fetchone()[2])
            cursor.execute(f"DROP TRIGGER {name}")
        try:
            yield
        finally:
            for text in kept:
                cursor.execute(text)
