"""Databases at the newest migration, without migrating each: copied, or cleaned after it served another test.

Migrating MariaDB takes five seconds of DDL, cleaning what a test wrote a fifth of one.
"""

from __future__ import annotations

import atexit
import functools
import re
import shutil
import sqlite3
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import pymysql
import sqlalchemy as sa

from app.db import db
from tests import databases
from tests.databases import FreshDatabase

#: MariaDB databases of this process that nobody uses now
_idle: list[MigratedDatabase] = []


class MigratedDatabase(FreshDatabase):
    """A database with the newest schema and nothing but what migrations write; `.drop()` when done."""

    def drop(self) -> None:
        if self.engine == "mysql" and self._cleaned():
            _idle.append(self)
        else:
            super().drop()

    def _cleaned(self) -> bool:
        """Take away what was written. False if its schema is not as migrated any more, which only a new one mends."""
        with databases.mysql_connection(self.name) as connection, connection.cursor() as cursor:
            _hang_up(cursor, self.name)
            tables = _tables(cursor)
            if _schema(cursor, tables) != _pristine(self.name)[0]:
                return False
            cursor.execute("SET foreign_key_checks = 0")
            for table in _filled(cursor, tables):
                cursor.execute(f"TRUNCATE TABLE `{table}`")  # no trigger of an append-only table hears of it
            for table, rows in _pristine(self.name)[1].items():
                cursor.executemany(f"INSERT INTO `{table}` VALUES ({','.join(['%s'] * len(rows[0]))})", rows)
            connection.commit()
        return True


def take(engine: str) -> MigratedDatabase:
    """A migrated database that nobody else has."""
    if engine == "mysql" and _idle:
        return _idle.pop()
    database = MigratedDatabase(engine, "ready")
    if engine == "sqlite":
        shutil.copyfile(_file(), database.folder / "desk.db")
    else:
        _migrate(database)
        _pristine(database.name)
    return database


@functools.cache
def _file() -> Path:
    original = FreshDatabase("sqlite", "template")
    _migrate(original)
    atexit.register(original.drop)
    return original.folder / "desk.db"


def _migrate(database: FreshDatabase) -> None:
    from tests.conftest import build_app  # which imports this module itself

    with tempfile.TemporaryDirectory(prefix="desk-instance-") as instance:
        app = build_app(database, Path(instance), upgrade=True)
        with app.app_context():
            if database.engine == "sqlite":
                with db.engine.connect() as connection:
                    connection.execute(sa.text("PRAGMA wal_checkpoint(TRUNCATE)"))
            db.engine.dispose()


def copy(original: FreshDatabase, purpose: str) -> FreshDatabase:
    """A database with all that another has, which nobody writes to meanwhile."""
    made = FreshDatabase(original.engine, purpose)
    if made.engine == "sqlite":
        with sqlite3.connect(original.folder / "desk.db") as source, sqlite3.connect(made.folder / "desk.db") as target:
            source.backup(target)
        return made
    with databases.mysql_connection(original.name) as connection, connection.cursor() as cursor:
        tables = _tables(cursor)
        cursor.execute("SHOW TRIGGERS")
        triggers = [row[0] for row in cursor.fetchall()]
        statements = [_shown(cursor, "TABLE", table, 1) for table in tables]
        statements += [_filling(cursor, table, original.name) for table in tables]
        statements += [re.sub(r"DEFINER=\S+ ", "", _shown(cursor, "TRIGGER", name, 2)) for name in triggers]
        cursor.execute(f"USE `{made.name}`")
        cursor.execute("SET foreign_key_checks = 0")
        for statement in statements:
            cursor.execute(statement)
        connection.commit()
    return made


def _shown(cursor, kind: str, name: str, column: int) -> str:
    cursor.execute(f"SHOW CREATE {kind} `{name}`")
    return cursor.fetchone()[column]


def _filling(cursor, table: str, source: str) -> str:
    """INSERT … SELECT of the columns that are not computed from others."""
    cursor.execute(
        "SELECT column_name FROM information_schema.columns WHERE table_schema = %s AND table_name = %s"
        " AND extra NOT LIKE '%%GENERATED%%'",
        (source, table),
    )
    columns = ", ".join(f"`{row[0]}`" for row in cursor.fetchall())
    return f"INSERT INTO `{table}` ({columns}) SELECT {columns} FROM `{source}`.`{table}`"


_known: list[tuple[dict[str, str], dict[str, tuple]]] = []


def _pristine(name: str) -> tuple[dict[str, str], dict[str, tuple]]:
    """(schema, rows by table) of a database just migrated; read once, from the first."""
    if not _known:
        with databases.mysql_connection(name) as connection, connection.cursor() as cursor:
            tables = _tables(cursor)
            rows = {}
            for table in _filled(cursor, tables):
                cursor.execute(f"SELECT * FROM `{table}`")
                rows[table] = cursor.fetchall()
            _known.append((_schema(cursor, tables), rows))
    return _known[0]


def _tables(cursor) -> list[str]:
    cursor.execute("SHOW FULL TABLES WHERE table_type = 'BASE TABLE'")
    return [row[0] for row in cursor.fetchall()]


def _schema(cursor, tables: list[str]) -> dict[str, str]:
    """How each table and trigger is made; a counter that moved on is no other schema."""
    made = {}
    for table in tables:
        made[table] = re.sub(r" AUTO_INCREMENT=\d+", "", _shown(cursor, "TABLE", table, 1))
    cursor.execute("SHOW TRIGGERS")
    return made | {f"trigger {row[0]}": row[3] for row in cursor.fetchall()}


def _filled(cursor, tables: list[str]) -> list[str]:
    cursor.execute(" UNION ALL ".join(f"(SELECT '{table}' FROM `{table}` LIMIT 1)" for table in tables))
    return [row[0] for row in cursor.fetchall()]


def _hang_up(cursor, name: str) -> None:
    """End the connections that processes of the last test left: what they had begun must not arrive in the next."""
    others = "SELECT id FROM information_schema.processlist WHERE db = %s AND id <> CONNECTION_ID()"
    for _ in range(100):
        cursor.execute(others, (name,))
        found = cursor.fetchall()
        if not found:
            return
        for (identity,) in found:
            with suppress(pymysql.MySQLError):  # it went by itself meanwhile
                cursor.execute(f"KILL {identity}")
        time.sleep(0.02)
    raise RuntimeError(f"somebody stays connected to {name}")


@atexit.register
def _drop_idle() -> None:
    for database in _idle:
        FreshDatabase.drop(database)
