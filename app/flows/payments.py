"""Where orders meet WeChat Pay: short transaction → network → short transaction, never the one inside the other.

Everything that WeChat says about a payment ends in `settle`, whoever asked. What it does not say changes nothing: a
number whose fate is unknown is asked about again (O22).
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from app import config, money
from app.db import db
from app.domain.audit.actor import Actor, system
from app.domain.orders import attempts, ending, queries, rules
from app.domain.orders.attempts import Attempt, InTheWay
from app.domain.orders.errors import OrderNotFound, OrderNotPayable, PaymentUnavailable
from app.domain.orders.models import OrderStatus, PaymentSource, TradeType
from app.domain.orders.notifications import Received
from app.domain.orders.payment import Settled
from app.domain.orders.queries import OrderView
from app.domain.orders.rules import Event, TradeMeaning
from app.flows import outbound
from app.flows.settling import settle_trade
from app.gateways import wechat_pay
from app.gateways.errors import GatewayError
from app.gateways.wechat_pay import CloseOutcome
from app.gateways.wechat_pay_facts import Trade

log = logging.getLogger("desk.payments")

CALLBACK_PATH = "/api/v1/payment/wxpay/callback"
_WECHAT = system("微信支付")


@dataclass(frozen=True, slots=True)
class Prepay:
    """What a phone needs to pay: `pay_params` for JSAPI, `code_url` for NATIVE; until `expires_at`."""

    order_id: str
    trade_type: str
    expires_at: datetime
    pay_params: dict[str, str] | None
    code_url: str | None


class Fate(StrEnum):
    """What became of a number that was to be closed."""

    CLOSED = "closed"
    PAID = "paid"
    UNKNOWN = "unknown"


# ── starting ────────────────────────────────────────────────────────────────────────────────────────


def prepay(*, order_id: str, trade_type: str, actor: Actor) -> Prepay:
    """Start paying under the live hold, or go on with what was started (O8, 96.51).

    Raises OrderNotFound, OrderNotPayable, OrderExpired, PaymentUnavailable; then the hold stays.
    """
    db.session.rollback()
    client = _client()
    attempt = attempts.begin(order_id=order_id, trade_type=trade_type, actor=actor)
    if isinstance(attempt, InTheWay):
        fate = _finish(client, attempt.out_trade_no, actor)
        if fate == Fate.PAID:
            raise OrderNotPayable("订单已支付")
        if fate == Fate.UNKNOWN:
            raise PaymentUnavailable(retry_after=5)
        attempts.note_closed(out_trade_no=attempt.out_trade_no, actor=actor)
        attempt = attempts.begin(order_id=order_id, trade_type=trade_type, actor=actor)
        if isinstance(attempt, InTheWay):  # a twin began another one meanwhile
            raise PaymentUnavailable(retry_after=1)
    if attempt.prepay_id or attempt.code_url:
        return _shown(client, attempt)
    return _start(client, attempt, actor)


def _start(client: wechat_pay.WeChatPayClient, attempt: Attempt, actor: Actor) -> Prepay:
    asked = {
        "out_trade_no": attempt.out_trade_no, "description": attempt.description,
        "total_fen": money.to_fen(attempt.amount), "time_expire": attempt.time_expire,
        "notify_url": config.current().public_url + CALLBACK_PATH,
    }  # fmt: skip
    prepay_id = code_url = None
    try:
        with outbound.room():
            if attempt.trade_type == TradeType.JSAPI:
                prepay_id = client.prepay_jsapi(openid=attempt.openid or "", **asked)
            else:
                code_url = client.prepay_native(**asked)
    except wechat_pay.OrderPaid as error:
        ask(attempt.out_trade_no, actor=actor)
        raise OrderNotPayable("订单已支付") from error
    except wechat_pay.OrderClosed as error:
        attempts.note_closed(out_trade_no=attempt.out_trade_no, actor=actor)
        raise PaymentUnavailable(retry_after=1) from error
    except GatewayError as error:
        # The number is kept: the next try asks the same once more, which WeChat takes for the same order.
        attempts.note_start(attempt_id=attempt.id, result=error.code, actor=actor)
        raise _away(error) from error
    attempts.note_start(attempt_id=attempt.id, result="ok", prepay_id=prepay_id, code_url=code_url, actor=actor)
    return _shown(client, replace(attempt, prepay_id=prepay_id, code_url=code_url))


def _shown(client: wechat_pay.WeChatPayClient, attempt: Attempt) -> Prepay:
    params = client.sign_pay(attempt.prepay_id) if attempt.prepay_id else None
    return Prepay(attempt.order_id, attempt.trade_type, attempt.time_expire, params, attempt.code_url)


# ── asking ──────────────────────────────────────────────────────────────────────────────────────────


def ask(out_trade_no: str, *, actor: Actor) -> TradeMeaning:
    """Ask WeChat about one number, and act on the answer. Raises GatewayError, PaymentUnavailable."""
    client = _client()
    with outbound.room():
        trade = client.query(out_trade_no=out_trade_no)
    return _act(out_trade_no, trade, actor)


def _act(out_trade_no: str, trade: Trade | None, actor: Actor) -> TradeMeaning:
    if trade is None:
        return TradeMeaning.WAIT  # never started there, or not yet: closing it settles that
    meant = rules.meaning(trade.trade_state)
    if meant == TradeMeaning.PAID:
        settle_trade(trade, PaymentSource.QUERY, actor)
    elif meant == TradeMeaning.CLOSED:
        attempts.note_closed(out_trade_no=out_trade_no, actor=actor)
    return meant


def read(order_id: str, *, family_id: int) -> OrderView:
    """An order as its parent reads it: while it can still be paid, WeChat is asked now and then (O3).

    WeChat's silence is no reason not to answer. Raises OrderNotFound.
    """
    view = _view(order_id, family_id)
    if view.status != OrderStatus.PENDING or view.open_trade_no is None or outbound.resting():
        return view
    db.session.rollback()
    if not attempts.claim_question(order_id=order_id):
        return view
    try:
        ask(view.open_trade_no, actor=_WECHAT)
        outbound.note_answer()
    except (GatewayError, PaymentUnavailable):
        outbound.note_failure()
    return _view(order_id, family_id)


def confirm(*, order_id: str, family_id: int, actor: Actor) -> OrderView:
    """The phone says that it has paid: WeChat is asked unless it has said so already (O5, 96.48).

    Raises OrderNotFound, PaymentUnavailable.
    """
    view = _view(order_id, family_id)
    if view.status == OrderStatus.PAID or view.open_trade_no is None:
        return view
    db.session.rollback()
    # Always asked, also where a reader did so a second ago: the phone has paid since, and would be told nothing (O5).
    attempts.claim_question(order_id=order_id, every=timedelta(0))
    try:
        ask(view.open_trade_no, actor=actor)
    except GatewayError as error:
        raise _away(error) from error
    return _view(order_id, family_id)


def ask_now(order_id: str, actor: Actor) -> OrderView:
    """「向微信查单」: every number of the order that is not settled yet (O23). Raises OrderNotFound,
    PaymentUnavailable."""
    numbers = attempts.unsettled(order_id)
    db.session.rollback()
    try:
        for out_trade_no in numbers:
            ask(out_trade_no, actor=actor)
    except GatewayError as error:
        raise _away(error) from error
    return _view(order_id, None)


def ask_by_transaction(transaction_id: str, actor: Actor) -> str | None:
    """The same by WeChat's own number, as a parent's phone shows it; the order's number, or None where WeChat knows no
    such payment of ours. Raises PaymentUnavailable."""
    db.session.rollback()
    try:
        with outbound.room():
            trade = _client().query(transaction_id=transaction_id)
    except GatewayError as error:
        raise _away(error) from error
    if trade is None or rules.meaning(trade.trade_state) != TradeMeaning.PAID:
        return None
    return settle_trade(trade, PaymentSource.QUERY, actor).order_id


# ── ending ──────────────────────────────────────────────────────────────────────────────────────────


def cancel(*, order_id: str, result: str, reason: str | None, family_id: int, actor: Actor) -> OrderView:
    """The phone's report: `cancelled` ends the order, `failed` ends this try (O4, O21). A phone's word is no proof, so
    WeChat is asked and told; without an answer the seat is free all the same and a job closes the number.

    Raises OrderNotFound. A paid or ended order is left as it is (96.49).
    """
    view = _view(order_id, family_id)
    if view.status != OrderStatus.PENDING:
        return view
    db.session.rollback()
    fate = _fate_of(view.open_trade_no, actor)
    if fate != Fate.PAID:
        closing = fate == Fate.UNKNOWN
        if result == "failed":
            ending.report_failed(order_id=order_id, closing=closing, actor=actor, reason=reason)
        else:
            ending.end(order_id=order_id, event=Event.CANCEL, closing=closing, actor=actor, reason=reason)
    return _view(order_id, family_id)


def expire(order_id: str, out_trade_no: str | None) -> bool:
    """End an order whose time is over, after WeChat was asked once whether it was paid (O7)."""
    fate = _fate_of(out_trade_no, _WECHAT)
    if fate == Fate.PAID:
        return False
    return ending.end(order_id=order_id, event=Event.EXPIRE, closing=fate == Fate.UNKNOWN, actor=system("订单到期"))


def _fate_of(out_trade_no: str | None, actor: Actor) -> Fate:
    if out_trade_no is None:
        return Fate.CLOSED
    try:
        return _finish(_client(), out_trade_no, actor)
    except PaymentUnavailable:
        return Fate.UNKNOWN


def _finish(client: wechat_pay.WeChatPayClient, out_trade_no: str, actor: Actor) -> Fate:
    """Close a number at WeChat and look whether it is: a close that raced with a payment may have come too late."""
    try:
        with outbound.room():
            closed = client.close(out_trade_no)
            trade = None if closed == CloseOutcome.UNKNOWN_ORDER else client.query(out_trade_no=out_trade_no)
    except GatewayError as error:
        log.warning("closing was not confirmed", extra={"call": error.label, "error_code": error.code})
        return Fate.UNKNOWN
    if trade is None:
        return Fate.CLOSED
    meant = rules.meaning(trade.trade_state)
    if meant == TradeMeaning.PAID:
        settle_trade(trade, PaymentSource.QUERY, actor)
        return Fate.PAID
    return Fate.CLOSED if meant == TradeMeaning.CLOSED else Fate.UNKNOWN


# ── what comes by itself ────────────────────────────────────────────────────────────────────────────


def settle_notified(trade: Trade, received: Received) -> Settled:
    """What a callback said, with the callback itself, in one transaction."""
    return settle_trade(trade, PaymentSource.CALLBACK, _WECHAT, received)


def sweep_one(order_id: str, out_trade_no: str) -> TradeMeaning:
    """One question of the job; what nobody can pay any more, or nobody should, is closed. Raises GatewayError."""
    meant = ask(out_trade_no, actor=_WECHAT)
    over = meant == TradeMeaning.WAIT and attempts.is_over(out_trade_no)
    if over and _finish(_client(), out_trade_no, _WECHAT) == Fate.CLOSED:
        attempts.note_closed(out_trade_no=out_trade_no, actor=_WECHAT)
    return meant


def _client() -> wechat_pay.WeChatPayClient:
    try:
        return wechat_pay.from_settings(config.current())
    except wechat_pay.NotConfigured as error:
        raise PaymentUnavailable("微信支付还没有开通，请联系馆方", retry_after=60) from error


def _away(error: GatewayError) -> PaymentUnavailable:
    log.warning("WeChat Pay did not do it", extra={"call": error.label, "error_code": error.code})
    return PaymentUnavailable(retry_after=error.retry_after or 5)


def _view(order_id: str, family_id: int | None) -> OrderView:
    view = queries.order(order_id, family_id=family_id)
    if view is None:
        raise OrderNotFound
    return view
