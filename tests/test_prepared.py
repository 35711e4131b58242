"""Prepared statements: the same types, errors and events as SQLAlchemy's own execution."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, IntegrityError

from app.db import KeptRequest, db, execute, transaction
from app.domain.ledger.models import Wallet
from app.domain.outbox.models import Notification
from app.domain.people.models import Family
from app.prepared import Prepared

_kept = KeptRequest.__table__
_insert = Prepared(_kept.insert())
_find = Prepared(sa.select(_kept.c.key, _kept.c.created_at).where(_kept.c.scope == sa.bindparam("scope")))
NOW = datetime(2026, 3, 1, 4, 5, 6, 7, tzinfo=UTC)


def row(**changes):
    return {"scope": "s", "key": "k", "fingerprint": "f", "answer": None, "created_at": NOW} | changes


def test_rows_come_back_typed(app):
    with transaction():
        assert _insert(row()).rowcount == 1
        assert _find.row({"scope": "s"}) == ("k", NOW)
        assert _find.row({"scope": "none"}) is None
        _insert(row(key="l"))
        assert len(_find({"scope": "s"}).rows) == 2


def test_money_is_decimal(app):
    wallets = Prepared(sa.select(Wallet.__table__.c.balance, Wallet.__table__.c.overdraft_limit))
    with transaction():
        db.session.add(Family(name="家", created_at=NOW))
        db.session.flush()
        family_id = execute(sa.select(Family.id)).scalar_one()
        db.session.add(Wallet(family_id=family_id, balance=Decimal("0.00"), created_at=NOW, updated_at=NOW))
        assert repr(wallets.row({})) == "(Decimal('0.00'), None)"  # pending objects were flushed first


def test_an_id_comes_back(app):
    insert = Prepared(Family.__table__.insert())
    with transaction():
        made = insert({"name": "甲 100% %(x)s :y", "created_at": NOW}).lastrowid
        assert db.session.get(Family, made).name == "甲 100% %(x)s :y"


def test_errors_are_sqlalchemys(app):
    with transaction():
        _insert(row())
        with pytest.raises(IntegrityError):
            _insert(row())
        with pytest.raises(DBAPIError):
            Prepared(sa.text("SELECT nothing FROM nowhere").columns())({})


def test_listeners_see_every_statement(app, statements):
    with transaction():
        _find({"scope": "s"})
    assert any("request_keys" in statement for statement in statements)


def test_forgotten_defaults_are_a_mistake(app):
    with transaction(), pytest.raises(ValueError, match="default"):
        Prepared(Notification.__table__.insert())({"channel": "wechat"})


def test_nothing_runs_outside_a_transaction(app):
    with pytest.raises(RuntimeError, match="outside"):
        _find({"scope": "s"})


def test_really_committed_without_listeners(live_app):
    """On MySQL this is the way past SQLAlchemy's execution; the tests above listen and are led around it."""
    with live_app.app_context():
        with transaction():
            _insert(row(answer="{}"))
        with transaction():
            assert _find.row({"scope": "s"}) == ("k", NOW)
            with pytest.raises(IntegrityError) as refused:
                _insert(row())
            assert "request_keys" in str(refused.value)
            assert _find.row({"scope": "s"}) == ("k", NOW)
        db.session.remove()
