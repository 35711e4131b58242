"""What columns hold, the same on every database: money, moments, JSON as written, keys that compare as bytes."""

from __future__ import annotations

import json
from datetime import UTC
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql
from sqlalchemy.types import TypeDecorator

from app.money import from_fen, to_fen


class Money(TypeDecorator):
    """Yuan as Decimal with two places (R1): DECIMAL(10,2) on MySQL, whole fen on SQLite.

    SQLite would keep NUMERIC as a float, and its SUM would drift by fractions of a fen.
    """

    impl = sa.Numeric
    cache_ok = True

    def load_dialect_impl(self, dialect):
        if dialect.name == "sqlite":
            return dialect.type_descriptor(sa.BigInteger())
        return dialect.type_descriptor(sa.Numeric(10, 2))

    def process_bind_param(self, value, dialect):
        if value is None:
            return None
        if not isinstance(value, Decimal):
            raise TypeError(f"money is Decimal, not {type(value).__name__}")
        return to_fen(value) if dialect.name == "sqlite" else value

    def process_result_value(self, value, dialect):
        if value is None:
            return None
        return from_fen(int(value)) if dialect.name == "sqlite" else Decimal(value).quantize(Decimal("0.01"))


class UTCDateTime(TypeDecorator):
    """An aware UTC datetime with microseconds (R2); DATETIME(6) on MySQL, ISO text on SQLite."""

    impl = sa.DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect):
        if dialect.name == "sqlite":
            return dialect.type_descriptor(sa.DateTime())
        return dialect.type_descriptor(mysql.DATETIME(fsp=6))

    def process_bind_param(self, value, dialect):
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a naive datetime was given; times are aware")
        return value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value, dialect):
        return None if value is None else value.replace(tzinfo=UTC)


class JSONText(TypeDecorator):
    """JSON kept as the exact text that we wrote, since hashes cover it; MySQL's JSON type would reorder it."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value, dialect):
        return None if value is None else canonical_json(value)

    def process_result_value(self, value, dialect):
        return None if value is None else json.loads(value)


def canonical_json(value: Any) -> str:
    """Sorted, compact, UTF-8 JSON; refuses NaN and anything that is not plain data."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False)


def Ascii(length: int) -> sa.String:
    """Identifiers and keys: bytes compare as bytes. utf8mb4_general_ci holds 'abc' = 'ABC ' (Z1)."""
    return sa.String(length).with_variant(
        mysql.VARCHAR(length, charset="ascii", collation="ascii_bin"), "mysql", "mariadb"
    )


def ExactText(length: int) -> sa.String:
    """Text of any script that compares by code point: the default collation holds all emoji to be one."""
    return sa.String(length).with_variant(
        mysql.VARCHAR(length, charset="utf8mb4", collation="utf8mb4_bin"), "mysql", "mariadb"
    )


def Digest() -> sa.LargeBinary:
    """A SHA-256 as its 32 bytes."""
    return sa.LargeBinary(32).with_variant(mysql.BINARY(32), "mysql", "mariadb")


def BigId() -> sa.BigInteger:
    """BIGINT; INTEGER on SQLite, where only that type counts up by itself."""
    return sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def LongText() -> sa.Text:
    return sa.Text().with_variant(mysql.MEDIUMTEXT(), "mysql", "mariadb")
