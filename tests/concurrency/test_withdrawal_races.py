"""Races of withdrawals, with real commits: two who decide, a parent who takes back what is being approved, two who pay,
two phones that ask for the same money; and a process that dies at any statement. The controls take the lock away, or
decide by what was read before it, and go wrong (W21)."""

from __future__ import annotations

import signal
import threading
from decimal import Decimal

import pytest
import sqlalchemy as sa

from app.db import RequestKey, db
from app.domain.desk.models import Receipt, Withdrawal
from app.domain.ledger import verify
from app.domain.withdrawals import ending, rules
from tests.at_once import at_once_in
from tests.concurrency.dying import in_a_child, points_of
from tests.concurrency.test_approvals import is_mysql
from tests.concurrency.test_refund_races import words
from tests.domain.desk.desk import receipt
from tests.domain.withdrawals.steps import actions, approve, balance, cancel, fail, movements, pay, reject, request, row
from tests.factories import make_family
from tests.portal import make_staff

pytestmark = pytest.mark.concurrency

ROUNDS = 5
GONE = [("withdrawal", Decimal("-100.00"))]
BACK = [*GONE, ("withdrawal_reversal", Decimal("100.00"))]


def one_of_two(answers: list) -> None:
    assert words(answers) == ["INVALID_STATE", "ok"]


# ── two who decide ──────────────────────────────────────────────────────────────────────────────────


def test_approved_and_rejected_at_once(desk):
    """Whoever comes first decides; a rejection may follow an approval, never the other way round."""
    one, two = make_staff("finance"), make_staff("manager")
    for _ in range(ROUNDS):
        family = make_family(balance="100.00")
        asked = request(family)
        answers = at_once_in(desk, lambda a=asked: approve(a, one), lambda a=asked: reject(a, two))
        assert words(answers) in (["INVALID_STATE", "ok"], ["ok", "ok"])
        assert row(asked).status == "rejected"
        assert (movements(asked), balance(family)) == (BACK, Decimal("100.00"))


def test_approved_and_cancelled_at_once_is_one_of_the_two(desk):
    staff = make_staff("finance")
    for _ in range(ROUNDS):
        family = make_family(balance="100.00")
        asked = request(family)
        one_of_two(at_once_in(desk, lambda a=asked: approve(a, staff), lambda a=asked, f=family: cancel(a, f)))
        assert movements(asked) == (GONE if row(asked).status == "approved" else BACK)


def test_two_who_pay_pay_once(desk):
    approver, one, two = make_staff("finance"), make_staff("finance"), make_staff("manager")
    for _ in range(ROUNDS):
        asked = request(make_family(balance="100.00"))
        approve(asked, approver)
        one_of_two(at_once_in(desk, lambda a=asked: pay(a, one), lambda a=asked: pay(a, two)))
        assert actions(asked).count("withdrawal.paid") == 1
        assert db.session.query(Receipt).filter_by(withdrawal_id=asked).count() == 1


def test_paid_failed_and_rejected_at_once_is_one_of_the_three(desk):
    approver, one, two = make_staff("finance"), make_staff("finance"), make_staff("manager")
    for _ in range(ROUNDS):
        family = make_family(balance="100.00")
        asked = request(family)
        approve(asked, approver)
        answers = at_once_in(
            desk, lambda a=asked: pay(a, one), lambda a=asked: fail(a, two), lambda a=asked: reject(a, approver)
        )
        assert words(answers) == ["INVALID_STATE", "INVALID_STATE", "ok"]
        assert movements(asked) == (GONE if row(asked).status == "paid" else BACK)


def test_one_receipt_does_not_prove_two_payments_at_once(desk):
    approver, one, two = make_staff("finance"), make_staff("finance"), make_staff("manager")
    for number in range(ROUNDS):
        first, second = (request(make_family(balance="100.00")) for _ in range(2))
        for asked in (first, second):
            approve(asked, approver)
        answers = at_once_in(
            desk,
            lambda a=first, n=number: pay(a, one, receipts_given=[receipt(f"payment {n}")]),
            lambda a=second, n=number: pay(a, two, receipts_given=[receipt(f"payment {n}")]),
        )
        assert words(answers) == ["VALIDATION_FAILED", "ok"]


# ── the same money twice ────────────────────────────────────────────────────────────────────────────


def test_two_phones_do_not_get_more_than_the_balance(desk):
    for _ in range(ROUNDS):
        family = make_family(balance="100.00")
        answers = at_once_in(desk, *(lambda f=family: request(f, "60.00") for _ in range(3)))
        assert words(answers) == ["INSUFFICIENT_BALANCE", "INSUFFICIENT_BALANCE", "ok"]
        assert balance(family) == Decimal("40.00")


def test_one_key_sent_four_times_asks_once(desk):
    family = make_family(balance="100.00")
    key = RequestKey(f"user:{family.user_id}", "same", "same", lambda withdrawal_id: {"id": withdrawal_id})
    answers = at_once_in(desk, *(lambda: request(family, "20.00", key=key) for _ in range(4)))
    assert words(answers) == ["Replayed", "Replayed", "Replayed", "ok"]
    assert balance(family) == Decimal("80.00")


def test_cancelled_twice_at_once_is_given_back_once(desk):
    for _ in range(ROUNDS):
        family = make_family(balance="100.00")
        asked = request(family)
        one_of_two(at_once_in(desk, *(lambda a=asked, f=family: cancel(a, f) for _ in range(2))))
        assert (movements(asked), balance(family)) == (BACK, Decimal("100.00"))
    assert verify.run(full=True).sound


# ── controls ────────────────────────────────────────────────────────────────────────────────────────


def test_control_without_the_lock_two_pay(desk, monkeypatch):
    if not is_mysql(desk):
        pytest.skip("SQLite has one writer at a time: there is no lock to take away")
    approver, one, two = make_staff("finance"), make_staff("finance"), make_staff("manager")
    # Two writers without a lock may also end in a deadlock, after which the second sees what the first did.
    for _ in range(10):
        asked = request(make_family(balance="100.00"))
        approve(asked, approver)
        gate, firsts = threading.Barrier(2), iter(range(2))

        def unlocked(model, row_id, gate=gate, firsts=firsts):
            found = db.session.get(model, row_id)
            if next(firsts, None) is not None:  # who comes again after a deadlock waits for nobody
                gate.wait(timeout=60)
            return found

        monkeypatch.setattr(ending, "lock_row", unlocked)
        if words(at_once_in(desk, lambda a=asked: pay(a, one), lambda a=asked: pay(a, two))) == ["ok", "ok"]:
            break
        monkeypatch.undo()
    assert actions(asked).count("withdrawal.paid") == 2, "both believed that they had paid"


def test_control_a_balance_read_before_the_lock_goes_below_zero(desk, monkeypatch):
    family = make_family(balance="100.00")
    monkeypatch.setattr(rules, "check_balance", lambda _balance, amount: None)  # what both saw: 100.00
    assert words(at_once_in(desk, *(lambda: request(family, "60.00") for _ in range(2)))) == ["ok", "ok"]
    assert balance(family) == Decimal("-20.00")


# ── killed at any statement ─────────────────────────────────────────────────────────────────────────


def test_killed_at_any_statement_it_is_done_whole_or_not_at_all(live_app):
    with live_app.app_context():
        engine = db.engine.dialect.name
        staff = make_staff("finance")
        for act in ("request", "reject"):
            points = None
            for point in [None, *range(400)]:
                family = make_family(balance="100.00")
                asked = request(family) if act == "reject" else None
                do = (lambda f=family: request(f)) if act == "request" else (lambda a=asked: reject(a, staff))
                if point is None:
                    ended, statements = in_a_child(do, None)
                    assert ended is None
                    points = points_of(engine, statements)[::4] + points_of(engine, statements)[-1:]
                    continue
                if point >= len(points):
                    break
                ended, _ = in_a_child(do, points[point])
                assert ended == signal.SIGKILL, str(points[point])
                db.session.rollback()
                found = db.session.scalar(sa.select(Withdrawal.id).where(Withdrawal.wallet_id == family.wallet_id))
                moved = movements(found) if found else []
                if act == "request":
                    assert (moved, balance(family)) in (([], Decimal("100.00")), (GONE, Decimal("0.00")))
                    continue
                whole = row(asked).status == "rejected"
                assert (moved, balance(family)) == ((BACK, Decimal("100.00")) if whole else (GONE, Decimal("0.00")))
                if not whole:
                    reject(asked, staff)
                assert (movements(asked), balance(family)) == (BACK, Decimal("100.00"))
        assert verify.run(full=True).sound
