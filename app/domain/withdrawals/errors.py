"""Why a withdrawal is refused (W21): stable codes of the JSON contract and of the pages."""

from __future__ import annotations

from app.errors import Conflict, Forbidden, NotFound


class WithdrawalNotFound(NotFound):
    message = "没有找到这笔提现"


class InsufficientBalance(Conflict):
    """More than the balance (96.31). `data` carries `balance`, `amount` and `shortfall`."""

    code = "INSUFFICIENT_BALANCE"


class OwnApproval(Forbidden):
    """Nobody pays out what they approved (P10)."""

    code = "SELF_APPROVAL"
    message = "这笔提现是您批准的，须由另一位同事打款"
