"""What a wallet allows: pure functions over figures, without the database."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from app import money
from app.domain.ledger.errors import BalanceOutOfRange, OverdraftLimitExceeded, WalletClosed, WalletFrozen
from app.domain.ledger.models import TransactionType, WalletStatus
from app.money import ZERO


class WalletState(StrEnum):
    """What a parent is told about the wallet (W8)."""

    NORMAL = "normal"
    LOW = "low"
    ARREARS = "arrears"
    BLOCKED = "blocked"


STATE_TEXTS = {
    WalletState.NORMAL: "余额正常",
    WalletState.LOW: "余额偏低，请及时充值",
    WalletState.ARREARS: "已欠费，请尽快充值",
    WalletState.BLOCKED: "暂停预约，请先充值或联系客服",
}

TYPE_TEXTS = {
    TransactionType.RECHARGE: "充值",
    TransactionType.DEDUCTION: "扣费",
    TransactionType.ADJUSTMENT: "调整",
    TransactionType.REFUND: "退款",
    TransactionType.WITHDRAWAL: "提现",
    TransactionType.WITHDRAWAL_REVERSAL: "提现退回",
    TransactionType.TRANSFER_IN: "合并转入",
    TransactionType.TRANSFER_OUT: "合并转出",
}

REFERENCE_TYPES = frozenset({"booking", "withdrawal", "adjustment", "refund", "import", "transfer"})  # 96.32

#: the sign that a type always has; an adjustment goes either way
_SIGNS = {
    TransactionType.RECHARGE: 1,
    TransactionType.DEDUCTION: -1,
    TransactionType.REFUND: 1,
    TransactionType.WITHDRAWAL: -1,
    TransactionType.WITHDRAWAL_REVERSAL: 1,
    TransactionType.TRANSFER_IN: 1,
    TransactionType.TRANSFER_OUT: -1,
}


def check_form(type: str, amount: Decimal, reference_type: str) -> None:
    """Raises ValueError for a movement that no caller may ask for: these are mistakes in the program."""
    if not isinstance(amount, Decimal) or not amount.is_finite() or amount.as_tuple().exponent < -2:
        raise ValueError(f"an amount is Decimal yuan with two places, not {amount!r}")
    sign = _SIGNS.get(TransactionType(type), 0)
    if amount == 0 or amount * sign < 0:
        raise ValueError(f"{type} cannot move {amount}")
    if reference_type not in REFERENCE_TYPES:
        raise ValueError(f"unknown reference type {reference_type!r}")


def check_status(status: str, amount: Decimal) -> None:
    """A frozen wallet takes credits only, a closed one nothing (W6). Raises WalletFrozen, WalletClosed."""
    if status == WalletStatus.CLOSED:
        raise WalletClosed
    if status == WalletStatus.FROZEN and amount < 0:
        raise WalletFrozen


def check_limit(balance: Decimal, amount: Decimal, limit: Decimal) -> None:
    """A debit may bring the balance down to exactly −limit (W7). Raises OverdraftLimitExceeded with the figures as
    positive strings (96.29)."""
    after = balance + amount
    if amount >= 0 or after >= -limit:
        return
    raise OverdraftLimitExceeded(
        f"余额不足：当前余额 {money.yuan(balance)}，本次需 {money.yuan(-amount)}，超出欠费上限 {money.yuan(limit)}",
        data={
            "balance": money.plain(balance),
            "limit": money.plain(limit),
            "shortfall": money.plain(-after - limit),
        },
    )


def check_range(balance: Decimal, amount: Decimal) -> None:
    """Raises BalanceOutOfRange when the new balance would not fit (R1, W30)."""
    if not money.in_range(balance + amount):
        raise BalanceOutOfRange(data={"balance": money.plain(balance), "amount": money.plain(amount)})


def wallet_state(
    balance: Decimal,
    status: str,
    *,
    low_threshold: Decimal,
    block_threshold: Decimal,
    bypass_until: datetime | None = None,
    now: datetime | None = None,
) -> WalletState:
    """96.30: blocked (at or below the arrears block without bypass, or not active), then arrears, low, normal.

    `block_threshold` is positive yuan: 600.00 blocks from −600.00 down.
    """
    bypassed = bypass_until is not None and now is not None and now < bypass_until
    if status != WalletStatus.ACTIVE or (arrears_blocked(balance, block_threshold) and not bypassed):
        return WalletState.BLOCKED
    if balance < ZERO:
        return WalletState.ARREARS
    return WalletState.LOW if balance < low_threshold else WalletState.NORMAL


def arrears_blocked(balance: Decimal, block_threshold: Decimal) -> bool:
    """W23: at or below −block_threshold new bookings are refused. A threshold of 0 blocks from the first fen owed."""
    return balance < ZERO and balance <= -block_threshold


def arrears_since(before: datetime | None, balance: Decimal, now: datetime) -> datetime | None:
    """When an arrears began, carried along each movement: it stays until the balance is back at zero (N7)."""
    if balance >= ZERO:
        return None
    return before or now


def available(balance: Decimal, limit: Decimal) -> Decimal:
    """What can still be spent: balance + limit (96.29); below zero when the limit was lowered under an arrears."""
    return balance + limit
