"""支付分析: what the studio was promised of paying, day by day, each figure with its rows (O25, O11)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal

from flask import abort

from app import clock
from app.domain.people.roles import Permission
from app.domain.reports import payments as figures
from app.domain.reports.payments import Figure, Line, Span
from app.web.downloads import Column, Kind, Taking, in_words, labelled, offer
from app.web.filter_args import choice_arg, date_arg
from app.web.orders.blueprint import bp
from app.web.permissions import requires
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
    return render("orders/report_rows.html", span=span, rows=figures.behind(figure, span), figure=figure,
                  word=WORDS[Figure(figure)])  # fmt: skip


def _count(figure: Figure) -> Callable[[Line], int]:
    return lambda line: line.counts[figure]


def _taken() -> Taking:
    span = _span()
    return Taking(figures.lines(span)[1:], in_words({"date_from": span.first, "date_to": span.last}))


def _rows_taken() -> Taking:
    figure, span = choice_arg("figure", list(Figure)), _span()
    if figure is None:
        abort(404)
    words = in_words({"figure": WORDS[Figure(figure)], "date_from": span.first, "date_to": span.last})
    return Taking(figures.behind(figure, span), words)


offer("payments", "支付分析", Permission.ORDER_VIEW, _taken, (
    Column("日期", "on", Kind.DAY), Column("发起支付", _count(Figure.STARTED), Kind.NUMBER),
    Column("发起失败", _count(Figure.START_FAILED), Kind.NUMBER), Column("发起成功率", "start_rate", Kind.SHARE),
    Column("微信到账", _count(Figure.RECEIVED), Kind.NUMBER),
    Column("未收到通知", _count(Figure.UNNOTIFIED), Kind.NUMBER), Column("通知率", "notified_rate", Kind.SHARE),
    Column("释放占座", _count(Figure.FREED), Kind.NUMBER), Column("超时释放", _count(Figure.FREED_LATE), Kind.NUMBER),
    Column("及时率", "freed_rate", Kind.SHARE), Column("重复支付", _count(Figure.DUPLICATES), Kind.NUMBER),
    Column("订座", _count(Figure.PAID), Kind.NUMBER), Column("订座中位秒", "median", Kind.NUMBER),
    Column("订座 P90 秒", "p90", Kind.NUMBER), Column("未付成", _count(Figure.UNPAID), Kind.NUMBER),
))  # fmt: skip
offer("payment-rows", "支付分析明细", Permission.ORDER_VIEW, _rows_taken, (
    Column("时间", "at", Kind.TIME), Column("家庭编号", "family_id", Kind.NUMBER), Column("家庭", "family_name"),
    Column("订单号", "order_id"), labelled("状态", "status", "order_status"), Column("说明", "note"),
))  # fmt: skip


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
