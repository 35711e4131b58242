"""The blueprint of bookings; the modules beside this one hang their views on it."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from flask import Blueprint

from app import clock
from app.errors import DomainError
from app.web.filters import WEEKDAYS
from app.web.filters import money as money_text

bp = Blueprint("bookings", __name__)

#: browsers are told when a booking changed, so that lists behind the side panel look again
CHANGED = "desk:booking-changed"


@bp.app_template_filter("class_time")
def class_time(moment: datetime) -> str:
    """「11月25日 周三 19:00」, never 「明天」: what a person confirms names the day."""
    at = clock.local(moment)
    return f"{at.month}月{at.day}日 周{WEEKDAYS[at.weekday()]} {at:%H:%M}"


@bp.app_template_filter("said_to_staff")
def said_to_staff(error: DomainError) -> str:
    """A refusal as staff read it: the contract's texts speak to the parent."""
    if error.code == "ARREARS_BLOCKED":
        owed = -Decimal((error.data or {})["balance"])
        return f"该家庭已欠费 {money_text(owed)}，须先充值，或由店长放行后再预约"
    if error.code == "CANCEL_TOO_LATE":
        return "已过取消时限，请选择是否退款，或改为请假"
    return error.message
