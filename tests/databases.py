"""Which databases and servers the tests have, and fresh ones made for this run."""

from __future__ import annotations

import functools
import os
import secrets
import shutil
import tempfile
from pathlib import Path

import pymysql
import redis
from sqlalchemy.engine import make_url

MYSQL_URL = os.environ.get("DESK_TEST_MYSQL_URL", "mysql+pymysql://root@127.0.0.1:3306/")
REDIS_URL = os.environ.get("DESK_TEST_REDIS_URL", "redis://127.0.0.1:6379")
CHROMIUM = os.environ.get("DESK_TEST_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
_FOLDER_NOT_EMPTY = 1010
REQUIRED = set(filter(None, os.environ.get("DESK_TEST_REQUIRE", "").split(",")))

# One run's databases never meet another's on the same server.
RUN = f"{os.getpid()}_{secrets.token_hex(3)}"


def mysql_connection(database: str | None = None):
    """A connection of the test server's user, to use in a `with`, which closes it."""
    url = make_url(MYSQL_URL)
    return pymysql.connect(
        host=url.host,
        port=url.port or 3306,
        user=url.username,
        password=url.password or "",
        database=database,
        connect_timeout=2,
    )


@functools.cache
def has_mysql() -> bool:
    """Asked once: a server that comes or goes later must not change which tests there are."""
    try:
        mysql_connection().close()
    except pymysql.MySQLError:
        return False
    return True


def has_redis() -> bool:
    try:
        client = redis.Redis.from_url(REDIS_URL, socket_connect_timeout=1)
        client.ping()
        client.close()
    except redis.RedisError:
        return False
    return True


def engines() -> list[str]:
    """`sqlite` always, `mysql` when a server answers. DESK_TEST_ENGINES narrows it while one works on something."""
    found = ["mysql", "sqlite"] if has_mysql() else ["sqlite"]
    wanted = os.environ.get("DESK_TEST_ENGINES")
    return [e for e in found if e in wanted.split(",")] if wanted else found


def missing() -> set[str]:
    """What DESK_TEST_REQUIRE asks for and this machine does not have."""
    have = set()
    if has_mysql():
        have.add("mysql")
    if has_redis():
        have.add("redis")
    if CHROMIUM:
        have.add("browser")
    return REQUIRED - have


class FreshDatabase:
    """An empty database of this run: `.url`, and `.drop()` when done."""

    def __init__(self, engine: str, purpose: str):
        self.engine = engine
        self.name = f"desk_test_{purpose}_{RUN}_{secrets.token_hex(2)}"
        if engine == "sqlite":
            self.folder = Path(tempfile.mkdtemp(prefix="desk-test-"))
            self.url = f"sqlite:///{self.folder / 'desk.db'}"
        else:
            with mysql_connection() as connection, connection.cursor() as cursor:
                cursor.execute(f"CREATE DATABASE {self.name} CHARACTER SET utf8mb4")
            url = make_url(MYSQL_URL).set(database=self.name, query={"charset": "utf8mb4"})
            self.url = url.render_as_string(hide_password=False)

    def drop(self) -> None:
        if self.engine == "sqlite":
            shutil.rmtree(self.folder, ignore_errors=True)
            return
        with mysql_connection() as connection, connection.cursor() as cursor:
            try:
                cursor.execute(f"DROP DATABASE IF EXISTS {self.name}")
            except pymysql.err.OperationalError as error:
                # Now and then MariaDB forgets its copy of a trigger's file; all tables are gone, but not the folder.
                if error.args[0] != _FOLDER_NOT_EMPTY:
                    raise
