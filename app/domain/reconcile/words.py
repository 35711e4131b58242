"""What differences are called, and what to do about each kind: one table for cards, pages and the command."""

from __future__ import annotations

from app.domain.reconcile.findings import Kind, Source

SOURCE_TEXTS: dict[str, str] = {Source.BILL: "微信账单", Source.BOOKS: "系统内账"}

KIND_TEXTS: dict[str, str] = {
    Kind.PAYMENT_MISSING_HERE: "账单有付款，系统没有",
    Kind.PAYMENT_MISSING_THERE: "系统有付款，账单没有",
    Kind.PAYMENT_AMOUNT: "付款金额不一致",
    Kind.PAYMENT_ORDER: "付款的订单号不一致",
    Kind.REFUND_MISSING_HERE: "账单有退款，系统没有",
    Kind.REFUND_MISSING_THERE: "系统有退款，账单没有",
    Kind.REFUND_AMOUNT: "退款金额不一致",
    Kind.REFUND_STATUS: "退款状态不一致",
    Kind.TWICE_IN_BILL: "账单里重复出现",
    Kind.ADJUSTMENT: "余额调整与流水不符",
    Kind.WITHDRAWAL: "提现与流水不符",
    Kind.REFUND: "退到钱包与流水不符",
    Kind.BOOKING_DEBIT: "预约扣费与流水不符",
    Kind.BOOKING_REFUND: "预约退费与流水不符",
    Kind.NO_CAUSE: "流水没有来源",
    Kind.LEDGER: "账本核对不符",
}

_BY_HAND = "请勿修改数据：查明原因后，用余额调整更正，并写明单号。"
ADVICE: dict[str, str] = {
    Kind.PAYMENT_MISSING_HERE: "先看异常处理里有没有这笔付款；没有就在商户平台查来源，处理后写明结果。",
    Kind.PAYMENT_MISSING_THERE: "在商户平台按交易单号查：钱没有到账就联系微信支付，到账了就写明在哪一天的账单。",
    Kind.PAYMENT_AMOUNT: "在商户平台核对实付金额，多收的退还家长，写明结果。",
    Kind.PAYMENT_ORDER: "在商户平台按交易单号核对订单，写明属于哪个订单。",
    Kind.REFUND_MISSING_HERE: "可能是在商户平台直接退的款：查明经办人和订单，写明结果。",
    Kind.REFUND_MISSING_THERE: "在退款页向微信查询状态；微信没有这笔退款时，与家长商定后重新退款。",
    Kind.REFUND_AMOUNT: "在商户平台核对实退金额，少退的补退，写明结果。",
    Kind.REFUND_STATUS: "在退款页向微信查询状态；微信已经退款的，写明后不要再退。",
    Kind.TWICE_IN_BILL: "联系微信支付核对账单，写明结果。",
    Kind.ADJUSTMENT: _BY_HAND,
    Kind.WITHDRAWAL: _BY_HAND,
    Kind.REFUND: _BY_HAND,
    Kind.BOOKING_DEBIT: _BY_HAND,
    Kind.BOOKING_REFUND: _BY_HAND,
    Kind.NO_CAUSE: _BY_HAND,
    Kind.LEDGER: "请勿修改数据，按运行手册「余额不符」处理。",
}  # fmt: skip


def sides(source: str) -> tuple[str, str]:
    """What `expected` and `found` are called."""
    return ("微信账单", "系统") if source == Source.BILL else ("应有", "实有")
