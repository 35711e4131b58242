"""Handing WeChat's word of a payment to `settle`, in our words: fen become yuan here and nowhere later (O24)."""

from __future__ import annotations

from app import config, money
from app.domain.audit.actor import Actor
from app.domain.orders import settle
from app.domain.orders.notifications import Received
from app.domain.orders.payment import Account, Payment, Settled
from app.flows.twins import past_a_twin
from app.gateways.wechat_pay_facts import Trade


def settle_trade(trade: Trade, source: str, actor: Actor, received: Received | None = None) -> Settled:
    """What an answer or a callback said of a payment."""
    return settle_payment(payment_of(trade), source, actor, received)


def settle_payment(payment: Payment, source: str, actor: Actor, received: Received | None = None) -> Settled:
    """Settle it as one of our account's."""
    settings = config.current()
    account = Account(appid=settings.wechat_appid, mchid=settings.wxpay.mchid)
    return past_a_twin(
        settle.settle, payment=payment, account=account, source=source, actor=actor, received=received
    )  # fmt: skip


def payment_of(trade: Trade) -> Payment:
    """WeChat's trade in our words."""
    return Payment(
        transaction_id=trade.transaction_id or "", out_trade_no=trade.out_trade_no, trade_type=trade.trade_type,
        appid=trade.appid or "", mchid=trade.mchid or "", total=money.from_fen(trade.total_fen or 0),
        currency=trade.currency or "CNY", bank_type=trade.bank_type, openid=trade.openid,
        payer_total=None if trade.payer_total_fen is None else money.from_fen(trade.payer_total_fen),
        success_at=trade.success_time,
    )  # fmt: skip
