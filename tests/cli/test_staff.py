"""`flask staff …` (P7): the first account without a default password, and the way back in."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from app.db import db
from app.domain.audit.models import AuditEntry
from app.domain.people import passwords
from app.domain.people.models import Staff
from tests.accounts import make_account

WORD = "purple-otter-lamp"


def run(app, *args: str, given: str = ""):
    return app.test_cli_runner().invoke(args=["staff", *args], input=given)


def row(username: str) -> Staff:
    db.session.rollback()
    return db.session.scalars(sa.select(Staff).where(Staff.username == username)).one()


def test_create_from_standard_input(app):
    done = run(app, "create", "--username", "Boss", "--role", "manager", "--name", "王店长", "--password-stdin",
               given=f"{WORD}\n")  # fmt: skip
    assert done.exit_code == 0, done.output
    made = row("boss")
    assert (made.role, made.display_name, made.must_change_password) == ("manager", "王店长", False)
    assert passwords.verify(made.password_hash, WORD)
    entry = db.session.scalars(sa.select(AuditEntry)).one()
    assert (entry.action, entry.actor_type) == ("staff.created", "system")
    assert WORD not in done.output


def test_create_asks_twice(app):
    done = run(app, "create", "--username", "desk", "--role", "front_desk", given=f"{WORD}\n{WORD}\n")
    assert done.exit_code == 0, done.output
    assert row("desk").display_name == "desk"


@pytest.mark.parametrize(
    ("args", "given", "words"),
    [
        (["--username", "x!", "--role", "admin"], WORD, "用户名"),
        (["--username", "xx", "--role", "owner"], WORD, "owner"),
        (["--username", "xx", "--role", "admin"], "short", "至少 10 个字符"),
        (["--username", "xx", "--role", "admin"], "", "至少 10 个字符"),
    ],
)
def test_what_is_refused_makes_nothing(app, args, given, words):
    done = run(app, "create", *args, "--password-stdin", given=given)
    assert done.exit_code != 0
    assert words in done.output
    assert db.session.scalars(sa.select(Staff)).all() == []


def test_reset_password_and_second_factor(app):
    person = make_account("finance")
    done = run(app, "reset", person.username, "--password-stdin", "--totp", given=f"{WORD}\n")
    assert done.exit_code == 0, done.output
    after = row(person.username)
    assert passwords.verify(after.password_hash, WORD)
    assert (after.must_change_password, after.totp_secret) == (True, None)


def test_reset_leaves_the_second_factor_unless_asked(app):
    person = make_account("finance")
    assert run(app, "reset", person.username, "--password-stdin", given=f"{WORD}\n").exit_code == 0
    assert row(person.username).totp_secret is not None
    assert run(app, "reset", person.username, "--password-stdin", given="short").exit_code == 1
    assert run(app, "reset", "nobody", "--password-stdin", given=f"{WORD}\n").exit_code == 1


def test_list(app):
    person = make_account("finance", display_name="李财务")
    line = run(app, "list").output
    assert line == f"{person.username}\tfinance\tactive\ttotp\t李财务\n"
