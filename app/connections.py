"""How a connection to the database is made, kept and given back: what no URL can say.

Each line stands for something that was measured or lost once (docs/decisions/0003-transactions.md).
"""

from __future__ import annotations

import functools
import math
import time
from typing import Any

from pymysql.constants import SERVER_STATUS
from sqlalchemy import event
from sqlalchemy.engine import Engine, make_url
from sqlalchemy.exc import InvalidatePoolError

from app import slow_statements

#: a pooled connection that rested longer is asked whether it still lives
IDLE_SECONDS = 1.0

#: errors of a node that takes nothing (Galera without a majority, read-only): nothing was executed, and we leave it
NOT_HERE = {1047, 1290, 1836}


def engine_options(url: str, *, pool_size: int, timeout: int) -> dict[str, Any]:
    """Options for create_engine. `timeout` in seconds bounds a statement and a lock wait."""
    if make_url(url).get_backend_name() == "sqlite":
        return {"connect_args": {"timeout": 15, "check_same_thread": False, "isolation_level": None}}
    return {
        "isolation_level": "READ COMMITTED",
        "pool_size": pool_size,
        "max_overflow": pool_size,
        "pool_timeout": 10,
        "pool_recycle": 1800,
        # Both are done by events below, only when there is a reason: each is a round trip of every transaction.
        "pool_pre_ping": False,
        "pool_reset_on_return": None,
        "connect_args": {
            "connect_timeout": 5,
            "read_timeout": max(timeout * 4, 30),
            "write_timeout": 30,
            "cursorclass": slow_statements.TimedCursor,
            "init_command": (
                "SET time_zone='+00:00',"
                " sql_mode='STRICT_TRANS_TABLES,NO_ZERO_DATE,NO_ZERO_IN_DATE,ERROR_FOR_DIVISION_BY_ZERO,"
                f"NO_ENGINE_SUBSTITUTION', innodb_lock_wait_timeout={max(timeout, 1)}"
            ),
        },
    }


def prepare_engine(engine: Engine, *, timeout: int) -> None:
    """Install the per-connection settings that no URL can carry."""
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        slow_statements.watch_sqlite(engine)
    else:
        event.listen(engine, "connect", functools.partial(_prepare_mysql, timeout=timeout))
        event.listen(engine, "reset", _reset_mysql)
        event.listen(engine, "checkin", _note_use)
        event.listen(engine, "checkout", _ping_if_idle)
        known = engine.dialect.is_disconnect
        engine.dialect.is_disconnect = lambda error, *rest: known(error, *rest) or _turned_away(error)


def _turned_away(error: Exception) -> bool:
    # The connection lives and its node has left the cluster or stopped writing: a new one goes through the proxy to
    # the node that has taken over, where this one would be refused until somebody cuts it (Z10).
    return bool(error.args) and error.args[0] in NOT_HERE


def _prepare_sqlite(connection, _record) -> None:
    # synchronous=FULL: a receipt given must survive the power cut. recursive_triggers: INSERT OR REPLACE would
    # otherwise slip past the delete triggers of the ledger.
    cursor = connection.cursor()
    for pragma in (
        "journal_mode=WAL", "foreign_keys=ON", "busy_timeout=15000", "synchronous=FULL", "recursive_triggers=ON",
    ):  # fmt: skip
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection) -> None:
    # Reads begin deferred and never wait; transaction() asks for IMMEDIATE, the single write lock.
    mode = connection.get_execution_options().get("sqlite_begin", "DEFERRED")
    connection.exec_driver_sql(f"BEGIN {mode}")


def _prepare_mysql(connection, _record, timeout: int) -> None:
    # MariaDB bounds every statement (seconds), MySQL only SELECT (milliseconds).
    cursor = connection.cursor()
    try:
        if "MariaDB" in connection.get_server_info():
            cursor.execute(f"SET max_statement_time={timeout * 2}")
        else:
            cursor.execute(f"SET max_execution_time={timeout * 2000}")
    finally:
        cursor.close()


def _reset_mysql(connection, _record, state) -> None:
    # The server tells with every answer whether a transaction is open; after a COMMIT none is.
    if state.terminate_only:
        return
    unread = connection._result is not None and connection._result.unbuffered_active
    if unread or connection.server_status & SERVER_STATUS.SERVER_STATUS_IN_TRANS:
        connection.rollback()


def _note_use(_connection, record) -> None:
    record.info["used_at"] = time.monotonic()


def _ping_if_idle(connection, record, _proxy) -> None:
    # A connection that worked a moment ago still does, and where it does not, the use case is run again.
    if time.monotonic() - record.info.get("used_at", math.inf) > IDLE_SECONDS:
        try:
            connection.ping(reconnect=False)
        except Exception as error:
            raise InvalidatePoolError from error
