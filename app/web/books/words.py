"""What the books' figures are called."""

from __future__ import annotations

from app.domain.books.movements import Line
from app.domain.books.of_booking import Standing
from app.domain.books.rules import RECONCILE
from app.domain.books.standing import Account
from app.domain.books.tills import METHODS, WECHAT_PAY, Kind
from app.web.labels import word

ACCOUNTS = {
    Account.WALLET: "钱包余额", Account.PREPAID: "预收课程", Account.MAKEUP: "待补课负债", Account.TRIAL: "体验课预收",
}  # fmt: skip

#: the statement's groups, each with its lines in order
GROUPS: tuple[tuple[str, tuple[Line, ...]], ...] = (
    ("收款", (Line.RECHARGE, Line.TRIAL_PAID)),
    ("退款与提现", (Line.TRIAL_REFUND, Line.WITHDRAWN, Line.WITHDRAWAL_BACK)),
    (
        "其他调整",
        (Line.ADJUST_UP, Line.ADJUST_DOWN, Line.TRANSFER_IN, Line.TRANSFER_OUT, Line.OTHER_DEBIT, Line.OTHER_CREDIT),
    ),
    ("内部结转", (Line.BOOKED, Line.CLASS_REFUND, Line.LEAVE_REFUND, Line.TRIAL_TO_WALLET, Line.ON_LEAVE)),
    (
        "课消",
        (
            Line.CLASS_HELD, Line.MAKEUP_HELD, Line.TRIAL_HELD, Line.CREDIT_ENDED, Line.CREDIT_EXPIRED, Line.CLASS_KEPT,
            Line.TRIAL_KEPT, Line.CLASS_UNDONE, Line.LEAVE_UNDONE, Line.MAKEUP_UNDONE, Line.CREDIT_REVIVED,
            Line.TRIAL_UNDONE,
        ),
    ),
)  # fmt: skip

LINES = {
    Line.RECHARGE: "充值", Line.TRIAL_PAID: "体验课付款", Line.TRIAL_REFUND: "体验课退款", Line.WITHDRAWN: "提现",
    Line.WITHDRAWAL_BACK: "提现退回", Line.ADJUST_UP: "调整增加", Line.ADJUST_DOWN: "调整减少",
    Line.TRANSFER_IN: "家庭间转入", Line.TRANSFER_OUT: "家庭间转出", Line.OTHER_DEBIT: "没有预约的扣费",
    Line.OTHER_CREDIT: "没有预约的退款", Line.BOOKED: "约课扣费", Line.CLASS_REFUND: "取消课程退回钱包",
    Line.LEAVE_REFUND: "请假课程退回钱包", Line.TRIAL_TO_WALLET: "体验课退到钱包", Line.ON_LEAVE: "请假转待补课",
    Line.CLASS_HELD: "上课", Line.MAKEUP_HELD: "补课", Line.TRIAL_HELD: "体验课", Line.CREDIT_ENDED: "待补课过期或作废",
    Line.CREDIT_EXPIRED: "待补课过期（后来延长）", Line.CLASS_KEPT: "逾时取消不退费",
    Line.TRIAL_KEPT: "体验课取消不退费",
    Line.CLASS_UNDONE: "冲回：课后退款", Line.LEAVE_UNDONE: "冲回：待补课结束后退款",
    Line.MAKEUP_UNDONE: "冲回：课后取消的补课", Line.CREDIT_REVIVED: "冲回：过期待补课延长",
    Line.TRIAL_UNDONE: "冲回：体验课后退款",
}  # fmt: skip

STANDINGS = {
    Standing.EARNED: "已课消", Standing.OPEN: "未课消", Standing.OWED: "待补课负债", Standing.RETURNED: "已退回",
}  # fmt: skip

KINDS = {
    Kind.ADJUSTMENT: "余额调整", Kind.OFFLINE: "体验课线下收款", Kind.WITHDRAWAL: "提现打款", Kind.REFUND: "退款",
    Kind.PAYMENT: "体验课付款",
}  # fmt: skip


def way(key: str) -> str:
    """A way of paying, or the line of the reconciliation's differences."""
    if key == WECHAT_PAY:
        return "微信支付"
    return "对账差异" if key == RECONCILE else word("payment_method", key)


WAYS = [(key, way(key)) for key in METHODS]
