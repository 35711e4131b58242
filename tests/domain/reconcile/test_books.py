"""The books against themselves (W24): each thing that is wrong is found where it is, and nothing that is right."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
import sqlalchemy as sa

from app import clock
from app.db import db, transaction
from app.domain.audit.actor import system
from app.domain.bookings.models import Booking
from app.domain.desk.models import WalletAdjustment, Withdrawal
from app.domain.ledger import service as ledger
from app.domain.ledger.models import WalletTransaction
from app.domain.orders.models import Refund
from app.domain.reconcile import books, differences, queries
from app.domain.reconcile.findings import Kind
from app.flows import reconcile
from tests.domain.reconcile.life import Life, change, id_of, live
from tests.factories import make_family

JOB = system("test")


def found() -> list[tuple[str, str]]:
    return sorted((one.kind, one.key) for check in books.CHECKS for one in check.look().found)


def post(family, amount: str, reference_type: str, reference_id, *, type: str = "adjustment", key: str = "odd") -> int:
    """A movement as only a mistake in the program makes it."""
    with transaction():
        return ledger.post(
            ledger.lock_wallet(wallet_id=family.wallet_id), type=type, amount=Decimal(amount), idempotency_key=key,
            reference_type=reference_type, reference_id=reference_id, reason="错误", actor=JOB,
        ).id  # fmt: skip


@pytest.fixture
def life(app) -> Life:
    made = live()
    assert found() == []
    return made


def test_a_life_of_every_movement_is_whole(life):
    kinds = set(db.session.scalars(sa.select(WalletTransaction.reference_type)))
    assert kinds == {"adjustment", "withdrawal", "booking", "refund", "import", "transfer"}
    judged = {check.name: check.look().judged for check in books.CHECKS}
    assert judged["causes"] == db.session.scalar(sa.select(sa.func.count()).select_from(WalletTransaction)) >= 15
    assert min(judged.values()) >= 2


def test_adjustments(life):
    moved = db.session.scalar(
        sa.select(WalletAdjustment.transaction_id).where(WalletAdjustment.id == life.adjustment)
    )  # fmt: skip
    mine = (Kind.ADJUSTMENT, str(life.adjustment))
    change(WalletAdjustment, life.adjustment, amount=Decimal("-300.00"))  # the other sign
    assert found() == [mine]
    change(WalletAdjustment, life.adjustment, amount=Decimal("300.01"))
    assert found() == [mine]
    change(WalletAdjustment, life.adjustment, amount=Decimal("300.00"), wallet_id=life.family.wallet_id - 1)
    assert found() == [mine]
    change(WalletAdjustment, life.adjustment, wallet_id=life.family.wallet_id, status="cancelled")
    assert found() == [mine]
    change(WalletAdjustment, life.adjustment, status="completed", transaction_id=None)
    assert found() == [mine, (Kind.NO_CAUSE, str(moved))]
    change(WalletAdjustment, life.adjustment, transaction_id=moved)
    assert found() == []


def test_withdrawals(life):
    change(Withdrawal, life.withdrawn, amount=Decimal("99.00"))
    change(Withdrawal, life.given_back, status="paid", approved_by=None, paid_by=None)
    assert found() == sorted(
        [(Kind.WITHDRAWAL, f"{life.withdrawn}:debit"), (Kind.WITHDRAWAL, f"{life.given_back}:reversal")]
    )
    change(Withdrawal, life.withdrawn, amount=Decimal("100.00"))
    back = db.session.scalar(sa.select(Withdrawal.reversal_id).where(Withdrawal.id == life.given_back))
    change(Withdrawal, life.given_back, status="rejected", reversal_id=None)
    assert found() == [(Kind.NO_CAUSE, str(back)), (Kind.WITHDRAWAL, f"{life.given_back}:reversal")]


def test_refunds_into_a_wallet(life):
    number = id_of(life.into_wallet)
    change(Refund, number, amount=Decimal("81.00"))
    assert found() == [(Kind.REFUND, life.into_wallet)]
    change(Refund, number, amount=Decimal("80.00"), status="failed")
    assert found() == [(Kind.REFUND, life.into_wallet)]
    moved = db.session.scalar(sa.select(Refund.wallet_transaction_id).where(Refund.id == number))
    change(Refund, number, status="succeeded", wallet_transaction_id=None)
    assert found() == [(Kind.NO_CAUSE, str(moved)), (Kind.REFUND, life.into_wallet)]
    change(Refund, number, wallet_transaction_id=moved, family_id=life.family.id)
    assert found() == [(Kind.REFUND, life.into_wallet)]  # another family's wallet got it


def test_bookings(life):
    change(Booking, life.booked, price=Decimal("199.00"))
    assert found() == [(Kind.BOOKING_DEBIT, str(life.booked))]
    debit = db.session.scalar(sa.select(Booking.debit_id).where(Booking.id == life.booked))
    change(Booking, life.booked, price=Decimal("200.00"), debit_id=None)
    assert found() == [(Kind.BOOKING_DEBIT, str(life.booked)), (Kind.NO_CAUSE, str(debit))]
    change(Booking, life.booked, debit_id=debit)
    back = db.session.scalar(sa.select(Booking.refund_id).where(Booking.id == life.cancelled))
    change(Booking, life.cancelled, status="attended")
    assert found() == [(Kind.BOOKING_REFUND, str(life.cancelled))]
    change(Booking, life.cancelled, status="cancelled", refund_id=None)
    assert found() == [(Kind.NO_CAUSE, str(back))]


@pytest.mark.parametrize(
    ("amount", "kind", "reference", "type"),
    [
        ("5.00", "adjustment", "999999", "adjustment"),
        ("-5.00", "booking", "999999", "deduction"),
        ("5.00", "refund", "f" * 32, "refund"),
        ("-5.00", "withdrawal", "999999", "withdrawal"),
        ("5.00", "import", "0", "recharge"),
        ("-5.00", "transfer", "1", "transfer_out"),
        ("5.00", "transfer", "1", "transfer_in"),
    ],
)
def test_a_movement_without_a_cause(app, amount, kind, reference, type):
    number = post(make_family(balance="10.00"), amount, kind, reference, type=type)
    assert found() == [(Kind.NO_CAUSE, str(number))]


def test_a_second_movement_of_one_document_has_no_cause(life):
    number = post(life.family, "300.00", "adjustment", life.adjustment, type="recharge")
    assert found() == [(Kind.NO_CAUSE, str(number))]


def test_half_a_transfer_has_no_cause(life):
    """Its other side moved another sum."""
    one, other = life.family, make_family()
    out = post(one, "-5.00", "transfer", other.wallet_id, type="transfer_out", key="t:out")
    into = post(other, "6.00", "transfer", one.wallet_id, type="transfer_in", key="t:in")
    assert found() == sorted([(Kind.NO_CAUSE, str(out)), (Kind.NO_CAUSE, str(into))])


def test_read_in_stretches(life, monkeypatch):
    change(WalletAdjustment, life.adjustment, amount=Decimal("1.00"))
    monkeypatch.setattr(books, "STRETCH", 1)
    assert found() == [(Kind.ADJUSTMENT, str(life.adjustment))]


def test_kept_once_and_closed_when_right_again(life):
    """Two nights find the same: the same rows; the third finds it mended."""
    change(WalletAdjustment, life.adjustment, amount=Decimal("1.00"))
    reconcile.check_books(JOB)
    with clock.travel(by=timedelta(days=1)):
        reconcile.check_books(JOB)
    (row,) = queries.open_ones()
    assert (row.kind, row.target_type, row.target_id) == (Kind.ADJUSTMENT, "adjustment", str(life.adjustment))
    assert (row.expected_amount, row.found_amount) == (Decimal("1.00"), Decimal("300.00"))
    assert row.day == clock.today()
    change(WalletAdjustment, life.adjustment, amount=Decimal("300.00"))
    done = {check.name: outcome for check, outcome in reconcile.check_books(JOB)}
    assert (done["adjustments"].closed, queries.open_count()) == (1, 0)
    assert queries.difference(row.id).note == differences.GONE
