"""Migrations: up, down and up again with data; once more after being cut off at any point; while others work (Z8)."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import flask_migrate
import pytest
import sqlalchemy as sa
from sqlalchemy.exc import OperationalError

from app import create_app, health
from app.db import db
from app.domain.ledger import verify
from migrations import waiting
from tests import databases, factories
from tests.conftest import make_settings
from tests.databases import FreshDatabase

REVISIONS = health.known_revisions()[::-1]


class Killed(Exception):
    """Stands for the process being killed: what was committed stays, what was not is gone."""


@pytest.fixture(params=databases.engines())
def empty_app(request, tmp_path):
    """An application on an empty database."""
    database = FreshDatabase(request.param, "migrate")
    app = create_app(make_settings(database.url, tmp_path / "instance"))
    with app.app_context():
        yield app
        db.session.remove()
        db.engine.dispose()
    database.drop()


def upgrade(revision: str = "head") -> None:
    db.session.remove()
    flask_migrate.upgrade(revision=revision)
    db.session.remove()


def downgrade(revision: str) -> None:
    db.session.remove()
    flask_migrate.downgrade(revision=revision)
    db.session.remove()


def shape() -> dict[str, set[str]]:
    """Every table with its columns, indexes and constraints by name, and all triggers."""
    inspector = sa.inspect(db.engine)
    found = {}
    for table in inspector.get_table_names():
        names = {f"column {column['name']}" for column in inspector.get_columns(table)}
        names |= {f"index {index['name']}" for index in inspector.get_indexes(table)}
        names |= {f"unique {unique['name']}" for unique in inspector.get_unique_constraints(table)}
        names |= {f"check {check['name']}" for check in inspector.get_check_constraints(table)}
        names |= {f"foreign {key['name']}" for key in inspector.get_foreign_keys(table)}
        found[table] = names
    found["triggers"] = triggers()
    return found


def triggers() -> set[str]:
    if db.engine.dialect.name == "sqlite":
        query = "SELECT name FROM sqlite_master WHERE type = 'trigger'"
    else:
        query = "SELECT TRIGGER_NAME FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = DATABASE()"
    with db.engine.connect() as connection:
        return set(connection.execute(sa.text(query)).scalars())


@contextmanager
def killed_after(statements: int) -> Iterator[None]:
    """The process dies after so many statements that change something."""
    left = statements

    def count(_connection, _cursor, statement, *_rest):
        nonlocal left
        if statement.lstrip().split(None, 1)[0].upper() in ("CREATE", "ALTER", "DROP", "INSERT", "UPDATE", "DELETE"):
            left -= 1
            if left == 0:
                raise Killed

    sa.event.listen(db.engine, "after_cursor_execute", count)
    try:
        yield
    finally:
        sa.event.remove(db.engine, "after_cursor_execute", count)


def forget_connections() -> None:
    """A killed process leaves none open."""
    db.session.remove()
    db.engine.dispose()


def test_each_step_goes_up_down_and_up_again(empty_app):
    for number, revision in enumerate(REVISIONS):
        upgrade(revision)
        there = shape()
        downgrade(REVISIONS[number - 1] if number else "base")
        upgrade(revision)
        assert shape() == there
    assert health.current_revision() == health.newest_revision()


def test_data_of_the_other_steps_stays(empty_app):
    upgrade()
    family = factories.make_family(balance="500.00")
    downgrade(REVISIONS[-2])
    upgrade()
    assert factories.parent_of(family).family_id == family.id
    assert verify.run(full=True).findings == []


def test_down_to_nothing_with_data_and_up_again(empty_app):
    upgrade()
    there = shape()
    factories.make_family(balance="500.00")
    downgrade("base")
    left = {name for name in shape() if name not in ("alembic_version", "triggers")}
    assert left == set()
    assert triggers() == set()
    upgrade()
    assert shape() == there


def test_upgrade_runs_again_after_being_cut_off(empty_app):
    """Each run is cut one statement later than the one before; the last one goes through."""
    cuts = 0
    while True:
        cuts += 1
        try:
            with killed_after(cuts):
                upgrade()
            break
        except Killed:
            forget_connections()
    assert cuts > 10
    cut_off = shape()
    downgrade("base")
    upgrade()
    assert cut_off == shape()
    factories.make_family(balance="500.00")
    assert verify.run(full=True).findings == []


def test_downgrade_runs_again_after_being_cut_off(empty_app):
    upgrade()
    cuts = 0
    while True:
        cuts += 1
        try:
            with killed_after(cuts):
                downgrade("base")
            break
        except Killed:
            forget_connections()
    assert {name for name in shape() if name not in ("alembic_version", "triggers")} == set()


@contextmanager
def families_read(seconds: float | None = None) -> Iterator[None]:
    """Somebody's transaction has read the families and stays open for so long, or to the end: no ALTER TABLE passes."""
    connection = db.engine.connect()
    connection.exec_driver_sql("SELECT COUNT(*) FROM families")
    if seconds is None:
        with connection:
            yield
        return
    end = threading.Timer(seconds, connection.close)
    end.start()
    try:
        yield
    finally:
        end.join()


def test_a_step_comes_again_while_a_transaction_holds_its_table(live_app, monkeypatch):
    """With its control: a step that tries once fails, and then nothing of it is there."""
    monkeypatch.setattr(waiting, "LOCK_SECONDS", 1)
    monkeypatch.setattr(waiting, "PAUSE_SECONDS", 0.1)
    with live_app.app_context():
        if db.engine.dialect.name == "sqlite":
            pytest.skip("one writer at a time, who waits by himself")
        downgrade("0017_watch")
        with monkeypatch.context() as control, families_read():
            control.setattr(waiting, "TRIES", 1)
            with pytest.raises(OperationalError, match="1205"):
                upgrade("0018_retention")
        assert health.current_revision() == "0017_watch"
        assert "erased_at" not in {column["name"] for column in sa.inspect(db.engine).get_columns("families")}
        with families_read(2.5):
            upgrade("0018_retention")
        assert health.current_revision() == "0018_retention"
        assert "erased_at" in {column["name"] for column in sa.inspect(db.engine).get_columns("families")}


def test_long_work_has_no_limit_and_its_connection_ends_with_it(live_app):
    with live_app.app_context():
        if db.engine.dialect.name == "sqlite":
            pytest.skip("no limits by statement")
        with db.engine.connect() as connection:
            waiting.prepare(connection)
            driver = connection.connection.dbapi_connection
            limits = connection.exec_driver_sql("SELECT @@max_statement_time, @@lock_wait_timeout").one()
            assert (*limits, driver._read_timeout) == (0, waiting.LOCK_SECONDS, None)
        with db.engine.connect() as connection:
            assert connection.exec_driver_sql("SELECT @@max_statement_time").scalar_one() > 0
