"""What a person can do about each kind of case: one table, for the pages and for those who act (O19)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from app.domain.cases.models import CaseKind

#: a case older than this is late, and than that very late
LATE, VERY_LATE = timedelta(hours=24), timedelta(hours=72)


class Action(StrEnum):
    RESEAT = "reseat"  # give the payment a seat
    REFUND = "refund"  # ask for a refund of the payment
    QUERY_ORDER = "query_order"  # ask WeChat about the order
    QUERY_REFUND = "query_refund"  # ask WeChat about the refund
    RETRY = "retry"
    PAY_OUT = "pay_out"
    CLOSE = "close"
    NOTE = "note"  # settle it with a sentence


@dataclass(frozen=True, slots=True)
class Guide:
    """What to do about a kind: the actions, the best first, and a sentence that says how to choose."""

    actions: tuple[Action, ...]
    advice: str


A = Action
GUIDES: dict[str, Guide] = {
    CaseKind.UNSEATED: Guide((A.RESEAT, A.REFUND), "与家长联系：有空位就补排座位，家长不来就退款。"),
    CaseKind.DUPLICATE_PAYMENT: Guide((A.REFUND, A.NOTE), "核对两笔付款，退回第二笔。"),
    CaseKind.MISMATCH: Guide((A.QUERY_ORDER, A.NOTE), "在商户平台核对金额与付款人，处理后写明结果。"),
    CaseKind.UNKNOWN_PAYMENT: Guide((A.NOTE,), "在商户平台查这笔付款从哪里来，处理后写明结果。"),
    CaseKind.UNKNOWN_REFUND: Guide((A.NOTE,), "在商户平台核对这笔退款，处理后写明结果。"),
    CaseKind.REFUND_ABNORMAL: Guide(
        (A.QUERY_REFUND, A.PAY_OUT, A.RETRY, A.CLOSE), "先在商户平台处理异常退款；不能处理时，与家长商定后人工退款。"
    ),
    CaseKind.REFUND_FAILED: Guide(
        (A.RETRY, A.QUERY_REFUND, A.PAY_OUT, A.CLOSE, A.NOTE),
        "按原因处理：余额不足先充值再重试，不能退的人工退款或关闭。",
    ),
    CaseKind.TRIAL_CANCELLED: Guide((A.REFUND, A.NOTE), "判断是否退款：要退就申请退款，不退就写明原因。"),
}  # fmt: skip

#: of these a sentence is enough, whatever stands behind them; a failed refund only once it is closed
NOTE_IS_ENOUGH = frozenset(
    kind for kind, guide in GUIDES.items() if A.NOTE in guide.actions and kind != CaseKind.REFUND_FAILED
)

#: how a case was settled, in words
SETTLED_TEXTS: dict[str, str] = {
    "refund": "已决定退款",
    "refunded": "已退款",
    "reseated": "已补排座位",
    "retried": "已重新提交",
    "accepted": "微信已受理",
    "abnormal": "转为退款异常",
    "paid_out": "已人工退款",
    "closed": "已关闭退款",
    "note": "已写明处理结果",
    "paid": "订单已支付",
}


def settled_text(settled_as: str | None) -> str:
    """A new way shows as its code."""
    return SETTLED_TEXTS.get(settled_as or "", settled_as or "")
