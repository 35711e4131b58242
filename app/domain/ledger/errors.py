"""What the wallet refuses, with its stable codes (W6, W7, W30)."""

from __future__ import annotations

from app.errors import Conflict, NotFound


class WalletNotFound(NotFound):
    code = "WALLET_NOT_FOUND"
    message = "没有找到这个钱包"


class WalletFrozen(Conflict):
    code = "WALLET_FROZEN"
    message = "该钱包已冻结，目前只能入账，不能扣款"


class WalletClosed(Conflict):
    code = "WALLET_CLOSED"
    message = "该钱包已关闭，不能再入账或扣款"


class OverdraftLimitExceeded(Conflict):
    code = "OVERDRAFT_LIMIT_EXCEEDED"
    message = "余额不足，超出欠费上限"


class BalanceOutOfRange(Conflict):
    code = "BALANCE_OUT_OF_RANGE"
    message = "变动后的余额超出系统允许的范围（±99999999.99 元），请核对金额"


class AlreadyReversed(Conflict):
    code = "ALREADY_REVERSED"
    message = "这笔流水已经撤销过，不能再次撤销"
