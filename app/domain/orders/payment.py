"""A payment by WeChat's word, and whether it is what its order asked for (O9)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from app import money
from app.domain.orders.locking import HeldOrder
from app.domain.orders.models import TradeType


@dataclass(frozen=True, slots=True)
class Payment:
    """A successful trade by WeChat's word. Amounts in yuan; `success_at` aware UTC."""

    transaction_id: str
    out_trade_no: str
    trade_type: str | None
    appid: str
    mchid: str
    total: Decimal
    currency: str
    payer_total: Decimal | None = None
    bank_type: str | None = None
    openid: str | None = None
    success_at: datetime | None = None

    def said(self) -> dict[str, str | None]:
        """What WeChat said, as audit rows keep it (R7): who paid by the last of the openid only."""
        return {
            "trade_state": "SUCCESS", "transaction_id": self.transaction_id, "out_trade_no": self.out_trade_no,
            "trade_type": self.trade_type, "mchid": self.mchid, "total": money.plain(self.total),
            "currency": self.currency, "bank_type": self.bank_type,
            "openid": None if self.openid is None else f"…{self.openid[-4:]}",
            "success_at": None if self.success_at is None else self.success_at.isoformat(),
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Account:
    """Whose payments are ours."""

    appid: str
    mchid: str


@dataclass(frozen=True, slots=True)
class Settled:
    """`outcome`: settled, repeated, mismatch, unknown. `booking_id` is None for a payment without a seat."""

    outcome: str
    order_id: str | None = None
    booking_id: int | None = None


def mismatches(payment: Payment, held: HeldOrder, account: Account) -> list[str]:
    """What of the payment is not the order's, in words; pure. The openid is checked for JSAPI only (96.41)."""
    order, attempt = held.order, held.attempt(payment.out_trade_no)
    wrong = []
    if payment.appid != account.appid:
        wrong.append("appid 不是本小程序")
    if payment.mchid != account.mchid:
        wrong.append("mchid 不是本商户")
    if payment.total != order.amount:
        wrong.append(f"金额 {money.plain(payment.total)}，应为 {money.plain(order.amount)}")
    if payment.currency != order.currency:
        wrong.append("币种不是人民币")
    if payment.trade_type == TradeType.JSAPI and attempt is not None and attempt.openid != payment.openid:
        wrong.append("付款人不是下单的微信用户")
    return wrong
