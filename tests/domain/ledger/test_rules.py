"""The pure rules as tables (W6, W7, 96.29, 96.30)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from app.domain.ledger import rules
from app.domain.ledger.errors import BalanceOutOfRange, OverdraftLimitExceeded, WalletClosed, WalletFrozen
from app.domain.ledger.models import TransactionType, WalletStatus

NOW = datetime(2026, 3, 1, 4, tzinfo=UTC)
LATER, EARLIER = NOW + timedelta(seconds=1), NOW


@pytest.mark.parametrize(
    ("balance", "status", "bypass", "state"),
    [
        ("200.00", "active", None, "normal"),
        ("199.99", "active", None, "low"),
        ("0.00", "active", None, "low"),
        ("-0.01", "active", None, "arrears"),
        ("-599.99", "active", None, "arrears"),
        ("-600.00", "active", None, "blocked"),
        ("-600.00", "active", LATER, "arrears"),
        ("-600.00", "active", EARLIER, "blocked"),
        ("500.00", "frozen", None, "blocked"),
        ("500.00", "frozen", LATER, "blocked"),
        ("0.00", "closed", None, "blocked"),
    ],
)
def test_wallet_state(balance, status, bypass, state):
    found = rules.wallet_state(Decimal(balance), status, low_threshold=Decimal("200.00"),
                               block_threshold=Decimal("600.00"), bypass_until=bypass, now=NOW)  # fmt: skip
    assert found == state
    assert rules.STATE_TEXTS[found]


@pytest.mark.parametrize(
    ("balance", "threshold", "blocked"),
    [("0.00", "0.00", False), ("-0.01", "0.00", True), ("-600.00", "600.00", True), ("-599.99", "600.00", False)],
)
def test_arrears_block(balance, threshold, blocked):
    assert rules.arrears_blocked(Decimal(balance), Decimal(threshold)) is blocked


@pytest.mark.parametrize(
    ("balance", "amount", "limit", "shortfall"),
    [
        ("0.00", "-1000.00", "1000.00", None),
        ("0.00", "-1000.01", "1000.00", "0.01"),
        ("-500.00", "-600.00", "1000.00", "100.00"),
        ("100.00", "-100.00", "0.00", None),
        ("100.00", "-100.01", "0.00", "0.01"),
        ("-800.00", "-0.01", "300.00", "500.01"),
        ("-800.00", "0.01", "300.00", None),
        ("-800.00", "100.00", "300.00", None),
    ],
)
def test_the_limit(balance, amount, limit, shortfall):
    figures = Decimal(balance), Decimal(amount), Decimal(limit)
    if shortfall is None:
        rules.check_limit(*figures)
        return
    with pytest.raises(OverdraftLimitExceeded) as refused:
        rules.check_limit(*figures)
    assert refused.value.data == {"balance": balance, "limit": limit, "shortfall": shortfall}
    assert refused.value.code == "OVERDRAFT_LIMIT_EXCEEDED"


@pytest.mark.parametrize(
    ("status", "amount", "error"),
    [
        (WalletStatus.ACTIVE, "-1.00", None),
        (WalletStatus.ACTIVE, "1.00", None),
        (WalletStatus.FROZEN, "1.00", None),
        (WalletStatus.FROZEN, "-1.00", WalletFrozen),
        (WalletStatus.CLOSED, "1.00", WalletClosed),
        (WalletStatus.CLOSED, "-1.00", WalletClosed),
    ],
)
def test_status(status, amount, error):
    if error is None:
        rules.check_status(status, Decimal(amount))
    else:
        with pytest.raises(error):
            rules.check_status(status, Decimal(amount))


@pytest.mark.parametrize(
    ("balance", "amount", "fits"),
    [
        ("99999999.98", "0.01", True),
        ("99999999.99", "0.01", False),
        ("-99999999.98", "-0.01", True),
        ("-99999999.99", "-0.01", False),
    ],
)
def test_range(balance, amount, fits):
    if fits:
        rules.check_range(Decimal(balance), Decimal(amount))
    else:
        with pytest.raises(BalanceOutOfRange):
            rules.check_range(Decimal(balance), Decimal(amount))


@pytest.mark.parametrize(
    ("type", "amount", "reference"),
    [
        ("recharge", "-1.00", "import"),
        ("refund", "-1.00", "refund"),
        ("transfer_in", "-1.00", "transfer"),
        ("withdrawal_reversal", "-1.00", "withdrawal"),
        ("deduction", "1.00", "booking"),
        ("withdrawal", "1.00", "withdrawal"),
        ("transfer_out", "1.00", "transfer"),
        ("adjustment", "0.00", "adjustment"),
        ("adjustment", "0.001", "adjustment"),
        ("adjustment", "NaN", "adjustment"),
        ("adjustment", "Infinity", "adjustment"),
        ("adjustment", "1.00", "gift"),
        ("present", "1.00", "adjustment"),
    ],
)
def test_movements_without_form(type, amount, reference):
    with pytest.raises(ValueError):
        rules.check_form(type, Decimal(amount), reference)


@pytest.mark.parametrize("amount", [1.0, 1, "1.00", None])
def test_only_decimals_are_money(amount):
    with pytest.raises(ValueError, match="Decimal"):
        rules.check_form("adjustment", amount, "adjustment")


@pytest.mark.parametrize("amount", ["1.00", "-1.00"])
def test_an_adjustment_goes_either_way(amount):
    rules.check_form("adjustment", Decimal(amount), "adjustment")


def test_every_type_has_its_word():
    assert set(rules.TYPE_TEXTS) == set(TransactionType)


def test_available_is_never_negative():
    assert rules.available(Decimal("-300.00"), Decimal("1000.00")) == Decimal("700.00")
    assert rules.available(Decimal("-800.00"), Decimal("300.00")) == Decimal("-500.00")
