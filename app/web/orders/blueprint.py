"""The blueprint of orders and refunds; the modules beside this one hang their views on it."""

from __future__ import annotations

from flask import Blueprint

from app import config

bp = Blueprint("orders", __name__)

#: browsers are told when an order or refund changed, so that lists behind the side panel look again
CHANGED = "desk:order-changed"


@bp.app_template_global("wxpay_missing")
def wxpay_missing() -> tuple[str, ...]:
    """Names of the settings without which WeChat Pay cannot be asked anything (O13); never their values."""
    return tuple(config.current().wxpay.missing)
