"""通知效果: what messages to parents came to, month by month (N11); each figure leads to the rows that it counts."""

from __future__ import annotations

from datetime import date

from flask import Blueprint, abort, request

from app import clock
from app.domain.people.roles import Permission
from app.domain.reports import notices as figures
from app.domain.reports import settled
from app.web.downloads import Column, Kind, Taking, in_words, labelled, offer, place
from app.web.filter_args import choice_arg, int_arg, page_links
from app.web.labels import word
from app.web.permissions import requires
from app.web.rendering import render

#: months in the table and the chart
MONTHS = 6


def register(bp: Blueprint) -> None:
    """Put the pages under the notification centre's blueprint."""
    bp.add_url_rule("/notices/report", "report", report)
    bp.add_url_rule("/notices/report/settled", "report_settled", report_settled)
    bp.add_url_rule("/notices/report/<kind>", "report_acted", report_acted)


@requires(Permission.NOTICE_VIEW)
def report():
    """One month by type, the arrears of that month, and the last half year beside it."""
    month = _month()
    months = figures.by_month(figures.months_back(month, MONTHS))
    return render("notices/report.html", "notices/_report.html", month=month, choices=_choices(), goal=figures.GOAL,
                  types=figures.by_type(month), acted=figures.acted(month), months=months, total=months[-1],
                  arrears=settled.summary(settled.arrears(month)), last_day=figures.last_day(month),
                  chart=_chart(months), states=settled.STATES)  # fmt: skip


@requires(Permission.NOTICE_VIEW)
def report_settled():
    """The arrears that began in a month, each with how it ended."""
    month, state = _month(), choice_arg("state", settled.STATES)
    found = [one for one in settled.arrears(month) if state in (None, one.state)]
    return render("notices/report_settled.html", "notices/_report_settled.html", month=month, choices=_choices(),
                  state_asked=state, rows=found)  # fmt: skip


@requires(Permission.NOTICE_VIEW)
def report_acted(kind: str):
    """The messages of one type and month that arrived, with what followed."""
    if kind not in figures.ACTIONS:
        abort(404)
    month, state = _month(), choice_arg("state", (figures.DONE, figures.UNDONE, figures.OPEN))
    page = figures.acted_rows(kind, month, state, before=int_arg("before"), after=int_arg("after"))
    return render("notices/report_acted.html", "notices/_report_acted.html", month=month, kind=kind, page=page,
                  choices=_choices(), state_asked=state, action=figures.ACTIONS[kind],
                  pages=page_links(page, "notices.report_acted", kind=kind))  # fmt: skip


def _report_rows(month: date) -> list[list]:
    acted = figures.acted(month)
    rows = []
    for line in figures.by_type(month):
        row = ["按类型", word("notification_type", line.key), *_cells(line)]
        what = acted.get(line.key)
        if what is not None:
            row += [what.word, what.done, what.undone, what.open, what.rate]
        rows.append(row)
    rows += [["按月", line.key, *_cells(line)] for line in figures.by_month(figures.months_back(month, MONTHS))]
    ends = settled.summary(settled.arrears(month))
    blank = [None] * 7
    owing = ends.counts[settled.LATE] + ends.counts[settled.OWING]
    rows.append(["欠费", f"{month:%Y-%m} 新欠费", *blank, "通知后 7 天内结清", ends.counts[settled.IN_TIME], owing,
                 ends.counts[settled.RECENT], ends.rate])  # fmt: skip
    return rows


def _cells(line: figures.Line) -> list:
    return [line.rate, line.sent, line.failed, line.refused, line.in_app, line.read, line.waiting]


def _month() -> date:
    """The month asked for as `2026-11`, else this one; none that lies ahead."""
    today = clock.today()
    text = request.args.get("month", "")
    try:
        asked = date.fromisoformat(f"{text}-01")
    except ValueError:
        return figures.month_of(today)
    return asked if asked.year >= 2000 and asked <= today else figures.month_of(today)


def _choices() -> list[tuple[str, str]]:
    months = figures.months_back(clock.today(), 24)
    return [(f"{month:%Y-%m}", f"{month.year}年{month.month}月") for month in reversed(months)]


def _chart(months: list[figures.Line]) -> dict:
    return {
        "kind": "line",
        "unit": "percent",
        "labels": [line.key for line in months],
        "series": [
            {"name": "送达率", "data": [_ratio(line.rate) for line in months], "tone": "good"},
            {"name": "站内已读率", "data": [_ratio(line.read_rate) for line in months], "tone": "plain"},
        ],
    }


def _ratio(value) -> str | None:
    return None if value is None else f"{value:.4f}"


# ── as files ────────────────────────────────────────────────────────────────────────────────────────


def _taken() -> Taking:
    month = _month()
    return Taking(_report_rows(month), in_words({"month": f"{month:%Y-%m}"}))


def _settled_taken() -> Taking:
    month, state = _month(), choice_arg("state", settled.STATES)
    found = [one for one in settled.arrears(month) if state in (None, one.state)]
    return Taking(found, in_words({"month": f"{month:%Y-%m}", "state": state}, state="arrears_end"))


def _acted_taken() -> Taking:
    kind, month = choice_arg("kind", figures.ACTIONS), _month()
    if kind is None:
        abort(404)
    state = choice_arg("state", (figures.DONE, figures.UNDONE, figures.OPEN))
    words = in_words({"type": kind, "month": f"{month:%Y-%m}", "state": state}, type="notification_type",
                     state="notice_effect")  # fmt: skip
    return Taking(figures.every_acted(kind, month, state), words)


_N, _S = Kind.NUMBER, Kind.SHARE
offer("notice-report", "通知效果", Permission.NOTICE_VIEW, _taken, (
    place("统计", 0), place("项目", 1), place("送达率", 2, _S), place("送达", 3, _N), place("失败", 4, _N),
    place("家长拒收", 5, _N), place("站内", 6, _N), place("站内已读", 7, _N), place("未完成", 8, _N), place("目的", 9),
    place("达成", 10, _N), place("未达成", 11, _N), place("未到期", 12, _N), place("达成率", 13, _S),
))  # fmt: skip
offer("new-arrears", "当月新欠费", Permission.NOTICE_VIEW, _settled_taken, (
    Column("家庭编号", "family_id", Kind.NUMBER), Column("家庭", "family_name"),
    Column("开始欠费", "began_at", Kind.TIME), Column("欠费", "owed", Kind.MONEY),
    labelled("结果", "state", "arrears_end"), Column("最近通知", "last_told_at", Kind.TIME),
    Column("结清", "ended_at", Kind.TIME),
))  # fmt: skip
offer("acted", "消息与效果", Permission.NOTICE_VIEW, _acted_taken, (
    Column("编号", "id", Kind.NUMBER), Column("时间", "created_at", Kind.TIME),
    Column("家庭编号", "family_id", Kind.NUMBER), Column("家庭", "family_name"),
    labelled("结果", "state", "notice_effect"), labelled("渠道", "channel", "notification_channel"),
    Column("已读", "read_at", Kind.TIME),
))  # fmt: skip
