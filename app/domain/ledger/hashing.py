"""The hash chain of a wallet (W4): one encoding of a row, the same bytes from Python and from MySQL.

A row's hash is `SHA-256(previous hash ‖ encoding)`; the previous hash is 32 zero bytes for a wallet's first row.
The encoding is UTF-8 text, fields joined by `|`, in this order:

    v1|wallet_id|seq|amount|balance_before|balance_after|reverses_id|profile_id|user_id|performed_by|created_at
      |len|type|len|idempotency_key|len|reference_type|len|reference_id|len|reason|len|metadata

Money is whole fen, a missing number is empty, created_at is UTC as `2026-01-31 08:00:00.000000`. Each text comes
after its length in bytes, so that no text can pose as the next field; missing metadata has the length -1. The
row's own `id` is given by the database after the hash is made and is not covered; `verify` checks that ids ascend
with seq, and the sealed audit log names each row by its id.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from app.money import to_fen

NO_HASH = b"\0" * 32
_MONEY = ("amount", "balance_before", "balance_after")
_NUMBERS = ("reverses_id", "profile_id", "user_id", "performed_by")
_TEXTS = ("type", "idempotency_key", "reference_type", "reference_id", "reason")


def moment_text(moment: datetime) -> str:
    """UTC with microseconds, as MySQL writes a DATETIME(6)."""
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")


def encode(row: Mapping[str, Any]) -> bytes:
    """The encoding of a row given as values of the model (Decimal yuan, aware datetime); `metadata` is the stored
    text or None. Raises UnicodeEncodeError for text that is not Unicode."""
    return encode_stored(
        row["wallet_id"],
        row["seq"],
        to_fen(row["amount"]),
        to_fen(row["balance_before"]),
        to_fen(row["balance_after"]),
        [row[name] for name in _NUMBERS],
        moment_text(row["created_at"]),
        [row[name] for name in _TEXTS],
        row["metadata"],
    )


def encode_stored(
    wallet_id: int,
    seq: int,
    fen: int,
    fen_before: int,
    fen_after: int,
    numbers: Sequence[int | None],
    moment: str,
    texts: Sequence[str],
    metadata: str | None,
) -> bytes:
    """The same from money in fen and time as text; `numbers` and `texts` in the order of the encoding."""
    parts = [f"v1|{wallet_id}|{seq}|{fen}|{fen_before}|{fen_after}"]
    parts += ["" if number is None else str(number) for number in numbers]
    parts.append(moment)
    parts += [f"{len(text.encode())}|{text}" for text in texts]
    parts.append("-1|" if metadata is None else f"{len(metadata.encode())}|{metadata}")
    return "|".join(parts).encode()


def digest(previous: bytes | None, encoded: bytes) -> bytes:
    """The hash of a row that follows the row with the hash `previous` (None: the wallet's first)."""
    return hashlib.sha256((previous or NO_HASH) + encoded).digest()


def fen_column(name: str, dialect: str) -> str:
    """SQL for a money column as whole fen."""
    return f"CAST({name} AS INTEGER)" if dialect == "sqlite" else f"CAST({name} * 100 AS SIGNED)"


def stored_row(dialect: str) -> str:
    """SQL for one column of bytes: the stored hash, the stored previous hash, and the encoding of the stored row.

    The database puts the encoding together itself: one column instead of nineteen makes verifying several times as
    fast. SQLite has no types that would keep a text out of a number's place, so numbers go through CAST there; what
    is changed by that no longer fits its hash.
    """
    return _STORED_SQLITE if dialect == "sqlite" else _STORED_MYSQL


def _stored_mysql() -> str:
    parts = ["'v1'", "wallet_id", "seq"]
    parts += [fen_column(name, "mysql") for name in _MONEY]
    parts += [f"IFNULL({name}, '')" for name in _NUMBERS]
    parts.append("created_at")
    for name in _TEXTS:
        parts += [f"LENGTH({name})", name]
    parts += ["IFNULL(LENGTH(metadata), -1)", "IFNULL(metadata, '')"]
    encoding = f"CAST(CONCAT_WS('|', {', '.join(parts)}) AS BINARY)"
    return f"CONCAT(hash, IFNULL(prev_hash, REPEAT(CHAR(0 USING binary), 32)), {encoding})"


def _stored_sqlite() -> str:
    parts = ["'v1'", "CAST(wallet_id AS INTEGER)", "CAST(seq AS INTEGER)"]
    parts += [fen_column(name, "sqlite") for name in _MONEY]
    parts += [f"IFNULL(CAST({name} AS INTEGER), '')" for name in _NUMBERS]
    parts.append("created_at")
    for name in _TEXTS:
        parts += [f"LENGTH(CAST({name} AS BLOB))", name]
    parts += ["IFNULL(LENGTH(CAST(metadata AS BLOB)), -1)", "IFNULL(metadata, '')"]
    encoding = f"({' || char(124) || '.join(parts)})"
    # Concatenation of blobs is text to SQLite, and only a cast says that these bytes are bytes.
    return f"CAST(hash AS BLOB), IFNULL(prev_hash, zeroblob(32)), CAST({encoding} AS BLOB)"


_STORED_MYSQL = _stored_mysql()
_STORED_SQLITE = _stored_sqlite()
