"""A schema that moves while the product works: short waits for locks, and many of them (Z8).

A statement that changes a table queues for it, and every request that comes later queues behind. It can also wait for a
transaction that waits for it: that one holds rows of a child table, which InnoDB guards, and asks for this table, which
the server guards, and neither sees the circle. So a step gives up after seconds, lets everybody pass, and comes again.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import OperationalError

log = logging.getLogger("desk.migrations")

#: that a statement waits for its locks, in whole seconds: well below the ten that a request's statement may last
LOCK_SECONDS = 3
#: with the pauses about seven minutes, then a person has to look who holds the lock
TRIES = 100
#: the longest pause between two tries, in seconds; requests pass meanwhile
PAUSE_SECONDS = 2.0

#: waited too long, was in a circle
_CONTENTION = (1205, 1213)


def prepare(connection: sa.Connection) -> None:
    """Limits of the connection that migrates: short for locks, none for the work itself. SQLite has its own."""
    if connection.dialect.name == "sqlite":
        return
    driver = connection.connection.dbapi_connection
    # The web's limits end an index over millions of rows: the server's for a statement, the driver's for its answer.
    mariadb = "MariaDB" in driver.get_server_info()
    connection.exec_driver_sql("SET SESSION " + ("max_statement_time = 0" if mariadb else "max_execution_time = 0"))
    driver._read_timeout = None
    connection.exec_driver_sql(
        f"SET SESSION lock_wait_timeout = {LOCK_SECONDS}, SESSION innodb_lock_wait_timeout = {LOCK_SECONDS}"
    )
    connection.commit()
    connection.detach()  # and is not given to a request afterwards


def patiently(steps: Callable[..., Iterable[Any]]) -> Callable[..., Iterator[Any]]:
    """Alembic's steps, each run again from its start while others hold what it needs; a step may always run again.

    Raises the database's OperationalError after the last try.
    """

    def each(heads: tuple[str, ...], context: Any) -> Iterator[Any]:
        for step in steps(heads, context):
            step.migration_fn = _again(step.migration_fn, context.connection, str(step))
            yield step

    return each


def _again(run: Callable[..., None], connection: sa.Connection, name: str) -> Callable[..., None]:
    def tried(**kwargs: Any) -> None:
        for attempt in range(1, TRIES + 1):
            try:
                run(**kwargs)
                return
            except OperationalError as error:
                if attempt == TRIES or not _others_hold(error):
                    raise
                log.warning("%s: others hold what it needs, try %s of %s", name, attempt, TRIES)
                # Alembic has its own transaction open around the step, which it ends itself.
                connection.exec_driver_sql("ROLLBACK")
                time.sleep(random.uniform(PAUSE_SECONDS / 4, PAUSE_SECONDS))  # noqa: S311 - not a secret

    return tried


def _others_hold(error: OperationalError) -> bool:
    return bool(error.orig.args) and error.orig.args[0] in _CONTENTION
