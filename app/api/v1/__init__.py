"""Version 1 of the contract (95): one module per group of calls."""

from __future__ import annotations

from flask import Blueprint

from app.api.callbacks import wechat_pay
from app.api.v1 import (
    auth,
    bookings,
    compensation,
    makeup,
    me,
    messages,
    openapi,
    payment,
    profiles,
    schedules,
    waitlist,
    wallet,
    withdrawals,
)

GROUPS = (auth, me, profiles, messages, wallet, withdrawals, schedules, bookings, payment, waitlist, makeup,
          compensation)  # fmt: skip


def build() -> Blueprint:
    """The blueprint of all calls, and the document that describes them."""
    blueprint = Blueprint("api", __name__, url_prefix="/api/v1")
    for group in GROUPS:
        blueprint.register_blueprint(group.bp)
    blueprint.register_blueprint(openapi.bp)
    blueprint.register_blueprint(wechat_pay.bp)
    return blueprint
