"""今日: what needs someone now, money today, and the figures behind it (U1)."""

from __future__ import annotations

from flask import Blueprint

from app.domain.makeups import desk_queries as makeups
from app.domain.people.roles import Permission
from app.domain.policy import service as policy
from app.domain.reports import home as figures
from app.domain.reports import today as today_figures
from app.domain.reports import waiting, waitlist
from app.domain.reports.payments import Span
from app.web.filters import day
from app.web.permissions import can, current_actor, requires
from app.web.rendering import render

bp = Blueprint("home", __name__)


@bp.get("/")
@requires(Permission.HOME)
def today():
    """The start page. An account without sight of families (admin) sees only what waits for it."""
    sees_money = can(Permission.ADJUSTMENT_VIEW)
    money = figures.money_by_day() if sees_money else []
    bookings = figures.bookings_by_day() if sees_money else []
    waits = figures.waitlist_span()
    return render(
        "home/today.html",
        waiting=waiting.count(waiting.NAMES, me=current_actor().id),
        credits_ending=makeups.ending_count() if can(Permission.FAMILY_VIEW) else 0,
        arrears=figures.arrears() if sees_money else None,
        classes=today_figures.classes() if can(Permission.SCHEDULE_VIEW) else None,
        money=money,
        bookings=bookings,
        charts=_charts(money, bookings) | _conversion(waits) if sees_money else {},
        waits=waits,
        lost=waiting.lost_notices(),
        task_days=policy.get("arrears_task_after").days,
        credit_days=policy.get("makeup_credit_reminder").days,
    )


def _charts(money: list, bookings: list) -> dict:
    groups, delivery = figures.balance_groups(), figures.delivery_by_day()
    return {
        "bookings": {
            "kind": "stack", "labels": [day(d.on) for d in bookings], "unit": "count",
            "series": [
                {"name": "有效", "data": [d.live for d in bookings], "tone": "active"},
                {"name": "已取消或请假", "data": [d.ended for d in bookings], "tone": "ended"},
            ],
        },
        "money": {
            "kind": "bar", "labels": [day(d.on) for d in money], "unit": "money",
            "series": [
                {"name": "入账", "data": [str(d.money_in) for d in money], "tone": "good"},
                {"name": "出账", "data": [str(d.money_out) for d in money], "tone": "ended"},
            ],
        },
        "balances": {
            "kind": "bar", "labels": [word for word, _ in groups], "unit": "count",
            "series": [{"name": "家庭数", "data": [count for _, count in groups], "tone": "active"}],
        },
        "delivery": {
            "kind": "stack", "labels": [day(d.on) for d in delivery], "unit": "count",
            "series": [
                {"name": "微信送达", "data": [d.sent for d in delivery], "tone": "good"},
                {"name": "站内", "data": [d.in_app for d in delivery], "tone": "plain"},
                {"name": "待发送", "data": [d.waiting for d in delivery], "tone": "waiting"},
                {"name": "没人收到", "data": [d.failed for d in delivery], "tone": "danger"},
            ],
        },
    }  # fmt: skip


def _conversion(span: Span) -> dict:
    weeks = waitlist.conversion(span)
    return {
        "waits": {
            "kind": "stack", "labels": [f"{week:%m-%d}" for week, _, _ in weeks], "unit": "count",
            "series": [
                {"name": "约上", "data": [booked for _, _, booked in weeks], "tone": "good"},
                {"name": "没有约上", "data": [offers - booked for _, offers, booked in weeks], "tone": "ended"},
            ],
        },
    }  # fmt: skip
