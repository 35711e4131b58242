"""Reads of one statement on connections that commit by themselves: the same answers, errors and isolation."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from app import single_read
from app.db import db, transaction
from app.domain.ledger.models import Wallet
from app.domain.people.models import Family
from app.single_read import SingleRead
from tests import factories

_families = Family.__table__
_read = SingleRead(
    sa.select(_families.c.name, _families.c.created_at, Wallet.__table__.c.balance.label("money"))
    .join(Wallet.__table__, Wallet.__table__.c.family_id == _families.c.id)
    .where(_families.c.id == sa.bindparam("key"))
)


def reader():
    """The engine that reads beside the application's; None until something was read, and on SQLite."""
    return single_read._readers.get(db.engine)


@pytest.fixture
def live(live_app):
    with live_app.app_context():
        yield live_app
        if reader() is not None:
            reader().dispose()
        db.session.remove()


def mysql_only():
    if db.engine.dialect.name == "sqlite":
        pytest.skip("SQLite reads through the session: it has no round trip to save")


def test_the_first_row_comes_typed_and_named(live):
    family = factories.make_family(parent="张女士", balance="620.00")
    row = _read.row({"key": family.id})
    assert (row.name, row.money) == ("张女士家庭", Decimal("620.00"))
    assert isinstance(row.created_at, datetime)
    assert row.created_at.tzinfo is UTC
    assert _read.row({"key": 999}) is None


def test_it_needs_no_session_and_sees_each_commit(live):
    mysql_only()
    family = factories.make_family(parent="张女士", balance="1.00")
    db.session.remove()
    assert _read.row({"key": family.id}).name == "张女士家庭"
    assert not db.session.registry.has()
    with transaction():
        db.session.execute(_families.update().values(name="李女士家庭"))
    assert _read.row({"key": family.id}).name == "李女士家庭"  # no old snapshot


def test_inside_a_transaction_it_sees_what_that_one_did(live):
    family = factories.make_family(parent="张女士", balance="1.00")
    seen = []

    def change_and_fail():
        with transaction():
            db.session.execute(_families.update().values(name="改了"))
            seen.append(_read.row({"key": family.id}).name)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        change_and_fail()
    assert seen == ["改了"]
    assert _read.row({"key": family.id}).name == "张女士家庭"


def test_whoever_listens_to_statements_hears_it(app, statements):
    _read.row({"key": 1})
    assert any("JOIN wallets" in statement for statement in statements)


def test_its_connections_are_given_back(live):
    mysql_only()
    for _ in range(50):
        _read.row({"key": 1})
    assert reader().pool.checkedout() == 0
    assert reader().pool.checkedin() == 1


def test_a_connection_that_died_is_an_error_once_and_replaced(live):
    mysql_only()
    _read.row({"key": 1})
    pooled = reader().raw_connection()
    thread = pooled.dbapi_connection.thread_id()
    pooled.close()
    db.session.execute(sa.text(f"KILL {thread}"))
    db.session.rollback()
    with pytest.raises(DBAPIError) as caught:
        _read.row({"key": 1})
    assert caught.value.connection_invalidated
    assert _read.row({"key": 1}) is None
    assert reader().pool.checkedout() == 0


def test_errors_are_sqlalchemys(live):
    mysql_only()
    table = sa.table("nowhere", sa.column("nothing"))
    with pytest.raises(DBAPIError, match="nowhere"):
        SingleRead(sa.select(table.c.nothing)).row({})
    assert reader().pool.checkedout() == 0
