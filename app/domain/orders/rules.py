"""What an order may become and what WeChat's words mean for it: two tables (O6, O22)."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum

from app.domain.orders.models import OrderStatus
from app.errors import InvalidState

#: a trial costs this, in yuan, whatever its course says (96.45)
TRIAL_PRICE = Decimal("200.00")
#: WeChat refuses a `time_expire` nearer than a minute (96.39)
SHORTEST_ATTEMPT = timedelta(seconds=60)
#: between two questions about one order that a reader causes (96.50)
ASK_EVERY = timedelta(seconds=5)

STATUS_TEXTS: dict[str, str] = {
    OrderStatus.PENDING: "待支付",
    OrderStatus.PAID: "已支付",
    OrderStatus.FAILED: "支付失败",
    OrderStatus.CANCELLED: "已取消",
    OrderStatus.EXPIRED: "已过期",
}


class Event(StrEnum):
    PAY = "pay"
    CANCEL = "cancel"
    FAIL = "fail"
    EXPIRE = "expire"


_S, _E = OrderStatus, Event
#: any other move is an error; a late payment lifts an ended order to paid (O6)
TRANSITIONS: dict[tuple[str, str], OrderStatus] = {
    (_S.PENDING, _E.PAY): _S.PAID,
    (_S.FAILED, _E.PAY): _S.PAID,
    (_S.CANCELLED, _E.PAY): _S.PAID,
    (_S.EXPIRED, _E.PAY): _S.PAID,
    (_S.PENDING, _E.CANCEL): _S.CANCELLED,
    (_S.PENDING, _E.FAIL): _S.FAILED,
    (_S.PENDING, _E.EXPIRE): _S.EXPIRED,
}


def next_status(status: str, event: Event) -> OrderStatus:
    """Raises InvalidState with what the order is now."""
    following = TRANSITIONS.get((status, event))
    if following is None:
        raise InvalidState(f"订单{STATUS_TEXTS[status]}，不能进行这项操作")
    return following


#: how an order stands whose end came unpaid: it is `failed` where its last attempt was reported so (O21)
OVER = (OrderStatus.EXPIRED, OrderStatus.FAILED)


def shown_status(status: str, expires_at: datetime, now: datetime) -> str:
    """What the order is by the clock: nobody waits for the job that marks it (96.43)."""
    return OrderStatus.EXPIRED if status == OrderStatus.PENDING and expires_at <= now else status


def is_over(status: str, expires_at: datetime, now: datetime) -> bool:
    """An unpaid order's end has come, whether or not the job has said so, as expired or as failed (96.43, O21)."""
    return shown_status(status, expires_at, now) in OVER


class TradeMeaning(StrEnum):
    """What a `trade_state` means for an attempt."""

    PAID = "paid"
    WAIT = "wait"
    CLOSED = "closed"


#: O22. REFUND comes only after SUCCESS; PAYERROR leaves the number payable until it is closed.
TRADE_STATES: dict[str, TradeMeaning] = {
    "SUCCESS": TradeMeaning.PAID,
    "REFUND": TradeMeaning.PAID,
    "NOTPAY": TradeMeaning.WAIT,
    "USERPAYING": TradeMeaning.WAIT,
    "ACCEPT": TradeMeaning.WAIT,
    "PAYERROR": TradeMeaning.WAIT,
    "CLOSED": TradeMeaning.CLOSED,
    "REVOKED": TradeMeaning.CLOSED,
}


def meaning(trade_state: str) -> TradeMeaning:
    """A state that nobody has heard of yet waits: nothing is settled or freed on it."""
    return TRADE_STATES.get(trade_state, TradeMeaning.WAIT)


#: an open attempt is asked about this long after it started, then each minute (O22)
FIRST_QUERIES = (timedelta(seconds=15), timedelta(seconds=30), timedelta(seconds=60))


def next_query(started: datetime, asked: int, now: datetime) -> datetime:
    """When an attempt that was asked about `asked` times is asked about again."""
    if asked < len(FIRST_QUERIES):
        return max(started + FIRST_QUERIES[asked], now)
    return now + timedelta(seconds=60)


def time_expire(hold_ends: datetime, now: datetime) -> datetime:
    """The last moment to pay, in whole seconds: the hold's end, but what WeChat takes (96.39)."""
    ends = max(hold_ends, now + SHORTEST_ATTEMPT)
    # Up, never down: a second less than a minute would be refused.
    return ends.replace(microsecond=0) + timedelta(seconds=1 if ends.microsecond else 0)
