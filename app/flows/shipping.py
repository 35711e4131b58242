"""Telling WeChat that a paid trial was delivered (O20)."""

from __future__ import annotations

import logging

from app import config
from app.domain.orders import shipping
from app.gateways import wechat_mini
from app.gateways.errors import GatewayError, Permanent

log = logging.getLogger("desk.shipping")


def report_due() -> int:
    """Say what is due; returns how much of it WeChat took."""
    done = 0
    for one in shipping.claim_due():
        try:
            wechat_mini.from_settings(config.current()).upload_shipping_info(
                transaction_id=one.transaction_id, openid=one.openid, item=one.item, at=one.paid_at
            )
        except GatewayError as error:
            log.warning("shipping not reported", extra={"order": one.order_id, "error_code": error.code})
            said = f"{error.code} {error.detail}".strip()
            shipping.note_result(order_id=one.order_id, error=said, final=isinstance(error, Permanent))
        else:
            shipping.note_result(order_id=one.order_id, error=None)
            done += 1
    return done
