"""Races at the money desk, with real commits: what one person's two clicks, or two people, may not both do.

Each race has a control that takes the lock away and must then go wrong.
"""

from __future__ import annotations

import threading
from decimal import Decimal

import pytest
import sqlalchemy as sa

from app.db import db
from app.domain.desk import approvals, completion, persons, undo
from app.errors import DomainError
from tests.at_once import at_once_in
from tests.domain.desk.desk import ask, balance, key_of, movements, receipt
from tests.factories import make_family
from tests.portal import actor_of, make_staff

pytestmark = pytest.mark.concurrency


def statuses(answers):
    return sorted(getattr(answer, "status", type(answer).__name__) for answer in answers)


def is_mysql(app) -> bool:
    return app.config["SQLALCHEMY_DATABASE_URI"].startswith("mysql")


def test_approve_and_reject_at_once_end_it_once(desk):
    asker, one, two = make_staff("finance"), make_staff("finance"), make_staff("manager")
    for _ in range(6):
        family = make_family()
        asked = ask(asker, family, "5000").adjustment_id
        answers = at_once_in(
            desk,
            lambda a=asked: approvals.approve(adjustment_id=a, actor=actor_of(one)),
            lambda a=asked: approvals.reject(adjustment_id=a, reason="x", actor=actor_of(two)),
            lambda a=asked: approvals.approve(adjustment_id=a, actor=actor_of(two)),
        )
        done = [a for a in answers if not isinstance(a, Exception)]
        assert len(done) == 1
        assert all(isinstance(a, DomainError) for a in answers if isinstance(a, Exception)), answers
        moved = Decimal("5000.00") if done[0].status == "completed" else Decimal("0.00")
        assert (balance(family), movements(family)) == (moved, int(bool(moved)))


def test_two_clicks_on_two_families_cannot_slip_past_the_sum(desk):
    clerk = make_staff("finance")
    families = [make_family() for _ in range(8)]
    answers = at_once_in(desk, *(lambda f=f: ask(clerk, f, "2000") for f in families))
    assert statuses(answers) == ["completed"] * 5 + ["pending"] * 3


def test_two_clicks_on_one_family_cannot_slip_past_the_sum(desk):
    clerk, family = make_staff("finance"), make_family()
    answers = at_once_in(desk, *(lambda: ask(clerk, family, "1500") for _ in range(4)))
    assert statuses(answers) == ["completed"] + ["pending"] * 3
    assert balance(family) == Decimal("1500.00")


def test_one_form_sent_four_times_is_done_once(desk):
    clerk, family = make_staff("finance"), make_family()
    answers = at_once_in(desk, *(lambda: ask(clerk, family, key=key_of(clerk)) for _ in range(4)))
    assert statuses(answers) == ["Replayed"] * 3 + ["completed"]
    assert (movements(family), balance(family)) == (1, Decimal("500.00"))


def test_undone_once_by_two_clicks(desk):
    clerk, family = make_staff("finance"), make_family()
    done = ask(clerk, family).adjustment_id
    answers = at_once_in(desk, *(lambda: undo.undo(adjustment_id=done, actor=actor_of(clerk)) for _ in range(3)))
    assert statuses(answers) == ["AlreadyUndone"] * 2 + ["completed"]
    assert balance(family) == Decimal("0.00")


def test_one_receipt_for_two_families_at_once_is_noticed(desk):
    for number in range(5):
        clerks = [make_staff("finance"), make_staff("finance")]
        families = [make_family(), make_family()]
        answers = at_once_in(desk, *(
            lambda c=c, f=f, n=number: ask(c, f, payment_method="pos", receipts=[receipt(f"slip {n}")])
            for c, f in zip(clerks, families, strict=True)
        ))  # fmt: skip
        assert statuses(answers) == ["completed", "pending"], answers


def test_one_transfer_number_for_two_at_once_is_taken_once(desk):
    clerks = [make_staff("finance") for _ in range(3)]
    families = [make_family() for _ in range(3)]
    answers = at_once_in(desk, *(
        lambda c=c, f=f: ask(c, f, payment_method="alipay", external_no="20261121001", receipts=[receipt()])
        for c, f in zip(clerks, families, strict=True)
    ))  # fmt: skip
    assert statuses(answers) == ["ExternalNumberUsed"] * 2 + ["completed"]


# ── controls ────────────────────────────────────────────────────────────────────────────────────────


def _without_person_lock(monkeypatch, gate):
    """People are read without a lock, and everyone waits until all have read the sums."""
    monkeypatch.setattr(
        persons, "lock_rows", lambda model, ids: list(db.session.scalars(sa.select(model).where(model.id.in_(ids))))
    )  # fmt: skip
    sums = persons.direct_sums

    def slow_sums(*args):
        found = sums(*args)
        gate.wait(timeout=10)
        return found

    monkeypatch.setattr(persons, "direct_sums", slow_sums)


def test_control_without_the_lock_on_the_person_the_sum_is_passed(desk, monkeypatch):
    if not is_mysql(desk):
        return  # SQLite has one writer at a time: there is no lock to take away
    clerk = make_staff("finance", status="active")
    families = [make_family() for _ in range(7)]
    _without_person_lock(monkeypatch, threading.Barrier(7))
    answers = at_once_in(desk, *(lambda f=f: ask(clerk, f, "2000") for f in families))
    assert statuses(answers).count("completed") > 5


def test_control_without_the_lock_on_the_adjustment_two_decide(desk, monkeypatch):
    if not is_mysql(desk):
        return
    asker, one, two = make_staff("finance"), make_staff("finance"), make_staff("manager")
    family = make_family()
    asked = ask(asker, family, "5000").adjustment_id
    gate = threading.Barrier(2)

    def unlocked(model, row_id):
        found = db.session.get(model, row_id)
        gate.wait(timeout=10)
        return found

    monkeypatch.setattr(completion, "lock_row", unlocked)
    answers = at_once_in(
        desk,
        lambda: approvals.approve(adjustment_id=asked, actor=actor_of(one)),
        lambda: approvals.reject(adjustment_id=asked, reason="x", actor=actor_of(two)),
    )
    assert statuses(answers) == ["cancelled", "completed"], "both believed that they had decided"
