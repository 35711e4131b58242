"""`flask policy` (96.1)."""

from __future__ import annotations

import json

import pytest
import sqlalchemy as sa

from app.db import db
from app.domain.policy import service
from app.domain.policy.models import PolicyValue
from app.domain.policy.registry import POLICIES


@pytest.fixture
def flask(app):
    def run(*args: str):
        done = app.test_cli_runner().invoke(args=["policy", *args])
        db.session.rollback()
        return done

    return run


def test_list_names_every_figure(flask):
    lines = flask("list").output.splitlines()
    assert [line.split()[0] for line in lines] == list(POLICIES)
    hold = next(line for line in lines if line.startswith("hold_ttl "))
    assert hold.split()[1:3] == ["15m", "15m"]
    assert "座位" in hold


def test_list_as_json(flask):
    flask("set", "hold_ttl", "20m")
    rows = json.loads(flask("list", "--json").output)
    assert {frozenset(row) for row in rows} == {frozenset(("name", "value", "default", "unit", "description"))}
    hold = next(row for row in rows if row["name"] == "hold_ttl")
    assert (hold["value"], hold["default"]) == ("20m", "15m")


def test_set_and_get(flask):
    done = flask("set", "overdraft_limit", "1500.00")
    assert (done.exit_code, "1000.00 → 1500.00" in done.output) == (0, True)
    assert flask("get", "overdraft_limit").output == "1500.00\n"
    assert "没有变化" in flask("set", "overdraft_limit", "1500.00").output


def test_money_is_kept_as_it_is_written(flask):
    """96.1: whoever types 500 or 500.5 reads 500.00 and 500.50."""
    assert "没有变化" in flask("set", "overdraft_limit", "1000").output
    for typed, kept in (("500", "500.00"), ("500.5", "500.50"), ("0", "0.00")):
        assert kept in flask("set", "overdraft_limit", typed).output
        assert flask("get", "overdraft_limit").output == f"{kept}\n"


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("set", "no_such", "1"), "没有名为 no_such 的规则"),
        (("set", "hold_ttl", "15"), "时长写作"),
        (("set", "overdraft_limit", "1e3"), "金额只能是"),
        (("get", "no_such"), "没有名为 no_such 的规则"),
    ],
)
def test_a_wrong_name_or_value_fails_and_changes_nothing(flask, args, words):
    done = flask(*args)
    assert done.exit_code != 0
    assert words in done.output
    assert db.session.scalars(sa.select(PolicyValue)).all() == []
    assert service.text("hold_ttl") == "15m"
