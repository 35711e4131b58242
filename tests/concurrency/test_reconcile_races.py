"""Two comparisons of one bill, and two people who settle one difference, with real commits. The control takes away the
row on which comparisons queue, and one of two goes wrong (W24)."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
import sqlalchemy as sa

from app import clock
from app.db import db
from app.domain.audit.actor import system
from app.domain.audit.models import AuditEntry
from app.domain.reconcile import bill, differences, queries
from app.domain.reconcile.bill import Line
from app.domain.reconcile.models import BillKind
from tests.at_once import at_once_in
from tests.concurrency.test_approvals import is_mysql
from tests.concurrency.test_refund_races import words
from tests.portal import actor_of, make_staff

pytestmark = pytest.mark.concurrency

ROUNDS = 5


def compare(day):
    lines = [
        Line(BillKind.PAYMENT, f"42{n:04d}", "f" * 32, Decimal("200.00"), clock.day_bounds(day)[0]) for n in range(40)
    ]
    return bill.record(day=day, lines=lines, actor=system("test"))


def rounds(app) -> list[list[str]]:
    """The same new bill twice at once, on one day after another; what each pair answered."""
    said = []
    for n in range(ROUNDS):
        day = clock.today() - timedelta(days=10 + n)
        said.append(words(at_once_in(app, lambda d=day: compare(d), lambda d=day: compare(d))))
    return said


@pytest.fixture
def desk(live_app):
    with live_app.app_context():
        yield live_app
        db.session.remove()


def test_the_same_bill_twice_at_once_is_once(desk):
    assert rounds(desk) == [["ok", "ok"]] * ROUNDS
    assert queries.open_count() == 40 * ROUNDS
    opened = db.session.scalars(sa.select(AuditEntry.after).where(AuditEntry.action == "reconcile.recorded"))
    assert [one["opened"] for one in opened] == [40] * ROUNDS


def test_control_without_the_row_they_queue_on_both_write(desk, monkeypatch):
    if not is_mysql(desk):
        pytest.skip("SQLite has one writer, with or without a lock")
    monkeypatch.setattr(differences, "enter", lambda scope, judged: None)
    assert rounds(desk) != [["ok", "ok"]] * ROUNDS


def test_settled_by_two_at_once_is_settled_by_one(desk):
    compare(clock.today() - timedelta(days=2))
    one, two = make_staff("finance"), make_staff("manager")
    for row in queries.open_ones()[:ROUNDS]:
        db.session.rollback()
        answers = at_once_in(
            desk,
            lambda n=row.id: differences.settle(difference_id=n, note="甲", actor=actor_of(one)),
            lambda n=row.id: differences.settle(difference_id=n, note="乙", actor=actor_of(two)),
        )
        assert words(answers) == ["INVALID_STATE", "ok"]
    settled = sa.select(sa.func.count()).where(AuditEntry.action == "reconcile.settled")
    assert (db.session.scalar(settled), queries.open_count()) == (ROUNDS, 40 - ROUNDS)
