"""How a withdrawal's state moves, and what may be asked and paid: pure, without the database (W21)."""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum

from app import money
from app.domain.desk.models import PaymentMethod, WithdrawalStatus
from app.domain.desk.rules import is_payment_number, payment_number
from app.domain.withdrawals.errors import InsufficientBalance
from app.errors import Invalid, InvalidState
from app.money import MAX_AMOUNT, ZERO
from app.text import clean

REASON_MAX = 200
NOTE_MAX = 200
#: states in which money is on its way out, and a person must do something
OPEN = (WithdrawalStatus.REQUESTED, WithdrawalStatus.APPROVED)
#: ends after which the money is back in the wallet
RETURNED = (WithdrawalStatus.REJECTED, WithdrawalStatus.FAILED, WithdrawalStatus.CANCELLED)
#: how money is paid out; a card reader only takes
METHODS = (
    PaymentMethod.WECHAT_TRANSFER, PaymentMethod.ALIPAY, PaymentMethod.BANK_TRANSFER, PaymentMethod.CASH,
)  # fmt: skip

#: what a parent reads
STATUS_TEXTS = {
    WithdrawalStatus.REQUESTED: "待审核",
    WithdrawalStatus.APPROVED: "待打款",
    WithdrawalStatus.PAID: "已打款",
    WithdrawalStatus.REJECTED: "已驳回",
    WithdrawalStatus.FAILED: "打款失败",
    WithdrawalStatus.CANCELLED: "已取消",
}


class Event(StrEnum):
    APPROVE = "approve"
    PAY = "pay"
    REJECT = "reject"
    FAIL = "fail"
    CANCEL = "cancel"


_S, _E = WithdrawalStatus, Event
TRANSITIONS: dict[tuple[str, str], WithdrawalStatus] = {
    (_S.REQUESTED, _E.APPROVE): _S.APPROVED,
    (_S.REQUESTED, _E.REJECT): _S.REJECTED,
    (_S.REQUESTED, _E.CANCEL): _S.CANCELLED,
    (_S.APPROVED, _E.PAY): _S.PAID,
    (_S.APPROVED, _E.REJECT): _S.REJECTED,
    (_S.APPROVED, _E.FAIL): _S.FAILED,
}


def next_status(status: str, event: str) -> WithdrawalStatus:
    """The state that an event leads to. Raises InvalidState."""
    found = TRANSITIONS.get((status, event))
    if found is None:
        hint = "，须先批准" if (status, event) in ((_S.REQUESTED, _E.PAY), (_S.REQUESTED, _E.FAIL)) else ""
        raise InvalidState(f"这笔提现{STATUS_TEXTS[_S(status)]}{hint}，不能这样操作")
    return found


def checked_reason(reason: str) -> str:
    """Why the parent wants it back. Raises Invalid."""
    return _words(reason, "reason", "请填写提现原因", REASON_MAX, "原因")


def checked_note(note: str) -> str:
    """Why staff said no, or why it failed; the parent reads it. Raises Invalid."""
    return _words(note, "note", "请填写原因，家长会看到", NOTE_MAX, "原因")


def check_amount(amount: Decimal) -> None:
    """Raises Invalid; `amount` in yuan."""
    if not (amount.is_finite() and ZERO < amount <= MAX_AMOUNT):
        raise Invalid.field("amount", "提现金额必须大于 0，最大 99999999.99")


def check_balance(balance: Decimal, amount: Decimal) -> None:
    """A withdrawal takes what is there, never the overdraft (96.31). Raises InsufficientBalance."""
    if amount <= balance:
        return
    why = f"最多可提现 {money.yuan(balance)}" if balance > ZERO else "没有可提现的余额"
    raise InsufficientBalance(
        f"余额不足：当前余额 {money.yuan(balance)}，{why}",
        data={"balance": money.plain(balance), "amount": money.plain(amount),
              "shortfall": money.plain(amount - balance)},
    )  # fmt: skip


def checked_method(method: str, external_no: str | None) -> str | None:
    """The transfer's number without what people and apps put between its digits. Raises Invalid."""
    if method not in METHODS:
        raise Invalid.field("method", "请选择打款方式")
    number = payment_number(external_no)
    if not number:
        return None
    if method == PaymentMethod.CASH:
        raise Invalid.field("external_no", "现金没有转账单号，请留空")
    if not is_payment_number(number):
        raise Invalid.field("external_no", "转账单号只能是 4 到 64 位数字或字母")
    return number


def checked_payment_note(note: str, method: str) -> str | None:
    """What staff note of the payment. Cash leaves no receipt, so who got it must be said. Raises Invalid."""
    if method == PaymentMethod.CASH:
        return _words(note, "note", "付现金须写明谁在什么时候当面交给了谁", NOTE_MAX, "说明")
    return _words(note, "note", None, NOTE_MAX, "说明") or None


def _words(text: str, field: str, missing: str | None, most: int, label: str) -> str:
    found = clean(text, most + 1)
    if not found and missing:
        raise Invalid.field(field, missing)
    if len(found) > most:
        raise Invalid.field(field, f"{label}最多 {most} 个字")
    return found
