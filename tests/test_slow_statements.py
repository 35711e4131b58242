"""Slow statements are kept by their text, and never with a value (Z14)."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from app import slow_statements
from app.db import db
from app.domain.people.models import Level


@pytest.fixture(autouse=True)
def everything():
    """Each statement is slow."""
    slow_statements.take()
    slow_statements.set_threshold(0)
    yield
    slow_statements.set_threshold(0.2)
    slow_statements.take()


@pytest.mark.parametrize(
    ("statement", "kept"),
    [
        ("SELECT *\n  FROM users WHERE phone = '13800138000' AND id=42",
         "SELECT * FROM users WHERE phone = ? AND id=?"),
        ("SELECT 1 FROM t WHERE a = 'O\\'Brien, 13' AND b = 'a''b'", "SELECT ? FROM t WHERE a = ? AND b = ?"),
        ("x IN (%(a_1)s, %(a_2)s, %(a_3)s)", "x IN (?)"),
        ("x IN (%s)", "x IN (?)"),
        ("INSERT INTO t (a, b) VALUES (?, ?), (?, ?)", "INSERT INTO t (a, b) VALUES (?)"),
        ("SELECT t1.a FROM t1", "SELECT t1.a FROM t1"),
    ],
)  # fmt: skip
def test_equal_statements_are_one_text_without_values(statement, kept):
    assert slow_statements.plain(statement) == kept


def test_each_way_to_run_a_statement_is_measured(app):
    secret = "13912345678"
    db.session.execute(sa.text("SELECT :x"), {"x": secret})
    db.session.execute(sa.text(f"SELECT '{secret}'"))
    insert = sa.insert(Level.__table__)
    db.session.execute(insert, [{"name": secret, "rank": 901}, {"name": "b", "rank": 902}])
    found = {one.statement: one for one in slow_statements.take()}
    assert found["SELECT ?"].runs + found.get("SELECT %(x)s", slow_statements.Slow("")).runs == 2
    assert any(text.startswith("INSERT INTO levels") for text in found)
    assert secret not in "".join(found)


def test_fast_ones_are_not_kept(app):
    slow_statements.set_threshold(5)
    slow_statements.take()
    db.session.execute(sa.text("SELECT 1"))
    assert slow_statements.take() == []
