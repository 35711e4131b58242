"""Why an order, a payment or a hold is refused: stable codes of the JSON contract (95)."""

from __future__ import annotations

from app.errors import Conflict, Forbidden, Invalid, NotFound, Unavailable


class OrderNotFound(NotFound):
    message = "没有找到这个订单"


class TrialAlreadyBooked(Conflict):
    code = "TRIAL_ALREADY_BOOKED"
    message = "您已预约过体验课，无法重复预约"


class NotATrialClass(Conflict):
    code = "NOT_A_TRIAL_CLASS"
    message = "这不是体验课，请从钱包预约"


class AmountMismatch(Invalid):
    """`data` carries the right amount."""

    code = "AMOUNT_MISMATCH"
    message = "金额与体验课价格不符"


class OrderNotPayable(Conflict):
    code = "ORDER_NOT_PAYABLE"
    message = "订单现在不能支付"


class OrderExpired(Conflict):
    code = "ORDER_EXPIRED"
    message = "订单已过期，请重新预约"


class PaymentUnavailable(Unavailable):
    code = "PAYMENT_UNAVAILABLE"
    message = "微信支付暂时不可用，座位仍为您保留，请稍后再试"


class RefundNotFound(NotFound):
    code = "REFUND_NOT_FOUND"
    message = "没有找到这笔退款"


class RefundTooMuch(Invalid):
    """`data` carries what is left to give back."""

    code = "REFUND_TOO_MUCH"


class NothingToRefund(Conflict):
    code = "NOTHING_TO_REFUND"
    message = "没有可以退的款项"


class OwnRefund(Forbidden):
    """Nobody decides on what they asked for (P10)."""

    code = "SELF_APPROVAL"
    message = "这是您自己申请的，须由另一位同事处理"


class RefundMoved(Conflict):
    """What the person saw is no longer what is there (U12)."""

    code = "STALE"
    message = "您打开页面之后内容有了变化，请核对最新内容再操作"
