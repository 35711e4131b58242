"""WeChat Pay's callbacks: verified and decrypted, then stored and settled in one transaction (O9, S6)."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from app import clock, config, counters
from app.db import db
from app.domain.orders import notifications
from app.domain.orders.notifications import Received
from app.domain.policy import service as policy
from app.flows import payments, refunds
from app.flows.twins import past_a_twin
from app.gateways.wechat_pay_facts import RefundState, Trade
from app.gateways.wechat_pay_notify import Notification, NotifyRejected, read_notification

log = logging.getLogger("desk.callbacks")


class CallbackRefused(Exception):
    """It does not verify. `status` is the HTTP status of the answer."""

    def __init__(self, status: int, reason: str):
        self.status, self.reason = status, reason
        super().__init__(reason)


def receive(headers: Mapping[str, str], body: bytes) -> str:
    """Take one callback; returns what became of it: settled, repeated, mismatch, unknown, ignored.

    Raises CallbackRefused for what does not verify: nothing is stored then, and nobody outside is asked.
    """
    max_age = policy.get("callback_max_age")
    db.session.rollback()
    try:
        found = read_notification(
            config.current(), headers, body, now=clock.now(), max_age=max_age,
            seen=lambda timestamp, nonce: notifications.seen(timestamp, nonce, body),
        )  # fmt: skip
    except NotifyRejected as refusal:
        counters.callback("refused")
        log.warning("callback refused", extra={"reason": refusal.reason, "bytes": len(body)})
        raise CallbackRefused(refusal.status, refusal.reason) from refusal
    received = Received(
        id=found.id, event_type=found.event_type, resource=found.plain,
        timestamp=headers.get("Wechatpay-Timestamp", ""), nonce=headers.get("Wechatpay-Nonce", ""), body=body,
    )  # fmt: skip
    outcome = _dispatch(found, received)
    counters.callback(outcome)
    log.info("callback taken", extra={"notification": found.id, "event": found.event_type, "outcome": outcome})
    return outcome


def _dispatch(found: Notification, received: Received) -> str:
    if found.event_type == "TRANSACTION.SUCCESS" and isinstance(found.resource, Trade):
        if found.resource.trade_state == "SUCCESS" and found.resource.transaction_id:
            return payments.settle_notified(found.resource, received).outcome
    elif found.event_type.startswith("REFUND.") and isinstance(found.resource, RefundState):
        return refunds.apply_notification(found.resource, received)
    kept = past_a_twin(notifications.keep, received=received, outcome="ignored", problem="不认识的通知")
    return "ignored" if kept else "repeated"
