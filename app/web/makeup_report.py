"""补课分析: leave, what becomes of its credits, how soon they are made up, minutes owed (M10); promises kept (Q25)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from flask import Blueprint, abort, url_for

from app import clock
from app.domain.people.roles import Permission
from app.domain.reports import makeups as figures
from app.domain.reports import makeups_checks as checks
from app.domain.reports import makeups_rows as behind
from app.domain.reports.makeups import Line
from app.domain.reports.makeups_rows import CHANGES, CLASSES, CREDITS, OF_NO_TYPE, Figure
from app.domain.reports.payments import Span
from app.web import labels
from app.web.downloads import Column, Kind, Taking, in_words, offer, place
from app.web.filter_args import choice_arg, date_arg, int_arg
from app.web.permissions import requires
from app.web.rendering import render

bp = Blueprint("makeup_report", __name__)

#: months shown unless asked otherwise, and at most
MONTHS, MOST_MONTHS = 6, 24

WORDS = {
    Figure.DUE: "应上的课", Figure.LEAVE: "请假", Figure.GRANTED: "产生的待补课", Figure.USED: "已使用的待补课",
    Figure.HELD: "已补上的课", Figure.OPEN: "还可使用的待补课", Figure.UNUSED: "没有使用就失效的待补课",
    Figure.EARNED: "获得的课时补偿", Figure.SPENT: "使用的课时补偿", Figure.LAPSED: "到期失效的课时补偿",
    Figure.ADJUSTED: "员工调整的课时补偿", Figure.RETURNED: "取消补课退回与收回", Figure.OWED: "未用的课时补偿",
}  # fmt: skip
CHECK_WORDS = {"bookings": "因系统原因失败的补课预约", "minutes": "账目不符的课时补偿"}
#: what a row's state is called, by figure
_STATES = dict.fromkeys(CLASSES, "booking_status") | dict.fromkeys(CREDITS, "credit_status")


@bp.get("/reports/makeups")
@requires(Permission.SCHEDULE_VIEW)
def index():
    """The figures of a span of days, the last six months unless asked otherwise."""
    span, type_id = _span(), _type_id()
    found = figures.table(span, type_id)
    return render(
        "makeup_report/index.html", "makeup_report/_figures.html", span=span, type_id=type_id, types=_types(),
        table=found, chart=_chart(found.months), asked=_asked(span, type_id), part_of=figures.part_of,
        bookings=checks.bookings(span), minutes=checks.minutes(span),
    )  # fmt: skip


@bp.get("/reports/makeups/rows/<counted>")
@requires(Permission.SCHEDULE_VIEW)
def rows(counted: str):
    """The rows that a figure counts."""
    if counted not in list(Figure):
        abort(404)
    figure, span, type_id = Figure(counted), _span(), _type_id()
    return render(
        "makeup_report/rows.html", span=span, figure=figure, rows=behind.behind(figure, span, type_id),
        word=WORDS[figure], states=_STATES.get(figure), credits=figure in CREDITS, changes=figure in CHANGES,
        most=behind.ROWS_SHOWN, back=url_for(".index", **_asked(span, type_id)), type=dict(_types()).get(type_id),
    )  # fmt: skip


@bp.get("/reports/makeups/promises/<promise>")
@requires(Permission.SCHEDULE_VIEW)
def broken(promise: str):
    """The calls that failed, or the minutes that are wrong."""
    if promise not in checks.CHECKS:
        abort(404)
    span = _span()
    return render("makeup_report/broken.html", span=span, check=promise, found=checks.CHECKS[promise](span),
                  word=CHECK_WORDS[promise], back=url_for(".index", **_asked(span, None)))  # fmt: skip


def _types() -> list[tuple[int, str]]:
    return [*figures.types(), (OF_NO_TYPE, figures.STAFF_GAVE)]


def _type_id() -> int | None:
    asked = int_arg("type")
    return asked if asked in dict(_types()) else None


def _span() -> Span:
    today = clock.today()
    last = min(date_arg("to") or today, today)
    first = min(date_arg("from") or _months_before(last, MONTHS - 1), last)
    return Span(max(first, _months_before(last, MOST_MONTHS - 1)), last)


def _months_before(day: date, months: int) -> date:
    """The first of the month so many months before this day's."""
    first = day.replace(day=1)
    for _ in range(months):
        if first <= date.min + timedelta(days=31):
            break
        first = (first - timedelta(days=1)).replace(day=1)
    return first


def _asked(span: Span, type_id: int | None) -> dict[str, str]:
    asked = {"from": span.first.isoformat(), "to": span.last.isoformat()}
    return asked if type_id is None else {**asked, "type": str(type_id)}


def _in_force() -> dict[str, str]:
    """The span and the course type of the address, in words."""
    span, type_id = _span(), _type_id()
    return in_words({"date_from": span.first, "date_to": span.last, "type": dict(_types()).get(type_id)})


def _taken() -> Taking:
    """Course type by month."""
    found = figures.table(_span(), _type_id())
    order = {one: (number, name) for number, (one, name, _) in enumerate(found.types)}
    cells = sorted(found.cells.items(), key=lambda item: (order[item[0][0]][0], item[0][1]))
    return Taking([(order[one][1], month, line) for (one, month), line in cells], _in_force())


def _rows_taken() -> Taking:
    counted = choice_arg("counted", list(Figure))
    if counted is None:
        abort(404)
    figure = Figure(counted)
    found = behind.behind(figure, _span(), _type_id(), limit=None)
    states = _STATES.get(figure)
    said = [(labels.word(states, row.status) if states else None, row) for row in found]
    return Taking(said, in_words({"figure": WORDS[figure]}) | _in_force())


def _of_line(title: str, read: Callable[[Line], Any], kind: Kind = Kind.NUMBER) -> Column:
    return Column(title, lambda row: read(row[2]), kind)


def _value(title: str, figure: Figure) -> Column:
    return _of_line(title, lambda line: line.values[figure])


def _days(days: Decimal | None) -> str | None:
    return None if days is None else f"{days:.1f}"


offer("makeup-report", "补课分析", Permission.SCHEDULE_VIEW, _taken, (
    place("课程类型", 0), place("月份（1 日）", 1, Kind.DAY), _value("应上课次", Figure.DUE),
    _value("请假", Figure.LEAVE),
    _of_line("请假率", lambda line: line.leave_rate, Kind.SHARE), _value("产生待补课", Figure.GRANTED),
    _value("已使用", Figure.USED), _of_line("使用率", lambda line: line.used_rate, Kind.SHARE),
    _value("已补上", Figure.HELD), _of_line("平均补课天数", lambda line: _days(line.mean_days)),
    _value("可使用", Figure.OPEN), _value("未用失效", Figure.UNUSED),
    _of_line("未用失效率", lambda line: line.unused_rate, Kind.SHARE), _value("获得分钟", Figure.EARNED),
    _value("使用分钟", Figure.SPENT), _value("到期失效分钟", Figure.LAPSED), _value("调整分钟", Figure.ADJUSTED),
    _value("退回分钟", Figure.RETURNED), _value("月末未用分钟", Figure.OWED),
))  # fmt: skip
offer("makeup-rows", "补课分析明细", Permission.SCHEDULE_VIEW, _rows_taken, (
    Column("时间", lambda one: one[1].at, Kind.TIME), Column("学员", lambda one: one[1].student),
    Column("家庭", lambda one: one[1].family_name), Column("课程", lambda one: one[1].course_name),
    Column("上课时间", lambda one: one[1].starts_at, Kind.TIME), place("状态", 0),
    Column("有效期至", lambda one: one[1].valid_until, Kind.TIME),
    Column("补课时间", lambda one: one[1].makeup_at, Kind.TIME),
    Column("补课天数", lambda one: _days(one[1].days)), Column("分钟", lambda one: one[1].minutes, Kind.NUMBER),
    Column("说明", lambda one: one[1].note),
))  # fmt: skip


def _chart(months: list[tuple[date, Line]]) -> dict:
    """What became of the credits, by the month of the leave, the oldest month first."""
    ordered = months[::-1]
    return {
        "kind": "stack", "unit": "count", "labels": [f"{month:%Y-%m}" for month, _ in ordered],
        "series": [
            {"name": name, "data": [line.values[figure] for _, line in ordered], "tone": tone}
            for name, figure, tone in (("已使用", Figure.USED, "good"), ("可使用", Figure.OPEN, "active"),
                                       ("未用失效", Figure.UNUSED, "danger"))
        ],
    }  # fmt: skip
