"""What WeChat Pay says of payments and refunds, read strictly: in answers and in callbacks alike. Amounts are fen."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from app.gateways.errors import UnknownOutcome


@dataclass(frozen=True, slots=True)
class Trade:
    """A payment as WeChat has it. Amounts in fen; `raw` is what it said."""

    out_trade_no: str
    transaction_id: str | None
    trade_type: str | None
    trade_state: str
    trade_state_desc: str | None = None
    bank_type: str | None = None
    success_time: datetime | None = None
    openid: str | None = None
    appid: str | None = None
    mchid: str | None = None
    total_fen: int | None = None
    payer_total_fen: int | None = None
    currency: str | None = None
    attach: str | None = None
    raw: dict[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class RefundState:
    """A refund as WeChat has it: `PROCESSING`, `SUCCESS`, `ABNORMAL`, `CLOSED`. Amounts in fen."""

    refund_no: str
    refund_id: str | None
    status: str
    out_trade_no: str | None = None
    transaction_id: str | None = None
    total_fen: int | None = None
    refund_fen: int | None = None
    success_time: datetime | None = None
    user_received_account: str | None = None
    raw: dict[str, Any] = field(default_factory=dict, repr=False)


def read_trade(found: dict[str, Any], label: str) -> Trade:
    """Raises UnknownOutcome where it is not what WeChat documents."""
    try:
        amount, payer = found.get("amount", {}), found.get("payer", {})
        return Trade(
            out_trade_no=_word(found["out_trade_no"]), transaction_id=_str(found.get("transaction_id")) or None,
            trade_type=_str(found.get("trade_type")) or None, trade_state=_word(found["trade_state"]),
            trade_state_desc=_str(found.get("trade_state_desc")), bank_type=_str(found.get("bank_type")),
            success_time=_moment(found.get("success_time")), openid=_str(payer.get("openid")),
            appid=_str(found.get("appid")), mchid=_str(found.get("mchid")), total_fen=_fen(amount.get("total")),
            payer_total_fen=_fen(amount.get("payer_total")), currency=_str(amount.get("currency")),
            attach=_str(found.get("attach")), raw=found,
        )  # fmt: skip
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UnknownOutcome(label, "bad_answer") from error


def read_refund(found: dict[str, Any], label: str) -> RefundState:
    """Raises UnknownOutcome where it is not what WeChat documents."""
    try:
        amount = found.get("amount", {})
        return RefundState(
            refund_no=_word(found["out_refund_no"]), refund_id=_str(found.get("refund_id")),
            # A callback says `refund_status` where an answer says `status`.
            status=_word(found.get("status") or found["refund_status"]),
            out_trade_no=_str(found.get("out_trade_no")), transaction_id=_str(found.get("transaction_id")),
            total_fen=_fen(amount.get("total")), refund_fen=_fen(amount.get("refund")),
            success_time=_moment(found.get("success_time")),
            user_received_account=_str(found.get("user_received_account")), raw=found,
        )  # fmt: skip
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UnknownOutcome(label, "bad_answer") from error


def _word(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise TypeError("a word was expected")
    return value


def _str(value: Any) -> Any:
    if value is not None and not isinstance(value, str):
        raise TypeError("text was expected")
    return value


def _fen(value: Any) -> int | None:
    if value is not None and (not isinstance(value, int) or isinstance(value, bool)):
        raise TypeError("whole fen were expected")
    return value


def _moment(value: Any) -> datetime | None:
    if not value:
        return None
    moment = datetime.fromisoformat(_str(value))
    if moment.tzinfo is None:
        raise ValueError("a moment without a zone")
    return moment.astimezone(UTC)
