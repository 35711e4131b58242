"""Where refunds meet WeChat Pay: short transaction → network → short transaction (O15, O16, I-27).

The same number is sent on every try. Where a try's fate is unknown, WeChat is asked before anything is sent again.
"""

from __future__ import annotations

import logging
from typing import Any

from app import config, money
from app.db import db
from app.domain.audit.actor import Actor, system
from app.domain.orders import refund_hand, refund_progress
from app.domain.orders.errors import PaymentUnavailable
from app.domain.orders.notifications import Received
from app.domain.orders.refund_progress import Claimed, Word
from app.errors import InvalidState
from app.flows import outbound, sweep
from app.flows.twins import past_a_twin
from app.gateways import wechat_pay
from app.gateways.errors import GatewayError, Kind
from app.gateways.wechat_pay import WeChatPayClient
from app.gateways.wechat_pay_facts import RefundState

log = logging.getLogger("desk.refunds")

CALLBACK_PATH = "/api/v1/payment/wxpay/refund-callback"
_WECHAT = system("微信支付")
_JOB = system("退款任务")

#: refunds of one run, and its seconds
BATCH, SECONDS = 50, 40.0
#: refusals of the request's signature or rights, not of the refund
_OURS = frozenset({"SIGN_ERROR", "http_401", "NO_AUTH"})


def run_due() -> int:
    """Send the approved refunds and ask about those on their way, whose time it is; returns how many."""
    try:
        client = wechat_pay.from_settings(config.current())
    except wechat_pay.NotConfigured:
        return 0
    return sweep.each(((one, client) for one in refund_progress.due(BATCH)), step, seconds=SECONDS)


def step(refund_no: str, client: WeChatPayClient, actor: Actor = _JOB) -> None:
    """One try or one question, if it is due. Raises GatewayError where WeChat did not answer, after that was noted."""
    claimed = refund_progress.claim(refund_no=refund_no, actor=actor)
    if claimed is None:
        return
    sending = False
    try:
        state = client.query_refund(refund_no) if claimed.asked_before else None
        if state is None:
            if claimed.asked_before:
                refund_progress.tried_again(refund_no=refund_no, actor=actor)
            sending = True
            state = _send(client, claimed)
    except GatewayError as error:
        log.warning("a refund was not answered", extra={"call": error.label, "error_code": error.code})
        # A question that is refused says nothing about the refund, and a wrong key of ours nothing either.
        permanent = sending and error.kind == Kind.PERMANENT and error.code not in _OURS
        refund_progress.could_not_start(
            refund_no=refund_no, code=error.code, text=error.detail, permanent=permanent, actor=actor
        )
        if not permanent:
            raise
        return
    _note(word_of(state), None)


def _send(client: WeChatPayClient, claimed: Claimed) -> RefundState:
    return client.refund(
        refund_no=claimed.refund_no, transaction_id=claimed.transaction_id,
        refund_fen=money.to_fen(claimed.amount), total_fen=money.to_fen(claimed.total), reason=claimed.reason,
        notify_url=config.current().public_url + CALLBACK_PATH,
    )  # fmt: skip


def ask_now(refund_no: str) -> str | None:
    """「向微信查询」 by a person: WeChat's state of the refund, acted upon; None where WeChat does not know it.

    Raises PaymentUnavailable.
    """
    db.session.rollback()
    try:
        client = wechat_pay.from_settings(config.current())
        with outbound.room():
            state = client.query_refund(refund_no)
    except wechat_pay.NotConfigured as error:
        raise PaymentUnavailable("微信支付还没有开通", retry_after=60) from error
    except GatewayError as error:
        log.warning("a refund was not answered", extra={"call": error.label, "error_code": error.code})
        raise PaymentUnavailable("微信没有回答，请稍后再试", retry_after=error.retry_after or 5) from error
    if state is None:
        return None
    _note(word_of(state), None)
    return state.status


def pay_out(*, refund_no: str, actor: Actor, **given: Any) -> None:
    """Record that it was paid by hand, unless WeChat is at it. `given` and what it raises: refund_hand.pay_out; and
    InvalidState, PaymentUnavailable."""
    _refuse_while_moving(refund_no)
    refund_hand.pay_out(refund_no=refund_no, actor=actor, **given)


def close(*, refund_no: str, actor: Actor, **given: Any) -> None:
    """Give a refund up, unless WeChat is at it. As `pay_out`."""
    _refuse_while_moving(refund_no)
    refund_hand.close(refund_no=refund_no, actor=actor, **given)


def _refuse_while_moving(refund_no: str) -> None:
    """Nobody pays by hand what WeChat is paying, or has paid."""
    if not refund_progress.goes_by_wechat(refund_no):
        return
    try:
        wechat_pay.from_settings(config.current())
    except wechat_pay.NotConfigured:
        return
    if ask_now(refund_no) in (refund_progress.PROCESSING, refund_progress.SUCCESS):
        raise InvalidState("微信正在退这笔款或已退成功，请先查看最新状态")


def apply_notification(state: RefundState, received: Received) -> str:
    """What a callback said, with the callback itself, in one transaction; returns what became of it."""
    return _note(word_of(state), received)


def _note(word: Word, received: Received | None) -> str:
    return past_a_twin(refund_progress.note_state, word=word, actor=_WECHAT, received=received)


def word_of(state: RefundState) -> Word:
    """WeChat's refund in our words: fen become yuan here and nowhere later (O24)."""
    return Word(
        refund_no=state.refund_no, status=state.status, refund_id=state.refund_id,
        transaction_id=state.transaction_id, success_at=state.success_time, account=state.user_received_account,
        amount=None if state.refund_fen is None else money.from_fen(state.refund_fen),
    )  # fmt: skip
