"""What a refund may become, what may be asked, and when WeChat is asked again: tables and pure functions (O14–O16)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum

from app import money
from app.domain.orders.models import RefundStatus, RefundTo
from app.errors import Invalid, InvalidState
from app.money import MAX_AMOUNT, ZERO
from app.text import clean

#: WeChat shows the reason to the payer and takes no more characters
REASON_MAX = 80
NOTE_MAX = 500
DECISION_MAX = 200
#: WeChat's own limits: parts of one payment, age of the payment, pause between two refunds of one order
MAX_PARTS = 50
MAX_AGE = timedelta(days=365)
PAUSE = timedelta(minutes=1)
#: tries without an answer after which a person hears of it; the system goes on trying
TRIES_BEFORE_BOARD = 6
#: banks take up to three working days; after this much a person looks
LONGEST = timedelta(days=7)

STATUS_TEXTS: dict[str, str] = {
    RefundStatus.REQUESTED: "待审批",
    RefundStatus.APPROVED: "已批准",
    RefundStatus.PROCESSING: "退款中",
    RefundStatus.SUCCEEDED: "已退款",
    RefundStatus.FAILED: "退款失败",
    RefundStatus.CLOSED: "已关闭",
    RefundStatus.REJECTED: "已驳回",
}
TO_TEXTS: dict[str, str] = {RefundTo.ORIGINAL: "原路退回", RefundTo.WALLET: "退到钱包", RefundTo.CASH: "现金退还"}

#: these hold their amount back from other refunds of the payment
LIVE = (
    RefundStatus.REQUESTED,
    RefundStatus.APPROVED,
    RefundStatus.PROCESSING,
    RefundStatus.SUCCEEDED,
    RefundStatus.FAILED,
)


class Event(StrEnum):
    APPROVE = "approve"
    REJECT = "reject"
    WITHDRAW = "withdraw"
    START = "start"
    SUCCEED = "succeed"
    FAIL = "fail"
    CLOSE = "close"
    RETRY = "retry"
    PAY_OUT = "pay_out"
    GIVE_UP = "give_up"
    HAND_OVER = "hand_over"
    FORGO = "forgo"


_S, _E = RefundStatus, Event
#: any other move is refused; what has succeeded, was closed or rejected stays so (I-26)
TRANSITIONS: dict[tuple[str, str], RefundStatus] = {
    (_S.REQUESTED, _E.APPROVE): _S.APPROVED,
    (_S.REQUESTED, _E.REJECT): _S.REJECTED,
    (_S.REQUESTED, _E.WITHDRAW): _S.REJECTED,
    (_S.APPROVED, _E.START): _S.PROCESSING,
    (_S.APPROVED, _E.SUCCEED): _S.SUCCEEDED,  # into the wallet, in one step
    (_S.APPROVED, _E.HAND_OVER): _S.SUCCEEDED,  # cash, in the parent's hand
    (_S.APPROVED, _E.FORGO): _S.CLOSED,  # cash that nobody came for
    (_S.PROCESSING, _E.SUCCEED): _S.SUCCEEDED,
    (_S.PROCESSING, _E.FAIL): _S.FAILED,
    (_S.PROCESSING, _E.CLOSE): _S.CLOSED,
    (_S.FAILED, _E.SUCCEED): _S.SUCCEEDED,  # mended on the merchant platform
    (_S.FAILED, _E.FAIL): _S.FAILED,
    (_S.FAILED, _E.RETRY): _S.PROCESSING,
    (_S.FAILED, _E.PAY_OUT): _S.SUCCEEDED,
    (_S.FAILED, _E.CLOSE): _S.CLOSED,
    (_S.FAILED, _E.GIVE_UP): _S.CLOSED,  # by a person; CLOSE is WeChat's word
}


def next_status(status: str, event: Event) -> RefundStatus:
    """Raises InvalidState with what the refund is now."""
    following = TRANSITIONS.get((status, event))
    if following is None:
        raise InvalidState(f"这笔退款{STATUS_TEXTS[status]}，不能进行这项操作")
    return following


# ── what is asked ───────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Wish:
    """A refund as a person wants it. `amount` in yuan."""

    amount: Decimal
    reason: str
    note: str | None
    refund_to: str
    frees_seat: bool


def checked_wish(*, amount: Decimal, reason: str, note: str | None, refund_to: str, frees_seat: bool) -> Wish:
    """Raises Invalid that names every wrong field at once."""
    errors: dict[str, list[str]] = {}
    if not (amount.is_finite() and ZERO < amount <= MAX_AMOUNT and amount == money.rounded(amount)):
        errors["amount"] = ["退款金额必须大于 0，最多两位小数"]
    reason = clean(reason, REASON_MAX + 1)
    if not reason:
        errors["reason"] = ["请填写退款原因，家长会看到"]
    elif len(reason) > REASON_MAX:
        errors["reason"] = [f"退款原因最多 {REASON_MAX} 个字"]
    note = clean(note, NOTE_MAX + 1, multiline=True)
    if len(note) > NOTE_MAX:
        errors["note"] = [f"内部备注最多 {NOTE_MAX} 个字"]
    if refund_to not in TO_TEXTS:
        errors["refund_to"] = ["请选择退款去向"]
    if errors:
        raise Invalid(next(iter(errors.values()))[0], errors=errors)
    return Wish(money.rounded(amount), reason, note or None, refund_to, frees_seat)


def checked_note(note: str, sentence: str, *, most: int = DECISION_MAX) -> str:
    """What a decision needs in words. Raises Invalid."""
    note = clean(note, most)
    if not note:
        raise Invalid.field("note", sentence)
    return note


def ways(*, offline: bool, paid_at: datetime, now: datetime) -> tuple[RefundTo, ...]:
    """Where a payment's money may go, the best way first: over the counter goes back what came over it."""
    if offline:
        return (RefundTo.CASH, RefundTo.WALLET)
    return (RefundTo.ORIGINAL, RefundTo.WALLET) if now <= paid_at + MAX_AGE else (RefundTo.WALLET,)


def check_way(refund_to: str, *, offline: bool, paid_at: datetime, parts: int, now: datetime) -> None:
    """What cannot be, or WeChat would refuse. Raises Invalid."""
    if refund_to == RefundTo.CASH and not offline:
        raise Invalid.field("refund_to", "这笔钱是微信支付的，请原路退回或退到钱包")
    if refund_to != RefundTo.ORIGINAL:
        return
    if offline:
        raise Invalid.field("refund_to", "这笔钱是线下收的，不能原路退回，请选现金退还或退到钱包")
    if now > paid_at + MAX_AGE:
        raise Invalid.field("refund_to", "付款已超过一年，微信不再退款，请退到钱包")
    if parts >= MAX_PARTS:
        raise Invalid.field("refund_to", f"这笔付款已退过 {MAX_PARTS} 次，微信不再退款，请退到钱包")


# ── when WeChat is asked again ──────────────────────────────────────────────────────────────────────

_LATER = (timedelta(minutes=5), timedelta(minutes=10), timedelta(minutes=20), timedelta(minutes=30))


def backoff(asked: int) -> timedelta:
    """The pause after the `asked`-th question: a minute five times, then 5, 10, 20, and 30 minutes from then on."""
    if asked <= 5:
        return timedelta(minutes=1)
    return _LATER[min(asked - 6, len(_LATER) - 1)]
