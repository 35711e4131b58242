"""支付分析: what the studio was promised of paying, day by day, each figure with its rows (O25, O11)."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal

from flask import abort

from app import clock
from app.domain.audit import exports
from app.domain.people.roles import Permission
from app.domain.reports import payments as figures
from app.domain.reports.payments import Figure, Line, Span
from app.web import downloads
from app.web.filter_args import date_arg
from app.web.orders.blueprint import bp
from app.web.permissions import current_actor, requires
from app.web.rendering import render

#: of the spec: payments that start
GOAL = Decimal("0.99")
DAYS = 14
#: more days than these are no page
MOST_DAYS = 92

WORDS = {
    Figure.STARTED: "发起支付", Figure.START_FAILED: "发起失败", Figure.RECEIVED: "微信到账",
    Figure.UNNOTIFIED: "没有收到微信通知，查单补上", Figure.FREED: "释放的占座", Figure.FREED_LATE: "释放超过两分钟",
    Figure.DUPLICATES: "重复支付，已拦下", Figure.PAID: "付款并订座", Figure.UNPAID: "未付成的订单",
}  # fmt: skip


@bp.get("/orders/analytics")
@requires(Permission.ORDER_VIEW)
def report():
    """The figures of a span of days, the last fortnight unless asked otherwise."""
    span = _span()
    found = figures.lines(span)
    return render("orders/report.html", "orders/_report.html", span=span, total=found[0], days=found[1:],
                  goal=GOAL, reasons=figures.reasons(span), chart=_chart(found[:0:-1]))  # fmt: skip


@bp.get("/orders/analytics/<figure>")
@requires(Permission.ORDER_VIEW)
def report_rows(figure: str):
    """The rows that a figure counts."""
    if figure not in list(Figure):
        abort(404)
    span = _span()
    return render("orders/report_rows.html", span=span, rows=figures.behind(figure, span), word=WORDS[Figure(figure)])


@bp.post("/orders/analytics/export")
@requires(Permission.EXPORT)
def export_report():
    """The table by day as csv; a POST, since taking it out is recorded."""
    span = _span()
    exports.note_export(what="payment_report", filters={"from": span.first.isoformat(), "to": span.last.isoformat()},
                        actor=current_actor())  # fmt: skip
    head = ["日期", "发起支付", "发起失败", "发起成功率", "微信到账", "未收到通知", "通知率", "释放占座", "超时释放",
            "及时率", "重复支付", "订座", "订座中位秒", "订座 P90 秒", "未付成"]  # fmt: skip
    rows = (_cells(line) for line in figures.lines(span)[1:])
    return downloads.csv(f"payments-{span.first:%Y%m%d}-{span.last:%Y%m%d}.csv", head, rows)


def _cells(line: Line) -> list:
    share, count = downloads.share, line.counts
    return [
        line.on.isoformat(), count["started"], count["start_failed"], share(line.start_rate), count["received"],
        count["unnotified"], share(line.notified_rate), count["freed"], count["freed_late"], share(line.freed_rate),
        count["duplicates"], count["paid"], line.median, line.p90, count["unpaid"],
    ]  # fmt: skip


def _span() -> Span:
    today = clock.today()
    last = min(date_arg("to") or today, today)
    first = date_arg("from") or last - timedelta(days=DAYS - 1)
    return Span(max(min(first, last), last - timedelta(days=MOST_DAYS - 1)), last)


def _chart(days: list[Line]) -> dict:
    """Paid and unpaid orders, the oldest day first."""
    return {
        "kind": "stack", "unit": "count", "labels": [_short(line.on) for line in days],
        "series": [
            {"name": "付款并订座", "data": [line.counts["paid"] for line in days], "tone": "good"},
            {"name": "未付成", "data": [line.counts["unpaid"] for line in days], "tone": "ended"},
        ],
    }  # fmt: skip


def _short(day: date) -> str:
    return f"{day.month}-{day.day:02d}"
