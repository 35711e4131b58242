"""Two people who sign one day at once, with real commits: one signature. The control takes the day's unique key away,
and both sign (W25)."""

from __future__ import annotations

import threading
from contextlib import suppress
from datetime import timedelta

import pytest
import sqlalchemy as sa

from app import clock
from app.db import db
from app.domain.books import close
from app.domain.books.models import DayClose
from tests.at_once import at_once_in
from tests.concurrency.test_approvals import is_mysql
from tests.concurrency.test_refund_races import words
from tests.domain.books.test_close import sign
from tests.portal import make_staff

pytestmark = pytest.mark.concurrency


@pytest.fixture(autouse=True)
def both_have_looked(monkeypatch):
    """Neither writes before both have seen that the day is open, where the database lets two be at it."""
    gate, look = threading.Barrier(2), close._first_moved

    def after_both(*args):
        with suppress(threading.BrokenBarrierError):
            gate.wait(timeout=2)
        return look(*args)

    monkeypatch.setattr(close, "_first_moved", after_both)


def two_sign(app) -> tuple[list[str], int]:
    one, two = make_staff("finance"), make_staff("manager")
    on = clock.today() - timedelta(days=2)
    seen = close.draft(on).digest
    db.session.rollback()
    answers = at_once_in(app, *(lambda s=staff: sign(on, s, seen=seen) for staff in (one, two)))
    db.session.rollback()
    return words(answers), db.session.query(DayClose).count()


def test_two_who_sign_a_day_sign_it_once(live_app):
    with live_app.app_context():
        assert two_sign(live_app) == (["DAY_CLOSED", "ok"], 1)


def test_control_without_the_unique_key_both_sign(live_app):
    with live_app.app_context():
        if not is_mysql(live_app):
            pytest.skip("SQLite writes one after another: the second sees the first's day")
        for key in ("uq_day_closes_day", "uq_day_closes_ends_at"):
            db.session.execute(sa.text(f"ALTER TABLE day_closes DROP INDEX {key}"))
        db.session.commit()
        assert two_sign(live_app) == (["ok", "ok"], 2)
