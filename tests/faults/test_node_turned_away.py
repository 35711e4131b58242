"""A connection to a node that takes no work any more is given up, and the use case runs on another one (Z4, Z10)."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from app import create_app
from app.db import db, execute, is_away, transactional
from app.errors import Busy
from app.single_read import SingleRead
from tests import databases
from tests.conftest import make_settings
from tests.databases import FreshDatabase

pytestmark = pytest.mark.concurrency

#: a node without a majority, a read-only one, a lock wait: what the server says of each
AWAY, READ_ONLY, LOCK_WAIT = 1047, 1290, 1205


@pytest.fixture(params=[engine for engine in databases.engines() if engine == "mysql"])
def mysql(request, tmp_path):
    """An application that really connects, on a database without tables: none is asked for."""
    database = FreshDatabase(request.param, "turned")
    app = create_app(make_settings(database.url, tmp_path / "instance"))
    with app.app_context():
        yield app
        db.session.remove()
        db.engine.dispose()
    database.drop()


def _tries(code: int, times: int) -> list[int]:
    """The connections of a use case's tries, of which the first `times` are refused with this code."""
    seen = []

    @transactional
    def work():
        seen.append(execute(sa.text("SELECT CONNECTION_ID()")).scalar_one())
        if len(seen) <= times:
            execute(sa.text(f"SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = {code}"))

    work()
    return seen


def test_the_next_try_goes_over_another_connection(mysql):
    for code in (AWAY, READ_ONLY):
        first, second = _tries(code, 1)
        assert first != second
    # The control: an error of the statement leaves the connection, which costs a round trip less.
    first, second = _tries(LOCK_WAIT, 1)
    assert first == second


def test_reads_leave_it_too(mysql):
    before = db.session.scalar(sa.text("SELECT CONNECTION_ID()"))
    with pytest.raises(DBAPIError) as refused:
        db.session.execute(sa.text(f"SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = {AWAY}"))
    assert refused.value.connection_invalidated
    db.session.rollback()
    assert db.session.scalar(sa.text("SELECT CONNECTION_ID()")) != before


def test_where_all_nodes_refuse_the_client_is_told_to_come_again(mysql):
    with pytest.raises(Busy):
        _tries(AWAY, 99)


def test_a_single_read_says_that_nobody_is_there(tmp_path):
    """Its connections are its own, and a pool tells the driver's error bare: the client heard 500 instead of 503."""
    app = create_app(make_settings("mysql+pymysql://nobody@127.0.0.1:1/none", tmp_path / "instance"))
    with app.app_context():
        with pytest.raises(DBAPIError) as refused:
            SingleRead(sa.select(sa.literal(1).label("one"))).row({})
        assert is_away(refused.value)


def test_a_connection_that_dies_after_the_answer_leaves_the_answer(mysql):
    """The end of a request rolls back what it read; where that fails, gunicorn would send 500 for what was done."""
    with mysql.app_context():
        mine = db.session.scalar(sa.text("SELECT CONNECTION_ID()"))
        with databases.mysql_connection() as other, other.cursor() as cursor:
            cursor.execute(f"KILL {mine}")
    # The next session is a new one, over another connection.
    with mysql.app_context():
        assert db.session.scalar(sa.text("SELECT CONNECTION_ID()")) != mine
